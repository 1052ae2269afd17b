package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// maxPaths is how many paths a ConflictError lists: enough to recognise the folder.
const maxPaths = 10

// look is the first, reading half of NewCheckout. It notes in the checkout what is already right, and
// changes nothing on disk.
type look struct {
	c     *Checkout
	root  *os.Root          // nil: dest does not exist
	names []map[string]bool // of each folder entry that exists: what is in it and not in the revision
	modes []fs.FileMode     // of each folder entry that exists

	mu        sync.Mutex // guards what follows
	ours      bool       // this node wrote here before
	conflicts []string
	inWay     []int32   // folder entries where a file lies that may be overwritten
	skipped   []Skipped // symlinks that differ in a folder that is ours
	links     []int32   // the entries of these
	old       []uint32  // places whose bytes lie at the same place of a file that will be replaced
}

// task of a look: a file that exists.
type existing struct {
	entry int32
	info  fs.FileInfo
}

func (l *look) run(ctx context.Context) error {
	c := l.c
	if info, err := os.Stat(c.dest); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err == nil && !info.IsDir() {
		return fmt.Errorf("checkout: %w: %q is not a folder", ErrNotWritable, c.dest)
	}
	root, err := os.OpenRoot(c.dest)
	if err != nil {
		return fmt.Errorf("checkout: %w: %w", ErrNotWritable, err)
	}
	c.root, l.root = root, root
	l.names = make([]map[string]bool, len(c.plan.Entries))
	l.modes = make([]fs.FileMode, len(c.plan.Entries))
	files, err := l.list(ctx)
	if err != nil {
		return err
	}
	if err := l.compare(ctx, files); err != nil {
		return err
	}
	if err := l.temporaries(ctx); err != nil {
		return err
	}
	return l.verdict()
}

