//go:build linux

// Command chaos runs real nodes, ends, stops and parts them at random moments, and prints how long the set was
// without service and whether anything that was promised got lost.
//
//	go run ./testnet/chaos [-cases kill,kill2,...] [-rounds 100] [-short] [-seed N] [-keep] [-exe FILE]
//
// Every case prints its figures with the number of samples, median, 99th percentile and maximum, beside the bar they
// are to meet. A bar that is missed is printed; an invariant that broke (something acknowledged is lost, two nodes
// disagree for good) is printed too and makes the exit code 1. Cases that filter packets put every node in a network
// namespace of its own behind a bridge: they need root, ip and iptables, and are left out, by name, without.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/testnet/process"
)

// scenario is one case by its name.
type scenario struct {
	name   string
	spaces bool // it filters packets
	rounds int  // by default
	short  int  // rounds of the slice for every change; 0 = not in it
	run    func(*lab, context.Context) error
}

func scenarios() []scenario {
	return []scenario{
		{"kill", false, 100, 3, (*lab).kill},
		{"kill2", false, 100, 3, (*lab).kill2},
		{"silence", true, 20, 0, (*lab).silence},
		{"download", false, 3, 0, (*lab).download},
		{"partition", true, 10, 0, (*lab).partition},
		{"oneway", true, 10, 0, (*lab).oneway},
		{"strict", true, 5, 0, (*lab).strict},
		{"pause", false, 10, 2, (*lab).pause},
		{"flap", true, 1, 0, (*lab).flap},
		{"beacons", false, 1, 0, (*lab).beacons},
	}
}

// options are the flags.
type options struct {
	cases    string
	rounds   int
	short    bool
	seed     uint64
	dir, exe string
	keep     bool
	flapTime time.Duration
	rest     time.Duration
	sets     int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.cases, "cases", "", "what to do; all by default")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of every case; 0 = each case's own number")
	flag.BoolVar(&o.short, "short", false, "a slice of under a minute")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the random moments")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where the nodes live")
	flag.StringVar(&o.exe, "exe", "", "the node's binary; built if empty")
	flag.BoolVar(&o.keep, "keep", false, "leave the homes and logs where they are")
	flag.DurationVar(&o.flapTime, "flap-time", 10*time.Minute, "how long the link of flap goes up and down")
	flag.DurationVar(&o.rest, "rest-time", time.Minute, "how long the nodes of beacons are watched")
	flag.IntVar(&o.sets, "sets", 1000, "sets of beacons")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("seed %d, homes and logs in %s\n", o.seed, l.dir)
	broken := 0
	for _, s := range chosen {
		if s.spaces {
			if err := needSpaces(); err != nil {
				fmt.Printf("\n== %s: left out: %v\n", s.name, err)
				continue
			}
		}
		broken += l.play(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d invariants broke", broken)
	}
	return nil
}

func choose(o options) ([]scenario, error) {
	all := scenarios()
	if o.cases == "" {
		return slices.DeleteFunc(all, func(s scenario) bool { return o.short && s.short == 0 }), nil
	}
	var out []scenario
	for _, name := range strings.Split(o.cases, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no case %q", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// lab is what the cases share.
type lab struct {
	options
	starter *process.Starter
	random  *rand.Rand
	serial  int // makes folder names
	bridge  *bridge
	nodes   []*node // of the case that runs
	report  *report // of the case that runs
	number  int     // rounds of the case that runs
}

func newLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp(o.dir, "shoal-chaos-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, starter: process.NewStarter(), random: rand.New(rand.NewPCG(o.seed, 0))}
	l.dir = dir
	if l.exe == "" {
		if l.exe, err = process.Build(ctx, dir); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *lab) close() {
	l.starter.Close()
	if !l.keep {
		_ = os.RemoveAll(l.dir) // a leftover in the temporary folder is not worth a failure
	}
}

// play runs one case and prints its figures; it returns how many invariants broke.
func (l *lab) play(ctx context.Context, s scenario) int {
	l.number = s.rounds
	if l.short && s.short > 0 {
		l.number = s.short
	}
	if l.rounds > 0 {
		l.number = l.rounds
	}
	l.report = &report{}
	fmt.Printf("\n== %s\n", s.name)
	start := time.Now()
	err := s.run(l, ctx)
	if err == nil {
		err = l.crashed()
	}
	l.end()
	if err != nil && !errors.Is(err, context.Canceled) {
		l.report.broke("%v", err)
	}
	l.report.print(time.Since(start))
	return len(l.report.broken)
}

// crashed finds nodes that ended although nobody ended them.
func (l *lab) crashed() error {
	for _, n := range l.nodes {
		if n.wanted && !n.alive() {
			return fmt.Errorf("%s ended by itself; its log: %s", n.name, process.LastLog(n.home+".log"))
		}
	}
	return nil
}

// end ends everything the case has started.
func (l *lab) end() {
	for _, n := range l.nodes {
		n.kill()
	}
	l.nodes = nil
	if l.bridge != nil {
		l.bridge.close()
		l.bridge = nil
	}
}

// fresh makes a new empty folder.
func (l *lab) fresh(name string) (string, error) {
	l.serial++
	dir := filepath.Join(l.dir, fmt.Sprintf("%d-%s", l.serial, name))
	return dir, os.MkdirAll(dir, 0o700)
}

// between is a random time.
func (l *lab) between(least, most time.Duration) time.Duration {
	return least + time.Duration(l.random.Int64N(int64(most-least)))
}

// pass waits, unless ctx ends before.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
