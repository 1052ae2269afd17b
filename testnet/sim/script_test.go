package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// play runs a scenario over a few seeds, without drift or loss, at the default interval.
func play(t *testing.T, s Script, seeds int, wrap func(*election.Member, *rand.Rand) Core) (Coverage, []time.Duration) {
	t.Helper()
	var all Coverage
	var gaps []time.Duration
	for seed := range seeds {
		r := Run(Options{Seed: uint64(seed + 1), Interval: election.DefaultInterval, Script: &s, Wrap: wrap})
		if r.Violation != nil {
			t.Fatalf("seed %d: %v", r.Seed, r.Violation)
		}
		all.Add(r.Coverage)
		gaps = append(gaps, r.Gaps...)
	}
	slices.Sort(gaps)
	return all, gaps
}

// A primary that dies is replaced, and a proposal accepted again, within the bars: a proposal is made every 100 ms.
func TestFailover(t *testing.T) {
	cases := []struct {
		name     string
		script   Script
		p50, p99 time.Duration
	}{
		{"killed, three voters", Script{Voters: 3}, 600 * time.Millisecond, 1500 * time.Millisecond},
		{"killed, two voters", Script{Voters: 2}, 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"killed, strict", Script{Voters: 3, Mode: election.Strict}, 600 * time.Millisecond, 1500 * time.Millisecond},
		{"silent, three voters", Script{Voters: 3, Silent: true}, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"silent, old beacons come again", Script{Voters: 3, Silent: true, Repeat: 0.5}, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"silent, five voters, strict", Script{Voters: 5, Mode: election.Strict, Silent: true}, 2500 * time.Millisecond, 2500 * time.Millisecond},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.script.Kill, c.script.Length = 8*time.Second, 10*time.Minute
			_, gaps := play(t, c.script, 2, nil)
			if len(gaps) < 100 {
				t.Fatalf("only %d kills", len(gaps))
			}
			p50, p99 := gaps[len(gaps)/2], gaps[len(gaps)*99/100]
			t.Logf("%d kills: p50 %v, p99 %v, max %v", len(gaps), p50, p99, gaps[len(gaps)-1])
			if p50 > c.p50 || p99 > c.p99 {
				t.Errorf("p50 %v of %v, p99 %v of %v", p50, c.p50, p99, c.p99)
			}
		})
	}
}

// A core that takes any beacon for a new one finds its dead primary alive for as long as messages can be late.
func TestFailoverFindsOldBeacons(t *testing.T) {
	credulous := func(m *election.Member, _ *rand.Rand) Core {
		no := uint64(0)
		return mutant{Member: m, in: message(func(_ *election.Member, r election.Received) election.Message {
			b, ok := r.Message.(*election.Beacon)
			if !ok {
				return r.Message
			}
			no++
			again := *b
			again.Stamp = election.Stamp{Boot: 1, No: no}
			return &again
		})}
	}
	script := Script{Voters: 3, Silent: true, Repeat: 0.5, Kill: 16 * time.Second, Length: 10 * time.Minute}
	_, gaps := play(t, script, 1, credulous)
	if p50 := gaps[len(gaps)/2]; p50 < 2500*time.Millisecond {
		t.Errorf("p50 %v", p50)
	}
}

// flapping is ten minutes in which the connection between primary and backup breaks every five seconds, for up to
// three, and nothing else happens.
func flapping(voters int, mode election.Mode) Options {
	return Options{Interval: election.DefaultInterval, Script: &Script{
		Mode: mode, Voters: voters, Reset: 5 * time.Second, Length: 10 * time.Minute,
	}}
}

