package worktree

import (
	"context"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// compare decides of each file that exists whether it stays, may be replaced, or is in conflict.
func (l *look) compare(ctx context.Context, files []existing) error {
	c := l.c
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Workers)
	for _, x := range files {
		entry := &c.plan.Entries[x.entry]
		stamp := makeStamp(x.info)
		rec, known := c.o.Known(entry.Path)
		own := known && (rec.Stamp == stamp || rotten(rec, stamp)) || c.wrote(entry.Path, stamp)
		c.mu.Lock()
		c.files[x.entry].ours = own
		c.mu.Unlock()
		l.mu.Lock()
		l.ours = l.ours || known
		l.mu.Unlock()
		if known && rec.Cid == entry.Cid && rec.Set == c.set && Trusted(stamp, rec) {
			l.keep(x.entry, stamp, rec.ScannedNs, true)
			continue
		}
		if known && rec.Stamp == stamp && rec.Cid != entry.Cid && c.o.Local != nil {
			continue // Local finds its leaves by the records: once read is enough
		}
		g.Go(func() error { return l.compareBytes(ctx, x, own || c.o.Force || c.o.copies()) })
	}
	return g.Wait()
}

// rotten tells whether a file that was found damaged (its record's ScannedNs is 0) looks as nobody's edit: an
// editor changes mtime or inode. What damages a file may well touch its ctime.
func rotten(rec blockstore.File, now blockstore.Stamp) bool {
	now.CtimeNs = rec.Stamp.CtimeNs
	return rec.ScannedNs == 0 && rec.Stamp == now
}

// keep notes that the file of entry e is right as it is.
func (l *look) keep(e int32, stamp blockstore.Stamp, known int64, unread bool) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.files[e]
	f.status, f.left, f.stamp, f.known = placed, 0, stamp, known
	f.fixAttr = !hasAttr(stamp, c.plan.Entries[e].Attr)
	f.unread = unread && !f.fixAttr
	for p := c.plan.first[e]; p < c.plan.first[e+1]; p++ {
		c.done.set(p)
	}
}

func (l *look) compareBytes(ctx context.Context, x existing, mayReplace bool) error {
	c := l.c
	var right []uint32
	known := c.o.Now().UnixNano()
	if x.info.Size() == c.plan.Entries[x.entry].Size {
		dir, err := c.dir(c.plan.parent[x.entry])
		if err != nil {
			return ioError("look", err)
		}
		defer c.dirs.put(dir)
		f, _, err := openRegular(dir.v.root, c.plan.name(x.entry), os.O_RDONLY, x.info)
		if err != nil {
			return ioError("look", err)
		}
		defer f.Close()
		if right, err = c.hashPlaces(ctx, f, x.entry); err != nil {
			return err
		}
		if sameStamp(f, makeStamp(x.info)) == nil && len(right) == len(c.plan.Entries[x.entry].Leaves) {
			l.keep(x.entry, makeStamp(x.info), known, false)
			return nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if mayReplace {
		l.old = append(l.old, right...)
	} else {
		l.conflict(c.plan.Entries[x.entry].Path)
	}
	return nil
}

// hashPlaces returns the places of entry e that hold the right bytes in f. An unreadable part is wrong.
func (c *Checkout) hashPlaces(ctx context.Context, f *os.File, e int32) ([]uint32, error) {
	var right []uint32
	var buf []byte
	for p := c.plan.first[e]; p < c.plan.first[e+1]; p++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := c.plan.size(p)
		buf = slices.Grow(buf[:0], n)[:n]
		if readFull(f, buf, c.plan.off[p]) != nil {
			continue
		}
		want := c.plan.Leaves[c.plan.leaf[p]].Cid
		if isZero(buf) && !c.zero.is(want, n) {
			continue // a hole
		}
		if blockstore.Verify(want, buf) == nil {
			right = append(right, p)
		}
	}
	return right, nil
}

// tempAt is where a temporary lies: in which of the shards, and its name.
type tempAt struct {
	shard int
	name  string
}

// temporaries finds out what a checkout that was killed had written to TempDir.
func (l *look) temporaries(ctx context.Context, tmp *os.Root) error {
	c := l.c
	there := map[tempAt]*os.Root{}
	for i := -1; i < len(c.shards); i++ {
		dir := tmp
		if i >= 0 {
			var err error
			if dir, err = openDir(tmp, strconv.Itoa(i)); err != nil {
				continue // not made yet, or made anew when it is needed
			}
			defer dir.Close()
		}
		names, err := readNames(dir)
		if err != nil {
			return ioError("look", err)
		}
		for _, n := range names {
			there[tempAt{i, n}] = dir
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Workers)
	for i, e := range c.plan.Entries {
		if e.Kind != dag.KindFile || len(e.Leaves) == 0 || c.statusOf(int32(i)) != open {
			continue
		}
		name := tempName(e)
		if dir := there[tempAt{c.shard(int32(i), name), name}]; dir != nil {
			g.Go(func() error { return c.hashTemp(ctx, dir, int32(i)) })
		}
	}
	return g.Wait()
}

func (c *Checkout) hashTemp(ctx context.Context, tmp *os.Root, e int32) error {
	name := tempName(c.plan.Entries[e])
	info, err := tmp.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > c.plan.Entries[e].Size {
		return nil // of no use: openTemp will cut it off
	}
	f, _, err := openRegular(tmp, name, os.O_RDONLY, info)
	if err != nil {
		return nil
	}
	defer f.Close()
	right, err := c.hashPlaces(ctx, f, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range right {
		c.done.set(p)
		c.files[e].left--
	}
	return err
}
