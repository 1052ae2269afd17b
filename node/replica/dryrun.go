package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Proposed is what a share would do.
type Proposed struct {
	Replica   *Replica    // nil: the folder would be a new set
	Old       record.Head // the newest revision; zero for a new set
	Root      cid.Cid     // of the next one; Old.Root if nothing changed
	Files     int
	Bytes     int64
	BytesRead int64 // of files that are new or look changed
	Changes   []diff.Change
	Summary   diff.Summary
	Skipped   []worktree.Skipped
	Gone      int // files that are missing
}

// DryRun finds out what Share would do with the same options, and changes nothing: not the store, not the state,
// and no key is made for a new set. Errors as Share; with ErrDeletions all of Proposed is said all the same.
func (r *Registry) DryRun(ctx context.Context, o ShareOptions) (Proposed, error) {
	rep, err := r.find(o)
	if err != nil {
		return Proposed{}, err
	}
	now, err := markerOf(o.Dir)
	if err != nil {
		return Proposed{}, fmt.Errorf("share %s: %w", o.Dir, err)
	}
	out := Proposed{Replica: rep}
	set, profile := blockstore.Sum(cid.Raw, nil), dag.DefaultProfile() // any set will do: nothing is recorded
	var old *dag.Layout
	if rep != nil {
		set, profile = rep.id, rep.Verified().Genesis.Profile
		out.Old, _ = rep.Head()
		if old, err = r.layoutOf(ctx, set, out.Old.Root); err != nil {
			return Proposed{}, fmt.Errorf("share %s: %w", o.Dir, err)
		}
	}
	var found overlay
	snap, err := r.scan(ctx, &found, set, profile, o)
	if err != nil {
		return Proposed{}, err
	}
	out.Root, out.Files, out.Bytes, out.BytesRead, out.Skipped = snap.Root, snap.Files, snap.Bytes, snap.BytesRead, snap.Skipped
	lay, err := dag.ReadLayout(ctx, snap.Root, found.over(r.nodesOf(set)), dag.DefaultLimits())
	if err != nil {
		return Proposed{}, fmt.Errorf("share %s: %w", o.Dir, err)
	}
	out.Changes = diff.Compare(old, lay)
	out.Summary = diff.Summarize(out.Changes)
	if rep == nil {
		return out, nil
	}
	st := rep.State()
	gone, err := r.gone(ctx, set, treeOf(st.Dir, st.Only), lay)
	if err != nil {
		return out, err
	}
	out.Gone = r.lost(ctx, rep, lay, len(gone))
	return out, guard(rep, len(gone), out.Gone, now, o)
}

// overlay takes what a scan finds and keeps only the nodes, in memory.
type overlay struct{ nodes memstore.Store }

// Put implements blockstore.Putter.
func (v *overlay) Put(ctx context.Context, set cid.Cid, blocks ...blockstore.Block) error {
	return v.nodes.Put(ctx, set, blocks...)
}

// PutFiles implements blockstore.FilePutter.
func (v *overlay) PutFiles(context.Context, ...blockstore.File) error { return nil }

// over reads nodes that the scan made, and the others from below.
func (v *overlay) over(below dag.Get) dag.Get {
	return func(ctx context.Context, c cid.Cid) ([]byte, error) {
		b, err := v.nodes.Get(ctx, c, nil)
		if errors.Is(err, blockstore.ErrNotFound) {
			return below(ctx, c)
		}
		return b, err
	}
}
