package replica

import (
	"fmt"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
)

// target is a checkout of a revision, or of the part of it that differs from what the folder holds, with its
// leaves numbered as in the whole revision: that is how peers name them.
type target struct {
	*worktree.Checkout
	whole []uint32          // leaf of the part -> leaf of the revision; nil = the checkout is of the whole
	part  map[uint32]uint32 // the other way round
}

func newTarget(c *worktree.Checkout, whole []uint32) *target {
	t := &target{Checkout: c, whole: whole}
	if whole != nil {
		t.part = make(map[uint32]uint32, len(whole))
		for i, w := range whole {
			t.part[w] = uint32(i)
		}
	}
	return t
}

// inner is the checkout's number of a leaf of the revision; false for one that only unchanged files have.
func (t *target) inner(i uint32) (uint32, bool) {
	if t.whole == nil {
		return i, true
	}
	p, ok := t.part[i]
	return p, ok
}

// Need lists the leaves still to be had, in file order.
func (t *target) Need() []uint32 {
	need := t.Checkout.Need()
	if t.whole != nil {
		for k, i := range need {
			need[k] = t.whole[i]
		}
	}
	return need
}

// Have tells whether a leaf is here; those of unchanged files are.
func (t *target) Have(i uint32) bool {
	p, ok := t.inner(i)
	return !ok || t.Checkout.Have(p)
}

// Read is Checkout's. Errors: blockstore.ErrNotFound also for leaves of unchanged files: the store has those.
func (t *target) Read(i uint32, buf []byte) ([]byte, error) {
	p, ok := t.inner(i)
	if !ok {
		return nil, fmt.Errorf("read leaf %d: %w", i, blockstore.ErrNotFound)
	}
	return t.Checkout.Read(p, buf)
}

// Write is Checkout's; a leaf of an unchanged file is dropped.
func (t *target) Write(i uint32, data []byte) error {
	p, ok := t.inner(i)
	if !ok {
		return nil
	}
	return t.Checkout.Write(p, data)
}
