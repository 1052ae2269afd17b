package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Result is what a finished checkout did.
type Result struct {
	Files   int       // in place and recorded
	Skipped []Skipped // left out, by path; of a folder that is left out only itself
}

// Finish completes the folder when Need is empty: empty files, symlinks, modes of the folders, records of
// all files through put (at most 512 a call, with their leaves), removal of the temporaries. Nothing is
// synced; see Sync. Errors: ErrIncomplete while leaves are missing; those of put.
func (c *Checkout) Finish(ctx context.Context, put func(...blockstore.File) error) (Result, error) {
	if err := c.complete(); err != nil {
		return Result{}, err
	}
	for i, e := range c.plan.Entries {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		if err := c.finishEntry(int32(i), e); err != nil {
			return Result{}, err
		}
	}
	n, err := c.record(put)
	if err != nil {
		return Result{}, err
	}
	c.parts.Close()
	if err := c.root.RemoveAll(TempDir); err != nil {
		return Result{}, ioError("remove temporaries", err)
	}
	if err := c.dirModes(); err != nil {
		return Result{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.skipped, func(a, b Skipped) int { return strings.Compare(a.Path, b.Path) })
	return Result{Files: n, Skipped: slices.Clone(c.skipped)}, nil
}

func (c *Checkout) complete() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.leaves {
		if c.wanted(uint32(i)) {
			return fmt.Errorf("checkout: %w: leaf %d is missing", ErrIncomplete, i)
		}
	}
	for i, f := range c.files {
		if f.status == placing {
			return fmt.Errorf("checkout: %w: %q is being written", ErrIncomplete, c.plan.Entries[i].Path)
		}
	}
	return nil
}

// finishEntry makes what has no leaves, and sets the attributes of files that were right already.
func (c *Checkout) finishEntry(i int32, e dag.Entry) error {
	c.mu.Lock()
	f := c.files[i]
	c.mu.Unlock()
	switch {
	case f.status == open && e.Kind == dag.KindFile:
		return c.writeWhole(i, 0, nil)
	case f.status == open && e.Kind == dag.KindSymlink:
		return c.symlink(i, e)
	case f.status == placed && f.fixAttr:
		return c.fixAttr(i, e)
	}
	return nil
}

func (c *Checkout) symlink(i int32, e dag.Entry) error {
	if err := checkTarget(e.Path, e.Target); err != nil {
		c.skip(i, err)
		return nil
	}
	dir, err := c.dir(c.plan.parent[i])
	if err != nil {
		return ioError("make symlink", err)
	}
	defer c.dirs.put(dir)
	name := c.plan.name(i)
	err = dir.v.root.Symlink(e.Target, name)
	if errors.Is(err, fs.ErrExist) {
		if err = c.occupied(i, dir.v); errors.Is(err, ErrConflict) && c.o.Force && !isDir(dir.v.root, name) {
			if err = dir.v.root.Remove(name); err == nil {
				err = dir.v.root.Symlink(e.Target, name)
			}
		}
	}
	if err != nil {
		c.skip(i, err) // some systems have none, or keep them for administrators
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[i].status = placed
	return nil
}

// fixAttr gives a file that is right but for mode or mtime those of the revision.
func (c *Checkout) fixAttr(i int32, e dag.Entry) error {
	dir, err := c.dir(c.plan.parent[i])
	if err != nil {
		return ioError("set attributes", err)
	}
	defer c.dirs.put(dir)
	name := c.plan.name(i)
	c.mu.Lock()
	seen := c.files[i].stamp
	c.mu.Unlock()
	known := c.o.Now().UnixNano()
	info, err := dir.v.root.Lstat(name)
	if err != nil || makeStamp(info) != seen {
		c.skip(i, &ConflictError{Paths: []string{e.Path}})
		return nil
	}
	f, _, err := openRegular(dir.v.root, name, os.O_RDONLY, info)
	if err != nil {
		return ioError("set attributes", err)
	}
	defer f.Close()
	err = f.Chmod(fs.FileMode(e.Attr.Mode & 0o777))
	if t := e.Attr.Mtime; err == nil && !t.IsZero() {
		err = setMtime(dir.v, name, t)
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return ioError("set attributes", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[i].stamp, c.files[i].known = makeStamp(info), known
	return nil
}

// record reports every file that is in place, in path order.
func (c *Checkout) record(put func(...blockstore.File) error) (int, error) {
	n := 0
	var batch []blockstore.File
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := put(batch...)
		batch = nil // the callee may keep it
		return err
	}
	for i, e := range c.plan.Entries {
		c.mu.Lock()
		f := c.files[i]
		c.mu.Unlock()
		if e.Kind != dag.KindFile || f.status != placed {
			continue
		}
		leaves := make([]blockstore.Leaf, len(e.Leaves))
		for k, l := range e.Leaves {
			leaves[k] = c.plan.Leaves[l]
		}
		batch = append(batch, blockstore.File{
			Set: c.set, Tree: c.dest, Path: e.Path, Stamp: f.stamp, ScannedNs: f.known, Cid: e.Cid, Leaves: leaves,
		})
		n++
		if len(batch) == batchFiles {
			if err := flush(); err != nil {
				return n, fmt.Errorf("checkout: record: %w", err)
			}
		}
	}
	if err := flush(); err != nil {
		return n, fmt.Errorf("checkout: record: %w", err)
	}
	return n, nil
}

// dirModes sets the modes of the folders, the deepest first: one may forbid us to enter it.
func (c *Checkout) dirModes() error {
	for i := len(c.plan.Entries) - 1; i >= 0; i-- {
		e := c.plan.Entries[i]
		if e.Kind != dag.KindDir || c.files[i].status == skipped || i == 0 && !c.made {
			continue // a folder that was there already keeps the mode its owner gave it
		}
		dir, err := c.dir(int32(i))
		if err == nil {
			err = dir.v.self.Chmod(fs.FileMode(e.Attr.Mode & 0o777))
			c.dirs.put(dir)
		}
		if err != nil {
			return ioError("set mode of folder", err)
		}
	}
	return nil
}
