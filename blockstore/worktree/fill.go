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
func (c *Checkout) makeDirs(l *look) error {
	for i, e := range c.plan.Entries {
		i := int32(i)
		if i == 0 || e.Kind != dag.KindDir || c.files[i].status == skipped {
			continue
		}
		if c.files[c.plan.parent[i]].status == skipped {
			c.files[i].status = skipped
			continue
		}
		var err error
		if l.modes != nil && l.modes[i] != 0 {
			if l.modes[i].Perm()&0o700 != 0o700 {
				err = c.makeWritable(i)
			}
		} else {
			err = c.makeDir(i, slices.Contains(l.inWay, i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes folder entry i, or skips it and all below if its name is taken.
func (c *Checkout) makeDir(i int32, inWay bool) error {
	parent, err := c.dir(c.plan.parent[i])
	if err != nil {
		return ioError("make folder", err)
	}
	defer c.dirs.put(parent)
	name := c.plan.name(i)
	if inWay {
		if err := parent.v.root.Remove(name); err != nil {
			return ioError("remove", err)
		}
	}
	err = parent.v.root.Mkdir(name, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		if err = c.occupied(i, parent.v); errors.Is(err, ErrConflict) && isDir(parent.v.root, name) {
			return nil // somebody else made the very folder
		}
		c.skip(i, err)
		return nil
	case isBadName(err):
		c.skip(i, err)
		return nil
	case err != nil:
		return ioError("make folder", err)
	}
	return nil
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

// fill copies leaves that are here to their other places, takes what it can from files that will be
// replaced (old: the places), and moves into place the files that are complete.
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
		if !lacking || !here && !inOld {
			continue
		}
		g.Go(func() error {
			buf := bufs.Get().(*[]byte)
			defer bufs.Put(buf)
			return c.fillLeaf(group, i, p, inOld, buf)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.placeComplete(ctx)
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
	if err != nil {
		return nil
	}
	*buf = data
	return c.write(i, data)
}

// placeComplete finishes the files whose temporaries a checkout that was killed had completed.
func (c *Checkout) placeComplete(ctx context.Context) error {
	for i, e := range c.plan.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.mu.Lock()
		f := &c.files[i]
		complete := e.Kind == dag.KindFile && len(e.Leaves) > 0 && f.status == open && f.left == 0
		if complete {
			f.status = placing
		}
		c.mu.Unlock()
		if !complete {
			continue
		}
		tmp, err := c.openTemp(int32(i), 0)
		if err != nil {
			return ioError("open temporary", err)
		}
		err = c.place(int32(i), tmp)
		tmp.Close()
		if err != nil {
			return err
		}
	}
	return nil
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
