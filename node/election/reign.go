package election

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Rule 7: the backup. Rules 8 and 10: only the primary makes heads.

// reign is what a primary holds while it is one. A follower keeps the announced backup here.
type reign struct {
	since   time.Duration
	settle  time.Duration // forks may be merged after
	backup  peer.ID
	chosen  time.Duration // the backup
	must    Frontier      // strict: what the majority had
	pending []*Head       // made in this epoch and not durable, ascending by number
	waiting time.Duration // the first of pending, since
	making  *Plan
	queue   []uint64
	drain   drain
	lost    lost
}

// maxParents is what a head may name: protocols/record has the same bound.
const maxParents = 16

// proposed takes a proposal, or says who would.
func (m *Member) proposed(id uint64) {
	if m.role != Primary || m.reign.drain.asked || !m.able() {
		m.refuse(id)
		return
	}
	m.reign.queue = append(m.reign.queue, id)
}

func (m *Member) refuse(id uint64) {
	r := Refused{Proposal: id}
	if m.role != Primary && m.livePrimary() {
		r.Primary = m.disk.Epoch.Owner
	} else if m.reign.drain.asked {
		r.Primary = m.reign.drain.to
	}
	m.act(r)
}

// order makes the next head, one at a time.
func (m *Member) order() {
	if m.role != Primary {
		return
	}
	if m.reign.drain.asked {
		m.drain()
		return
	}
	if m.reign.making != nil || m.missing() != nil {
		return
	}
	p := m.nextPlan()
	if p == nil {
		return
	}
	m.disk.Seq++
	m.said = nil
	p.Epoch, p.Seq = m.disk.Epoch, m.disk.Seq
	p.Vector = record.Vector{m.self.instance: p.Seq}
	for _, h := range p.Parents {
		p.Vector = p.Vector.Merge(h.Vector)
	}
	for _, h := range p.Dropped {
		p.Vector = p.Vector.Merge(h.Vector)
	}
	m.reign.making = p
	m.act(Make{p})
}

// nextPlan is the next head worth making, nil if there is none.
func (m *Member) nextPlan() *Plan {
	settled := m.time.now >= m.reign.settle
	switch {
	case len(m.reign.queue) > 0:
		p := m.join(Publish)
		p.Proposal = m.reign.queue[0]
		m.reign.queue = slices.Clone(m.reign.queue[1:])
		return p
	case settled && m.agreed():
		p := m.join(Abandon)
		p.Dropped = append(p.Dropped, m.reign.lost.heads...)
		return p
	case settled && len(m.disk.Have) > 1:
		return m.join(Merge)
	case settled && m.unconfirmed():
		return m.join(Confirm)
	}
	return nil
}

// orderAt is when order has something to do that no event announces.
func (m *Member) orderAt() time.Duration {
	if m.role == Primary && m.time.now < m.reign.settle {
		return m.reign.settle
	}
	return never
}

// join covers what is here. In ap every fork is merged. In strict all but one lost to a majority that did not
// know them: the one of the highest epoch absorbed every durable head, the others were never durable.
func (m *Member) join(k PlanKind) *Plan {
	have := m.disk.Have[:min(len(m.disk.Have), maxParents)]
	p := &Plan{Kind: k}
	best := m.disk.Have.newest()
	for _, h := range have {
		if m.cfg.Mode == Strict && h != best {
			p.Dropped = append(p.Dropped, h)
		} else {
			p.Parents = append(p.Parents, h)
		}
	}
	if m.cfg.Mode == Strict && len(p.Parents) == 0 && best != nil { // beyond the bound
		p.Parents, p.Dropped = []*Head{best}, p.Dropped[1:]
	}
	return p
}

// unconfirmed tells whether the only head is of an older epoch and must be repeated in this one: heads become
// durable in their own epoch only. A strict config moves on once something is durable in it, so that two
// majorities in a row always share a voter who knows.
func (m *Member) unconfirmed() bool {
	if len(m.disk.Have) != 1 || len(m.peers) == 0 {
		return false
	}
	h := m.disk.Have[0]
	if h.Epoch.Compare(m.disk.Epoch) == 0 {
		return false
	}
	if m.cfg.Mode == Strict {
		return !m.disk.Durable.Covers(h) || h.Epoch.ConfigVersion < m.cfg.Version
	}
	return m.reign.backup != "" && !m.disk.Durable.Covers(h)
}

// made takes the head that was asked for, unless the reign it was for is over.
func (m *Member) made(e Made) {
	p := m.reign.making
	if p == nil || p != e.Plan || m.role != Primary {
		return // refused, or in the queue again, when the reign ended
	}
	m.reign.making = nil
	if e.Head == nil {
		if p.Kind == Publish {
			m.refuse(p.Proposal)
		}
		return
	}
	m.disk.Known = m.disk.Known.Add(e.Head)
	m.disk.Have = m.disk.Have.Add(e.Head)
	m.touch()
	if len(m.reign.pending) == 0 {
		m.reign.waiting = m.time.now
	}
	m.reign.pending = append(m.reign.pending, e.Head)
	m.act(Accepted{p, e.Head})
	m.beaconSoon()
	m.settleDurable()
}

// chooseBackup keeps the backup while it is there and keeps up, else takes the voter with the most.
func (m *Member) chooseBackup() {
	if m.role != Primary {
		return
	}
	now := m.peer(m.reign.backup)
	stalled := now != nil && m.stalled(now)
	if now != nil && m.follows(now) && !stalled {
		return
	}
	var best *peerState
	for _, p := range m.peers {
		if !m.follows(p) || stalled && p == now {
			continue
		}
		if best == nil || p.state.Have.CoversAll(best.state.Have) && !best.state.Have.CoversAll(p.state.Have) {
			best = p
		}
	}
	if best == nil && now != nil && now.live(m.time.now) { // nobody better
		return
	}
	var id peer.ID
	if best != nil {
		id = best.id
	}
	if id == m.reign.backup {
		return
	}
	m.reign.backup, m.reign.chosen = id, m.time.now
	m.said = nil
	m.beaconSoon()
	m.settleDurable()
}

// follows tells whether p lives and is in our epoch.
func (m *Member) follows(p *peerState) bool {
	return p.state != nil && p.live(m.time.now) && p.state.Epoch.Compare(m.disk.Epoch) == 0
}

// stalled tells whether the backup owes an acknowledgement for too long.
func (m *Member) stalled(p *peerState) bool {
	if len(m.reign.pending) == 0 || p.acked >= m.reign.pending[0].seq {
		return false
	}
	return m.time.now-max(m.reign.waiting, m.reign.chosen) > stallFails*p.fail()
}
