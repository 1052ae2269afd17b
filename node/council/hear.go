package council

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
)

const (
	// pullTimeout bounds a pull of rows or heads: later somebody else has to be asked, or nobody is there.
	pullTimeout = 5 * time.Second
	// maxPulls is how many frames of a member may wait for heads: one of each kind from a handful of voters.
	maxPulls = 16
)

// beaconHeard is a beacon of a voter that the core has not heard, and when it came.
type beaconHeard struct {
	at    time.Duration
	event election.Event
}

// pending are the newest beacons that the core has not heard, by time; they then count as heard. They are good until
// the next call. The cohort's lock is held.
func (m *member) pending() []beaconHeard {
	m.box.urgent = false
	out := m.own.beacons[:0]
	for _, e := range m.box.ears {
		for _, v := range e.talker.voices {
			h := e.of(v, m.set)
			if h.row == nil || h.row.row == nil {
				continue
			}
			if h.stray != v.stray.count {
				h.stray = v.stray.count
				out = append(out, beaconHeard{v.heard, stray(e.talker.id, h)})
			}
			if v.no == h.no && h.stated {
				continue
			}
			var state *election.State
			if v.current(h.row) {
				state = m.state(e, h.row)
			}
			if v.no == h.no && state == nil {
				continue
			}
			h.no, h.stated = v.no, state != nil
			out = append(out, beaconHeard{v.heard, h.tell(e.talker.id, state)})
		}
	}
	if len(out) > 1 {
		slices.SortStableFunc(out, func(a, b beaconHeard) int { return int(a.at - b.at) })
	}
	m.own.beacons = out
	return out
}

// stray is a beacon that came far behind the newest one.
func stray(from peer.ID, h *hearing) election.Event {
	b := &election.Beacon{Stamp: election.Stamp{Boot: h.voice.boot, No: h.voice.stray.no}, Interval: h.voice.interval}
	return election.Received{From: from, Instance: h.row.row.instance, Message: b}
}

// state is what a row says, nil while a head of it is not known; that is then pulled. Who cannot pull must still hear
// that there is a primary, and for what config: after an interval, and at once from a newer config, whose heads
// nobody can verify without it, the row is shown without those heads. It then claims less, which is never wrong. The
// cohort's lock is held.
func (m *member) state(e *ear, r *heardRow) *election.State {
	if r.state != nil {
		return r.state
	}
	s, missing := r.row.resolve(m.heads.find)
	if len(missing) == 0 {
		r.state, r.shown = s, s
		return s
	}
	if m.own.core.Config().Compare(election.Config{Version: s.ConfigVersion, Hash: s.ConfigHash}) < 0 {
		return s
	}
	now := m.cohort.now()
	if !e.pulling && now >= e.retry {
		e.pulling = m.pull(e.talker.id, missing, func(ok bool) { m.pulled(e, ok) })
	}
	if r.asked == 0 {
		r.asked = now
	}
	if now-r.asked >= m.cohort.interval {
		return s
	}
	return nil
}

// pulled ends a pull of heads that a row names.
func (m *member) pulled(e *ear, ok bool) {
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	e.pulling = false
	m.box.urgent = true
	if !ok {
		e.retry = m.cohort.now() + m.cohort.interval
	}
}

// pull asks a peer for heads. done is called by the member's owner, ok if any of them came. It tells whether there
// will be an answer. The cohort's lock is held.
func (m *member) pull(from peer.ID, ids []cid.Cid, done func(ok bool)) bool {
	c := m.cohort.council
	ids = ids[:min(len(ids), wirecouncil.MaxHeads)]
	return m.cohort.spawn(func() {
		ctx, cancel := context.WithTimeout(c.life, pullTimeout)
		defer cancel()
		sealed, err := c.cfg.Wire.Heads(ctx, from, m.set, ids)
		if err != nil {
			m.log.Debug("heads could not be pulled", "peer", from, "err", err)
		}
		m.post(func() { done(m.learn(from, sealed, ids)) })
	})
}

// learn takes heads in that were asked for. It tells whether there were any.
func (m *member) learn(from peer.ID, sealed [][]byte, ids []cid.Cid) (any bool) {
	for _, b := range sealed {
		h, err := m.seat.Head(b)
		if err != nil || !slices.Contains(ids, h.ID) {
			m.log.Debug("head of a peer is not valid here", "peer", from, "err", err)
			continue
		}
		m.heads.add(h, b)
		any = true
	}
	return any
}

// receive hears a message of one peer, after its heads were pulled.
func (m *member) receive(from peer.ID, instance string, p *parcel) {
	if m.own.core == nil {
		return
	}
	msg, missing := p.message(m.heads.find)
	if len(missing) > 0 {
		m.await(from, missing, func() { m.receive(from, instance, p) })
		return
	}
	switch x := msg.(type) {
	case election.Ack:
		m.own.acked[from] = x
	case election.Seen:
		if x.Instance == m.key {
			if !x.Stamp.After(m.cohort.stamp()) {
				return
			}
			x.Stamp = election.Stamp{Boot: math.MaxUint64, No: math.MaxUint64} // newer than the core's own
			msg = x
		}
	}
	m.step(election.Received{From: from, Instance: instance, Message: msg})
}

// await calls again when more of the missing heads are known.
func (m *member) await(from peer.ID, missing []cid.Cid, again func()) {
	if m.own.pulls >= maxPulls {
		return
	}
	m.own.pulls++
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	m.pull(from, missing, func(ok bool) {
		m.own.pulls--
		if ok {
			again()
		}
	})
}
