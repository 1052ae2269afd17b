//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// delta: how many bytes an update takes, and how long, from an author who edited in place, from a follower
// that has the old bytes, from two followers; beside rsync and casync on the same edits.
func (b *bench) delta(ctx context.Context) error {
	if err := b.deltaOnCable(ctx); err != nil {
		fmt.Println("without interface counters:", err)
	}
	var missed []string
	for _, e := range edits(b.size) {
		t := &trial{b: b, edit: e}
		err := t.run(ctx)
		t.end()
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		missed = append(missed, t.print()...)
	}
	fmt.Printf("\n%d figures miss their bar\n", len(missed))
	for _, m := range missed {
		fmt.Println("  ", m)
	}
	return nil
}

// trial is one case of the table.
type trial struct {
	b    *bench
	edit edit
	data string // the author's folder

	author  *machine
	readers []*machine // in the order in which they update
	set     string

	rsyncd *daemon
	url    string
	copied string // rsync's copy
	casync *casyncStore

	rows    []*row
	written int64 // bytes of rewritten files in a round, at most
}

// row is one line of the table: a figure a round.
type row struct {
	name   string
	bar    int64 // bytes; 0 = none
	bytes  []int64
	wall   []float64 // seconds of the whole command
	inside []float64 // seconds of the operation
	note   string
}

func (r *row) add(u usage, inside float64, bytes int64) {
	r.bytes = append(r.bytes, bytes)
	r.wall = append(r.wall, u.wall.Seconds())
	r.inside = append(r.inside, inside)
}

// Rows of the table, by index.
const (
	publishing = iota
	fromAuthor
	fromOne
	fromTwo
	byRsync
	byCasync
)

func (t *trial) end() {
	t.rsyncd.kill()
	t.author.kill()
	for _, r := range t.readers {
		r.kill()
	}
}

