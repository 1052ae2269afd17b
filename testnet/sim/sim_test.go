package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Flags: `go test ./testnet/sim -run Sim -seed 7` plays one seed with a trace, `-seeds 20000 -from 1000` many, and
// `-run Planted -planted` looks for every planted bug.
var (
	oneSeed  = flag.Uint64("seed", 0, "play this seed only, and say everything that happens")
	seeds    = flag.Int("seeds", 0, "play that many seeds, 0 = a slice")
	from     = flag.Uint64("from", 1, "the first of the seeds")
	planted  = flag.Bool("planted", false, "look for the rare planted bugs too")
	goOn     = flag.Bool("on", false, "go on after a violation")
	interval = flag.Duration("interval", 0, "of all nodes, instead of what the seeds draw")
)

// slice is what an ordinary test run plays: about 5 s on two cores. More is asked for with -seeds.
const slice = 1500

// TestPinnedSeeds plays seeds that once failed, here or with a planted bug.
func TestPinnedSeeds(t *testing.T) {
	for _, seed := range []uint64{5, 144, 2860, 7613, 14188, 1063227, 2010833} {
		if r := examine(Options{Seed: seed}); r.Violation != nil {
			t.Errorf("seed %d: %v", seed, r.Violation)
		}
	}
}

// TestSim holds the invariants over many seeds.
func TestSim(t *testing.T) {
	if *oneSeed != 0 {
		r := examine(Options{Seed: *oneSeed, Interval: *interval, Trace: os.Stdout})
		if r.Violation != nil {
			t.Fatal(r.Violation)
		}
		return
	}
	n := *seeds
	if n == 0 {
		n = slice
	}
	if testing.Short() {
		n = slice / 10
	}
	s := many(Options{Interval: *interval}, *from, n, func(r Result) bool {
		if r.Violation != nil {
			t.Errorf("%v\nreplay: %s", r.Violation, replay(r.Seed))
		}
		return t.Failed() && !*goOn
	})
	s.report(t)
	if !t.Failed() && *interval == 0 {
		for _, short := range s.coverage.Vacuous(s.seeds) {
			t.Errorf("vacuous: %s", short)
		}
	}
}

// replay is the command that plays a seed again, with a trace.
func replay(seed uint64) string {
	command := fmt.Sprintf("go test ./testnet/sim -run Sim -seed %d", seed)
	if *interval > 0 {
		command += fmt.Sprintf(" -interval %v", *interval)
	}
	return command
}

// summary is what many seeds came to.
type summary struct {
	seeds, steps int
	simulated    time.Duration
	took         time.Duration
	workers      int
	coverage     Coverage
	settled      []time.Duration
}

// many plays seeds on all cores until look says that it is enough.
func many(o Options, from uint64, n int, look func(Result) bool) summary {
	s := summary{workers: runtime.GOMAXPROCS(0)}
	start := time.Now()
	var next atomic.Int64
	var stop atomic.Bool
	var mu sync.Mutex // guards s and look
	var wg sync.WaitGroup
	for range s.workers {
		wg.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				opt := o
				opt.Seed = from + uint64(i)
				r := examine(opt)
				mu.Lock()
				s.add(r)
				if look(r) {
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.took = time.Since(start)
	return s
}

func (s *summary) add(r Result) {
	s.seeds++
	s.steps += r.Steps
	s.simulated += r.Simulated
	s.coverage.Add(r.Coverage)
	s.settled = append(s.settled, r.Settled)
}

func (s *summary) report(t *testing.T) {
	core := s.took.Seconds() * float64(s.workers)
	t.Logf("%d seeds in %v on %d cores, %.0f a second; %v simulated, %.0fx real time per core; %d steps", s.seeds,
		s.took.Round(time.Second), s.workers, float64(s.seeds)/s.took.Seconds(), s.simulated.Round(time.Hour), s.simulated.Seconds()/core, s.steps)
	slices.Sort(s.settled)
	if n := len(s.settled); n > 0 {
		t.Logf("one primary after the faults end: p50 %v, p99 %v, max %v", s.settled[n/2], s.settled[n*99/100], s.settled[n-1])
	}
	for c := range counters {
		t.Logf("%-20v %d", c, s.coverage[c])
	}
}
