package fetch

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func all(n int) []uint32 {
	need := make([]uint32, n)
	for i := range need {
		need[i] = uint32(i)
	}
	return need
}

func equal(n int, size uint32) []uint32 { return slices.Repeat([]uint32{size}, n) }

// drain lets the named peers answer everything in order of request until nothing is asked any more, and
// returns the order in which leaves arrived. step is the time of one leaf.
func drain(s *Scheduler, t0 time.Time, step time.Duration, events ...Event) []uint32 {
	var order []uint32
	type ask struct {
		p    Peer
		leaf uint32
	}
	var queue []ask
	do := func(ev Event) {
		for _, a := range s.Step(t0, ev) {
			if r, ok := a.(Request); ok {
				for _, leaf := range r.Leaves {
					queue = append(queue, ask{r.Peer, leaf})
				}
			}
		}
	}
	for _, ev := range events {
		do(ev)
	}
	for len(queue) > 0 {
		x := queue[0]
		queue = queue[1:]
		t0 = t0.Add(step)
		order = append(order, x.leaf)
		do(Received{x.p, x.leaf, int(s.cfg.Leaves[x.leaf])})
	}
	return order
}

var epoch = time.Unix(1000, 0)

func TestLoneSeederIsReadInOrder(t *testing.T) {
	leaves := randomLeaves(7, 32*mib)
	s := New(Config{Leaves: leaves, Need: all(len(leaves))})
	order := drain(s, epoch, 300*time.Microsecond, PeerUp{Peer: "a", Complete: true})
	home, inOrder := s.pieces.spans[s.owners.home].lo, all(len(leaves))
	if !slices.Equal(order, slices.Concat(inOrder[home:], inOrder[:home])) {
		t.Fatalf("from %d: order %v", home, order)
	}
}

func TestBatchesGrowToTheLimit(t *testing.T) {
	s := New(Config{Leaves: equal(4000, 8<<10), Need: all(4000)})
	acts := s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	queue, biggest := []uint32{}, 0
	now := epoch
	for len(acts) > 0 || len(queue) > 0 {
		for _, a := range acts {
			if r, ok := a.(Request); ok {
				queue = append(queue, r.Leaves...)
				biggest = max(biggest, len(r.Leaves))
			}
		}
		if len(queue) == 0 {
			break
		}
		now = now.Add(20 * time.Microsecond)
		acts = s.Step(now, Received{"a", queue[0], 8 << 10})
		queue = queue[1:]
	}
	if biggest != 64 || s.Stats().Left != 0 {
		t.Fatalf("biggest batch %d, left %d", biggest, s.Stats().Left)
	}
}

