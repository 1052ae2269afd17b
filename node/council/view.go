package council

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// gist tells whether a view would be another one, without making it.
type gist struct {
	role                    election.Role
	backup                  peer.ID
	version, n              uint64 // of the epoch
	owner                   peer.ID
	known, have, durable    place
	absorbed, halted, stale bool
	alarms                  int
	voters                  uint64 // a digest
	late                    bool   // the successor has had its time
}

// place is where a frontier is in memory: frontiers are never modified.
type place struct {
	first **election.Head
	n     int
}

func placeOf(f election.Frontier) place {
	if len(f) == 0 {
		return place{}
	}
	return place{&f[0], len(f)}
}

// gist is that of the view now. The cohort's lock is held.
func (m *member) gist(now time.Duration) gist {
	g := gist{alarms: len(m.own.alarms), halted: true, voters: m.digest(now)}
	if m.own.leave.until > 0 && now >= m.own.leave.until {
		g.late = true
	}
	core := m.own.core
	if core == nil {
		return g
	}
	p := core.Persistent()
	g.role, g.backup = core.Role(), core.Backup()
	g.version, g.n, g.owner = p.Epoch.ConfigVersion, p.Epoch.N, p.Epoch.Owner
	g.known, g.have, g.durable = placeOf(p.Known), placeOf(p.Have), placeOf(p.Durable)
	g.absorbed, g.halted, g.stale = core.Absorbed(), core.Halted(), m.stale(core, p.Epoch, now)
	return g
}

// digest changes when what is known of the voters does.
func (m *member) digest(now time.Duration) uint64 {
	const prime = 0x100000001b3 // of FNV
	var sum uint64 = 0xcbf29ce484222325
	for _, e := range m.box.ears {
		r, live := m.live(e, now)
		sum *= prime
		if r != nil {
			sum ^= r.version << 2
		}
		if r != nil && r.state != nil {
			sum ^= 2
		}
		if live {
			sum ^= 1
		}
		sum = sum*prime ^ m.own.acked[e.talker.id].Seq
	}
	return sum
}

// speaker is the row of a voter's newest voice, nil if it has none, and that voice.
func (m *member) speaker(e *ear) (*heardRow, *voice) {
	var last *voice
	for _, v := range e.talker.voices {
		if last == nil || v.heard >= last.heard {
			last = v
		}
	}
	if last == nil {
		return nil, nil
	}
	if r := e.of(last, m.set).row; r != nil && r.row != nil {
		return r, last
	}
	return nil, nil
}

// live tells whether a voter has a seat and is heard, and gives its row. The cohort's lock is held.
func (m *member) live(e *ear, now time.Duration) (*heardRow, bool) {
	r, v := m.speaker(e)
	return r, r != nil && v.live(now)
}

// primary is the primary of epoch e that is heard, or this node. The cohort's lock is held.
func (m *member) primary(core *election.Member, e record.Epoch, now time.Duration) peer.ID {
	if core.Role() == election.Primary {
		return m.cohort.council.cfg.Self
	}
	for _, ear := range m.box.ears {
		if ear.talker.id != e.Owner {
			continue
		}
		r, live := m.live(ear, now)
		if live && r.row.state.Role == election.Primary && r.row.state.Epoch.Compare(e) == 0 {
			return e.Owner
		}
	}
	return ""
}

// stale: a reader of a strict set should know that what it sees may have been passed over.
func (m *member) stale(core *election.Member, e record.Epoch, now time.Duration) bool {
	cfg := core.Config()
	if cfg.Mode != election.Strict {
		return false
	}
	live := 0
	for _, ear := range m.box.ears {
		if _, ok := m.live(ear, now); ok {
			live++
		}
	}
	if len(m.box.ears) < len(cfg.Voters) { // this node is one of them
		live++
	}
	return live <= len(cfg.Voters)/2 || m.primary(core, e, now) == ""
}

// look shows the view to the seat if it has changed.
func (m *member) look() {
	m.cohort.mu.Lock()
	now := m.cohort.now()
	g := m.gist(now)
	if g == m.own.shown && m.box.view != nil {
		m.cohort.mu.Unlock()
		return
	}
	m.own.shown = g
	v := m.view(now, g)
	m.box.view = &v
	m.cohort.mu.Unlock()
	m.seat.Changed(v)
	l := &m.own.leave
	if l.until > 0 && (g.late || v.Primary != "" && v.Primary != m.cohort.council.cfg.Self) {
		close(l.done)
		*l = leave{}
	}
}

// view is how things stand. The cohort's lock is held.
func (m *member) view(now time.Duration, g gist) View {
	v := View{Role: g.role, Backup: g.backup, Absorbed: g.absorbed, Halted: g.halted, Stale: g.stale, Alarms: m.own.alarms}
	core := m.own.core
	if core == nil {
		return v
	}
	p := core.Persistent()
	v.Epoch, v.Primary = p.Epoch, m.primary(core, p.Epoch, now)
	v.Known, v.Have, v.Durable = m.sealed(p.Known), m.sealed(p.Have), m.sealed(p.Durable)
	if len(p.Have) > 0 {
		v.Best = slices.MaxFunc(p.Have, compareHeads).ID
	}
	for _, e := range m.box.ears {
		voter := VoterView{ID: e.talker.id}
		var r *heardRow
		if r, voter.Live = m.live(e, now); r != nil && r.shown != nil {
			voter.Have = r.shown.Have
		}
		a := m.own.acked[voter.ID]
		voter.epoch, voter.acked = a.Epoch, a.Seq
		v.Voters = append(v.Voters, voter)
	}
	if len(m.box.ears) < len(core.Config().Voters) {
		v.Voters = append(v.Voters, VoterView{ID: m.cohort.council.cfg.Self, Live: true, Have: p.Have})
	}
	slices.SortFunc(v.Voters, func(a, b VoterView) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

func (m *member) sealed(f election.Frontier) []SealedHead {
	out := make([]SealedHead, len(f))
	for i, h := range f {
		out[i] = SealedHead{ID: h.ID, Sealed: m.heads.sealed(h.ID), Head: h}
	}
	return out
}
