//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// pause: the primary is stopped for 1 to 30 s in the middle of publishing, and goes on. Both it and another one
// publish all the time: what it acknowledges as durable when it wakes must not be of an epoch that is over.
func (l *lab) pause(ctx context.Context) error {
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}})
	if err != nil {
		return err
	}
	var writers []*writer
	for _, n := range c.voters {
		writers = append(writers, c.writer(n))
	}
	for round := range l.number {
		if err := l.paused(ctx, c, writers, l.nap(round)); err != nil {
			if ctx.Err() == nil {
				l.report.broke("round %d: %v%s", round+1, err, c.describe(ctx))
			}
			return ctx.Err()
		}
	}
	for _, w := range writers {
		l.count(w)
	}
	return nil
}

// nap is how long the primary sleeps: spread over 1 to 30 s, short ones in the short slice.
func (l *lab) nap(round int) time.Duration {
	if l.short {
		return l.between(time.Second, 4*time.Second)
	}
	share := float64(round) / float64(max(1, l.number-1))
	return time.Second + time.Duration(share*29*float64(time.Second))
}

func (l *lab) paused(ctx context.Context, c *cluster, writers []*writer, nap time.Duration) error {
	victim, err := c.primary(ctx, c.voters[0])
	if err != nil {
		return err
	}
	var own, other *writer // of the primary and of one that goes on
	for _, w := range writers {
		if w.node == victim {
			own = w
		} else {
			other = w
		}
	}
	before, err := c.epochs(ctx, other.node)
	if err != nil {
		return err
	}
	own.start(ctx)
	other.start(ctx)
	err = l.sleep(ctx, c, victim, other, nap)
	woken := time.Now()
	if err == nil {
		err = pass(ctx, 2*time.Second) // it publishes, stale at first
	}
	own.end()
	other.end()
	if err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return fmt.Errorf("after %s slept %v: %w", victim.name, nap, err)
	}
	l.report.figure("it wakes -> all agree again, with 2 s of publishing", 0, 0, 0).add(time.Since(woken))
	return c.fenced(ctx, before, victim, woken.Add(-nap), woken, own, other)
}

// sleep stops the primary and wakes it.
func (l *lab) sleep(ctx context.Context, c *cluster, victim *node, other *writer, nap time.Duration) error {
	if err := pass(ctx, l.between(300*time.Millisecond, 800*time.Millisecond)); err != nil {
		return err
	}
	if err := victim.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	stopped := time.Now()
	err := pass(ctx, nap)
	if woke := victim.signal(syscall.SIGCONT); woke != nil {
		return woke
	}
	if err != nil {
		return err
	}
	if nap < silenceP99 {
		return nil // it may be over before anybody has noticed
	}
	first, err := other.first(ctx, stopped, giveUp, publish.durable)
	if err != nil {
		return fmt.Errorf("while %s slept %v: %w", victim.name, nap, err)
	}
	l.accepted("primary stopped -> first publish issued after that is durable", c, first, victim, stopped, outage{p99: silenceP99})
	return nil
}

// epochs is the number of the epoch that a node is in.
func (c *cluster) epochs(ctx context.Context, at *node) (n uint64, err error) {
	i, err := c.show(ctx, at)
	if err != nil {
		return 0, err
	}
	_, number, _ := strings.Cut(i.Epoch, ".")
	return strconv.ParseUint(number, 10, 64)
}

// fenced checks what was acknowledged around the sleep: everything is in the newest revision of every node, and what
// the sleeper called durable after another one had the role was ordered by that one.
func (c *cluster) fenced(ctx context.Context, before uint64, victim *node, slept, woken time.Time, writers ...*writer) error {
	after, err := c.epochs(ctx, writers[1].node)
	if err != nil {
		return err
	}
	if after > before {
		c.lab.report.note("asleep for %.1f s: another primary", woken.Sub(slept).Seconds())
		for _, w := range writers {
			for _, p := range w.published() {
				if p.durable() && p.result.Primary == victim.id && p.returned.After(woken) && p.issued.Before(woken) {
					if err := c.ordered(ctx, p); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, n := range c.voters {
		for _, w := range writers {
			if err := w.lines(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// ordered checks that a revision that was called durable by a primary that had been replaced meanwhile is an ancestor
// of the newest revision at every node: it was durable before the new epoch, or not at all.
func (c *cluster) ordered(ctx context.Context, p publish) error {
	for _, n := range c.voters {
		h, err := n.client.History(ctx, api.HistoryRequest{Set: c.set, Verify: true})
		if err != nil {
			return err
		}
		if last := h.Revisions[len(h.Revisions)-1].Revision; p.result.Revision <= last {
			continue // too long ago to be listed
		}
		if !slices.ContainsFunc(h.Revisions, p.within) {
			return fmt.Errorf("%q, revision %d, was called durable by %s after it had been replaced, and is not in the history at %s", p.line, p.result.Revision,
				c.name(p.result.Primary), n.name)
		}
	}
	return nil
}