func TestOnlyNeededLeaves(t *testing.T) {
	need := []uint32{3, 9, 9, 64, 65, 127, 4711}
	s := New(Config{Leaves: equal(200, 1000), Need: need})
	order := drain(s, epoch, ms, PeerUp{Peer: "a", Complete: true})
	if want := []uint32{3, 9, 64, 65, 127}; !slices.Equal(order, want) {
		t.Fatalf("got %v, want %v", order, want)
	}
	if st := s.Stats(); st.Left != 0 || st.LeftBytes != 0 || st.Received != 5000 || st.InFlight != 0 || st.Sources != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestNothingNeeded(t *testing.T) {
	for _, cfg := range []Config{{}, {Leaves: equal(3, 1)}} {
		acts := New(cfg).Step(epoch, PeerUp{Peer: "a", Complete: true})
		if !reflect.DeepEqual(acts, []Action{Finished{}}) {
			t.Fatalf("%v", acts)
		}
	}
}

func TestStarvedSaysWhatIsMissingAndWhenItIsOver(t *testing.T) {
	s := New(Config{Leaves: equal(10, 1000), Need: all(10)})
	got := s.Step(epoch, PeerUp{Peer: "a", Have: []byte{0b11111011, 0b11}})
	if !slices.ContainsFunc(got, func(a Action) bool { return reflect.DeepEqual(a, Starved{[]uint32{2}, 1}) }) {
		t.Fatalf("%v", got)
	}
	got = s.Step(epoch.Add(2*time.Second), PeerHave{Peer: "a", Leaves: []uint32{2}})
	if !slices.ContainsFunc(got, func(a Action) bool { return reflect.DeepEqual(a, Starved{nil, 0}) }) {
		t.Fatalf("%v", got)
	}
}

func TestMissingConcernsOnePeerAndLeaf(t *testing.T) {
	s := New(Config{Leaves: equal(2, 1000), Need: all(2)})
	s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	s.Step(epoch, Missing{"a", 0})
	acts := s.Step(epoch, PeerUp{Peer: "b", Complete: true})
	want := Request{"b", []uint32{0}}
	if len(acts) == 0 || !reflect.DeepEqual(acts[0], want) {
		t.Fatalf("%v, want %v", acts, want)
	}
}

func TestBanAtTheThirdBadBlock(t *testing.T) {
	s := New(Config{Leaves: equal(100, 1000), Need: all(100)})
	s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	for leaf := range uint32(3) {
		acts := s.Step(epoch, Bad{"a", leaf})
		banned := slices.ContainsFunc(acts, func(a Action) bool { b, ok := a.(Ban); return ok && b.Peer == "a" })
		if banned != (leaf == 2) {
			t.Fatalf("after bad block %d: %v", leaf+1, acts)
		}
	}
	for _, a := range s.Step(epoch, PeerUp{Peer: "a", Complete: true}) {
		if _, ok := a.(Request); ok {
			t.Fatalf("banned peer is asked: %v", a)
		}
	}
}

func TestBusyPeerIsLeftInPeace(t *testing.T) {
	s := New(Config{Leaves: equal(4, 1000), Need: all(4)})
	acts := s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	asked := acts[0].(Request).Leaves
	now := epoch
	for _, wait := range []time.Duration{100 * ms, 200 * ms, 400 * ms} {
		// Several streams that end together count once.
		acts = append(s.Step(now, Failed{"a", asked[:1]}), s.Step(now, Failed{"a", asked[1:]})...)
		if acts = append(acts, s.Step(now.Add(wait-1), Tick{})...); len(acts) != 0 {
			t.Fatalf("asked again before %v: %v", wait, acts)
		}
		now = now.Add(wait)
		if acts = s.Step(now, Tick{}); len(acts) != 1 {
			t.Fatalf("not asked again after %v: %v", wait, acts)
		}
	}
}

func TestSilenceLendsThenDrops(t *testing.T) {
	s := New(Config{Leaves: equal(2, 1000), Need: all(2)})
	s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	if acts := s.Step(epoch.Add(2100*ms), Tick{}); len(acts) != 0 {
		t.Fatalf("%v", acts)
	}
	if acts := s.Step(epoch.Add(2200*ms), PeerUp{Peer: "b", Complete: true}); !reflect.DeepEqual(acts, []Action{Request{"b", []uint32{0, 1}}}) {
		t.Fatalf("%v", acts)
	}
	acts := s.Step(epoch.Add(2300*ms), Received{"b", 0, 1000})
	if !reflect.DeepEqual(acts, []Action{Cancel{"a", []uint32{0}}}) {
		t.Fatalf("%v", acts)
	}
	acts = s.Step(epoch.Add(8100*ms), Tick{})
	if !slices.Contains(acts, Action(Drop{"a"})) {
		t.Fatalf("%v", acts)
	}
	if peers := s.Stats().Peers; len(peers) != 1 || peers[0].Peer != "b" {
		t.Fatalf("after the drop: %+v", peers)
	}
}

func TestEqualSeedsGiveEqualActions(t *testing.T) {
	run := func() string {
		s := newSim(t, 5, randomLeaves(5, 8*mib))
		log := ""
		a, b := s.seeder("a", mbit100, ms), s.seeder("b", 1e6, ms)
		for i := range 3 {
			g := s.getter(Peer(fmt.Sprint("g", i)), mbit100, ms)
			s.connect(g, a)
			s.connect(g, b)
		}
		s.meet(100 * ms)
		s.run(time.Minute)
		for _, n := range s.nodes[2:] {
			log += fmt.Sprintf("%v %+v\n", n.done, n.sched.Stats())
		}
		return log
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("first run\n%s\nsecond run\n%s", a, b)
	}
}

// Whatever fails, a getter is done if every leaf stays or becomes available somewhere; model checks
// every single action on the way.
func TestAlwaysCompletes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 3))
		leaves := make([]uint32, 1+r.IntN(400))
		for i := range leaves {
			leaves[i] = uint32(1 + r.IntN(200<<10))
		}
		s := newSim(rt, seed, leaves)
		rate := func() float64 { return 1e5 * float64(int(1)<<r.IntN(10)) }
		lag := func() time.Duration { return time.Duration(r.Int64N(int64(50 * ms))) }
		var sources []*node
		for i := range r.IntN(6) {
			n := s.seeder(Peer(fmt.Sprint("s", i)), rate(), lag())
			sources = append(sources, n)
			switch r.IntN(7) {
			case 0:
				n.lies = r.Float64()
			case 1:
				n.fails = r.Float64() / 2
			case 2:
				for j := range leaves {
					n.lacks.put(uint32(j), r.IntN(3) == 0)
				}
			case 3:
				s.after(time.Duration(r.Int64N(int64(3*time.Second))), func() { s.kill(n) })
			case 4:
				s.after(time.Duration(r.Int64N(int64(3*time.Second))), func() { n.stalled = true })
			}
		}
		var getters []*node
		for i := range 1 + r.IntN(4) {
			g := s.getter(Peer(fmt.Sprint("g", i)), rate(), lag())
			if i > 0 && r.IntN(4) == 0 {
				s.after(time.Duration(r.Int64N(int64(3*time.Second))), func() { s.kill(g) })
			}
			getters = append(getters, g)
			for _, n := range sources {
				s.connect(g, n)
			}
		}
		s.meet(lag() * 10)
		// Late, after whatever happened, an honest seeder comes.
		s.after(20*time.Second, func() {
			n := s.seeder("saviour", 1e6, ms)
			for _, g := range getters {
				s.connect(g, n)
			}
		})
		s.run(20 * time.Minute)
		for _, g := range getters {
			if g.dead {
				continue
			}
			st := g.sched.Stats()
			if st.Duplicate > s.bytes/10+int64(g.sched.cfg.MaxWindow) {
				rt.Fatalf("seed %d: %d of %d bytes came twice: %+v", seed, st.Duplicate, s.bytes, st)
			}
			if st.Received != s.bytes || st.Left != 0 {
				rt.Fatalf("seed %d: %+v", seed, st)
			}
		}
	})
}

func TestComesBackAfterAllDied(t *testing.T) {
	s := newSim(t, 1, randomLeaves(1, 32*mib))
	a, b := s.seeder("a", mbit100, ms), s.seeder("b", mbit100, ms)
	g := s.getter("g", mbit100, ms)
	s.connect(g, a)
	s.connect(g, b)
	s.after(500*ms, func() { s.kill(a); s.kill(b) })
	s.after(time.Minute, func() { s.connect(g, s.seeder("c", mbit100, ms)) })
	took := s.run(2 * time.Minute)
	if took < time.Minute || took > time.Minute+seconds(s.bytes, mbit100) {
		t.Fatalf("took %v", took)
	}
}
