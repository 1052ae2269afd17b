package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Result is what a finished checkout did.
type Result struct {
	Files     int        // in place and recorded
	Moved     int        // files of Files that were renamed: see CheckoutOptions.Moves
	Skipped   []Skipped  // left out, by path; of a folder that is left out only itself
	Conflicts []Conflict // renamed aside, by path: see CheckoutOptions.CopyConflicts
}

// Finish completes the folder when Need is empty: Release if that was not called, empty files, symlinks, records of
// all files through put (at most 512 a call, with their leaves), removal of the temporaries and, unless the
// layout is Partial, of what a checkout that was killed put in place for a revision that is not this one;
// modes of the folders. Nothing is synced; see Sync. Errors: ErrIncomplete while leaves are missing; those of
// put.
func (c *Checkout) Finish(ctx context.Context, put func(...blockstore.File) error) (Result, error) {
	if err := c.complete(); err != nil {
		return Result{}, err
	}
	if err := c.Release(ctx); err != nil {
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
	if err := c.cleanUp(); err != nil {
		return Result{}, err
	}
	if err := c.dirModes(); err != nil {
		return Result{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.skipped, func(a, b Skipped) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(c.conflicts, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	return Result{Files: n, Moved: c.moved, Skipped: slices.Clone(c.skipped), Conflicts: slices.Clone(c.conflicts)}, nil
}

// cleanUp removes what no revision needs.
func (c *Checkout) cleanUp() error {
	if !c.o.Partial {
		if err := c.removeOrphans(); err != nil {
			return err
		}
	}
	c.parts.Close()
	c.journal.drop()
	if err := c.o.step(); err != nil {
		return err
	}
	if err := c.root.RemoveAll(TempDir); err != nil {
		return ioError("remove temporaries", err)
	}
	return nil
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
	note := line{kind: dag.KindSymlink, path: e.Path, target: e.Target}
	if c.journal.lazy {
		c.journal.later(note)
	} else if err := c.journal.write(note); err != nil {
		return ioError("write journal", err)
	}
	if err := c.o.step(); err != nil {
		return err
	}
	err = dir.v.root.Symlink(e.Target, name)
	if errors.Is(err, fs.ErrExist) {
		if err = c.occupied(i, dir.v); errors.Is(err, ErrConflict) {
			err = c.replaceByLink(i, e, dir.v, name)
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

// replaceByLink makes the symlink of entry i in the place of something else, in one step if that may be
// overwritten.
func (c *Checkout) replaceByLink(i int32, e dag.Entry, dir *dirHandle, name string) error {
	over, err := c.makeWay(i, dir)
	if err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if !over {
		return dir.root.Symlink(e.Target, name)
	}
	tmp := tempName(e)
	if err := c.tmp.root.RemoveAll(tmp); err != nil {
		return err
	}
	if err := c.tmp.root.Symlink(e.Target, tmp); err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	return move(c.tmp, tmp, dir, name)
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
	if err := c.noteAttr(i, seen); err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	err = f.Chmod(fs.FileMode(e.Attr.Mode & 0o777))
	if t := e.Attr.Mtime; err == nil && !t.IsZero() {
		if err := c.o.step(); err != nil {
			return err
		}
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
		n++
		if c.o.Partial && f.unread {
			continue
		}
		leaves := make([]blockstore.Leaf, len(e.Leaves))
		for k, l := range e.Leaves {
			leaves[k] = c.plan.Leaves[l]
		}
		batch = append(batch, blockstore.File{
			Set: c.set, Tree: c.dest, Path: e.Path, Stamp: f.stamp, ScannedNs: f.known, Cid: e.Cid, Leaves: leaves,
		})
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

// dirModes sets the modes of the folders where they differ, the deepest first: one may forbid us to enter it.
func (c *Checkout) dirModes() error {
	for i := len(c.plan.Entries) - 1; i >= 0; i-- {
		e := c.plan.Entries[i]
		want := fs.FileMode(e.Attr.Mode & 0o777)
		if e.Kind != dag.KindDir || c.files[i].status == skipped || i == 0 && !c.made {
			continue // a folder that was there already keeps the mode its owner gave it
		}
		if was := c.mode(int32(i)); was != 0 && c.theirs(e.Path) {
			want = was.Perm() // which makeWritable may have changed
		}
		if was := c.mode(int32(i)); was.IsDir() && was.Perm() == want && want&0o700 == 0o700 {
			continue
		}
		dir, err := c.dir(int32(i))
		if err == nil {
			if err = c.o.step(); err == nil {
				err = dir.v.self.Chmod(want)
			}
			c.dirs.put(dir)
		}
		if err != nil {
			return ioError("set mode of folder", err)
		}
	}
	return nil
}

// theirs: the folder at path is the user's, if it was there before this checkout: no other that this one goes on with has
// made it.
func (c *Checkout) theirs(path string) bool {
	return !c.made && c.o.Theirs(path) && !slices.ContainsFunc(c.journal.old[path], func(l line) bool { return l.kind == dag.KindDir })
}

// removeOrphans removes what earlier checkouts of this folder put in place, nobody recorded or changed, and this
// revision does not have.
func (c *Checkout) removeOrphans() error {
	paths := slices.Sorted(maps.Keys(c.journal.old))
	kinds := make(map[string]dag.Kind, len(paths))
	for _, e := range c.plan.Entries {
		if len(c.journal.old[e.Path]) > 0 {
			kinds[e.Path] = e.Kind
		}
	}
	for _, path := range slices.Backward(paths) { // what lies in a folder before the folder
		if kinds[path] != 0 {
			continue
		}
		if err := c.removeOrphan(path, c.journal.old[path]); err != nil {
			return ioError("remove what was left", err)
		}
	}
	return nil
}

func (c *Checkout) removeOrphan(path string, lines []line) error {
	folder, name := splitPath(path)
	dir, err := c.dirAt(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrKind) || errors.Is(err, errSwapped) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.dirs.put(dir)
	info, err := dir.v.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own := false
	switch {
	case info.IsDir():
		own = slices.ContainsFunc(lines, func(l line) bool { return l.kind == dag.KindDir })
	case info.Mode().IsRegular():
		own = c.journal.owns(path, makeStamp(info))
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := dir.v.root.Readlink(name)
		own = err == nil && c.journal.ownsLink(path, target)
	}
	if !own {
		return nil
	}
	if err := c.o.step(); err != nil {
		return err
	}
	err = dir.v.root.Remove(name)
	if info.IsDir() {
		return nil // it may hold something
	}
	return err
}
