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

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// maxPaths is how many paths a ConflictError lists: enough to recognise the folder.
const maxPaths = 10

// look is the first, reading half of NewCheckout. It notes in the checkout what is already right, and
// changes nothing on disk.
type look struct {
	c     *Checkout
	root  *os.Root          // nil: dest does not exist
	names []map[string]bool // of each folder entry that was listed: what is in it and not in the revision

	mu        sync.Mutex // guards what follows
	ours      bool       // this node wrote here before
	conflicts []string
	cleared   []string  // paths of folders that are in the way and hold only what is ours
	folders   []int32   // entries where a folder is in the way
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
	c.modes = make([]fs.FileMode, len(c.plan.Entries))
	l.ours = c.o.Partial || c.o.Ours
	tmp, err := l.openTemp()
	if err != nil {
		return err
	}
	if tmp != nil {
		defer tmp.Close()
		if err := c.journal.read(tmp); err != nil {
			return ioError("read journal", err)
		}
	}
	files, err := l.list(ctx)
	if err != nil {
		return err
	}
	if err := l.compare(ctx, files); err != nil {
		return err
	}
	if err := l.moves(ctx); err != nil {
		return err
	}
	if tmp != nil {
		if err := l.temporaries(ctx, tmp); err != nil {
			return err
		}
	}
	return l.verdict()
}

// openTemp opens TempDir, if it is there.
func (l *look) openTemp() (*os.Root, error) {
	tmp, err := openDir(l.root, TempDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, ErrKind), errors.Is(err, errSwapped):
		l.conflicts = append(l.conflicts, TempDir)
		return nil, nil
	case err != nil:
		return nil, ioError("look", err)
	}
	return tmp, nil
}

// empty: nothing lay in dest but what an earlier checkout left unfinished.
func (l *look) empty() bool {
	return l.root == nil || !l.c.o.Partial && len(l.names[0]) == 0 && !slices.ContainsFunc(l.c.files, func(f fileState) bool { return f.exists })
}

// conflict notes that something must not be touched, unless it is renamed aside later.
func (l *look) conflict(path string) {
	if !l.c.o.copies() {
		l.conflicts = append(l.conflicts, path)
	}
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
		if l.c.files[i].status == skipped || l.c.modes[parent] == 0 {
			continue
		}
		if !l.c.o.Partial && !l.names[parent][name] {
			continue
		}
		info, err := l.lstat(parent, name)
		if l.c.o.Partial && err == nil {
			err = l.exact(i)
		}
		if l.c.o.Partial && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, ioError("look", err)
		}
		delete(l.names[parent], name)
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

// exact makes sure that what the file system finds for entry i has its very name: it may take two for one. For
// what is recorded it did.
func (l *look) exact(i int32) error {
	if _, known := l.c.o.Known(l.c.plan.Entries[i].Path); known || l.c.plan.Entries[i].Kind == dag.KindDir {
		return nil
	}
	parent := l.c.plan.parent[i]
	if l.names[parent] == nil {
		if err := l.listFolder(parent); err != nil {
			return err
		}
	}
	if !l.names[parent][l.c.plan.name(i)] {
		return fs.ErrNotExist
	}
	return nil
}

// folder notes that folder entry i is there.
func (l *look) folder(i int32, info fs.FileInfo) error {
	l.c.modes[i] = info.Mode()
	if l.c.o.Partial {
		return nil
	}
	return l.listFolder(i)
}

func (l *look) listFolder(i int32) error {
	dir, err := l.c.dir(i)
	if err != nil {
		return ioError("look", err)
	}
	defer l.c.dirs.put(dir)
	names, err := readNames(dir.v.root)
	if err != nil {
		return ioError("look", err)
	}
	l.names[i] = make(map[string]bool, len(names))
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
	if e.Kind == dag.KindDir && info.IsDir() {
		return nil, l.folder(i, info)
	}
	l.c.files[i].exists = true
	switch {
	case info.IsDir():
		return nil, l.folderInWay(i)
	case e.Kind == dag.KindFile && info.Mode().IsRegular():
		l.c.files[i].seen = makeStamp(info)
		return []existing{{i, info}}, nil
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, l.link(i)
	case info.Mode().IsRegular():
		f := &l.c.files[i]
		var recorded bool
		f.seen = makeStamp(info)
		f.ours, recorded = l.c.ownFile(e.Path, f.seen)
		l.ours = l.ours || recorded
		if !f.ours && !l.c.o.Force {
			l.conflict(e.Path)
		}
	case !l.c.o.Force:
		l.conflict(e.Path)
	}
	return nil, nil
}

// folderInWay looks at a folder in the place of entry i, which is none: if all in it is ours it may go.
func (l *look) folderInWay(i int32) error {
	dir, err := l.c.dir(l.c.plan.parent[i])
	if err != nil {
		return ioError("look", err)
	}
	defer l.c.dirs.put(dir)
	s, path := &sweep{c: l.c}, l.c.plan.Entries[i].Path
	clean, err := s.folder(dir.v.root, l.c.plan.name(i), path)
	if err != nil {
		return ioError("look", err)
	}
	l.ours = l.ours || s.recorded
	l.folders = append(l.folders, i)
	if clean && (l.c.o.Force || !l.c.theirs(path)) {
		l.cleared = append(l.cleared, path)
	} else {
		l.conflict(path)
	}
	return nil
}

// link looks at a symlink in the place of entry i.
func (l *look) link(i int32) error {
	e := l.c.plan.Entries[i]
	target, err := l.readlink(i)
	if err != nil {
		return ioError("look", err)
	}
	own := l.c.ownLink(e.Path, target)
	l.ours = l.ours || own
	switch {
	case e.Kind == dag.KindSymlink && target == e.Target:
		l.c.files[i].status = placed
	case l.c.o.Force || l.c.o.copies() || own:
	case e.Kind == dag.KindSymlink:
		l.links = append(l.links, i)
	default:
		l.conflict(e.Path)
	}
	return nil
}

func (l *look) readlink(i int32) (string, error) {
	dir, err := l.c.dir(l.c.plan.parent[i])
	if err != nil {
		return "", err
	}
	defer l.c.dirs.put(dir)
	return dir.v.root.Readlink(l.c.plan.name(i))
}

// verdict is nil if the checkout may go on.
func (l *look) verdict() error {
	var beside []string
	if !l.c.o.Force && !l.ours && len(l.conflicts) < maxPaths {
		foreign, err := l.foreign()
		if err != nil {
			return err
		}
		if !l.ours {
			beside = foreign
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
	if !l.ours {
		for _, path := range l.cleared {
			l.conflict(path)
		}
	}
	if len(l.conflicts)+len(beside) == 0 {
		return nil
	}
	if l.c.o.KeepLocal {
		l.skipConflicts()
		return nil
	}
	slices.Sort(l.conflicts)
	l.conflicts = slices.Compact(l.conflicts)
	slices.Sort(beside)
	e := &ConflictError{Paths: l.conflicts[:min(maxPaths, len(l.conflicts))]}
	e.Beside = beside[:min(maxPaths-len(e.Paths), len(beside))]
	return e
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

// recorded tells whether this node wrote the file or made the symlink called name, as far as it looks.
func (l *look) recorded(name string, d fs.DirEntry) bool {
	if d != nil && d.Type()&fs.ModeSymlink != 0 {
		target, err := l.root.Readlink(filepath.FromSlash(name))
		return err == nil && l.c.ownLink(name, target)
	}
	_, known := l.c.o.Known(name)
	return known
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
				if l.recorded(name, d) {
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
