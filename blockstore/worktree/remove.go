package worktree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Remove deletes the recorded files of a folder that nobody changed since they were recorded, and the
// folders that are empty then, except those that keep names. A file that was changed stays. It returns how
// many files went; what could not be removed is joined in the error, and the rest is removed all the same.
func Remove(tree string, files []blockstore.File, keep func(dir string) bool) (removed int, err error) {
	root, err := os.OpenRoot(tree)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("remove files: %w", err)
	}
	defer root.Close()
	r := &remover{root: root, keep: keep, parents: map[string]bool{}}
	defer r.leave()
	for _, f := range files {
		r.file(f)
	}
	r.prune()
	if info, err := os.Lstat(tree); err == nil && info.IsDir() && !keep("") {
		_ = os.Remove(tree) // only if it is empty
	}
	return r.removed, errors.Join(r.failed...)
}

// Prune deletes what a revision had and no record tells of: of the entries that are gone the symlinks that
// still lead where they led and the folders that are empty, the deepest first. It comes after Remove. It
// returns how many went; what could not be removed is joined in the error.
func Prune(tree string, gone []dag.Entry) (removed int, err error) {
	root, err := os.OpenRoot(tree)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("remove folders: %w", err)
	}
	defer root.Close()
	r := &remover{root: root, keep: func(string) bool { return false }, parents: map[string]bool{}}
	defer r.leave()
	for _, e := range gone {
		switch e.Kind {
		case dag.KindSymlink:
			r.remove(e.Path, func(dir *os.Root, name string) bool {
				target, err := dir.Readlink(name)
				return err == nil && target == e.Target
			})
		case dag.KindDir:
			r.parents[e.Path] = true
		}
	}
	r.prune()
	return r.removed, errors.Join(r.failed...)
}

// maxFailures of a removal are named; a folder of a million files may have as many.
const maxFailures = 10

type remover struct {
	root    *os.Root
	keep    func(dir string) bool
	parents map[string]bool // of removed files, with theirs
	removed int
	failed  []error

	at  string   // of dir
	dir *os.Root // the folder that was used last
}

// in opens the folder at path, never through a symlink: what lies behind one is another file.
func (r *remover) in(path string) (*os.Root, error) {
	if r.dir != nil && r.at == path {
		return r.dir, nil
	}
	dir, err := r.root.OpenRoot(".")
	for part := range strings.SplitSeq(path, "/") {
		if err != nil || path == "" {
			break
		}
		up := dir
		dir, err = openDir(up, part)
		up.Close()
	}
	if err != nil {
		return nil, err
	}
	r.leave()
	r.at, r.dir = path, dir
	return dir, nil
}

func (r *remover) leave() {
	if r.dir != nil {
		r.dir.Close()
		r.dir = nil
	}
}

func (r *remover) file(f blockstore.File) {
	gone := r.remove(f.Path, func(dir *os.Root, name string) bool {
		st, err := dir.Lstat(name)
		return err == nil && st.Mode().IsRegular() && makeStamp(st) == f.Stamp
	})
	if !gone {
		return
	}
	for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
		if !r.keep(dir) {
			r.parents[dir] = true
		}
	}
}

// remove removes what lies at path if it is what it should be.
func (r *remover) remove(path string, is func(dir *os.Root, name string) bool) bool {
	folder, name := splitPath(path)
	dir, err := r.in(folder)
	if err != nil || !is(dir, name) {
		return false // gone, or no longer what was recorded
	}
	err = dir.Remove(name)
	if errors.Is(err, fs.ErrPermission) && allowWrites(dir) {
		err = dir.Remove(name)
	}
	if err != nil {
		if len(r.failed) < maxFailures {
			r.failed = append(r.failed, fmt.Errorf("remove %q: %w", path, err))
		}
		return false
	}
	r.removed++
	return true
}

// allowWrites lets the owner change a folder that a revision made read-only.
func allowWrites(dir *os.Root) bool {
	st, err := dir.Stat(".")
	return err == nil && dir.Chmod(".", st.Mode().Perm()|0o700) == nil
}

// prune removes folders that are empty, deepest first; one that is not stays.
func (r *remover) prune() {
	order := make([]string, 0, len(r.parents))
	for d := range r.parents {
		order = append(order, d)
	}
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(strings.Count(b, "/")-strings.Count(a, "/"), strings.Compare(a, b))
	})
	for _, d := range order {
		folder, name := splitPath(d)
		dir, err := r.in(folder)
		if err != nil || !isDir(dir, name) {
			continue
		}
		if err := dir.Remove(name); errors.Is(err, fs.ErrPermission) && allowWrites(dir) {
			_ = dir.Remove(name)
		}
	}
}
