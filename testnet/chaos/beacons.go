//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	// beaconRate is the bar for what a node sends one other, bytes a second; beaconShare for the share of a core that
	// it uses.
	beaconRate  = 2000
	beaconShare = 0.01
	// quiet is how long the nodes are left alone before they are watched: what the setup set off has ended by then.
	quiet = 20 * time.Second
)

// beacons: many sets of one owner with two voters, none of which changes: what the nodes say all the same.
func (l *lab) beacons(ctx context.Context) error {
	a, err := l.node("A")
	if err != nil {
		return err
	}
	b, err := l.node("B")
	if err != nil {
		return err
	}
	for _, n := range []*node{a, b} {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := l.replicate(ctx, a, b); err != nil {
		return err
	}
	l.report.note("%d sets made, replicated and granted in %.0f s", l.sets, time.Since(began).Seconds())
	err = until(ctx, 10*settleFor, "both have a role in every set", func() error { return errors.Join(l.seated(ctx, a), l.seated(ctx, b)) })
	if err != nil {
		return err
	}
	l.report.note("both have a role in every set %.0f s after the first was made", time.Since(began).Seconds())
	if err := pass(ctx, quiet); err != nil {
		return err
	}
	return l.watch(ctx, a, b)
}

// replicate makes all sets, some at a time.
func (l *lab) replicate(ctx context.Context, a, b *node) error {
	const atOnce = 8 // most of the time one waits for the next beacon
	var group sync.WaitGroup
	next, errs := make(chan int), make([]error, atOnce)
	for w := range atOnce {
		group.Go(func() {
			for i := range next {
				if err := replicated(ctx, a, b, i); err != nil && errs[w] == nil {
					errs[w] = fmt.Errorf("set %d: %w", i+1, err)
				}
			}
		})
	}
	for i := range l.sets {
		next <- i
	}
	close(next)
	group.Wait()
	return errors.Join(errs...)
}

// replicated makes one small set at a, and b a replica of it.
func replicated(ctx context.Context, a, b *node, i int) error {
	dir := filepath.Join(a.dest, strconv.Itoa(i))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), fmt.Appendf(nil, "set %d\n", i), 0o644); err != nil {
		return err
	}
	shared, err := a.client.Share(ctx, api.ShareRequest{Path: dir, Name: fmt.Sprintf("set-%d", i)}, nil)
	if err != nil {
		return err
	}
	f, err := b.client.Follow(ctx, api.FollowRequest{Ticket: shared.Ticket, Replicate: true}, nil)
	if err != nil {
		return err
	}
	c := &cluster{set: shared.Set, voters: []*node{a, b}}
	err = until(ctx, settleFor, "it has the set", func() error { return c.complete(ctx, b) })
	if err != nil {
		return err
	}
	if _, err := a.client.Grant(ctx, api.GrantRequest{Set: shared.Set, Peer: f.Member, Right: api.RightReplica}); err != nil {
		return err
	}
	err = until(ctx, settleFor, "it votes", func() error { return c.known(ctx, b) })
	if err != nil {
		return err
	}
	_, err = b.client.Unfollow(ctx, api.UnfollowRequest{Set: shared.Set}) // one watches at most 64 sets of a peer
	return err
}

// seated tells whether a node is primary or backup of every set.
func (l *lab) seated(ctx context.Context, n *node) error {
	st, err := n.client.Status(ctx)
	if err != nil {
		return err
	}
	count := 0
	for _, s := range st.Sets {
		if (s.Role == api.RolePrimary || s.Role == api.RoleBackup) && s.Primary != "" && s.Backup != "" {
			count++
		}
	}
	if count < l.sets {
		return errors.Join(fmt.Errorf("%s has a role in %d of %d sets", n.name, count, l.sets), pass(ctx, time.Second))
	}
	return nil
}

// usage is what a node has used so far.
type usage struct {
	cpu     time.Duration
	in, out int64 // bytes on all streams of its peers, of which there is one
}

// cpuOf is the processor time of a process, from /proc/PID/stat, fields 14 and 15.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name before may hold anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("stat of %d: %q", pid, b)
	}
	const tick = time.Second / 100 // USER_HZ, the same on all Linux systems that matter
	var sum time.Duration
	for _, field := range f[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// watch prints what two nodes at rest use.
func (l *lab) watch(ctx context.Context, nodes ...*node) error {
	before := map[*node]usage{}
	for _, n := range nodes {
		st, err := n.client.Status(ctx)
		if err != nil {
			return err
		}
		cpu, err := cpuOf(n.proc.OS().Pid) // after the question, which costs something, too
		if err != nil {
			return err
		}
		before[n] = usage{cpu: cpu, in: st.WireIn, out: st.WireOut}
	}
	start := time.Now()
	if err := pass(ctx, l.rest); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	for _, n := range nodes {
		cpu, err := cpuOf(n.proc.OS().Pid) // before the question
		if err != nil {
			return err
		}
		st, err := n.client.Status(ctx)
		if err != nil {
			return err
		}
		out, in := float64(st.WireOut-before[n].out)/took, float64(st.WireIn-before[n].in)/took
		share := (cpu - before[n].cpu).Seconds() / took
		l.report.bar(max(out, in) < beaconRate, "%s, %d sets at rest for %.0f s: %.0f bytes/s out, %.0f bytes/s in (< %d)", n.name, l.sets, took, out, in, beaconRate)
		l.report.bar(share <= beaconShare, "%s: %.2f %% of a core (<= %.0f %%)", n.name, 100*share, 100*beaconShare)
	}
	return nil
}
