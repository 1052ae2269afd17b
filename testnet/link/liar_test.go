package link

import (
	"bytes"
	"context"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
)

// honest serves the same bytes for every block.
type honest []byte

type honestReader struct {
	chunks.Reader // Walk is not asked for
	b             []byte
}

func (r honestReader) Get(context.Context, cid.Cid, []byte) ([]byte, error) { return r.b, nil }

func (h honest) Open(context.Context, peer.ID, cid.Cid, []byte) (chunks.Reader, error) {
	return honestReader{b: h}, nil
}

type honestDeltas []byte

type honestDeltaReader struct {
	delta.Reader // Layout is not asked for
	b            []byte
}

func (r honestDeltaReader) Get(context.Context, cid.Cid, []byte) ([]byte, error) { return r.b, nil }

func (h honestDeltas) Open(context.Context, peer.ID, cid.Cid, []byte) (delta.Reader, error) {
	return honestDeltaReader{b: h}, nil
}

// TestLiar: while the plan says so, leaves are wrong and nodes are not; what the store gave is not touched.
func TestLiar(t *testing.T) {
	data := []byte("the truth")
	leaf, node := blockstore.Sum(cid.Raw, data), blockstore.Sum(cid.DagProtobuf, data)
	b := newBed(Plan{})
	blocks, err := b.Blocks(honest(data)).Open(t.Context(), "", leaf, nil)
	must(t, err)
	deltas, err := b.Deltas(honestDeltas(data)).Open(t.Context(), "", leaf, nil)
	must(t, err)
	for _, lies := range []bool{false, true, false} {
		b.apply(Plan{Lies: lies})
		for name, get := range map[string]func(context.Context, cid.Cid, []byte) ([]byte, error){"blocks": blocks.Get, "deltas": deltas.Get} {
			for _, c := range []cid.Cid{leaf, node} {
				got, err := get(t.Context(), c, nil)
				must(t, err)
				if wrong := !bytes.Equal(got, data); wrong != (lies && c == leaf) || len(got) != len(data) {
					t.Errorf("%s, lies %v: %q for %v", name, lies, got, c)
				}
			}
		}
	}
	if string(data) != "the truth" {
		t.Errorf("the source's own bytes are %q now", data)
	}
	if got := b.twist(leaf, nil); len(got) != 0 {
		t.Errorf("of an empty leaf became %q", got)
	}
}
