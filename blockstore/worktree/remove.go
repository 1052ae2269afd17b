package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
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
	for _, f := range files {
		r.file(f)
	}
	r.prune()
	if info, err := os.Lstat(tree); err == nil && info.IsDir() && !keep("") {
		_ = os.Remove(tree) // only if it is empty
	}
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
}

func (r *remover) file(f blockstore.File) {
	name := filepath.FromSlash(f.Path)
	st, err := r.root.Lstat(name)
	if err != nil || !st.Mode().IsRegular() || makeStamp(st) != f.Stamp {
		return // gone, or no longer what was recorded
	}
	err = r.root.Remove(name)
	if errors.Is(err, fs.ErrPermission) && r.makeWritable(path.Dir(f.Path)) {
		err = r.root.Remove(name)
	}
	if err != nil {
		if len(r.failed) < maxFailures {
			r.failed = append(r.failed, fmt.Errorf("remove file: %w", err))
		}
		return
	}
	r.removed++
	for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
		if !r.keep(dir) {
			r.parents[dir] = true
		}
	}
}

// makeWritable lets the owner change a folder that a revision made read-only.
func (r *remover) makeWritable(dir string) bool {
	name := filepath.FromSlash(dir)
	st, err := r.root.Lstat(name)
	return err == nil && st.IsDir() && r.root.Chmod(name, st.Mode().Perm()|0o700) == nil
}

// prune removes folders that are empty, deepest first; one that is not stays.
func (r *remover) prune() {
	order := make([]string, 0, len(r.parents))
	for d := range r.parents {
		order = append(order, d)
	}
	slices.SortFunc(order, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, d := range order {
		if err := r.root.Remove(filepath.FromSlash(d)); errors.Is(err, fs.ErrPermission) && r.makeWritable(path.Dir(d)) {
			_ = r.root.Remove(filepath.FromSlash(d))
		}
	}
}
