//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

const (
	flapEvery = 3 * time.Second // down as long as up
	// maxChanges of the primary in ten minutes is the bar.
	maxChanges = 2
)

// flap: three voters; the link between the primary and the backup alone goes down and up, while the third one publishes.
func (l *lab) flap(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}})
	if err != nil {
		return err
	}
	i, err := c.show(ctx, c.voters[0])
	if err != nil {
		return err
	}
	primary, backup := c.byID(i.Primary), c.byID(i.Backup)
	if primary == nil || backup == nil {
		return fmt.Errorf("primary %s, backup %s", c.name(i.Primary), c.name(i.Backup))
	}
	third := c.others(primary, backup)[0]
	w := c.writer(third)
	w.wait = "2s"
	w.start(ctx)
	changes := c.follow(ctx, third)
	err = l.flapping(ctx, primary, backup)
	w.end()
	seen := changes()
	if err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return fmt.Errorf("after the link was up for good: %w%s", err, c.describe(ctx))
	}
	l.report.bar(len(seen) <= maxChanges, "%d changes of primary in %v of flapping (at most %d)", len(seen), l.flapTime, maxChanges)
	for _, s := range seen {
		l.report.note("  %s", s)
	}
	for _, p := range w.published() {
		if p.durable() {
			l.report.figure("publish meanwhile, durable", 0, 0, 0).add(p.returned.Sub(p.issued))
		}
	}
	l.count(w)
	for _, n := range c.voters {
		if err := w.lines(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// flapping takes the link between two nodes down and up again for a time; others reach both.
func (l *lab) flapping(ctx context.Context, a, b *node) error {
	for end := time.Now().Add(l.flapTime); time.Now().Before(end); {
		if err := l.bridge.part(ctx, []*node{a}, []*node{b}); err != nil {
			return err
		}
		if err := pass(ctx, flapEvery); err != nil {
			return err
		}
		if err := l.bridge.heal(ctx, a, b); err != nil {
			return err
		}
		if err := pass(ctx, flapEvery); err != nil {
			return err
		}
	}
	return nil
}

// follow watches who is primary by what a node says, until the function it returns is called, which gives the changes.
func (c *cluster) follow(ctx context.Context, at *node) func() []string {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan []string, 1)
	go func() {
		var changes []string
		last, epoch := "", ""
		for pass(ctx, poll) == nil {
			i, err := c.show(ctx, at)
			if err != nil || i.Primary == "" {
				continue
			}
			if last != "" && (i.Primary != last || i.Epoch != epoch) {
				changes = append(changes, fmt.Sprintf("%s: %s in %s, before %s in %s", time.Now().UTC().Format("15:04:05.000"), c.name(i.Primary), i.Epoch, c.name(last), epoch))
			}
			last, epoch = i.Primary, i.Epoch
		}
		result <- changes
	}()
	return func() []string {
		cancel()
		return <-result
	}
}
