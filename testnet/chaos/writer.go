//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// pace is the time between two publishes of a writer.
const pace = 100 * time.Millisecond

// publish is one publish and what became of it.
type publish struct {
	line             string // that it appended to the writer's file
	issued, returned time.Time
	result           api.PublishResult
	err              error
}

func (p publish) accepted() bool { return p.err == nil }
func (p publish) durable() bool  { return p.err == nil && p.result.Durable }

// within tells whether a revision was made of the publish: of it alone, or of several that were merged.
func (p publish) within(r api.Revision) bool {
	return slices.Contains(strings.Split(r.Note, "\n"), p.line)
}

// writer appends a line to a file of its own and publishes it, again and again.
type writer struct {
	c    *cluster
	node *node
	file string // its own, in the set
	wait string // how long a publish waits to be durable; "" = the node's default

	stop func() // set while it runs
	done sync.WaitGroup

	mu      sync.Mutex // guards what follows
	count   int
	all     []publish
	changed chan struct{} // closed and made anew with every publish
}

func (c *cluster) writer(n *node) *writer {
	return &writer{c: c, node: n, file: "log-" + n.name, changed: make(chan struct{})}
}

// start publishes at the writer's pace until end; one that takes longer delays the next.
func (w *writer) start(ctx context.Context) {
	ctx, w.stop = context.WithCancel(ctx)
	w.done.Go(func() {
		t := time.NewTicker(pace)
		defer t.Stop()
		for ctx.Err() == nil {
			w.once(context.WithoutCancel(ctx))
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
	})
}

// end lets the publish that runs come to its end.
func (w *writer) end() {
	w.stop()
	w.done.Wait()
}

// publishTime is more than any publish takes: it looks for a primary for 10 s and waits as long to be durable.
const publishTime = 30 * time.Second

// once appends a line and publishes.
func (w *writer) once(ctx context.Context) publish {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	w.count++
	p := publish{line: fmt.Sprintf("%s %d", w.node.name, w.count)}
	if p.err = appendLine(filepath.Join(w.node.dest, w.file), p.line); p.err == nil {
		p.issued = time.Now()
		p.result, p.err = w.node.client.Publish(ctx, api.PublishRequest{Target: w.c.set, AllowLocal: true, Wait: w.wait, Note: p.line}, nil)
	}
	p.returned = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, p)
	close(w.changed)
	w.changed = make(chan struct{})
	return p
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// published are all publishes so far.
func (w *writer) published() []publish {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// first waits for a publish that was issued after a moment and is as wanted.
func (w *writer) first(ctx context.Context, after time.Time, most time.Duration, wanted func(publish) bool) (publish, error) {
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		w.mu.Lock()
		all, changed := w.all, w.changed
		w.mu.Unlock()
		for i := len(all) - 1; i >= 0 && all[i].issued.After(after); i-- {
			if wanted(all[i]) && (i == 0 || !slices.ContainsFunc(all[:i], func(p publish) bool { return p.issued.After(after) && wanted(p) })) {
				return all[i], nil
			}
		}
		select {
		case <-changed:
		case <-limit.C:
			return publish{}, fmt.Errorf("no publish as wanted in %v; the last: %s", most, lastOf(all))
		case <-ctx.Done():
			return publish{}, ctx.Err()
		}
	}
}

func lastOf(all []publish) string {
	if len(all) == 0 {
		return "none"
	}
	p := all[len(all)-1]
	return fmt.Sprintf("%q after %.3f s: revision %d, durable %v, on %d, error %v", p.line, p.returned.Sub(p.issued).Seconds(),
		p.result.Revision, p.result.Durable, len(p.result.On), p.err)
}

// inHistory checks that the newest publishes that were called durable are among the revisions a node shows: as many as
// a history keeps, less what was published meanwhile. The lines of all before them are in their files.
func (w *writer) inHistory(ctx context.Context, at *node, before time.Time) error {
	h, err := at.client.History(ctx, api.HistoryRequest{Set: w.c.set, Verify: true})
	if err != nil {
		return fmt.Errorf("history at %s: %w", at.name, err)
	}
	oldest := h.Revisions[len(h.Revisions)-1].Revision
	for _, p := range w.published() {
		if !p.durable() || !p.result.Changed || !p.returned.Before(before) || p.result.Revision <= oldest {
			continue
		}
		if !slices.ContainsFunc(h.Revisions, p.within) {
			return fmt.Errorf("%q was durable as revision %d, and is not in the history at %s, revisions %d to %d", p.line, p.result.Revision,
				at.name, oldest, h.Revisions[0].Revision)
		}
	}
	return nil
}

// lines checks that the newest revision as a node has it holds the line of every publish that was acknowledged.
func (w *writer) lines(ctx context.Context, at *node) error {
	dir, err := w.c.lab.fresh("read")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	i, err := w.c.show(ctx, at)
	if err != nil {
		return err
	}
	_, err = at.client.Restore(ctx, api.RestoreRequest{Set: w.c.set, Rev: i.Revision, Dest: filepath.Join(dir, "d")}, nil)
	if err != nil {
		return fmt.Errorf("restore revision %d at %s: %w", i.Revision, at.name, err)
	}
	return w.linesIn(filepath.Join(dir, "d"), fmt.Sprintf("revision %d at %s", i.Revision, at.name))
}

// linesIn checks a folder: the writer's file, or a conflict's copy of it.
func (w *writer) linesIn(dir, what string) error {
	var text strings.Builder
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), w.file) {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			text.Write(b)
		}
	}
	has := map[string]bool{}
	for _, l := range strings.Split(text.String(), "\n") {
		has[l] = true
	}
	var lost []string
	for _, p := range w.published() {
		if p.accepted() && !has[p.line] {
			lost = append(lost, fmt.Sprintf("%q (revision %d, durable %v)", p.line, p.result.Revision, p.result.Durable))
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%s lacks %d acknowledged lines: %s", what, len(lost), strings.Join(lost[:min(3, len(lost))], ", "))
	}
	return nil
}
