package delta

import (
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Only what the want root leads to is taken, and each node as often as it is linked at most.
func TestFrontier(t *testing.T) {
	s := newSide()
	root, other := build(t, many(30, 1), s), build(t, many(30, 2), s)
	node := func(c cid.Cid) blockstore.Block {
		return must(blockstore.Receive(c, must(s.Get(t.Context(), c, nil))(t)))(t)
	}
	lay := must(reader{s}.Layout(t.Context(), root))(t)
	f := NewFrontier(root)
	if err := f.Take(node(lay.Entries[1].Cid)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a child before its parent: %v", err)
	}
	for _, e := range lay.Entries {
		if err := f.Take(node(e.Cid)); err != nil {
			t.Fatal(err)
		}
		if err := f.Take(node(other)); !errors.Is(err, ErrMalformed) {
			t.Errorf("another revision's: %v", err)
		}
	}
	if err := f.Take(node(root)); !errors.Is(err, ErrMalformed) {
		t.Errorf("the root again: %v", err)
	}
	bad := blockstore.NewBlock(cid.DagProtobuf, []byte("no node"))
	if err := NewFrontier(bad.Cid()).Take(bad); err == nil || errors.Is(err, ErrMalformed) {
		t.Errorf("no node: %v", err)
	}
}
