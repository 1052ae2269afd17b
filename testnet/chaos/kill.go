//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// Bars: a process that is killed is noticed by its connections at once, one that falls silent by its beacons.
const (
	killP50, killP99 = 600 * time.Millisecond, 1500 * time.Millisecond
	silenceP99       = 2500 * time.Millisecond
	// giveUp is when a set counts as dead: ten times the slowest bar.
	giveUp = 25 * time.Second
)

// outage is one way to take a primary away and bring it back.
type outage struct {
	p50, p99 time.Duration
	take     func(ctx context.Context, n *node) error
	back     func(ctx context.Context, n *node) error
}

func killed(p50, p99 time.Duration) outage {
	return outage{p50, p99,
		func(_ context.Context, n *node) error { n.kill(); return nil },
		func(ctx context.Context, n *node) error { return n.start(ctx) }}
}

// kill: three voters; the primary is killed while another one publishes.
func (l *lab) kill(ctx context.Context) error {
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}})
	if err != nil {
		return err
	}
	w := c.writer(c.voters[2])
	return l.outages(ctx, c, []*writer{w}, killed(killP50, killP99))
}

// kill2: two voters; the survivor accepts publishes that cannot be durable.
func (l *lab) kill2(ctx context.Context) error {
	c, err := l.cluster(ctx, setup{names: []string{"A", "B"}})
	if err != nil {
		return err
	}
	a, b := c.writer(c.voters[0]), c.writer(c.voters[1])
	a.wait, b.wait = "1ms", "1ms" // it is accepted when the survivor has it
	return l.outages(ctx, c, []*writer{a, b}, killed(killP50, killP99))
}

// silence: three voters in namespaces; the primary's cable is pulled.
func (l *lab) silence(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}})
	if err != nil {
		return err
	}
	w := c.writer(c.voters[2])
	return l.outages(ctx, c, []*writer{w}, outage{0, silenceP99,
		func(ctx context.Context, n *node) error { return l.bridge.pull(ctx, n.space) },
		func(ctx context.Context, n *node) error { return l.bridge.plug(ctx, n.space) }})
}

// outages takes the primary away again and again. One of the writers publishes, which is not the one that goes.
func (l *lab) outages(ctx context.Context, c *cluster, writers []*writer, o outage) error {
	for round := range l.number {
		victim, w, err := c.roles(ctx, writers)
		if err == nil {
			err = l.outage(ctx, c, w, victim, o)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.report.broke("round %d: %v%s", round+1, err, c.describe(ctx))
			return nil // what follows would only repeat it
		}
	}
	for _, w := range writers {
		for _, n := range c.voters {
			if err := w.lines(ctx, n); err != nil {
				l.report.broke("at the end: %v", err)
			}
		}
		l.count(w)
	}
	return nil
}

// count notes how a writer's publishes ended.
func (l *lab) count(w *writer) {
	var durable, local int
	failed := map[string]int{}
	for _, p := range w.published() {
		switch {
		case p.durable():
			durable++
		case p.accepted():
			local++
		default:
			failed[p.err.Error()]++
		}
	}
	l.report.note("%s published: %d durable, %d local, %d failed", w.node.name, durable, local, len(w.published())-durable-local)
	for text, n := range failed {
		l.report.note("  %d times %s", n, text)
	}
}

// roles are the node to take away, the primary, and the writer for it: the role is moved if all write at the primary.
func (c *cluster) roles(ctx context.Context, writers []*writer) (*node, *writer, error) {
	victim, err := c.primary(ctx, c.voters[0])
	if err != nil {
		return nil, nil, err
	}
	for _, w := range writers {
		if w.node != victim {
			return victim, w, nil
		}
	}
	others := c.others(victim)
	victim = others[c.lab.random.IntN(len(others))]
	start := time.Now()
	err = c.promote(ctx, victim)
	c.lab.report.figure("the role is moved -> all agree", 0, 0, 0).add(time.Since(start))
	return victim, writers[0], err
}

func (l *lab) outage(ctx context.Context, c *cluster, w *writer, victim *node, o outage) error {
	w.start(ctx)
	start, ended := time.Now(), false
	end := func() {
		if !ended {
			ended = true
			w.end()
		}
	}
	defer end()
	if err := pass(ctx, l.between(300*time.Millisecond, 1300*time.Millisecond)); err != nil {
		return err
	}
	gone := time.Now()
	if err := o.take(ctx, victim); err != nil {
		return err
	}
	c.elected(ctx, victim, w.node, gone)
	wanted := publish.accepted
	if len(c.voters) > 2 {
		wanted = publish.durable
	}
	first, err := w.first(ctx, gone, giveUp, wanted)
	if err != nil {
		return fmt.Errorf("after %s went: %w", victim.name, err)
	}
	l.accepted("primary gone -> first publish issued after that is accepted", c, first, victim, gone, o)
	l.sample(w, start, gone)
	if err := w.inHistory(ctx, w.node, gone); err != nil {
		return err
	}
	if err := pass(ctx, 300*time.Millisecond); err != nil { // some more publishes without the victim
		return err
	}
	end()
	begin := time.Now()
	if err := o.back(ctx, victim); err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return fmt.Errorf("after %s came back: %w", victim.name, err)
	}
	l.report.figure("it comes back -> all agree again", 0, 0, 0).add(time.Since(begin))
	begin = time.Now()
	err = w.lines(ctx, victim)
	l.report.figure("reading the newest revision back", 0, 0, 0).add(time.Since(begin))
	return err
}

// accepted adds how long a set was without service; what took long is worth a look in the logs.
func (l *lab) accepted(figure string, c *cluster, first publish, victim *node, gone time.Time, bars outage) {
	took := first.returned.Sub(gone)
	l.report.figure(figure, bars.p50, bars.p99, 0).add(took)
	if bars.p99 > 0 && took > bars.p99*3/4 {
		l.report.note("%.3f s after %s went at %s: accepted by %s as revision %d, issued after %.3f s", took.Seconds(), victim.name,
			gone.UTC().Format("15:04:05.000"), c.name(first.result.Primary), first.result.Revision, first.issued.Sub(gone).Seconds())
	}
}

// elected waits until a node names another primary than the one that went.
func (c *cluster) elected(ctx context.Context, victim, at *node, gone time.Time) {
	err := until(ctx, giveUp, "another primary is named", func() error {
		i, err := c.show(ctx, at)
		if err == nil && (i.Primary == "" || i.Primary == victim.id) {
			err = fmt.Errorf("%s names %s", at.name, c.name(i.Primary))
		}
		return err
	})
	if err == nil { // else no publish is accepted, which is told
		c.lab.report.figure("primary gone -> another is named by the writer's node", 0, 0, 0).add(time.Since(gone))
	}
}

// sample adds how long publishes took that were open when the primary went.
func (l *lab) sample(w *writer, start, gone time.Time) {
	for _, p := range w.published() {
		switch {
		case p.issued.Before(gone) && p.returned.After(gone):
			l.report.figure("primary gone -> end of the publish that was open", 0, 0, 0).add(p.returned.Sub(gone))
			if p.err != nil {
				l.report.note("the publish that was open failed: %v", p.err)
			}
		case p.issued.After(start) && p.returned.Before(gone) && p.accepted():
			l.report.figure("publish, all well", 0, 0, 0).add(p.returned.Sub(p.issued))
		}
	}
}
