//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// refuseP is the bar for a minority to refuse a publish.
const refuseP = 2 * time.Second

// strict: three voters of a set that asks for a majority; one of them is cut off and must refuse to publish, the others
// must go on. The primary is the lone one in every other round.
func (l *lab) strict(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}, strict: true})
	if err != nil {
		return err
	}
	writers := map[*node]*writer{}
	for _, n := range c.voters {
		writers[n] = c.writer(n)
	}
	for round := range l.number {
		primary, err := c.primary(ctx, c.voters[0])
		if err != nil {
			return err
		}
		lone, rest := primary, c.others(primary)
		if round%2 == 1 {
			lone, rest = rest[0], []*node{primary, rest[1]}
		}
		if err := l.minority(ctx, c, writers, lone, rest); err != nil {
			if ctx.Err() == nil {
				l.report.broke("round %d, %s is alone (primary %s): %v%s", round+1, lone.name, primary.name, err, c.describe(ctx))
			}
			return ctx.Err()
		}
	}
	for _, n := range c.voters {
		l.count(writers[n])
	}
	return nil
}

func (l *lab) minority(ctx context.Context, c *cluster, writers map[*node]*writer, lone *node, rest []*node) error {
	if err := l.bridge.part(ctx, []*node{lone}, rest); err != nil {
		return err
	}
	cut := time.Now()
	w := writers[rest[1]]
	w.start(ctx)
	err := l.alone(ctx, c, writers[lone], cut)
	if err == nil {
		var p publish
		if p, err = w.first(ctx, cut, giveUp, publish.durable); err == nil {
			l.report.figure("cut -> first publish of the majority's side is durable", 0, silenceP99, 0).add(p.returned.Sub(cut))
		}
	}
	w.end()
	healed := time.Now()
	if err := errors.Join(err, l.bridge.heal(ctx, c.voters...)); err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return fmt.Errorf("after it was healed: %w", err)
	}
	l.report.figure("the filters are gone -> all agree", 0, 0, healP).add(time.Since(healed))
	for _, n := range c.voters {
		if err := w.lines(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// alone publishes at the minority until it is refused, and reads there. Nothing that it publishes may be durable.
func (l *lab) alone(ctx context.Context, c *cluster, w *writer, cut time.Time) error {
	p := w.once(ctx) // open when the node finds out
	if p.durable() {
		return fmt.Errorf("the minority called revision %d durable", p.result.Revision)
	}
	if p.accepted() {
		l.report.note("a publish right after the cut was accepted as revision %d, not durable", p.result.Revision)
	}
	l.report.figure("publish begun at the cut -> it is refused or local", 0, refuseP, 0).add(p.returned.Sub(cut))
	err := until(ctx, giveUp, "the minority marks what it shows as stale", func() error {
		i, err := c.show(ctx, w.node)
		if err == nil && !i.Stale {
			err = errors.New("not stale")
		}
		return err
	})
	if err != nil {
		return err
	}
	l.report.figure("cut -> reads are marked stale at the minority", 0, 0, 0).add(time.Since(cut))
	if err := l.readable(ctx, c, w.node); err != nil {
		return err
	}
	if p = w.once(ctx); p.accepted() {
		return fmt.Errorf("the minority, which knows that it is one, accepted revision %d, durable %v", p.result.Revision, p.durable())
	}
	l.report.figure("publish at a minority that knows -> it is refused", 0, refuseP, 0).add(p.returned.Sub(p.issued))
	var said *api.Error
	if !errors.As(p.err, &said) || said.Code != "minority" {
		l.report.note("the refusal does not say that it is a minority: %v", p.err)
	}
	return nil
}

// readable checks that a node still serves the newest revision it has.
func (l *lab) readable(ctx context.Context, c *cluster, at *node) error {
	dir, err := l.fresh("read")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	i, err := c.show(ctx, at)
	if err != nil {
		return err
	}
	if _, err := at.client.Restore(ctx, api.RestoreRequest{Set: c.set, Rev: i.Revision, Dest: filepath.Join(dir, "d")}, nil); err != nil {
		return fmt.Errorf("read revision %d at the minority: %w", i.Revision, err)
	}
	return nil
}
