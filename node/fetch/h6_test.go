package fetch

import (
	"fmt"
	"testing"
	"time"
)

func TestH6(t *testing.T) {
	for _, c := range []struct {
		mib, getters int
		up           float64
		meet, late   time.Duration
	}{
		{64, 4, 125e6, 300 * ms, 0},
		{64, 4, 125e6, 1500 * ms, 0},
		{64, 16, 125e6, 50 * ms, 0},
		{64, 16, 125e6, 300 * ms, 0},
		{64, 16, 125e6, 500 * ms, 1200 * ms},
		{64, 16, 125e6, 1500 * ms, 0},
		{64, 16, mbit100, 300 * ms, 0},
		{64, 16, mbit100, 500 * ms, 1200 * ms},
		{128, 16, mbit100, 300 * ms, 0},
		{128, 16, 125e6, 300 * ms, 0},
		{512, 16, mbit100, 300 * ms, 0},
	} {
		var a, b, most, mostT float64
		const n = 16
		for seed := range uint64(n) {
			s := newSim(t, seed, randomLeaves(seed, c.mib*mib))
			seed0 := s.seeder("seeder", mbit100, 100*time.Microsecond)
			for i := range c.getters {
				g := s.getter(Peer(fmt.Sprintf("getter-%d", i)), c.up, 100*time.Microsecond)
				start := time.Duration(0)
				if i%3 > 0 {
					start = c.late
				}
				s.after(start, func() { s.connect(g, seed0) })
				s.after(start, func() {
					for _, p := range s.nodes {
						if p.sched != nil && p != g {
							wait := time.Duration(s.rng.Int64N(int64(c.meet)))
							s.after(wait, func() { s.connect(g, p); s.connect(p, g) })
						}
					}
				})
			}
			took := s.run(20 * time.Minute)
			copies := float64(seed0.sent) / float64(s.bytes)
			times := took.Seconds() / seconds(s.bytes, mbit100).Seconds()
			a += copies / n
			b += times / n
			most = max(most, copies)
			mostT = max(mostT, times)
		}
		t.Logf("%3d MiB %2d getters up %4.0f Mbit/s meet within %v, two thirds %v late: copies %.3f (max %.3f) times %.3f (max %.3f)", c.mib, c.getters, c.up*8/1e6, c.meet, c.late, a, most, b, mostT)
	}
}
