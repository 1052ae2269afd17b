package worktree

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// makeDirs makes the folders that are missing. All can be entered and written by us until Finish.
func (c *Checkout) makeDirs() error {
	for i, e := range c.plan.Entries {
		i := int32(i)
		if i == 0 || e.Kind != dag.KindDir {
			continue
		}
		if c.statusOf(c.plan.parent[i]) == skipped {
			c.mu.Lock()
			c.leaveOut(i)
			c.mu.Unlock()
		}
		if c.statusOf(i) == skipped {
			continue
		}
		var err error
		if mode := c.mode(i); mode == 0 {
			err = c.makeDir(i)
		} else if mode.Perm()&0o700 != 0o700 {
			err = c.makeWritable(i)
		}
		if err != nil {
			return err
		}
	}
	c.inheritSkips()
	return nil
}

// mode is that of folder entry i at the look, 0 if it was not there.
func (c *Checkout) mode(i int32) fs.FileMode {
	if c.modes == nil {
		return 0
	}
	return c.modes[i]
}

// makeDir makes folder entry i, or skips it and all below if its name is taken.
func (c *Checkout) makeDir(i int32) error {
	if err := c.o.step(); err != nil {
		return err
	}
	note := line{kind: dag.KindDir, path: c.plan.Entries[i].Path}
	if !c.journal.lazy {
		if err := c.journal.write(note); err != nil {
			return ioError("write journal", err)
		}
	}
	parent, err := c.dir(c.plan.parent[i])
	if err != nil {
		return ioError("make folder", err)
	}
	defer c.dirs.put(parent)
	name := c.plan.name(i)
	err = parent.v.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if err = c.occupied(i, parent.v); errors.Is(err, ErrConflict) {
			if isDir(parent.v.root, name) {
				return nil // somebody else made the very folder
			}
			err = c.replaceByDir(i, parent.v, name)
		}
	}
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrCollision), isBadName(err):
		c.skip(i, err)
		return nil
	case err != nil:
		return ioError("make folder", err)
	case c.journal.lazy:
		c.journal.later(note)
	}
	return nil
}

// replaceByDir makes the folder of entry i in the place of something else.
func (c *Checkout) replaceByDir(i int32, parent *dirHandle, name string) error {
	over, err := c.makeWay(i, parent)
	if err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if over {
		if err := parent.root.Remove(name); err != nil {
			return err
		}
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if err = parent.root.Mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
		err = c.occupied(i, parent)
	}
	return err
}

// makeWritable lets us work in a folder that exists; Finish sets its mode.
func (c *Checkout) makeWritable(i int32) error {
	dir, err := c.dir(i)
	if err != nil {
		return ioError("open folder", err)
	}
	defer c.dirs.put(dir)
	info, err := dir.v.self.Stat()
	if err == nil && info.Mode().Perm()&0o700 != 0o700 {
		err = dir.v.self.Chmod(info.Mode().Perm() | 0o700)
	}
	if err != nil {
		return ioError("open folder", err)
	}
	return nil
}

// fill copies leaves that are here to their other places, and takes what it can from files that will be
// replaced (old: the places) and from elsewhere on this disk.
func (c *Checkout) fill(ctx context.Context, old []uint32) error {
	from := make(map[uint32]uint32, len(old)) // leaf: place
	for _, p := range old {
		from[c.plan.leaf[p]] = p
	}
	g, group := errgroup.WithContext(ctx) // group's end must not be the end of ctx below
	g.SetLimit(c.o.Workers)
	bufs := sync.Pool{New: func() any { return new([]byte) }}
	for i := range c.plan.Leaves {
		i := uint32(i)
		c.mu.Lock()
		here, lacking := c.somewhere(i), len(c.openPlaces(i)) > 0
		if here && !lacking {
			c.leaves[i] = have
		}
		c.mu.Unlock()
		p, inOld := from[i]
		if !lacking || !here && !inOld && c.o.Local == nil {
			continue
		}
		g.Go(func() error {
			buf := bufs.Get().(*[]byte)
			defer bufs.Put(buf)
			return c.fillLeaf(group, i, p, inOld, buf)
		})
	}
	return g.Wait()
}

// fillLeaf spreads leaf i from where it is. If it cannot be read after all it must be fetched.
func (c *Checkout) fillLeaf(ctx context.Context, i, oldPlace uint32, inOld bool, buf *[]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := c.Read(i, *buf)
	if err != nil && inOld {
		data = slices.Grow((*buf)[:0], c.plan.size(oldPlace))[:c.plan.size(oldPlace)]
		err = c.readFinal(c.plan.owner[oldPlace], data, c.plan.off[oldPlace])
		if err == nil {
			err = blockstore.Verify(c.plan.Leaves[i].Cid, data)
		}
	}
	if err != nil && c.o.Local != nil {
		data, err = c.o.Local(ctx, c.plan.Leaves[i].Cid, *buf)
	}
	if err != nil || len(data) != int(c.plan.Leaves[i].Size) {
		return ctx.Err()
	}
	*buf = data
	return c.write(i, data)
}

// zeroSums remembers the CIDs of zero bytes by size, so that holes need no hashing. The zero value is
// ready.
type zeroSums struct{ m sync.Map }

// is tells whether c is n zero bytes.
func (z *zeroSums) is(c cid.Cid, n int) bool {
	sum, ok := z.m.Load(n)
	if !ok {
		sum, _ = z.m.LoadOrStore(n, blockstore.Sum(cid.Raw, make([]byte, n)))
	}
	return sum.(cid.Cid) == c
}
