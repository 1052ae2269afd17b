package fetch

import (
	"fmt"
	"testing"
	"time"
)

const ms = time.Millisecond

func duplicates(s *sim) (n int64) {
	for _, g := range s.nodes {
		if g.sched != nil {
			n += g.sched.Stats().Duplicate
		}
	}
	return n
}

func seconds(bytes int64, rate float64) time.Duration {
	return time.Duration(float64(bytes) / rate * 1e9)
}

// flash is a crowd of getters of one seeder with 100 Mbit/s.
type flash struct {
	mib, getters int
	up           float64       // of each getter, bytes per second
	meet         time.Duration // until all know each other
	late         time.Duration // two of three begin so much later, as when the folders of the set queue behind its leaves

	copies, times, rounds float64 // at most
}

// play returns how many copies the seeder sent, when the last getter had all in times of one copy, and how many
// have-updates that was after the seeder had sent its last byte.
func (c flash) play(t *testing.T, seed uint64) (copies, times, rounds float64) {
	s := newSim(t, seed, randomLeaves(seed, c.mib*mib))
	origin := s.seeder("seeder", mbit100, 100*time.Microsecond)
	for i := range c.getters {
		g := s.getter(Peer(fmt.Sprintf("getter-%d", i)), c.up, 100*time.Microsecond)
		s.after(min(time.Duration(i%3), 1)*c.late, func() { s.connect(g, origin) })
	}
	s.meet(c.meet)
	took := s.run(20 * time.Minute)
	copies = float64(origin.sent) / float64(s.bytes)
	times = took.Seconds() / seconds(s.bytes, mbit100).Seconds()
	rounds = float64(took-origin.last) / float64(haveUpdate)
	t.Logf("%3d MiB, %2d getters (uplink %4.0f Mbit/s, meet after %v, late by %v): seeder sent %.3f copies, all done in %.3f of a copy's time, %.1f rounds after its last byte, %.2f %% duplicates",
		c.mib, c.getters, c.up*8/1e6, c.meet, c.late, copies, times, rounds, 100*float64(duplicates(s))/float64(s.bytes)/float64(c.getters))
	return copies, times, rounds
}

// The goals are 1.15 copies in 1.2 times the time of one for four getters, and 1.3 in 1.5 for sixteen; these
// are guards a little above what was measured.
func TestFlashCrowd(t *testing.T) {
	for _, c := range []flash{
		{128, 4, 125e6, 300 * ms, 0, 1.05, 1.1, 2},
		{128, 4, mbit100, 300 * ms, 0, 1.1, 1.1, 2},
		{128, 4, 125e6, 1500 * ms, 0, 1.05, 1.1, 2},
		{128, 16, 125e6, 300 * ms, 0, 1.1, 1.1, 2},
		{128, 16, mbit100, 300 * ms, 0, 1.1, 1.35, 12}, // bound by their own uplinks
		{64, 16, 125e6, 300 * ms, 0, 1.15, 1.2, 2},
		{64, 16, mbit100, 300 * ms, 0, 1.15, 1.45, 12},
		{64, 16, 125e6, 1500 * ms, 0, 1.25, 1.25, 2},
		{64, 16, 125e6, 500 * ms, 1200 * ms, 1.15, 1.15, 2},
	} {
		for seed := range uint64(4) {
			copies, times, rounds := c.play(t, seed)
			if copies > c.copies || times > c.times || rounds > c.rounds {
				t.Errorf("%+v: %.3f copies in %.3f, %.1f rounds", c, copies, times, rounds)
			}
		}
	}
}

// A getter whose own link is slow must not hold the others up, nor one that dies half-way.
func TestCrowdWithWeakGetters(t *testing.T) {
	for seed := range uint64(5) {
		s := newSim(t, seed, randomLeaves(seed, 128*mib))
		origin := s.seeder("seeder", mbit100, ms)
		for i := range 4 {
			g := s.getter(Peer(fmt.Sprint("getter-", i)), mbit100, ms)
			s.connect(g, origin)
		}
		s.nodes[1].up = 1e5 // cannot pass on what it owns
		s.after(4*time.Second, func() { s.kill(s.nodes[2]) })
		s.meet(300 * ms)
		took := s.run(5 * time.Minute)
		copies := float64(origin.sent) / float64(s.bytes)
		times := took.Seconds() / seconds(s.bytes, mbit100).Seconds()
		t.Logf("one getter uploads 0.8 Mbit/s, one dies: %.3f copies in %.3f", copies, times)
		if times > 2.2 { // the weak one's half must come from the seeder again: about two copies
			t.Errorf("seed %d: %.3f copies in %.3f", seed, copies, times)
		}
	}
}

// single runs one getter against seeders that setup makes, and returns the time and the getter.
func single(t *testing.T, seed uint64, leaves []uint32, setup func(s *sim)) (time.Duration, *sim, Stats) {
	s := newSim(t, seed, leaves)
	setup(s)
	g := s.getter("getter", 1e9, 50*time.Microsecond)
	for _, n := range s.nodes {
		if n != g {
			s.connect(g, n)
		}
	}
	took := s.run(30 * time.Minute)
	return took, s, g.sched.Stats()
}

func TestFastAndSlowSeeder(t *testing.T) {
	for seed := range uint64(3) {
		took, s, st := single(t, seed, randomLeaves(seed, 256*mib), func(s *sim) {
			s.seeder("fast", 100e6, ms)
			s.seeder("slow", 10e6, ms)
		})
		ideal := seconds(s.bytes, 110e6)
		t.Logf("10:1 seeders: %v, ideal %v, %.2f %% duplicates", took, ideal, 100*float64(st.Duplicate)/float64(s.bytes))
		if took > ideal*105/100+100*ms || st.Duplicate > s.bytes/50 {
			t.Errorf("took %v, ideal %v, duplicates %d", took, ideal, st.Duplicate)
		}
	}
}

