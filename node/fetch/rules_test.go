package fetch

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Each test here pins one rule that whole downloads hide, because another rule repairs its loss.

// asks collects the leaves that acts ask of p.
func asks(acts []Action, p Peer) (leaves []uint32) {
	for _, a := range acts {
		if r, ok := a.(Request); ok && r.Peer == p {
			leaves = append(leaves, r.Leaves...)
		}
	}
	return leaves
}

func TestLentLeavesComeBeforeFreshOnes(t *testing.T) {
	s := New(Config{Leaves: equal(1000, 64<<10), Need: all(1000)})
	lent := asks(s.Step(epoch, PeerUp{Peer: "a", Complete: true}), "a")
	s.Step(epoch.Add(2100*ms), Tick{})
	if got := asks(s.Step(epoch.Add(2200*ms), PeerUp{Peer: "b", Complete: true}), "b"); !slices.Contains(got, lent[0]) {
		t.Fatalf("asked %v, and %v were lent", got, lent)
	}
}

func TestStalledPeerDoesNotChokeOthers(t *testing.T) {
	s := New(Config{Leaves: equal(1000, 64<<10), Need: all(1000), MaxWindow: 1 << 20, InitialWindow: 1 << 20})
	s.Step(epoch, PeerUp{Peer: "a", Complete: true})
	s.Step(epoch.Add(2100*ms), Tick{})
	got := asks(s.Step(epoch.Add(2200*ms), PeerUp{Peer: "b", Complete: true}), "b")
	if len(got)*64<<10 < 3<<18 {
		t.Fatalf("asked %d leaves", len(got))
	}
}

func TestIdleGetterOwnsNothing(t *testing.T) {
	s := New(Config{Leaves: equal(1000, 64<<10), Need: all(1000), Self: "me"})
	s.Step(epoch, PeerUp{Peer: "other"})
	owned := func() (n int) {
		for _, w := range s.owners.who {
			if w != nil {
				n++
			}
		}
		return n
	}
	if owned() == 0 {
		t.Fatal("a new getter owns nothing")
	}
	s.Step(epoch.Add(3100*ms), Tick{})
	if owned() != 0 {
		t.Fatal("an idle getter owns spans")
	}
	s.Step(epoch.Add(3200*ms), PeerHave{Peer: "other", Leaves: []uint32{5}})
	if owned() == 0 {
		t.Fatal("a getter that goes on owns nothing")
	}
}

// An owner that makes no progress is helped long before it counts as idle.
func TestForeignSpansOfASlowOwner(t *testing.T) {
	s := New(Config{Leaves: equal(200, 64<<10), Need: all(200), Self: "me"})
	drain(s, epoch, ms, PeerUp{Peer: "other"}, PeerUp{Peer: "source", Complete: true})
	for now := epoch.Add(300 * ms); now.Before(epoch.Add(2 * time.Second)); now = now.Add(300 * ms) {
		drain(s, now, ms, Tick{})
	}
	if left := s.Stats().Left; left != 0 {
		t.Fatalf("%d leaves left", left)
	}
}

// What a getter that has just completed was the only one to have is not waited for as if a source had it.
func TestCompletedGetterIsAskedAtOnce(t *testing.T) {
	s := New(Config{Leaves: equal(640, 64<<10), Need: all(640), Self: "me"})
	for _, p := range []Peer{"other", "done"} {
		s.Step(epoch, PeerUp{Peer: p})
	}
	s.Step(epoch, PeerUp{Peer: "source", Complete: true})
	s.Step(epoch, PeerHave{Peer: "other", Leaves: []uint32{0}}) // it is at work: its spans are its own
	foreign := func(leaves []uint32) (n int) {
		for _, leaf := range leaves {
			if s.owners.who[s.pieces.spanOf[leaf]] != nil {
				n++
			}
		}
		return n
	}
	got := asks(s.Step(epoch.Add(ms), PeerHave{Peer: "done", Complete: true}), "done")
	for now := epoch.Add(2 * ms); now.Before(epoch.Add(10 * ms)); now = now.Add(ms) {
		var acts []Action
		for _, leaf := range got {
			acts = append(acts, s.Step(now, Received{"done", leaf, 64 << 10})...)
		}
		if n := foreign(asks(acts, "source")); n > 0 {
			t.Fatalf("asked the source for %d foreign leaves", n)
		}
		if got = asks(acts, "done"); foreign(got) > 0 {
			return
		}
	}
	t.Fatal("asked for nothing that another getter owns")
}

// Owners ask from the beginning, so helpers go from the end.
func TestCutEndMeetsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SliceOfN(rapid.Uint32Range(1, 1000), 1, 64).Draw(t, "sizes")
		p := newPieces(Config{Leaves: size, Need: all(len(size))}.withDefaults())
		mask := rapid.Uint64Range(1, ^uint64(0)>>(64-len(size))).Draw(t, "mask")
		room := rapid.Int64Range(1, 40_000).Draw(t, "room")
		every := p.cut(0, mask, math.MaxInt64)
		got := p.cutEnd(0, mask, room)
		if len(got) == 0 || !slices.Equal(got, every[len(every)-len(got):]) {
			t.Fatalf("%v is not the end of %v", got, every)
		}
		var sum int64
		for _, leaf := range got {
			sum += int64(size[leaf])
		}
		if sum > room && len(got) > 1 {
			t.Fatalf("%d bytes, room for %d", sum, room)
		}
		if rest := len(every) - len(got); rest > 0 && sum+int64(size[every[rest-1]]) <= room {
			t.Fatalf("%d bytes, and there is room for one more in %d", sum, room)
		}
	})
}

