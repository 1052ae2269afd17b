package election

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Rules 3 to 5: who suspects the primary asks it first, and takes over only if it does not answer.

type candidacy struct {
	phase  phase
	until  time.Duration // the phase ends
	resend time.Duration // votes are asked for again
	want   record.Epoch
	handed bool
	votes  []peer.ID // this node's own included
	must   Frontier  // what those who voted have
}

type phase uint8

const (
	idle phase = iota
	suspecting
	voting
)

// campaign does what is due of a candidacy, or begins one.
func (m *Member) campaign() {
	now := m.time.now
	if now < m.campaignAt() {
		return
	}
	switch m.cand.phase {
	case idle:
		m.suspect()
	case suspecting:
		m.stand(false)
	case voting:
		if now >= m.cand.until {
			m.lose()
		} else {
			m.askVotes()
		}
	}
}

// campaignAt is when campaign has something to do.
func (m *Member) campaignAt() time.Duration {
	switch m.cand.phase {
	case suspecting:
		return m.cand.until
	case voting:
		return min(m.cand.until, m.cand.resend)
	}
	return m.suspectAt()
}

// suspectAt is when a follower may suspect the primary: silent for TFail, then one after the other.
func (m *Member) suspectAt() time.Duration {
	if m.role != Follower || !m.able() || m.disk.Epoch.ConfigVersion > m.cfg.Version {
		return never
	}
	at := m.time.retry
	if m.disk.Fresh {
		at = max(at, m.time.fresh)
	}
	if len(m.peers) == 0 {
		return at
	}
	fail := m.fail()
	if p := m.peer(m.disk.Epoch.Owner); p != nil {
		fail = p.fail()
	}
	return max(at, m.time.primary+fail+time.Duration(m.rank())*m.interval())
}

// rank is the place in the line of successors: the announced backup, then the other voters by id.
func (m *Member) rank() int {
	if m.reign.backup == m.self.id {
		return 0
	}
	n := 0
	for _, p := range m.peers {
		switch {
		case p.id == m.disk.Epoch.Owner:
		case p.id == m.reign.backup, p.id < m.self.id:
			n++
		}
	}
	return n
}

// suspect begins a candidacy: the others relay the question, and the primary's answer.
func (m *Member) suspect() {
	m.time.retry = m.time.now + failIntervals*m.interval() + m.jitter(m.interval())
	m.cand = candidacy{phase: suspecting, until: m.time.now + m.patience()}
	m.become(Candidate)
	if len(m.peers) == 0 {
		m.stand(false)
		return
	}
	q := Suspect{Epoch: m.disk.Epoch}
	if p := m.peer(m.disk.Epoch.Owner); p != nil {
		q.Last = p.now.stamp
		m.act(Redial{p.id})
	}
	m.act(Broadcast{q})
}

// patience is TVote: one interval, two if there is nobody who could relay between primary and candidate.
func (m *Member) patience() time.Duration {
	for _, p := range m.peers {
		if p.id != m.disk.Epoch.Owner && p.live(m.time.now) {
			return m.interval()
		}
	}
	return 2 * m.interval()
}

// suspected answers a suspicion, or remembers it.
func (m *Member) suspected(s Suspect) {
	m.adopt(s.Epoch)
	if s.Epoch.Compare(m.disk.Epoch) == 0 && m.time.doubt <= m.time.heard {
		m.time.doubt = m.time.now
	}
	if m.role == Primary || s.Epoch.Compare(m.disk.Epoch) < 0 {
		m.beaconSoon()
	}
}

// disconnected makes the first in line ask at once; nobody takes over just because a connection broke.
func (m *Member) disconnected(id peer.ID) {
	if m.peer(id) == nil || id != m.disk.Epoch.Owner || m.role != Follower || m.rank() != 0 {
		return
	}
	if !m.able() || m.disk.Fresh || m.time.now < m.time.retry {
		return
	}
	m.suspect()
}

// abort ends a candidacy because the primary lives.
func (m *Member) abort() {
	if m.role != Candidate {
		return
	}
	m.cand = candidacy{}
	m.time.retry = m.time.now + failIntervals*m.interval()
	m.become(Follower)
}

// lose ends a vote without a majority. A primary that asked again goes on as it was.
func (m *Member) lose() {
	m.cand = candidacy{}
	m.time.retry = max(m.time.retry, m.time.now+failIntervals*m.interval()+m.jitter(m.interval()))
	if m.role == Candidate {
		m.become(Follower)
	}
}

// stand takes the role: in ap at once, in strict if a majority agrees.
func (m *Member) stand(handed bool) {
	if m.cfg.Mode == Strict {
		m.askMajority(handed)
		return
	}
	m.promote(m.nextEpoch(), nil)
}

// nextEpoch is above every epoch and grant seen, and ours alone.
func (m *Member) nextEpoch() record.Epoch {
	n := m.disk.Epoch.N
	if m.disk.Granted.ConfigVersion == m.cfg.Version {
		n = max(n, m.disk.Granted.N)
	}
	for _, p := range m.peers {
		if s := p.state; s != nil && s.Granted.ConfigVersion == m.cfg.Version {
			n = max(n, s.Granted.N)
		}
	}
	return record.Epoch{ConfigVersion: m.cfg.Version, N: n + 1, Owner: m.self.id, Instance: m.disk.Instance}
}

// promote makes the member primary of e. What a primary was asked before goes on in the new epoch.
func (m *Member) promote(e record.Epoch, must Frontier) {
	old := m.reign
	m.cand = candidacy{}
	m.reign = reign{settle: m.time.now + settleIntervals*m.interval(), since: m.time.now, must: must}
	if m.role == Primary {
		m.reign.queue, m.reign.drain = old.queue, old.drain
		if p := old.making; p != nil && p.Kind == Publish {
			m.reign.queue = append([]uint64{p.Proposal}, old.queue...)
		}
	}
	for _, p := range m.peers {
		p.acked, p.waived = 0, false
	}
	m.disk.Epoch, m.disk.Waived = e, nil
	m.disk.Fresh = false
	m.touch()
	m.role = Primary
	m.act(Became{Primary, e})
	m.time.beacon = m.time.now
	m.chooseBackup()
}
