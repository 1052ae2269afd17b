//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// healP is the bar from the end of a partition to all nodes agreeing.
const healP = 5 * time.Second

// shared is the file that both sides of a partition write, so that they are in conflict.
const shared = "both.txt"

// partition: three voters, two writers; packets between one of them and the others are dropped in both directions.
func (l *lab) partition(ctx context.Context) error {
	return l.parted(ctx, func(c *cluster, lone *node) error { return l.bridge.part(ctx, []*node{lone}, c.others(lone)) })
}

// oneway: what the lone node sends arrives, what it is sent does not; every other round the other way round.
func (l *lab) oneway(ctx context.Context) error {
	deaf := false
	return l.parted(ctx, func(c *cluster, lone *node) error {
		deaf = !deaf
		var all error
		for _, o := range c.others(lone) {
			if deaf {
				all = errors.Join(all, l.bridge.deafen(ctx, lone, o))
			} else {
				all = errors.Join(all, l.bridge.deafen(ctx, o, lone))
			}
		}
		return all
	})
}

// parted lets both sides of a filtered bridge publish, removes the filters, and looks for what was acknowledged.
func (l *lab) parted(ctx context.Context, cut func(*cluster, *node) error) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}})
	if err != nil {
		return err
	}
	writers := map[*node]*writer{}
	for _, n := range c.voters {
		writers[n] = c.writer(n)
		writers[n].wait = "500ms" // what a side without another voter publishes is local
	}
	for round := range l.number {
		if err := l.split(ctx, c, writers, round, cut); err != nil {
			if ctx.Err() == nil {
				l.report.broke("round %d: %v%s", round+1, err, c.describe(ctx))
			}
			return ctx.Err()
		}
	}
	for _, n := range c.voters {
		l.count(writers[n])
	}
	return nil
}

// split is one round: the lone node is the primary in every other one.
func (l *lab) split(ctx context.Context, c *cluster, writers map[*node]*writer, round int, cut func(*cluster, *node) error) error {
	primary, err := c.primary(ctx, c.voters[0])
	if err != nil {
		return err
	}
	lone, rest := primary, c.others(primary)
	if round%2 == 1 {
		lone, rest = rest[0], []*node{primary, rest[1]}
	}
	sides := []*writer{writers[lone], writers[rest[0]]}
	for _, w := range sides {
		w.start(ctx)
	}
	err = l.cutFor(ctx, c, lone, sides, cut, l.between(4*time.Second, 8*time.Second), round)
	healed := time.Now()
	for _, w := range sides {
		w.end()
	}
	if err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return fmt.Errorf("after %s was parted from the others: %w", lone.name, err)
	}
	l.report.figure("the filters are gone -> all agree (last publishes included)", 0, 0, healP).add(time.Since(healed))
	for _, w := range sides {
		for _, n := range c.voters {
			if err := w.lines(ctx, n); err != nil {
				return err
			}
		}
	}
	return c.bothKept(ctx, sides, round)
}

// cutFor puts the filters in place for a time, while both sides write one file too.
func (l *lab) cutFor(ctx context.Context, c *cluster, lone *node, sides []*writer, cut func(*cluster, *node) error, long time.Duration, round int) error {
	if err := pass(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	if err := cut(c, lone); err != nil {
		return err
	}
	err := pass(ctx, long/2)
	for _, w := range sides {
		text := fmt.Sprintf("%s in round %d\n", w.node.name, round)
		err = errors.Join(err, os.WriteFile(filepath.Join(w.node.dest, shared), []byte(text), 0o644))
	}
	err = errors.Join(err, pass(ctx, long/2))
	if err == nil {
		for _, w := range sides {
			w.sampleOpen(l.report)
		}
	}
	return errors.Join(err, l.bridge.heal(ctx, c.voters...))
}

// sampleOpen counts what the writer's side accepted lately.
func (w *writer) sampleOpen(r *report) {
	for _, p := range w.published() {
		if p.accepted() && time.Since(p.returned) < 2*time.Second {
			r.figure("publish by a side of the partition, in its last 2 s", 0, 0, 0).add(p.returned.Sub(p.issued))
		}
	}
}

// bothKept checks that what each side wrote into the shared file is in the newest revision, under the file's name or
// that of a conflict's copy.
func (c *cluster) bothKept(ctx context.Context, sides []*writer, round int) error {
	dir, err := c.lab.fresh("read")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at := c.voters[0]
	i, err := c.show(ctx, at)
	if err != nil {
		return err
	}
	dest := filepath.Join(dir, "d")
	if _, err := at.client.Restore(ctx, api.RestoreRequest{Set: c.set, Rev: i.Revision, Dest: dest}, nil); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dest, strings.TrimSuffix(shared, ".txt")+"*"))
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		text.Write(b)
	}
	for _, w := range sides {
		if want := fmt.Sprintf("%s in round %d\n", w.node.name, round); !strings.Contains(text.String(), want) {
			return fmt.Errorf("what %s wrote into %s in round %d is in none of %d files at revision %d", w.node.name, shared, round+1, len(files), i.Revision)
		}
	}
	return nil
}