// A connection between primary and backup that breaks again and again changes the primary of three voters at most
// twice in ten minutes, as the third can tell that both live. Two have nobody to ask; their figures are printed.
func TestFlappingLink(t *testing.T) {
	n := 20
	if *seeds > 0 {
		n = 200
	}
	for _, voters := range []int{3, 2, 5} {
		n := n
		if voters != 3 {
			n /= 10
		}
		for _, mode := range []election.Mode{election.AP, election.Strict} {
			if voters == 2 && mode == election.Strict { // a majority of two is both
				continue
			}
			var changes []int
			s := many(flapping(voters, mode), 1, n, func(r Result) bool {
				if r.Violation != nil {
					t.Errorf("seed %d: %v", r.Seed, r.Violation)
				}
				changes = append(changes, r.Coverage[Elections]-1)
				return t.Failed()
			})
			slices.Sort(changes)
			most := changes[len(changes)-1]
			if voters == 3 && most > 2 {
				t.Errorf("mode %d: the primary changed %d times", mode, most)
			}
			if voters == 3 && (s.coverage[Resets] < 50*n || s.coverage[Aborts]+s.coverage[Lost] < 20*n) {
				t.Errorf("mode %d: vacuous: %d resets", mode, s.coverage[Resets])
			}
			t.Logf("%d voters, %s: %d seeds of 10 minutes, %d resets, %d suspicions answered; changes of primary p50 %d, max %d", voters,
				[...]string{"ap", "strict"}[mode], n, s.coverage[Resets], s.coverage[Aborts]+s.coverage[Lost], changes[len(changes)/2], most)
		}
	}
}

// A core that takes over as soon as a connection breaks is found out by the same scenario.
func TestFlappingFindsRashPromotion(t *testing.T) {
	rash := func(m *election.Member, _ *rand.Rand) Core { return &hasty{Member: m} }
	cov, _ := play(t, *flapping(3, election.AP).Script, 1, rash)
	if changes := cov[Elections] - 1; changes <= 2 {
		t.Errorf("the primary changed %d times only", changes)
	}
}

// hasty does not wait for an answer to its suspicions: its clock jumps over the wait.
type hasty struct {
	*election.Member
	skew time.Duration
}

func (h *hasty) Step(now time.Duration, ev election.Event) []election.Action {
	acts := h.Member.Step(now+h.skew, ev)
	if _, ok := ev.(election.Disconnected); ok && h.Role() == election.Candidate {
		h.skew += 2 * election.DefaultInterval
		acts = append(acts, h.Member.Step(now+h.skew, election.Tick{})...)
	}
	return acts
}

func (h *hasty) Next() time.Duration { return h.Member.Next() - h.skew }

// The same seed is the same run, to the last message.
func TestSeedsReplay(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := Run(Options{Seed: seed}), Run(Options{Seed: seed})
		if a.Digest != b.Digest || a.Steps != b.Steps || a.Coverage != b.Coverage {
			t.Errorf("seed %d differs from itself", seed)
		}
	}
	if Run(Options{Seed: 1}).Digest == Run(Options{Seed: 2}).Digest {
		t.Error("two seeds are one")
	}
}

// A core plays faster than the bars, in simulated seconds a second: the best of a few tries counts, as others may
// use the machine.
func TestSpeed(t *testing.T) {
	for _, bar := range []struct {
		interval time.Duration
		times    float64
	}{{time.Second, 5000}, {250 * time.Millisecond, 1000}} {
		best := 0.0
		for range 3 {
			var simulated time.Duration
			start := time.Now()
			for seed := range uint64(40) {
				simulated += Run(Options{Seed: seed + 1, Interval: bar.interval}).Simulated
			}
			best = max(best, simulated.Seconds()/time.Since(start).Seconds())
		}
		t.Logf("interval %v: %.0f simulated seconds a second on one core, at least %.0f", bar.interval, best, bar.times)
		if best < bar.times {
			t.Errorf("interval %v: %.0fx", bar.interval, best)
		}
	}
}

// BenchmarkSim prints how much faster than real time a core plays.
func BenchmarkSim(b *testing.B) {
	for _, d := range []time.Duration{time.Second, election.DefaultInterval} {
		b.Run(d.String(), func(b *testing.B) {
			var simulated time.Duration
			for i := range b.N {
				simulated += Run(Options{Seed: uint64(i + 1), Interval: d}).Simulated
			}
			b.ReportMetric(simulated.Seconds()/b.Elapsed().Seconds(), "x-real-time")
		})
	}
}
