package delta

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Frontier knows which nodes may come next: those that a node taken before links to. A peer that sends others
// wants its bytes kept for nothing; parents come first, so an honest one never does. Nodes that the reader came
// by otherwise, because their patch was of no use, must be taken too, or what lies below them is refused.
type Frontier struct {
	next map[cid.Cid]bool
}

// NewFrontier expects root.
func NewFrontier(root cid.Cid) *Frontier {
	return &Frontier{next: map[cid.Cid]bool{root: true}}
}

// Take takes a verified node, and expects its children from then on. Errors: ErrMalformed if it was not
// expected, dag.ErrMalformed if it is no node.
func (f *Frontier) Take(b blockstore.Block) error {
	if !f.next[b.Cid()] {
		return fmt.Errorf("take node %s: %w: nothing led to it", b.Cid(), ErrMalformed)
	}
	children, err := dag.NextNodes(b)
	if err != nil {
		return fmt.Errorf("take node: %w", err)
	}
	delete(f.next, b.Cid())
	for _, c := range children {
		f.next[c] = true
	}
	return nil
}