// list goes through the folders that exist and notes what has the name of an entry.
func (l *look) list(ctx context.Context) ([]existing, error) {
	var files []existing
	for i := range l.c.plan.Entries {
		i := int32(i)
		parent := l.c.plan.parent[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i == 0 {
			info, err := l.root.Stat(".")
			if err != nil {
				return nil, ioError("look", err)
			}
			if err := l.folder(i, info); err != nil {
				return nil, err
			}
			continue
		}
		name := l.c.plan.name(i)
		if l.c.files[i].status == skipped || l.names[parent] == nil || !l.names[parent][name] {
			continue
		}
		delete(l.names[parent], name)
		info, err := l.lstat(parent, name)
		if err != nil {
			return nil, ioError("look", err)
		}
		f, err := l.entry(i, info)
		if err != nil {
			return nil, err
		}
		files = append(files, f...)
	}
	return files, nil
}

func (l *look) lstat(parent int32, name string) (fs.FileInfo, error) {
	dir, err := l.c.dir(parent)
	if err != nil {
		return nil, err
	}
	defer l.c.dirs.put(dir)
	return dir.v.root.Lstat(name)
}

func (l *look) folder(i int32, info fs.FileInfo) error {
	dir, err := l.c.dir(i)
	if err != nil {
		return ioError("look", err)
	}
	defer l.c.dirs.put(dir)
	names, err := readNames(dir.v.root)
	if err != nil {
		return ioError("look", err)
	}
	l.names[i], l.modes[i] = make(map[string]bool, len(names)), info.Mode()
	for _, n := range names {
		if i == 0 && isTempName(n) {
			l.ours = true
			continue
		}
		l.names[i][n] = true
	}
	return nil
}

// entry notes what lies in the place of entry i, and returns it if it is a file to be compared.
func (l *look) entry(i int32, info fs.FileInfo) ([]existing, error) {
	e := l.c.plan.Entries[i]
	switch {
	case e.Kind == dag.KindDir && info.IsDir():
		return nil, l.folder(i, info)
	case e.Kind == dag.KindFile && info.Mode().IsRegular():
		f := &l.c.files[i]
		f.exists, f.seen = true, makeStamp(info)
		return []existing{{i, info}}, nil
	case e.Kind == dag.KindSymlink && info.Mode()&fs.ModeSymlink != 0:
		if target, err := l.readlink(i); err != nil {
			return nil, ioError("look", err)
		} else if target == e.Target {
			l.c.files[i].status = placed
		} else if !l.c.o.Force {
			l.links = append(l.links, i)
		}
	case info.IsDir() || !l.c.o.Force: // a folder is not removed, forced or not
		l.conflicts = append(l.conflicts, e.Path)
	case e.Kind == dag.KindDir:
		l.inWay = append(l.inWay, i)
	case e.Kind == dag.KindFile:
		l.c.files[i].exists = true
	}
	return nil, nil
}

func (l *look) readlink(i int32) (string, error) {
	dir, err := l.c.dir(l.c.plan.parent[i])
	if err != nil {
		return "", err
	}
	defer l.c.dirs.put(dir)
	return dir.v.root.Readlink(l.c.plan.name(i))
}

// compare decides of each file that exists whether it stays, may be replaced, or is in conflict.
func (l *look) compare(ctx context.Context, files []existing) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(l.c.o.Workers)
	for _, x := range files {
		rec, known := l.c.o.Known(l.c.plan.Entries[x.entry].Path)
		l.ours = l.ours || known
		stamp := l.c.files[x.entry].seen
		if known && rec.Cid == l.c.plan.Entries[x.entry].Cid && rec.Set == l.c.set && Trusted(stamp, rec) {
			l.keep(x.entry, stamp, rec.ScannedNs)
			continue
		}
		mayReplace := l.c.o.Force || known && (rec.Stamp == stamp || rotten(rec, stamp))
		g.Go(func() error { return l.compareBytes(ctx, x, mayReplace) })
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
func (l *look) keep(e int32, stamp blockstore.Stamp, known int64) {
	c, attr := l.c, l.c.plan.Entries[e].Attr
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.files[e]
	f.status, f.left, f.stamp, f.known = placed, 0, stamp, known
	f.fixAttr = stamp.Mode != attr.Mode&0o777 || !attr.Mtime.IsZero() && stamp.MtimeNs != attr.Mtime.UnixNano()
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
			l.keep(x.entry, makeStamp(x.info), known)
			return nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if mayReplace {
		l.old = append(l.old, right...)
	} else {
		l.conflicts = append(l.conflicts, c.plan.Entries[x.entry].Path)
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

// temporaries finds out what a checkout that was killed had written.
func (l *look) temporaries(ctx context.Context) error {
	c := l.c
	tmp, err := openDir(l.root, TempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, ErrKind) || errors.Is(err, errSwapped) {
		l.conflicts = append(l.conflicts, TempDir)
		return nil
	}
	if err != nil {
		return ioError("look", err)
	}
	defer tmp.Close()
	list, err := readNames(tmp)
	if err != nil {
		return ioError("look", err)
	}
	if len(list) == 0 {
		return nil
	}
	there := make(map[string]bool, len(list))
	for _, n := range list {
		there[n] = true
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Workers)
	for i, e := range c.plan.Entries {
		if e.Kind == dag.KindFile && len(e.Leaves) > 0 && c.files[i].status == open && there[tempName(e)] {
			g.Go(func() error { return c.hashTemp(ctx, tmp, int32(i)) })
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

// verdict is nil if the checkout may go on.
func (l *look) verdict() error {
	if !l.c.o.Force && !l.ours && len(l.conflicts) < maxPaths {
		foreign, err := l.foreign()
		if err != nil {
			return err
		}
		if !l.ours {
			l.conflicts = append(l.conflicts, foreign...)
		}
	}
	for _, i := range l.links {
		path := l.c.plan.Entries[i].Path
		if !l.ours {
			l.conflicts = append(l.conflicts, path)
			continue
		}
		l.c.files[i].status = skipped
		l.skipped = append(l.skipped, Skipped{Path: path, Err: &ConflictError{Paths: []string{path}}})
	}
	if len(l.conflicts) == 0 {
		return nil
	}
	if l.c.o.KeepLocal {
		l.skipConflicts()
		return nil
	}
	slices.Sort(l.conflicts)
	l.conflicts = slices.Compact(l.conflicts)
	return &ConflictError{Paths: l.conflicts[:min(maxPaths, len(l.conflicts))]}
}

// skipConflicts leaves the entries in conflict out of the checkout.
func (l *look) skipConflicts() {
	local := make(map[string]bool, len(l.conflicts))
	for _, path := range l.conflicts {
		local[path] = true
	}
	for i, e := range l.c.plan.Entries {
		if i > 0 && local[e.Path] {
			l.c.files[i].status = skipped
			l.skipped = append(l.skipped, Skipped{Path: e.Path, Err: &ConflictError{Paths: []string{e.Path}}})
		}
	}
}

// foreign lists files that are not in the revision. One that is recorded makes the folder ours.
func (l *look) foreign() ([]string, error) {
	var paths []string
	for i, names := range l.names {
		for n := range names {
			start := filepath.FromSlash(join(l.c.plan.Entries[i].Path, n))
			err := fs.WalkDir(l.root.FS(), filepath.ToSlash(start), func(name string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					return nil
				}
				if _, known := l.c.o.Known(name); known {
					l.ours = true
				}
				paths = append(paths, name)
				if l.ours || len(paths) >= 4*maxPaths { // a few more: one of them may be known
					return fs.SkipAll
				}
				return nil
			})
			if err != nil || l.ours || len(paths) >= 4*maxPaths {
				return paths, err
			}
		}
	}
	return paths, nil
}
