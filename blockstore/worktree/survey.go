package worktree

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Survey is what a checkout into a folder would find there.
type Survey struct {
	Placed []bool         // of each entry of the layout, whether it is a file that is right as it lies
	Leaves []bool         // of each leaf, whether it lies in the folder, or in what an earlier checkout left there
	InWay  *ConflictError // why the checkout would be refused; nil = it would not
}

// Look finds out what NewCheckout would start with, at the same cost of reading, and changes nothing. It looks into
// dest only, not at CheckoutOptions.Local. Errors: ErrNotWritable; dag.ErrMalformed.
func Look(ctx context.Context, dest string, set cid.Cid, lay *dag.Layout, o CheckoutOptions) (Survey, error) {
	abs, err := filepath.Abs(dest)
	if err != nil {
		return Survey{}, fmt.Errorf("look: %w", err)
	}
	c, err := newCheckout(abs, set, lay, o)
	if err != nil {
		return Survey{}, err
	}
	defer c.Close()
	l := &look{c: c}
	var s Survey
	if err := l.run(ctx); err != nil && !errors.As(err, &s.InWay) {
		return Survey{}, err
	}
	s.Placed, s.Leaves = make([]bool, len(c.files)), make([]bool, len(c.leaves))
	for i, f := range c.files {
		s.Placed[i] = f.status == placed && lay.Entries[i].Kind == dag.KindFile
	}
	for p, leaf := range c.plan.leaf {
		s.Leaves[leaf] = s.Leaves[leaf] || c.done.get(uint32(p))
	}
	for _, p := range l.old {
		s.Leaves[c.plan.leaf[p]] = true
	}
	return s, nil
}
