package election

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// peerState is what is known of another voter.
type peerState struct {
	id       peer.ID
	instance string        // the store the config lists; empty = any
	now, old store         // the store that speaks for the peer, and the one that did before
	heard    time.Duration // -1 = never
	silent   bool          // and that was said
	interval time.Duration
	state    *State // of the store that speaks, nil = not known
	acked    uint64 // as primary: the last own head of this epoch that the peer has
	waived   bool   // as primary: agreed to the abandonment asked for
	warned   time.Duration
}

// store is what was heard of one store under a peer id.
type store struct {
	instance    string
	stamp       Stamp
	stated      bool // the state at stamp is known
	first, last time.Duration
}

func newPeerState(v Voter, fallback time.Duration) *peerState {
	return &peerState{id: v.ID, instance: v.Instance, heard: -1, interval: fallback, warned: -1}
}

// fail is TFail for this peer: four of the intervals it announces.
func (p *peerState) fail() time.Duration { return failIntervals * p.interval }

// live tells whether the peer gave a sign of life within TFail.
func (p *peerState) live(now time.Duration) bool { return p.heard >= 0 && now-p.heard <= p.fail() }

// alive notes a sign of life.
func (p *peerState) alive(now time.Duration) {
	p.heard = now
	p.silent = false
}

// fellSilent tells once that the peer is not heard any more.
func (p *peerState) fellSilent(now time.Duration) bool {
	if p.silent || p.heard < 0 || p.live(now) {
		return false
	}
	p.silent = true
	return true
}

// forget drops what another store of the peer said.
func (p *peerState) forget() {
	p.state = nil
	p.acked = 0
	p.waived = false
}

// speaks tells whether instance is the store that speaks for the peer.
func (p *peerState) speaks(instance string) bool {
	return p.now.instance == instance || p.now.instance == ""
}

// beacon takes a beacon of voter p in: rule 2's order, then what it says.
func (m *Member) beacon(p *peerState, instance string, b *Beacon) {
	if !m.newer(p, instance, b) {
		return
	}
	p.alive(m.time.now)
	p.interval = min(max(b.Interval, time.Millisecond), maxInterval)
	if b.State == nil {
		return
	}
	if m.disk.Fresh {
		m.disk.Fresh = false
		m.touch()
	}
	m.learn(p, b.State)
}

// newer tells whether a beacon is newer than the last one, and notes it. A peer's store may be another one
// than before, wiped; the older store's late beacons are then ignored, unless the newer one falls silent. Two
// stores that both go on speaking are one identity in use twice.
func (m *Member) newer(p *peerState, instance string, b *Beacon) bool {
	now := m.time.now
	switch {
	case p.now.instance == "" || p.now.instance != instance && p.old.instance != instance:
		p.old = p.now
		p.now = store{instance: instance, first: now}
		p.forget()
	case p.old.instance == instance:
		if !b.Stamp.After(p.old.stamp) {
			return false
		}
		p.old.stamp, p.old.stated = b.Stamp, false
		if now-p.now.last <= p.fail() {
			p.old.last = now
			m.warnOfTwo(p)
			return false
		}
		p.now, p.old = p.old, p.now
		p.now.first = now
		p.forget()
	case !b.Stamp.After(p.now.stamp):
		if b.Stamp == p.now.stamp && b.State != nil && !p.now.stated {
			break // the state of the last beacon, pulled after it
		}
		m.warnOfPast(p, b)
		return false
	}
	p.now.stamp, p.now.stated, p.now.last = b.Stamp, b.State != nil, now
	return true
}

// warnOfTwo tells a peer, and people, that two stores speak under its id. A store that was wiped is heard
// for as long as messages can be late, hence the wait.
func (m *Member) warnOfTwo(p *peerState) {
	if m.time.now-p.now.first <= max(freshFails*p.fail(), latest) || !m.mayWarn(p) {
		return
	}
	m.act(Alarm{Kind: ClonedPeer, Peer: p.id})
	m.act(Send{p.id, Seen{Instance: p.now.instance, Stamp: p.now.stamp, Other: true}})
	m.act(Send{p.id, Seen{Instance: p.old.instance, Stamp: p.old.stamp, Other: true}})
}

// warnOfPast tells a peer that beacons with a newer stamp than this one were heard. Late and repeated beacons
// cause it too; the peer knows what it has sent.
func (m *Member) warnOfPast(p *peerState, b *Beacon) {
	if m.mayWarn(p) && (b.Stamp.Boot < p.now.stamp.Boot || p.now.stamp.No-b.Stamp.No > freshFails*failIntervals) {
		m.act(Send{p.id, Seen{Instance: p.now.instance, Stamp: p.now.stamp}})
	}
}

// mayWarn allows one warning in TFail.
func (m *Member) mayWarn(p *peerState) bool {
	if p.warned >= 0 && m.time.now-p.warned < p.fail() {
		return false
	}
	p.warned = m.time.now
	return true
}

// seen is what a peer heard of us: somebody else speaks with our identity if it is not what we said.
func (m *Member) seen(s Seen) {
	mine := Stamp{m.disk.Boot, m.time.no}
	if s.Instance == m.self.instance && (s.Other || s.Stamp.After(mine)) {
		m.cloned()
	}
}

// ownHead compares the number of this store's heads in h with the last it knows to have made.
func (m *Member) ownHead(h *Head) {
	if h.Vector[m.self.instance] > m.disk.Seq {
		m.cloned()
	}
}

// cloned makes the member read-only.
func (m *Member) cloned() {
	if m.halt.cloned {
		return
	}
	m.halt.cloned = true
	m.stepDown()
	m.act(Alarm{Kind: Cloned, Peer: m.self.id})
}

// learn takes the state of a voter in.
func (m *Member) learn(p *peerState, s *State) {
	p.state = s
	if m.compareConfig(s) > 0 {
		m.act(FetchConfig{p.id})
	}
	m.adopt(s.Epoch)
	for _, f := range [...]Frontier{s.Known, s.Have} {
		for _, h := range f {
			m.accept(h)
		}
	}
	m.noteDurable(s.Durable)
	m.hearRole(p, s)
	if m.role == Primary {
		m.hearFollower(p, s)
	}
	if !m.disk.Have.CoversAll(s.Have) {
		m.chase()
	}
}

// hearRole applies rules 2 and 4: the primary's beacon ends a suspicion of it, a former one's is answered.
func (m *Member) hearRole(p *peerState, s *State) {
	cmp := s.Epoch.Compare(m.disk.Epoch)
	if cmp < 0 && s.Role == Primary {
		m.beaconSoon()
	}
	if cmp != 0 || s.Epoch.Owner != p.id || m.role == Primary {
		return
	}
	if s.Role != Primary { // it restarted, or stepped down: nobody is primary
		m.time.heard = -1
		m.time.primary = min(m.time.primary, m.time.now-p.fail())
		return
	}
	m.time.primary, m.time.heard = m.time.now, m.time.now
	m.reign.backup = s.Backup
	m.abort()
}
