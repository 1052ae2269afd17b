package replica

import (
	"context"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
)

// adopt remembers what a folder was built from, and, where the council does not, the head that came of it.
func (r *Registry) adopt(rep *Replica, st State, lay *dag.Layout, e entry) error {
	seated := rep.seated() != nil
	pool := rep.pool(e.sealed)
	moved := false
	err := r.change(rep, func(now *State) error {
		now.Dir, now.Only, now.Marker, now.Base = st.Dir, st.Only, st.Marker, lay.Root.String()
		now.BaseHead, now.Draft = e.id.String(), nil
		if v := rep.Verified(); seated || !supersedes(e.Head, head(v)) {
			return nil
		}
		now.Past = ancestry(e.Head, pool)
		now.Bundle.Heads = [][]byte{e.sealed}
		now.Complete, now.Leaves = e.Root == lay.Root, len(lay.Leaves)
		moved = true
		return nil
	})
	if err == nil && moved {
		rep.feed.reset(rep.State().Complete)
	}
	r.hint(rep.id, "")
	return err
}

// syncFiles is how many changed files are put on stable storage one by one; of more, all of the disk is.
const syncFiles = 32

// sync puts what a revision changes in a folder on stable storage: what is ordered by it must survive a power cut.
func (r *Registry) sync(ctx context.Context, rep *Replica, lay *dag.Layout, dir string) error {
	old, err := r.layoutOf(ctx, rep.id, rep.built())
	if err != nil || rep.State().Dir != dir {
		return worktree.Sync(dir)
	}
	var paths []string
	for _, c := range diff.Compare(old, lay) {
		if c.Op != diff.Removed {
			paths = append(paths, c.Path)
		}
	}
	if len(paths) > syncFiles {
		return worktree.Sync(dir)
	}
	parents := map[string]bool{}
	for _, p := range paths {
		path := filepath.Join(dir, filepath.FromSlash(p))
		if parents[filepath.Dir(path)] = true; syncPath(path) != nil {
			return worktree.Sync(dir) // it has gone again, or is none that can be opened
		}
	}
	for path := range parents { // their names are part of the revision
		if syncPath(path) != nil {
			return worktree.Sync(dir)
		}
	}
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
