package delta

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
)

// change is a new leaf and what it is like.
type change struct {
	leaf  blockstore.Leaf
	bases []cid.Cid
}

// windows lists the leaves that old lacks, MaxAsks at a time; what it yields is valid until the next.
func windows(old, new *dag.Layout, files []diff.FileRuns) iter.Seq[[]change] {
	return func(yield func([]change) bool) {
		window := make([]change, 0, MaxAsks)
		for _, f := range files {
			for _, run := range f.Runs {
				var bases []cid.Cid
				if f.Old >= 0 {
					bases = basesOf(old, old.Entries[f.Old].Leaves, run.Base)
				}
				for _, l := range new.Entries[f.New].Leaves[run.New.First : run.New.First+run.New.N] {
					if window = append(window, change{new.Leaves[l], bases}); len(window) < MaxAsks {
						continue
					}
					if !yield(window) {
						return
					}
					window = window[:0]
				}
			}
		}
		if len(window) > 0 {
			yield(window)
		}
	}
}

// basesOf are the leaves at these places of a file, each once, as far as a codec takes them joined.
func basesOf(old *dag.Layout, leaves []uint32, places []int) (bases []cid.Cid) {
	room := patch.DefaultLimits().Base
	for _, p := range places {
		l := old.Leaves[leaves[p]]
		if slices.Contains(bases, l.Cid) {
			continue
		}
		if room -= int(l.Size); room < 0 {
			break
		}
		bases = append(bases, l.Cid)
	}
	return bases
}

// push sends the leaves that the have-root lacks, in windows: of each first those whose base is not here, so
// that the client can begin to sign, then the others, as far as the budget reaches.
func (x *sender) push(ctx context.Context) error {
	var lay *dag.Layout
	var files []diff.FileRuns
	err := x.srv.work.use(ctx, func(*worker) (err error) {
		if lay, err = x.r.Layout(ctx, x.q.Want); err == nil {
			files = diff.Leaves(x.old, lay)
		}
		return err
	})
	if err != nil {
		return err
	}
	for window := range windows(x.old, lay, files) {
		if x.left < 0 {
			return nil
		}
		here, err := x.pushLacking(ctx, window)
		if err != nil {
			return err
		}
		for _, c := range here {
			if ok, err := x.pushLeaf(ctx, c); !ok || err != nil {
				return err
			}
		}
	}
	return nil
}

// pushLacking sends the leaves of a window whose base is not here, and returns the others. A window of one
// leaf has none to go before: pushLeaf will see.
func (x *sender) pushLacking(ctx context.Context, window []change) (here []change, err error) {
	if len(window) == 1 {
		return window, nil
	}
	lacking := false
	for i, c := range window {
		if i == 0 || !slices.Equal(c.bases, window[i-1].bases) { // leaves of one run share them
			err := x.srv.work.use(ctx, func(w *worker) error { return w.join(ctx, x.r, c.bases) })
			lacking = errors.Is(err, errNoBase) // of other errors pushLeaf tells
		}
		if !lacking {
			here = append(here, c)
		} else if ok, err := x.pushCode(ctx, c, errNoBase); !ok || err != nil {
			return nil, err
		}
	}
	return here, x.flush()
}

// pushLeaf sends a leaf, or why it cannot; ok is false if the budget does not reach.
func (x *sender) pushLeaf(ctx context.Context, c change) (ok bool, err error) {
	n, err := x.encode(ctx, job{target: c.leaf.Cid, bases: c.bases}, c.bases, x.q.Dry)
	if err != nil {
		return x.pushCode(ctx, c, err)
	}
	return x.spend(ctx, n)
}

// pushCode is pushLeaf for a leaf that comes to nothing.
func (x *sender) pushCode(ctx context.Context, c change, why error) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m := &deltapb.Item{Code: uint32(x.result(ctx, why)), Size: c.leaf.Size}
	if m.Cids, err = refs(c.leaf.Cid, c.bases); err != nil {
		return false, err
	}
	n, err := x.pack(m)
	if err != nil {
		return false, err
	}
	return x.spend(ctx, n)
}

// spend sends a pushed item that costs n, if the budget reaches.
func (x *sender) spend(ctx context.Context, n int64) (ok bool, err error) {
	if x.left -= n; x.left < 0 {
		return false, nil
	}
	return true, x.send(ctx)
}
