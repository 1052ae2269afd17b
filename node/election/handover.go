package election

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Handover: a primary that leaves, or is asked to, gives its role to a voter that has all it has.

type drain struct {
	asked bool
	local bool // this node asked, and is told
	to    peer.ID
	until time.Duration
}

// handoverFails is how many TFails a target is given to catch up.
const handoverFails = 2

// handover begins to hand the role to a voter. Nothing is ordered meanwhile.
func (m *Member) handover(to peer.ID, local bool) {
	if to == "" {
		to = m.reign.backup
	}
	if m.role != Primary || m.peer(to) == nil || m.reign.drain.asked {
		if local {
			m.act(HandedOver{})
		}
		return
	}
	until := m.time.now + handoverFails*failIntervals*m.interval()
	m.reign.drain = drain{asked: true, local: local, to: to, until: until}
	queue := m.reign.queue
	m.reign.queue = nil
	for _, id := range queue {
		m.refuse(id)
	}
}

// handoverAsked hands the role to a voter that wants it, unless the reign is young: a voter that asks all the
// time must not keep the role moving.
func (m *Member) handoverAsked(p *peerState) {
	if m.role == Primary && m.time.now-m.reign.since >= failIntervals*m.interval() {
		m.handover(p.id, false)
	}
}

// drain hands over once the target has what is here, or gives up.
func (m *Member) drain() {
	d := m.reign.drain
	p := m.peer(d.to)
	ready := p != nil && m.follows(p) && m.reign.making == nil && p.state.Have.CoversAll(m.disk.Have)
	if !ready && m.time.now < d.until {
		return
	}
	m.reign.drain = drain{}
	if ready {
		m.act(Send{p.id, Handover{m.disk.Epoch}})
		m.stepDown()
		m.time.retry = max(m.time.retry, m.time.now+failIntervals*m.interval())
	}
	if d.local {
		m.act(HandedOver{OK: ready})
	}
}

// handed takes the role over, if it is the current primary that gives it.
func (m *Member) handed(p *peerState, h Handover) {
	e := m.disk.Epoch
	if h.Epoch.Compare(e) != 0 || e.Owner != p.id || m.role == Primary || !m.able() {
		return
	}
	m.stand(true)
}

// promoteAsked becomes primary by handover, or by a suspicion if there is nobody to hand over.
func (m *Member) promoteAsked() {
	switch {
	case m.role != Follower || !m.able():
	case m.livePrimary():
		m.act(Send{m.disk.Epoch.Owner, HandoverReq{}})
	default:
		m.suspect()
	}
}
