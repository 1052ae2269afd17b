package election

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"
)

// Rule 11: a head whose bytes nobody has is abandoned. In ap by consent of all voters: that all were heard to
// lack it would not do, beacons come late, and a holder's disk may be lost after it passed the bytes on. A voter
// that waives a head has compared it with its own disk and will not take it for the rest of the epoch. In strict
// no consent is needed: what a primary lacks once it has absorbed its majority was never durable, and it is
// hidden like any other head that lost to a majority.

// lost is the abandonment a primary is about.
type lost struct {
	on    bool
	since time.Duration // all conditions hold
	heads Frontier      // asked for; nil before
}

// giveUp asks for what is lacking to be waived, once it has been nowhere for long enough.
func (m *Member) giveUp() {
	lacking := m.nowhere()
	if len(lacking) == 0 {
		m.reign.lost = lost{}
		return
	}
	l := &m.reign.lost
	if !l.on {
		*l = lost{on: true, since: m.time.now}
	}
	if m.time.now-l.since < abandonFails*failIntervals*m.interval() {
		return
	}
	if m.cfg.Mode == Strict {
		l.heads = lacking
		return
	}
	if !l.heads.Equal(lacking) {
		l.heads = lacking
		for _, p := range m.peers {
			p.waived = false
		}
	}
	for _, p := range m.peers {
		if !p.waived {
			m.act(Send{p.id, WaiveReq{Epoch: m.disk.Epoch, Heads: lacking, Have: m.disk.Have}})
		}
	}
}

// nowhere is what is known and on no disk. In ap only if every voter was heard, and neither has nor knows to be
// durable what this one lacks; in strict everything: whoever offers it may not have its bytes any more.
func (m *Member) nowhere() Frontier {
	lacking := m.disk.Known.without(m.disk.Have.Covers)
	if len(lacking) == 0 || !m.disk.Have.CoversAll(m.disk.Durable) {
		return nil
	}
	if m.cfg.Mode == Strict {
		if m.missing() != nil {
			return nil
		}
		return lacking[:min(len(lacking), maxParents)]
	}
	for _, p := range m.peers {
		if !m.follows(p) || !m.disk.Have.CoversAll(p.state.Have) {
			return nil
		}
	}
	return lacking[:min(len(lacking), maxParents)]
}

// agreed tells whether everybody waived what was asked for, and nothing has changed since.
func (m *Member) agreed() bool {
	l := m.reign.lost
	if len(l.heads) == 0 || !l.heads.Equal(m.nowhere()) {
		return false
	}
	return m.cfg.Mode == Strict || !slices.ContainsFunc(m.peers, func(p *peerState) bool { return !p.waived })
}

// waiveAsked gives heads up if the primary has everything this store has and knows to be durable.
func (m *Member) waiveAsked(p *peerState, r WaiveReq) {
	if r.Epoch.Compare(m.disk.Epoch) < 0 {
		m.beaconSoon()
	}
	if !m.able() || r.Epoch.Compare(m.disk.Epoch) != 0 || r.Epoch.Owner != p.id {
		return
	}
	if !r.Have.CoversAll(m.disk.Have) || !r.Have.CoversAll(m.disk.Durable) {
		return
	}
	for _, x := range r.Have { // what is below a waived head is waived too: have it first
		if !m.disk.Have.Covers(x) && slices.ContainsFunc(r.Heads, func(h *Head) bool { return h.Covers(x) }) {
			return
		}
	}
	m.waive(r.Heads)
	ids := make([]cid.Cid, len(r.Heads))
	for i, h := range r.Heads {
		ids[i] = h.ID
	}
	m.act(Send{p.id, Waive{Epoch: r.Epoch, Heads: ids}})
}

func (m *Member) waive(heads []*Head) {
	for _, h := range heads {
		if !slices.ContainsFunc(m.disk.Waived, func(w *Head) bool { return w.ID == h.ID }) {
			m.disk.Waived = append(slices.Clip(m.disk.Waived), h)
			m.touch()
		}
	}
}

func (m *Member) waived(p *peerState, w Waive) {
	if m.role != Primary || w.Epoch.Compare(m.disk.Epoch) != 0 {
		return
	}
	same := slices.EqualFunc(w.Heads, m.reign.lost.heads, func(id cid.Cid, h *Head) bool { return h.ID == id })
	p.waived = p.waived || same
}

// givenUp tells whether h, or something built on it, was waived.
func (m *Member) givenUp(h *Head) bool {
	return slices.ContainsFunc(m.disk.Waived, func(w *Head) bool { return w.Covers(h) })
}
