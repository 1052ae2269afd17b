package worktree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// movedFile is a file of dest that becomes another entry by being renamed.
type movedFile struct {
	from  string
	stamp blockstore.Stamp // as it is recorded, and was at the look
	known int64            // ScannedNs of its record
	// staged: it is renamed to a temporary first, because a folder of the revision goes where it lies, or a
	// folder lies where it goes.
	staged bool
}

// moves notes which entries become what they are by the renaming of a file.
func (l *look) moves(ctx context.Context) error {
	c := l.c
	if len(c.o.Moves) == 0 {
		return nil
	}
	used := make(map[string]bool, len(c.o.Moves)) // sources that are taken, or the revision's
	kind := make(map[string]dag.Kind, len(c.o.Moves))
	for _, from := range c.o.Moves {
		kind[from] = 0
	}
	for _, e := range c.plan.Entries {
		if _, ok := kind[e.Path]; ok {
			kind[e.Path] = e.Kind
			used[e.Path] = e.Kind == dag.KindFile
		}
	}
	c.moves = make(map[int32]movedFile, len(c.o.Moves))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Workers)
	for i, e := range c.plan.Entries {
		from, ok := c.o.Moves[e.Path]
		if !ok || used[from] || e.Kind != dag.KindFile || !fs.ValidPath(from) || c.statusOf(int32(i)) != open {
			continue
		}
		rec, known := c.o.Known(from)
		if !known || rec.Set != c.set || rec.Stamp.Size != e.Size {
			continue
		}
		used[from] = true
		m := movedFile{from: from, stamp: rec.Stamp, known: rec.ScannedNs}
		m.staged = kind[from] != 0 || slices.Contains(l.folders, int32(i))
		g.Go(func() error {
			ok, err := l.movable(ctx, int32(i), m, rec.Cid == e.Cid)
			if err != nil || !ok {
				return err
			}
			l.keep(int32(i), m.stamp, m.known, false)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.moves[int32(i)] = m
			c.files[i].status = moving
			return nil
		})
	}
	return g.Wait()
}

// movable tells whether the file of m looks as it is recorded, and has the content of entry e: the record says so
// (same) if the CIDs are equal; with another mode or mtime they are not, and the file is read.
func (l *look) movable(ctx context.Context, e int32, m movedFile, same bool) (bool, error) {
	c := l.c
	folder, name := splitPath(m.from)
	dir, err := c.dirAt(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrKind) || errors.Is(err, errSwapped) {
		return false, nil
	}
	if err != nil {
		return false, ioError("look", err)
	}
	defer c.dirs.put(dir)
	info, err := dir.v.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || makeStamp(info) != m.stamp {
		return false, nil
	}
	if same {
		return true, nil
	}
	f, _, err := openRegular(dir.v.root, name, os.O_RDONLY, info)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	right, err := c.hashPlaces(ctx, f, e)
	return len(right) == len(c.plan.Entries[e].Leaves), err
}

// Release ends Hold: it makes the folders, renames the files that only move, and puts the complete ones in place; from
// then on Write puts a file in place with its last leaf. A file that was to be moved and was changed since
// the look stays where it is; its entry is left out and reported by Finish, and the next checkout builds it from
// its leaves. After an error it may be called again; when it has succeeded another call does nothing.
func (c *Checkout) Release(ctx context.Context) error {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held {
		if err := c.renameMoved(ctx, true); err != nil {
			return err
		}
		if err := c.makeDirs(); err != nil {
			return err
		}
		if err := c.renameMoved(ctx, false); err != nil {
			return err
		}
		c.mu.Lock()
		c.held = false
		c.mu.Unlock()
	}
	return c.placeComplete(ctx)
}

// renameMoved renames the moved files that are staged, or the others.
func (c *Checkout) renameMoved(ctx context.Context, staged bool) error {
	var todo []int32
	c.mu.Lock()
	for e, m := range c.moves {
		if m.staged == staged && c.files[e].status == moving {
			todo = append(todo, e)
		}
	}
	c.mu.Unlock()
	// By source, so that files of one folder share its handle, and always in the same order.
	slices.SortFunc(todo, func(a, b int32) int { return cmp.Compare(c.moves[a].from, c.moves[b].from) })
	for _, e := range todo {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.rename(e, c.moves[e]); err != nil {
			return err
		}
	}
	return nil
}

