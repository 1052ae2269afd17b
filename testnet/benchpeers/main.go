//go:build unix

// Command benchpeers measures Shoal beside rsync, aria2 and cp on this machine and prints the figures:
// wall time of every tool in the same interleaved rounds (median, min, max), processor time, peak memory,
// bytes of own state. It asserts nothing; README and the targets quote what it prints.
//
//	go run ./testnet/benchpeers [-rounds 3] [-dir DIR] [-size 1024] [-cases scan,full,small,resume,crowd,delta,plan,follow] [-casync=false]
//
// Tools that are not installed are left out and named.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is what the cases share.
type bench struct {
	exe    string // the node's binary
	dir    string // fresh folder for everything
	rounds int
	size   int  // MiB of the large file
	casync bool // beside the delta, too
	serial int  // makes folder names
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{}
	cases := flag.String("cases", "scan,full,small,resume,crowd", "what to measure")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "where the data goes; needs about 12 times -size")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of each comparison; the tools take turns")
	flag.IntVar(&b.size, "size", 1024, "MiB of the large file")
	flag.BoolVar(&b.casync, "casync", true, "compare the delta with casync too; it takes a minute for a file of a GiB")
	flag.Parse()
	if err := b.run(ctx, strings.Split(*cases, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "benchpeers:", err)
		stop()
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, cases []string) (err error) {
	if b.dir, err = os.MkdirTemp(b.dir, "shoal-bench-"); err != nil {
		return err
	}
	// Deleting comes last: making files soon after deleting thousands costs every tool seconds.
	defer os.RemoveAll(b.dir)
	b.exe = filepath.Join(b.dir, "node")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.exe, "./cmd/node")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	fmt.Printf("%s, %d cores, %d rounds, data in %s\n", runtime.Version(), runtime.NumCPU(), b.rounds, b.dir)
	all := map[string]func(context.Context) error{"scan": b.scan, "full": b.full, "small": b.small, "resume": b.resume, "crowd": b.crowd,
		"delta": b.delta, "plan": b.plan, "follow": b.follow}
	for _, name := range cases {
		run, ok := all[name]
		if !ok {
			return fmt.Errorf("no case %q", name)
		}
		fmt.Printf("\n== %s\n", name)
		if err := run(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fresh makes a new empty folder.
func (b *bench) fresh(name string) string {
	b.serial++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.serial))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		panic(err) // a benchmark without a disk has nothing to say
	}
	return dir
}

// contender is one tool in a comparison.
type contender struct {
	name string
	run  func(ctx context.Context) (usage, error)
}

// compare lets the tools take turns and prints a line for each.
func (b *bench) compare(ctx context.Context, all []contender) error {
	got := make([][]usage, len(all))
	for range b.rounds {
		for i, c := range all {
			u, err := c.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			got[i] = append(got[i], u)
		}
	}
	base := median(got[0], wall)
	fmt.Printf("%-34s %8s %8s %8s %7s %9s %8s  %s\n", "", "wall s", "min", "max", "ratio", "cpu s", "peak MB", "notes")
	for i, c := range all {
		w := median(got[i], wall)
		fmt.Printf("%-34s %8.2f %8.2f %8.2f %6.2fx %9.2f %8.0f  %s\n", c.name, w, least(got[i], wall), most(got[i], wall), w/base,
			median(got[i], func(u usage) float64 { return u.cpu.Seconds() }),
			median(got[i], func(u usage) float64 { return float64(u.peak) / 1e6 }), got[i][len(got[i])-1].note)
	}
	return nil
}

// usage is what one run cost.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes of resident memory
	note      string
}

func wall(u usage) float64 { return u.wall.Seconds() }

func values(all []usage, f func(usage) float64) []float64 {
	var v []float64
	for _, u := range all {
		v = append(v, f(u))
	}
	slices.Sort(v)
	return v
}

func median(all []usage, f func(usage) float64) float64 { v := values(all, f); return v[len(v)/2] }
func least(all []usage, f func(usage) float64) float64  { return values(all, f)[0] }
func most(all []usage, f func(usage) float64) float64   { v := values(all, f); return v[len(v)-1] }