func TestRarestSpanFirst(t *testing.T) {
	// Two spans of 64 leaves; p has both, the others only the first.
	for seed := range uint64(20) {
		s := New(Config{Leaves: equal(128, 1000), Need: all(128), Rand: seed, InitialWindow: 1, MaxBatchLeaves: 64})
		first := slices.Repeat([]byte{0xff}, 8)
		s.Step(epoch, PeerUp{Peer: "q"})
		s.Step(epoch, PeerUp{Peer: "r"})
		for _, p := range s.peers { // they hold it, but are too busy to be asked
			p.paused = time.Hour
		}
		s.Step(epoch, PeerHave{Peer: "q", Leaves: all(64)})
		s.Step(epoch, PeerHave{Peer: "r", Leaves: all(64)})
		got := asks(s.Step(epoch, PeerUp{Peer: "p", Have: slices.Concat(first, first)}), "p")
		if len(got) == 0 || got[0] < 64 {
			t.Fatalf("seed %d: asked %v", seed, got)
		}
	}
}

func TestWindowFollowsTheQueue(t *testing.T) {
	w := pace{window: 1 << 20}
	w.received(10*ms, 10*ms, 64<<10, true, 8<<20)
	if w.window != 1<<20+64<<10 {
		t.Fatalf("fast answer: window %d", w.window)
	}
	w.received(20*ms, 10*ms, 64<<10, false, 8<<20)
	if w.window != 1<<20+64<<10 {
		t.Fatalf("window not in use: %d", w.window)
	}
	for range 100 {
		w.received(time.Second, time.Second, 64<<10, true, 8<<20)
	}
	if w.window != minWindow {
		t.Fatalf("slow answers: window %d", w.window)
	}
}

func TestWithheldCancelledLeafCostsNothing(t *testing.T) {
	s := New(Config{Leaves: equal(400, 64<<10), Need: all(400)})
	leaf := asks(s.Step(epoch, PeerUp{Peer: "a", Complete: true}), "a")[0]
	s.Step(epoch.Add(ms), Received{"b", leaf, 64 << 10}) // from elsewhere
	s.Step(epoch.Add(2*ms), Failed{"a", []uint32{leaf}})
	if p := s.index["a"]; p.fails != 0 || p.paused != 0 {
		t.Fatalf("%d fails, paused until %v", p.fails, p.paused)
	}
}

func TestLimitBoundsWhatIsAskedFor(t *testing.T) {
	s := New(Config{Leaves: equal(1000, 64<<10), Need: all(1000)})
	s.Step(epoch, Limit{Rate: 20_000})
	for _, p := range []Peer{"a", "b", "c", "d", "e", "f"} {
		s.Step(epoch, PeerUp{Peer: p, Complete: true})
	}
	if n := s.Stats().InFlight; n < 200_000 || n > 200_000+64<<10 {
		t.Errorf("%d bytes in flight, want ten seconds of 20 kB and a leaf", n)
	}
	s.Step(epoch.Add(ms), Limit{})
	if n := s.Stats().InFlight; n < 2<<20 {
		t.Errorf("without the limit: %d bytes in flight", n)
	}
}

func TestSlowPeerDoesNotUseUpALimit(t *testing.T) {
	s := New(Config{Leaves: equal(1000, 64<<10), Need: all(1000)})
	s.Step(epoch, Limit{Rate: 5000})
	leaf := asks(s.Step(epoch, PeerUp{Peer: "slow", Complete: true}), "slow")[0]
	if got := asks(s.Step(epoch, PeerUp{Peer: "other", Complete: true}), "other"); len(got) > 0 {
		t.Fatalf("asked for %v at once", got)
	}
	var got []uint32
	for i := range 10 {
		now := epoch.Add(time.Duration(i+1) * time.Second)
		got = append(got, asks(s.Step(now, Arriving{"slow", leaf, 1000}), "other")...)
	}
	if len(got) == 0 {
		t.Error("nobody else is asked for anything while a slow peer takes a minute for a leaf")
	}
}

// A lone holder that is slow keeps what it was asked for, however long that takes.
func TestSlowIsNotSilent(t *testing.T) {
	s := New(Config{Leaves: equal(2, 64<<10), Need: all(2)})
	leaf := asks(s.Step(epoch, PeerUp{Peer: "slow", Complete: true}), "slow")[0]
	now := epoch
	for range 600 {
		now = now.Add(time.Second)
		acts := append(s.Step(now, Arriving{"slow", leaf, 100}), s.Step(now, Tick{})...)
		if len(acts) > 0 {
			t.Fatalf("after %v: %v", now.Sub(epoch), acts)
		}
	}
	if st := s.Stats().Peers[0]; st.Stalled || st.Rate < 50 || st.Rate > 200 {
		t.Errorf("%+v", st)
	}
}

// A leaf that has come in part is not asked for again for a small gain.
func TestWhatCameIsNotInVain(t *testing.T) {
	for came, again := range map[int]bool{100: true, 32 << 10: false} {
		s := New(Config{Leaves: equal(1, 64<<10), Need: all(1)})
		s.Step(epoch, PeerUp{Peer: "slow", Complete: true})
		s.Step(epoch.Add(9*time.Second), Arriving{"slow", 0, came})
		if got := asks(s.Step(epoch.Add(9200*ms), PeerUp{Peer: "fast", Complete: true}), "fast"); len(got) > 0 != again {
			t.Errorf("%d bytes had come, and another peer was asked for %v", came, got)
		}
	}
}
