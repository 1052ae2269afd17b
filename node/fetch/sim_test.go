package fetch

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A discrete-event simulator of a swarm in virtual time. An uplink serves its requesters in turns, one
// leaf at a time. Cancel is not honoured: the worst that a shell may do.

const (
	mib     = 1 << 20
	mbit100 = 12.5e6 // bytes per second

	haveUpdate = 250 * time.Millisecond // between what a getter says it has
)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Logf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type timer struct {
	at  time.Duration
	seq int
	fn  func()
}

type agenda []timer

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(timer)) }
func (a *agenda) Pop() any     { old := *a; x := old[len(old)-1]; *a = old[:len(old)-1]; return x }

type sim struct {
	t      tester
	rng    *rand.Rand
	leaves []uint32
	bytes  int64
	now    time.Duration
	seq    int
	agenda agenda
	nodes  []*node
	byID   map[Peer]*node
}

// node is a seeder, or a getter if it has a scheduler.
type node struct {
	id      Peer
	up      float64       // bytes per second
	latency time.Duration // one way
	have    bitmap
	count   int

	// faults
	dead, stalled bool
	lies          float64 // share of answers with wrong bytes
	fails         float64 // share of requests answered by Failed
	lacks         bitmap  // leaves it claims and has not got

	queues  []*upload
	serving bool
	turn    int
	sent    int64
	last    time.Duration // when it had sent it

	sched *Scheduler
	model *model
	news  []uint32
	done  time.Duration
}

type upload struct {
	to     *node
	leaves []uint32
	gen    int // connection the requests belong to
}

func newSim(t tester, seed uint64, leaves []uint32) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 1)), leaves: leaves, byID: map[Peer]*node{}}
	for _, n := range leaves {
		s.bytes += int64(n)
	}
	return s
}

// randomLeaves are sizes like the chunker's: 64 KiB to 1 MiB, 256 KiB on average.
func randomLeaves(seed uint64, total int) []uint32 {
	r := rand.New(rand.NewPCG(seed, 2))
	var leaves []uint32
	for total > 0 {
		n := min(total, 64<<10+min(int(r.ExpFloat64()*200*1024), 960<<10))
		leaves = append(leaves, uint32(n))
		total -= n
	}
	return leaves
}

func (s *sim) after(d time.Duration, fn func()) {
	s.seq++
	heap.Push(&s.agenda, timer{s.now + d, s.seq, fn})
}

func (s *sim) seeder(id Peer, up float64, latency time.Duration) *node {
	n := &node{id: id, up: up, latency: latency, have: newBitmap(len(s.leaves)), lacks: newBitmap(len(s.leaves))}
	n.have.fill(len(s.leaves))
	n.count = len(s.leaves)
	s.nodes = append(s.nodes, n)
	s.byID[id] = n
	return n
}

func (s *sim) getter(id Peer, up float64, latency time.Duration) *node {
	n := s.seeder(id, up, latency)
	clear(n.have)
	n.count = 0
	need := make([]uint32, len(s.leaves))
	for i := range need {
		need[i] = uint32(i)
	}
	n.sched = New(Config{Leaves: s.leaves, Need: need, Self: id, Rand: s.rng.Uint64()})
	n.model = newModel(s.t, n.sched)
	var tick, tell func()
	tick = func() {
		if n.done == 0 && !n.dead {
			s.step(n, Tick{})
			s.after(100*time.Millisecond, tick)
		}
	}
	tell = func() {
		s.announce(n)
		if n.done == 0 && !n.dead {
			s.after(haveUpdate, tell)
		}
	}
	s.after(0, tick)
	s.after(time.Duration(s.rng.Int64N(int64(haveUpdate))), tell)
	return n
}

// connect makes peer known to getter n.
func (s *sim) connect(n, peer *node) {
	s.after(n.latency+peer.latency, func() {
		if peer.dead || n.dead || n.model.up[peer.id] {
			return
		}
		n.model.gen[peer.id]++
		have := make([]byte, (len(s.leaves)+7)/8)
		for i := range s.leaves {
			if peer.have.get(uint32(i)) {
				have[i/8] |= 1 << (i % 8)
			}
		}
		s.step(n, PeerUp{peer.id, peer.count == len(s.leaves), have})
	})
}

// meet makes every getter know all others after a while.
func (s *sim) meet(after time.Duration) {
	s.after(after, func() {
		for _, n := range s.nodes {
			for _, p := range s.nodes {
				if n.sched != nil && p.sched != nil && n != p {
					s.connect(n, p)
				}
			}
		}
	})
}

