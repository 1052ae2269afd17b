package election

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Rule 6: in strict mode an epoch is a majority's vote, and its primary first absorbs what that majority has.

// askMajority votes for ourselves and asks the others.
func (m *Member) askMajority(handed bool) {
	want := m.nextEpoch()
	m.disk.Granted = want
	m.touch()
	m.cand = candidacy{
		phase: voting, want: want, handed: handed, until: m.time.now + 2*m.patience(),
		votes: []peer.ID{m.self.id}, must: m.disk.Have,
	}
	m.time.retry = max(m.time.retry, m.time.now+failIntervals*m.interval()+m.jitter(m.interval()))
	if m.role == Follower {
		m.become(Candidate)
	}
	m.askVotes()
	m.count()
}

func (m *Member) askVotes() {
	m.cand.resend = m.time.now + m.interval()
	for _, p := range m.peers {
		if !slices.Contains(m.cand.votes, p.id) {
			m.act(Send{p.id, VoteReq{Want: m.cand.want, Known: m.disk.Known, Handed: m.cand.handed}})
		}
	}
}

// voteAsked grants an epoch, once, unless there is a live primary.
func (m *Member) voteAsked(p *peerState, r VoteReq) {
	if r.Want.ConfigVersion < m.cfg.Version {
		m.beaconSoon()
	}
	if m.cfg.Mode != Strict || !m.able() || r.Want.ConfigVersion != m.cfg.Version || r.Want.Owner != p.id {
		return
	}
	for _, h := range r.Known {
		m.accept(h)
	}
	switch {
	case r.Want.Compare(m.disk.Granted) == 0: // asked again
	case r.Want.Compare(m.disk.Granted) < 0 || r.Want.Compare(m.disk.Epoch) <= 0:
		m.beaconSoon() // it asks for too little
		return
	case !r.Handed && p.id != m.disk.Epoch.Owner && m.livePrimary():
		return
	default:
		m.disk.Granted = r.Want
		m.touch()
		m.stepDown()
		m.time.primary = m.time.now // time to win
		m.time.retry = max(m.time.retry, m.time.now+failIntervals*m.interval())
	}
	m.act(Send{p.id, Vote{Want: r.Want, Known: m.disk.Known, Have: m.disk.Have}})
}

// livePrimary tells whether there is a primary of the current epoch, this member included: heard within TFail,
// and since it was last suspected. A live one answers a suspicion at once, and a voter that refused whoever
// suspected a dead one would add TFail to every failover.
func (m *Member) livePrimary() bool {
	if m.role == Primary {
		return true
	}
	p := m.peer(m.disk.Epoch.Owner)
	if p == nil || m.time.heard < 0 || m.time.now-m.time.heard > p.fail() {
		return false
	}
	answers := m.interval() - m.interval()/4 // less than TVote: the vote is asked for after that
	return m.time.doubt <= m.time.heard || m.time.now-m.time.doubt < answers
}

func (m *Member) voted(p *peerState, v Vote) {
	if m.cand.phase != voting || v.Want.Compare(m.cand.want) != 0 || slices.Contains(m.cand.votes, p.id) {
		return
	}
	m.cand.votes = append(m.cand.votes, p.id)
	for _, f := range [...]Frontier{v.Known, v.Have} {
		for _, h := range f {
			m.accept(h)
		}
	}
	for _, h := range v.Have {
		m.cand.must = m.cand.must.Add(h)
	}
	m.count()
}

// count wins once a majority has voted, if our own vote still stands.
func (m *Member) count() {
	c := m.cand
	if len(c.votes) < m.cfg.majority() || m.disk.Granted.Compare(c.want) != 0 {
		return
	}
	m.promote(c.want, c.must)
	m.chase()
}

// holdMajority makes a strict primary step down that hears no majority, and ask again if what it must absorb
// cannot be had: whoever has it may be gone, and another majority may not need it.
func (m *Member) holdMajority() {
	if m.cfg.Mode != Strict {
		return
	}
	n := 1
	for _, p := range m.peers {
		if p.live(m.time.now) {
			n++
		}
	}
	if n < m.cfg.majority() {
		m.stepDown()
		return
	}
	if m.cand.phase == idle && m.missing() != nil && m.time.now-m.reign.since > failIntervals*m.interval() {
		m.askMajority(false)
	}
}

// missing is a head that the majority has and this primary must absorb before it orders anything.
func (m *Member) missing() *Head {
	for _, h := range m.reign.must {
		if !m.disk.Have.Covers(h) && !m.cfg.Refuses(h) {
			return h
		}
	}
	return nil
}
