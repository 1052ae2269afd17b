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
// folders that are empty then, the root among them. A file that was changed stays. It returns how many
// files went.
func Remove(tree string, files []blockstore.File) (removed int, err error) {
	root, err := os.OpenRoot(tree)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("remove files: %w", err)
	}
	defer root.Close()
	parents := map[string]bool{}
	for _, f := range files {
		name := filepath.FromSlash(f.Path)
		st, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return removed, fmt.Errorf("remove files: %w", err)
		}
		if !st.Mode().IsRegular() || makeStamp(st) != f.Stamp {
			continue
		}
		if err := root.Remove(name); err != nil {
			return removed, fmt.Errorf("remove files: %w", err)
		}
		removed++
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			parents[dir] = true
		}
	}
	pruneEmpty(root, parents)
	_ = os.Remove(tree) // only if it is empty
	return removed, nil
}

// pruneEmpty removes folders that are empty, deepest first; one that is not stays.
func pruneEmpty(root *os.Root, dirs map[string]bool) {
	order := make([]string, 0, len(dirs))
	for d := range dirs {
		order = append(order, d)
	}
	slices.SortFunc(order, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, d := range order {
		_ = root.Remove(filepath.FromSlash(d))
	}
}
