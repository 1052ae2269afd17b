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

// A connection between primary and backup that breaks again and again does not change the primary while a
// third voter can tell that both live.
func TestFlappingLink(t *testing.T) {
	script := Script{Voters: 3, Reset: 5 * time.Second, Length: 10 * time.Minute}
	for _, script.Mode = range []election.Mode{election.AP, election.Strict} {
		cov, _ := play(t, script, 1, nil)
		if cov[Resets] < 50 || cov[Aborts]+cov[Lost] < 20 {
			t.Errorf("mode %d: vacuous: %d resets", script.Mode, cov[Resets])
		}
		if changes := cov[Elections] - 1; changes > 2 {
			t.Errorf("mode %d: the primary changed %d times", script.Mode, changes)
		}
		t.Logf("mode %d: %d resets, %d elections, %d suspicions answered", script.Mode, cov[Resets], cov[Elections], cov[Aborts]+cov[Lost])
	}
}

// A core that takes over as soon as a connection breaks is found out by the same scenario.
func TestFlappingFindsRashPromotion(t *testing.T) {
	rash := func(m *election.Member, _ *rand.Rand) Core { return &hasty{Member: m} }
	cov, _ := play(t, Script{Voters: 3, Reset: 5 * time.Second, Length: 10 * time.Minute}, 1, rash)
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
