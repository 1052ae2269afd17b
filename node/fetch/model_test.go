package fetch

// model is the dumb twin of a scheduler: it keeps what may be asked in maps and checks every action.
type model struct {
	t      tester
	s      *Scheduler
	up     map[Peer]bool
	gen    map[Peer]int
	have   map[Peer]map[uint32]bool // nil = all, except
	not    map[Peer]map[uint32]bool
	banned map[Peer]bool
	out    map[uint32]map[Peer]bool
	done   map[uint32]bool
	bytes  int64
	fin    bool
}

func newModel(t tester, s *Scheduler) *model {
	return &model{t: t, s: s, up: map[Peer]bool{}, gen: map[Peer]int{}, have: map[Peer]map[uint32]bool{},
		not: map[Peer]map[uint32]bool{}, banned: map[Peer]bool{}, out: map[uint32]map[Peer]bool{}, done: map[uint32]bool{}}
}

func (m *model) end(p Peer, leaf uint32) {
	if m.out[leaf][p] {
		delete(m.out[leaf], p)
		m.bytes -= int64(m.s.cfg.Leaves[leaf])
	}
}

func (m *model) down(p Peer) {
	m.up[p] = false
	for leaf := range m.out {
		m.end(p, leaf)
	}
}

// before takes in the event that the scheduler is about to see.
func (m *model) before(ev Event) {
	switch e := ev.(type) {
	case PeerUp:
		if m.banned[e.Peer] || e.Peer == m.s.cfg.Self {
			return
		}
		m.down(e.Peer)
		m.up[e.Peer] = true
		m.have[e.Peer], m.not[e.Peer] = nil, map[uint32]bool{}
		if !e.Complete {
			m.have[e.Peer] = map[uint32]bool{}
			for i := range m.s.cfg.Leaves {
				if i/8 < len(e.Have) && e.Have[i/8]>>(i%8)&1 == 1 {
					m.have[e.Peer][uint32(i)] = true
				}
			}
		}
	case PeerHave:
		if !m.up[e.Peer] {
			return
		}
		for _, leaf := range e.Leaves {
			delete(m.not[e.Peer], leaf)
			if m.have[e.Peer] != nil {
				m.have[e.Peer][leaf] = true
			}
		}
		if e.Complete && m.have[e.Peer] != nil {
			m.have[e.Peer], m.not[e.Peer] = nil, map[uint32]bool{}
		}
	case PeerDown:
		m.down(e.Peer)
	case Received:
		m.end(e.Peer, e.Leaf)
		m.done[e.Leaf] = true
	case Bad:
		m.lost(e.Peer, e.Leaf)
	case Missing:
		m.lost(e.Peer, e.Leaf)
	case Failed:
		for _, leaf := range e.Leaves {
			m.end(e.Peer, leaf)
		}
	}
}

func (m *model) lost(p Peer, leaf uint32) {
	m.end(p, leaf)
	if m.up[p] {
		m.not[p][leaf] = true
	}
}

// check tells whether an action is legal.
func (m *model) check(a Action) {
	m.t.Helper()
	switch a := a.(type) {
	case Request:
		if m.fin || !m.up[a.Peer] || m.banned[a.Peer] || len(a.Leaves) == 0 || len(a.Leaves) > 64 {
			m.t.Fatalf("illegal request %v: finished %v, up %v, banned %v", a, m.fin, m.up[a.Peer], m.banned[a.Peer])
		}
		for _, leaf := range a.Leaves {
			m.request(a.Peer, leaf)
		}
	case Ban:
		m.banned[a.Peer] = true
		m.down(a.Peer)
	case Drop:
		m.down(a.Peer)
	case Finished:
		if m.fin {
			m.t.Fatal("finished twice")
		}
		m.fin = true
	}
}

func (m *model) request(p Peer, leaf uint32) {
	m.t.Helper()
	if have := m.have[p]; have != nil && !have[leaf] || m.not[p][leaf] {
		m.t.Fatalf("%s was asked for %d and has not got it", p, leaf)
	}
	if m.out[leaf] == nil {
		m.out[leaf] = map[Peer]bool{}
	}
	if m.done[leaf] || m.out[leaf][p] || len(m.out[leaf]) >= 2 {
		m.t.Fatalf("%s was asked for %d: done %v, in flight at %v", p, leaf, m.done[leaf], m.out[leaf])
	}
	m.out[leaf][p] = true
	m.bytes += int64(m.s.cfg.Leaves[leaf])
	limit := int64(m.s.cfg.MaxWindow) + int64(m.s.cfg.Leaves[leaf])
	for _, p := range m.s.peers {
		if p.stalled {
			limit += p.inflight
		}
	}
	if m.bytes > limit {
		m.t.Fatalf("%d bytes in flight, limit %d", m.bytes, limit)
	}
}
