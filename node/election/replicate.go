package election

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Rule 9: heads heard of are fetched, what is on disk is acknowledged, and what enough have is durable.

// pursuit is what is being fetched.
type pursuit struct {
	wants []want
	twins []cid.Cid // alarms given
}

type want struct {
	head  *Head
	from  []peer.ID
	asked time.Duration
}

const (
	// maxTwins bounds the memory of alarms: who makes more twins than that has been reported enough.
	maxTwins = 64
	// maxKnown bounds Known. Honest voters make one head each that no other covers, and the wiped ones of old;
	// a liar must not fill the disk.
	maxKnown = 256
)

// accept takes a head heard of into Known. It tells whether the head is one for this member.
func (m *Member) accept(h *Head) bool {
	if h.Epoch.ConfigVersion > m.cfg.Version || m.cfg.Refuses(h) {
		return false
	}
	if m.disk.Known.Covers(h) {
		return true
	}
	m.ownHead(h)
	for _, x := range m.disk.Known {
		if x.twin(h) && len(m.heads.twins) < maxTwins && !slices.Contains(m.heads.twins, h.ID) {
			m.heads.twins = append(m.heads.twins, h.ID)
			m.act(Alarm{Kind: TwoHeads, Peer: h.Epoch.Owner, Heads: []cid.Cid{x.ID, h.ID}})
		}
	}
	known := m.disk.Known.Add(h)
	if len(known) > maxKnown {
		return false
	}
	m.disk.Known = known
	m.touch()
	m.beaconSoon()
	return true
}

// chase fetches what live voters have and this one lacks, and looks elsewhere for what is known and no voter
// offers: readers have it perhaps, or a voter that was removed.
func (m *Member) chase() {
	var lack Frontier
	for _, p := range m.peers {
		if p.state == nil || !p.live(m.time.now) || m.disk.Have.Equal(p.state.Have) {
			continue
		}
		for _, h := range p.state.Have {
			if !m.disk.Have.Covers(h) && !m.givenUp(h) && m.accept(h) {
				lack = lack.Add(h)
			}
		}
	}
	var wants []want
	for _, h := range lack {
		wants = append(wants, m.fetch(h, m.holders(h)))
	}
	for _, h := range m.disk.Known {
		if !m.disk.Have.Covers(h) && !m.givenUp(h) && !lack.Holds(h) {
			wants = append(wants, m.fetch(h, nil))
		}
	}
	m.heads.wants = wants
}

// fetch asks for a head, unless that was done for the same sources within TFail.
func (m *Member) fetch(h *Head, from []peer.ID) want {
	for _, w := range m.heads.wants {
		if w.head.ID == h.ID && slices.Equal(from, w.from) && m.time.now-w.asked < m.fail() {
			return w
		}
	}
	m.act(Fetch{Head: h, From: from})
	return want{head: h, from: from, asked: m.time.now}
}

// holders are the live voters that have h itself.
func (m *Member) holders(h *Head) []peer.ID {
	var ids []peer.ID
	for _, p := range m.peers {
		if p.state != nil && p.live(m.time.now) && p.state.Have.Holds(h) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// fetched takes a complete head into Have.
func (m *Member) fetched(h *Head) {
	if m.disk.Have.Covers(h) || m.givenUp(h) || !m.accept(h) {
		return
	}
	m.disk.Have = m.disk.Have.Add(h)
	m.disk.Waived = slices.DeleteFunc(slices.Clone(m.disk.Waived), m.disk.Have.Covers)
	m.touch()
	m.beaconSoon()
	m.acknowledge()
}

// lostBytes takes a head out of Have that cannot be given to anybody any more, so that it can be abandoned. The only one
// stays: without a parent the next head would begin the history anew.
func (m *Member) lostBytes(e Lost) {
	if m.role == Primary || !m.disk.Have.Holds(e.Head) || m.disk.Durable.Covers(e.Head) {
		return
	}
	left := m.disk.Have.without(func(h *Head) bool { return h.ID == e.Head.ID })
	for _, h := range e.Held {
		if e.Head.Covers(h) && !h.Covers(e.Head) {
			left = left.Add(h)
		}
	}
	if len(left) == 0 {
		return
	}
	m.disk.Have = left
	m.touch()
	m.beaconSoon()
}

// acknowledge tells the primary what of its epoch is on disk here. Never anything else: a head of an older
// epoch may have been passed over by now.
func (m *Member) acknowledge() {
	e := m.disk.Epoch
	if !m.able() || m.role == Primary || e.Owner == m.self.id || m.disk.Granted.Compare(e) > 0 {
		return
	}
	for _, h := range m.disk.Have {
		if h.Epoch.Compare(e) == 0 {
			m.act(Send{e.Owner, Ack{Epoch: e, Seq: h.seq}})
		}
	}
}

// acked takes an acknowledgement of this reign.
func (m *Member) acked(p *peerState, a Ack) {
	if m.role != Primary || a.Epoch.Compare(m.disk.Epoch) != 0 || a.Seq <= p.acked {
		return
	}
	p.acked = a.Seq
	m.settleDurable()
}

// hearFollower reads a voter's beacon as a primary: it acknowledges too, and may show a vote for another.
func (m *Member) hearFollower(p *peerState, s *State) {
	if m.cfg.Mode == Strict && s.Granted.ConfigVersion == m.cfg.Version && s.Granted.Compare(m.disk.Epoch) > 0 {
		if m.cand.phase == idle { // it could never acknowledge again in this epoch
			m.askMajority(false)
		}
		return
	}
	if s.Epoch.Compare(m.disk.Epoch) != 0 {
		return
	}
	for _, h := range s.Have {
		if h.Epoch.Compare(s.Epoch) == 0 {
			m.acked(p, Ack{Epoch: s.Epoch, Seq: h.seq})
		}
	}
	if m.reign.backup == "" {
		m.chooseBackup()
	}
}

// settleDurable says what has become durable.
func (m *Member) settleDurable() {
	seq := m.enough()
	for len(m.reign.pending) > 0 && m.reign.pending[0].seq <= seq {
		h := m.reign.pending[0]
		m.reign.pending = slices.Clone(m.reign.pending[1:])
		m.reign.waiting = m.time.now
		m.disk.Durable = m.disk.Durable.Add(h)
		m.touch()
		m.act(Durable{h})
		m.beaconSoon()
	}
}

// enough is the highest number that is on the backup's disk, in strict on those of a majority with this one.
// A set with one voter has nothing durable.
func (m *Member) enough() uint64 {
	if m.cfg.Mode == AP {
		if p := m.peer(m.reign.backup); p != nil {
			return p.acked
		}
		return 0
	}
	if len(m.peers) == 0 {
		return 0
	}
	acked := make([]uint64, 0, len(m.peers))
	for _, p := range m.peers {
		acked = append(acked, p.acked)
	}
	slices.Sort(acked)
	return acked[len(acked)-(m.cfg.majority()-1)]
}

// noteDurable remembers what others know to be durable: it is never abandoned.
func (m *Member) noteDurable(f Frontier) {
	if m.disk.Durable.CoversAll(f) {
		return
	}
	for _, h := range f {
		if !m.cfg.Refuses(h) {
			m.disk.Durable = m.disk.Durable.Add(h)
		}
	}
	m.touch()
}