func (t *trial) run(ctx context.Context) error {
	t.rows = []*row{{name: "publish"}, {name: "get from the author, who edited in place", bar: t.edit.inPlace},
		{name: "get from one follower, who has the old bytes", bar: t.edit.held}, {name: "get from two such followers", bar: t.edit.held},
		{name: "rsync -a --delete, from its daemon"}, {name: "casync make + extract, over HTTP"}}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	for round := range t.b.rounds {
		if err := t.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// prepare makes revision 1 and brings everybody to it.
func (t *trial) prepare(ctx context.Context) error {
	t.data = t.b.fresh("data")
	if err := t.edit.make(t.data); err != nil {
		return err
	}
	if err := age(t.data); err != nil {
		return err
	}
	t.author = t.b.machine("author")
	if err := t.author.run(ctx); err != nil {
		return err
	}
	_, shared, err := t.author.do(ctx, "share", t.data)
	if err != nil {
		return err
	}
	t.set = shared.Set
	for range 3 {
		m := t.b.machine("reader")
		t.readers = append(t.readers, m)
		if _, _, err := m.get(ctx, t.set, []*machine{t.author}); err != nil {
			return err
		}
	}
	if t.rsyncd, t.url, err = t.b.startRsync(ctx, t.data); err != nil {
		return err
	}
	t.copied = t.b.fresh("rsync-copy")
	if _, _, err := timed(ctx, "rsync", "-a", t.url, t.copied+"/"); err != nil {
		return err
	}
	t.casync, err = t.b.newCasync(ctx, t.data)
	if err != nil {
		t.rows[byCasync].note = fmt.Sprintf("left out: %v", err)
	}
	return nil
}

// round makes one edit and lets everybody have it, one after the other.
func (t *trial) round(ctx context.Context, round int) error {
	if t.author.node == nil {
		if err := t.author.run(ctx); err != nil {
			return err
		}
	}
	written, err := t.edit.change(t.data, round)
	if err != nil {
		return err
	}
	t.written = max(t.written, written)
	u, published, err := t.author.do(ctx, "publish", t.data)
	if err != nil {
		return err
	}
	t.rows[publishing].add(u, published.Seconds, 0)
	if err := t.update(ctx, fromAuthor, published, t.author); err != nil {
		return err
	}
	t.author.kill() // from here on its folder is only what the others are compared with
	for i, source := range t.readers[:2] {
		if err := source.run(ctx); err != nil {
			return err
		}
		if err := t.update(ctx, fromOne+i, published, t.readers[:i+1]...); err != nil {
			return err
		}
	}
	for _, r := range t.readers {
		r.kill()
	}
	if err := t.others(ctx, round); err != nil {
		return err
	}
	return same(ctx, t.data, t.copied, t.readers[0].dest, t.readers[1].dest, t.readers[2].dest)
}

// update is one reader's get, and another when there is nothing left to get, which tells what joining and
// asking take by themselves.
func (t *trial) update(ctx context.Context, which int, want result, sources ...*machine) error {
	reader, row := t.readers[which-fromAuthor], t.rows[which]
	before, err := sources[0].sent(ctx)
	if err != nil {
		return err
	}
	settle()
	u, r, err := reader.get(ctx, t.set, sources)
	if err != nil {
		return fmt.Errorf("%s: %w", row.name, err)
	}
	after, err := sources[0].sent(ctx)
	if err != nil {
		return err
	}
	if r.Root != want.Root {
		return fmt.Errorf("%s: revision %d, %s instead of %s", row.name, r.Revision, r.Root, want.Root)
	}
	row.add(u, r.Seconds, r.WireIn+r.WireOut)
	_, again, err := reader.get(ctx, t.set, sources)
	if err != nil {
		return fmt.Errorf("%s: again: %w", row.name, err)
	}
	row.note = fmt.Sprintf("%s in, %s out; sent by the seeder %s; %s when nothing is new", bytesOf(r.WireIn), bytesOf(r.WireOut),
		bytesOf(after-before), bytesOf(again.WireIn+again.WireOut))
	return nil
}

// others lets rsync and, once, casync do the same.
func (t *trial) others(ctx context.Context, round int) error {
	settle()
	u, bytes, err := rsyncUpdate(ctx, nil, t.url, t.copied)
	if err != nil {
		return err
	}
	t.rows[byRsync].add(u, u.wall.Seconds(), bytes)
	if t.casync == nil || round > 0 { // half a minute for a GiB: once is enough
		return nil
	}
	settle()
	made, got, bytes, err := t.casync.update(ctx, t.data)
	if err != nil {
		return err
	}
	t.rows[byCasync].add(usage{wall: made.wall + got.wall}, got.wall.Seconds(), bytes)
	t.rows[byCasync].note = fmt.Sprintf("make %.2f s, one round", made.wall.Seconds())
	return same(ctx, t.data, t.casync.dest)
}

// print writes the rows and returns the figures that miss their bar.
func (t *trial) print() (missed []string) {
	fmt.Printf("\n%s (median of %d rounds; bytes: the largest)\n", t.edit.name, t.b.rounds)
	fmt.Printf("  %-46s %11s %9s    %7s %7s %7s %9s %8s  %s\n", "", "bytes", "bar", "wall s", "min", "max", "inside s", "of rsync", "last round")
	whole := middle(t.rows[byRsync].wall)
	for i, r := range t.rows {
		if len(r.wall) == 0 {
			fmt.Printf("  %-46s %s\n", r.name, r.note)
			continue
		}
		bar, mark := "", ""
		if r.bar > 0 {
			limit := r.bar
			if t.edit.perByte {
				limit += t.written
			}
			bar = bytesOf(limit)
			if got := most64(r.bytes); got > limit {
				mark = "!"
				missed = append(missed, fmt.Sprintf("%s, %s: %s of %s bytes", t.edit.name, r.name, bytesOf(got), bar))
			}
		}
		wall, ratio := middle(r.wall), ""
		if i != publishing {
			ratio = fmt.Sprintf("%.2fx", wall/whole)
		}
		if t.edit.large && r.bar > 0 && wall > whole {
			ratio += "!"
			missed = append(missed, fmt.Sprintf("%s, %s: %.2f s where rsync takes %.2f s", t.edit.name, r.name, wall, whole))
		}
		fmt.Printf("  %-46s %11s %9s %-2s %7.2f %7.2f %7.2f %9.3f %8s  %s\n", r.name, bytesOf(most64(r.bytes)), bar, mark,
			wall, least64(r.wall), most64(r.wall), middle(r.inside), ratio, r.note)
	}
	return missed
}

// deltaOnCable does the first case in two network namespaces and holds the bytes that the streams counted
// against what the interface did, beside rsync over the same cable.
func (b *bench) deltaOnCable(ctx context.Context) error {
	cable, err := newPair(ctx, fmt.Sprintf("shoal-bench-%d", time.Now().UnixNano()%1e6))
	if err != nil {
		return err
	}
	defer cable.close()
	e := edits(b.size)[0]
	data := b.fresh("data")
	if err := errors.Join(e.make(data), age(data)); err != nil {
		return err
	}
	author, reader := b.machine("author"), b.machine("reader")
	author.space, author.listen = cable.left, "/ip4/"+leftIP+"/tcp/0"
	reader.space, reader.listen = cable.right, "/ip4/"+rightIP+"/tcp/0"
	if err := author.run(ctx); err != nil {
		return err
	}
	defer author.kill()
	_, shared, err := author.do(ctx, "share", data)
	if err != nil {
		return err
	}
	rsyncd, url, err := b.startRsyncIn(ctx, author, leftIP, data)
	if err != nil {
		return err
	}
	defer rsyncd.kill()
	copied := b.fresh("rsync-copy")
	fmt.Printf("\nstreams and interface counters compared: %s\n", e.name)
	fmt.Printf("  %-34s %12s %12s %12s\n", "", "streams", "interface", "rsync, same")
	for _, step := range []string{"the whole set", "nothing changed", e.name} {
		if step == e.name {
			if _, err := e.change(data, 0); err != nil {
				return err
			}
			if _, _, err := author.do(ctx, "publish", data); err != nil {
				return err
			}
		}
		var r result
		took, err := cable.during(ctx, func() (err error) {
			_, r, err = reader.get(ctx, shared.Set, []*machine{author})
			return err
		})
		if err != nil {
			return err
		}
		rsynced, err := cable.during(ctx, func() error {
			_, _, err := rsyncUpdate(ctx, reader, url, copied)
			return err
		})
		if err != nil {
			return err
		}
		fmt.Printf("  %-34s %12s %12s %12s\n", step, bytesOf(r.WireIn+r.WireOut), bytesOf(took), bytesOf(rsynced))
	}
	fmt.Println("  (the interface also sees headers of TCP and IP, both handshakes, and what libp2p says of itself once a connection)")
	return same(ctx, data, reader.dest, copied)
}