// rename makes the file of m entry e.
func (c *Checkout) rename(e int32, m movedFile) error {
	folder, name := splitPath(m.from)
	lost := &ConflictError{Paths: []string{m.from}}
	dir, err := c.dirAt(folder)
	if errors.Is(err, ErrKind) || errors.Is(err, errSwapped) || errors.Is(err, fs.ErrNotExist) {
		c.skip(e, lost)
		return nil
	}
	if err != nil {
		return ioError("move file", err)
	}
	defer c.dirs.put(dir)
	info, err := dir.v.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || makeStamp(info) != m.stamp {
		c.skip(e, lost)
		return nil
	}
	if m.staged {
		return c.stage(e, dir.v, name)
	}
	if err := c.noteAttr(e, m.stamp); err != nil {
		return err
	}
	err = c.moveInto(e, dir.v, name)
	if errors.Is(err, fs.ErrPermission) && allowWrites(dir.v.root) { // a folder of ours that a revision made read-only
		err = c.moveInto(e, dir.v, name)
	}
	if refused(err) || errors.Is(err, fs.ErrNotExist) {
		c.skip(e, err)
		return nil
	}
	if err != nil {
		return ioError("move file", err)
	}
	return c.finishMove(e, m)
}

// noteAttr writes that entry e is made of a file that looks like s, with its own mtime and then with that of the
// entry.
func (c *Checkout) noteAttr(e int32, s blockstore.Stamp) error {
	entry := c.plan.Entries[e]
	l := fileLine(entry.Path, s)
	lines := []line{l}
	if t := entry.Attr.Mtime; !t.IsZero() {
		l.mtime = t.UnixNano()
		lines = append(lines, l)
	}
	if err := c.journal.write(lines...); err != nil {
		return ioError("write journal", err)
	}
	return nil
}

// finishMove gives the file that was renamed to entry e its mode and mtime.
func (c *Checkout) finishMove(e int32, m movedFile) error {
	dir, err := c.dir(c.plan.parent[e])
	if err != nil {
		return ioError("move file", err)
	}
	defer c.dirs.put(dir)
	info, err := dir.v.root.Lstat(c.plan.name(e))
	if err != nil {
		return ioError("move file", err)
	}
	now, entry := makeStamp(info), c.plan.Entries[e]
	was := m.stamp
	was.CtimeNs = now.CtimeNs // the rename changes it
	if !info.Mode().IsRegular() || now != was {
		c.skip(e, &ConflictError{Paths: []string{entry.Path}}) // it was changed just before the rename
		return nil
	}
	c.mu.Lock()
	f := &c.files[e]
	f.status, f.stamp, f.known, f.fixAttr = placed, now, m.known, !hasAttr(now, entry.Attr)
	fix := f.fixAttr
	c.moved++
	c.mu.Unlock()
	if !fix {
		return nil
	}
	return c.fixAttr(e, entry)
}

// hasAttr tells whether a file that looks like s has mode and mtime of a.
func hasAttr(s blockstore.Stamp, a dag.Attr) bool {
	return s.Mode == a.Mode&0o777 && (a.Mtime.IsZero() || s.MtimeNs == a.Mtime.UnixNano())
}

// stage renames the file to the temporary of entry e, which is complete then.
func (c *Checkout) stage(e int32, dir *dirHandle, name string) error {
	tmp, as := c.temp(e)
	if err := c.o.step(); err != nil {
		return err
	}
	if err := move(dir, name, tmp, as); err != nil {
		return ioError("move file", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[e].status = open
	c.moved++
	return nil
}

// readMove reads from a file that is to be moved.
func (c *Checkout) readMove(m movedFile, buf []byte, off int64) error {
	folder, name := splitPath(m.from)
	dir, err := c.dirAt(folder)
	if err != nil {
		return err
	}
	defer c.dirs.put(dir)
	return readAt(dir.v.root, name, buf, off)
}

// placeComplete finishes the files whose temporaries are complete.
func (c *Checkout) placeComplete(ctx context.Context) error {
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Workers)
	for i, e := range c.plan.Entries {
		if group.Err() != nil {
			break
		}
		c.mu.Lock()
		f := &c.files[i]
		complete := e.Kind == dag.KindFile && len(e.Leaves) > 0 && f.status == open && f.left == 0
		if complete {
			f.status = placing
		}
		c.mu.Unlock()
		if complete {
			g.Go(func() error { return c.placeTemp(int32(i)) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// placeTemp puts the complete temporary of entry e in place.
func (c *Checkout) placeTemp(e int32) error {
	c.parts.drop(e)
	err := c.openAndPlace(e)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.files[e].status = open // for another Release
	}
	return err
}

func (c *Checkout) openAndPlace(e int32) error {
	dir, name := c.temp(e)
	info, err := dir.root.Lstat(name)
	if err != nil {
		return ioError("open temporary", err)
	}
	f, _, err := openRegular(dir.root, name, os.O_RDONLY, info)
	if errors.Is(err, fs.ErrPermission) { // it has its mode already
		f, err = c.openTemp(e, 0)
	}
	if err != nil {
		return ioError("open temporary", err)
	}
	defer f.Close()
	return c.place(e, f)
}