func TestHalfLiars(t *testing.T) {
	for seed := range uint64(3) {
		leaves := randomLeaves(seed, 64*mib)
		run := func(lies float64) (time.Duration, Stats) {
			took, _, st := single(t, seed, leaves, func(s *sim) {
				for i := range 10 {
					s.seeder(Peer(fmt.Sprint("peer-", i)), mbit100, 5*ms).lies = lies * float64(i%2)
				}
			})
			return took, st
		}
		clean, _ := run(0)
		// Measured: 1.10 to 1.14 of the ideal.
		if ideal := seconds(64*mib, 10*mbit100); clean > ideal*5/4 {
			t.Errorf("ten honest peers: %v, ideal %v", clean, ideal)
		}
		// The five honest ones alone need twice the time of ten, so they are the measure here.
		alone, _, _ := single(t, seed, leaves, func(s *sim) {
			for i := range 5 {
				s.seeder(Peer(fmt.Sprint("peer-", i)), mbit100, 5*ms)
			}
		})
		for _, lies := range []float64{1, 0.3} {
			took, st := run(lies)
			t.Logf("5 of 10 peers lie in %.0f %%: %v, five honest ones alone %v, ten %v, %d banned", lies*100, took, alone, clean, st.Banned)
			if took > alone*3/2 || st.Banned != 5 {
				t.Errorf("took %v, alone %v, banned %d", took, alone, st.Banned)
			}
		}
	}
}

func TestStallingSeeder(t *testing.T) {
	for seed := range uint64(3) {
		leaves := randomLeaves(seed, 128*mib)
		setup := func(stall bool) func(s *sim) {
			return func(s *sim) {
				s.seeder("good", mbit100, ms)
				bad := s.seeder("bad", mbit100, ms)
				if stall {
					s.after(2*time.Second, func() { bad.stalled = true })
				}
			}
		}
		clean, s, _ := single(t, seed, leaves, setup(false))
		took, _, st := single(t, seed, leaves, setup(true))
		ideal := seconds(s.bytes-2*12.5e6, mbit100) // two seconds of the bad one's help
		t.Logf("one of two seeders stalls after 2 s: %v, ideal %v, without stall %v, %.2f %% duplicates", took, ideal, clean, 100*float64(st.Duplicate)/float64(s.bytes))
		if took > ideal+500*ms {
			t.Errorf("took %v, ideal %v", took, ideal)
		}
	}
}

// A peer far below everybody else's speed costs little, even if it holds leaves at the very end.
func TestSlowLoris(t *testing.T) {
	took, s, st := single(t, 1, randomLeaves(1, 64*mib), func(s *sim) {
		s.seeder("good", mbit100, ms)
		s.seeder("loris", 2e3, ms)
	})
	ideal := seconds(s.bytes, mbit100)
	t.Logf("2 kB/s beside 100 Mbit/s: %v, ideal %v, %.2f %% duplicates", took, ideal, 100*float64(st.Duplicate)/float64(s.bytes))
	if took > ideal+500*ms {
		t.Errorf("took %v, ideal %v", took, ideal)
	}
}

// A lone link that needs longer for one leaf than StallAfter must get there in the end.
func TestVerySlowLink(t *testing.T) {
	leaves := []uint32{1 << 20, 1 << 20, 200 << 10}
	took, s, _ := single(t, 1, leaves, func(s *sim) { s.seeder("slow", 40e3, 200*ms) })
	t.Logf("1 MiB leaves over 40 kB/s: %v, ideal %v", took, seconds(s.bytes, 40e3))
	if took > 3*seconds(s.bytes, 40e3) {
		t.Errorf("took %v", took)
	}
}

func TestFastPeerIsNeverIdle(t *testing.T) {
	for _, c := range []struct {
		rate    float64
		latency time.Duration
	}{{1e9, 50 * time.Microsecond}, {mbit100, 50 * ms}, {mbit100, 100 * time.Microsecond}, {1e6, 10 * ms}} {
		took, s, st := single(t, 1, randomLeaves(1, 256*mib), func(s *sim) { s.seeder("seeder", c.rate, c.latency) })
		ideal := seconds(s.bytes, c.rate)
		t.Logf("%.0f MB/s, RTT %v: %v, ideal %v, window %d KiB", c.rate/1e6, 2*c.latency, took, ideal, st.Peers[0].Window>>10)
		if slack := ideal/50 + 12*c.latency + 2*ms; took > ideal+slack || st.Duplicate != 0 {
			t.Errorf("took %v, ideal %v, duplicates %d", took, ideal, st.Duplicate)
		}
	}
}

// The window at a shared seeder settles near rate x (RTT + target), so that nobody queues seconds ahead.
func TestSharedSeederIsNotFlooded(t *testing.T) {
	s := newSim(t, 1, randomLeaves(1, 128*mib))
	origin := s.seeder("seeder", mbit100, ms)
	for i := range 4 {
		s.connect(s.getter(Peer(fmt.Sprint("getter-", i)), 125e6, ms), origin)
	}
	s.meet(100 * ms)
	s.after(5*time.Second, func() {
		var queued int64
		for _, n := range s.nodes[1:] {
			for _, p := range n.sched.peers {
				if p.id == origin.id {
					queued += p.inflight
				}
			}
		}
		wait := seconds(queued, mbit100)
		t.Logf("after 5 s: %d KiB asked of the seeder, %v of its uplink", queued>>10, wait)
		if wait > 500*ms {
			t.Errorf("the queue is %v long", wait)
		}
	})
	s.run(time.Minute)
}