func (s *sim) announce(n *node) {
	if len(n.news) == 0 {
		return
	}
	news, complete := n.news, n.count == len(s.leaves)
	n.news = nil
	for _, p := range s.nodes {
		if p.sched != nil && p != n {
			s.after(n.latency+p.latency, func() {
				if p.model.up[n.id] {
					s.step(p, PeerHave{n.id, news, complete})
				}
			})
		}
	}
}

func (s *sim) kill(n *node) {
	n.dead = true
	n.queues = nil
	for _, p := range s.nodes {
		if p.sched != nil && !p.dead && p.model.up[n.id] {
			s.step(p, PeerDown{n.id})
		}
	}
}

func (s *sim) step(n *node, ev Event) {
	if n.dead || n.done != 0 {
		return
	}
	n.model.before(ev)
	for _, a := range n.sched.Step(time.Unix(0, 0).Add(s.now), ev) {
		n.model.check(a)
		switch a := a.(type) {
		case Request:
			p := s.byID[a.Peer]
			gen := n.model.gen[a.Peer]
			s.after(n.latency+p.latency, func() { s.ask(p, n, a.Leaves, gen) })
		case Drop:
			p := s.byID[a.Peer]
			s.hangUp(p, n)
			s.after(time.Second, func() { s.connect(n, p) })
		case Ban:
			s.hangUp(s.byID[a.Peer], n)
		case Finished:
			n.done = s.now
			s.announce(n)
		}
	}
}

func (s *sim) hangUp(p, n *node) {
	n.model.gen[p.id]++
	for i, q := range p.queues {
		if q.to == n {
			p.queues = append(p.queues[:i:i], p.queues[i+1:]...)
			return
		}
	}
}

func (s *sim) ask(p, n *node, leaves []uint32, gen int) {
	if p.dead || n.model.gen[p.id] != gen {
		return
	}
	if s.rng.Float64() < p.fails {
		s.after(p.latency+n.latency, func() {
			if n.model.gen[p.id] == gen {
				s.step(n, Failed{p.id, leaves})
			}
		})
		return
	}
	var u *upload
	for _, q := range p.queues {
		if q.to == n && q.gen == gen {
			u = q
		}
	}
	if u == nil {
		u = &upload{to: n, gen: gen}
		p.queues = append(p.queues, u)
	}
	u.leaves = append(u.leaves, leaves...)
	s.serve(p)
}

// serve sends the next leaf of the next requester.
func (s *sim) serve(p *node) {
	if p.serving || p.dead || p.stalled {
		return
	}
	for range p.queues {
		p.turn++
		u := p.queues[p.turn%len(p.queues)]
		if len(u.leaves) == 0 {
			continue
		}
		leaf := u.leaves[0]
		u.leaves = u.leaves[1:]
		size := int(s.leaves[leaf])
		if p.lacks.get(leaf) {
			size = 16
		}
		p.serving = true
		s.after(time.Duration(float64(size)/p.up*1e9), func() {
			p.serving = false
			p.sent += int64(size)
			p.last = s.now
			s.after(p.latency+u.to.latency, func() { s.deliver(p, u.to, leaf, u.gen) })
			s.serve(p)
		})
		return
	}
}

func (s *sim) deliver(p, n *node, leaf uint32, gen int) {
	if p.dead || n.model.gen[p.id] != gen {
		return
	}
	switch {
	case p.lacks.get(leaf):
		s.step(n, Missing{p.id, leaf})
	case s.rng.Float64() < p.lies:
		s.step(n, Bad{p.id, leaf})
	default:
		if !n.have.get(leaf) {
			n.have.set(leaf)
			n.count++
			n.news = append(n.news, leaf)
		}
		s.step(n, Received{p.id, leaf, int(s.leaves[leaf])})
	}
}

// run goes on until all living getters are done, and fails the test if that takes longer than limit.
func (s *sim) run(limit time.Duration) time.Duration {
	s.t.Helper()
	for len(s.agenda) > 0 {
		last, open := time.Duration(0), 0
		for _, n := range s.nodes {
			if n.sched != nil && !n.dead {
				last = max(last, n.done)
				if n.done == 0 {
					open++
				}
			}
		}
		if open == 0 {
			return last
		}
		x := heap.Pop(&s.agenda).(timer)
		if x.at > limit {
			break
		}
		s.now = x.at
		x.fn()
	}
	for _, n := range s.nodes {
		if n.sched != nil {
			s.t.Logf("%s: %+v", n.id, n.sched.Stats())
		}
	}
	s.t.Fatalf("not done after %v", s.now)
	return 0
}
