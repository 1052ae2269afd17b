package testnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/process"
)

const (
	idleFiles = 10_000
	idlePeers = 10
	// settle is how long the network is left alone before it is measured: memory is given back some seconds after
	// what moved a lot, and tables of peers are filled in the first half minute.
	settle = 45 * time.Second
	// rest is how long it is measured: at 0.1 % of a core that is some ticks of the kernel's clock.
	rest = 60 * time.Second
	// tick is the kernel's for times in /proc, whatever its own is.
	tick = 10 * time.Millisecond
)

// BenchmarkIdleNode measures what a node at rest takes that shares 10,000 files with ten others, each of which holds them,
// and what the others take: `go test ./testnet -run '^$' -bench IdleNode -benchtime 1x`.
func BenchmarkIdleNode(b *testing.B) {
	if testing.Short() {
		b.Skip("takes two minutes")
	}
	for b.Loop() {
		measureIdle(b)
	}
}

func measureIdle(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute) // on a quiet machine it takes less than half
	defer cancel()
	dir := b.TempDir()
	starter := process.NewStarter()
	defer starter.Close()
	src := filepath.Join(dir, "files")
	for i := range idleFiles {
		path := filepath.Join(src, fmt.Sprint(i/100), fmt.Sprint(i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, noise(path, 1000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	var nodes []*running
	for i := range 1 + idlePeers {
		var entry []string
		if i > 0 {
			entry = nodes[0].addrs
		}
		n, err := startNode(ctx, starter, binary, dir, fmt.Sprint("node-", i), entry)
		if err != nil {
			b.Fatal(err)
		}
		defer n.Kill()
		nodes = append(nodes, n)
	}
	quiet := func(api.Progress) {}
	shared, err := nodes[0].client.Share(ctx, api.ShareRequest{Path: src, Watch: true}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	for i, n := range nodes[1:] {
		dest := filepath.Join(dir, fmt.Sprint("copy-", i))
		if _, err := n.client.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: dest}, quiet); err != nil {
			b.Fatal(err)
		}
		if _, err := n.client.Follow(ctx, api.FollowRequest{Ticket: shared.Ticket, Dest: dest}, quiet); err != nil {
			b.Fatal(err)
		}
	}
	wait(ctx, settle)
	before := processorTimes(b, nodes)
	wait(ctx, rest)
	after := processorTimes(b, nodes)
	if ctx.Err() != nil {
		b.Fatal(ctx.Err())
	}
	share := func(i int) float64 { return 100 * float64(after[i]-before[i]) / float64(rest) }
	b.ReportMetric(resident(b, nodes[0])/1e6, "MB-author")
	b.ReportMetric(share(0), "%core-author")
	most, busiest := 0.0, 0.0
	for i, n := range nodes[1:] {
		most, busiest = max(most, resident(b, n)/1e6), max(busiest, share(i+1))
	}
	b.ReportMetric(most, "MB-peer-most")
	b.ReportMetric(busiest, "%core-peer-most")
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// processorTimes are the times in user and system mode that nodes have taken.
func processorTimes(b *testing.B, nodes []*running) (all []time.Duration) {
	b.Helper()
	for _, n := range nodes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.OS().Pid))
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name may have spaces in it
		user, err1 := strconv.Atoi(fields[11])
		system, err2 := strconv.Atoi(fields[12])
		if err1 != nil || err2 != nil {
			b.Fatalf("%s: %v, %v", stat, err1, err2)
		}
		all = append(all, time.Duration(user+system)*tick)
	}
	return all
}

// resident is the memory of a node in bytes.
func resident(b *testing.B, n *running) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.OS().Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			v, err := strconv.Atoi(strings.Fields(kib)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(v) * 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
