package link

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
)

// Blocks is a source whose leaves are wrong while the plan says Lies: the first byte is another one.
func (b *Bed) Blocks(s chunks.Source) chunks.Source { return lyingBlocks{s, b} }

// Deltas is Blocks for the delta protocol.
func (b *Bed) Deltas(s delta.Source) delta.Source { return lyingDeltas{s, b} }

type lyingBlocks struct {
	chunks.Source
	bed *Bed
}

func (s lyingBlocks) Open(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (chunks.Reader, error) {
	r, err := s.Source.Open(ctx, p, set, capability)
	if err != nil {
		return nil, err
	}
	return lyingReader{r, s.bed}, nil
}

type lyingReader struct {
	chunks.Reader
	bed *Bed
}

func (r lyingReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	b, err := r.Reader.Get(ctx, c, buf)
	return r.bed.twist(c, b), err
}

type lyingDeltas struct {
	delta.Source
	bed *Bed
}

func (s lyingDeltas) Open(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (delta.Reader, error) {
	r, err := s.Source.Open(ctx, p, set, capability)
	if err != nil {
		return nil, err
	}
	return lyingDeltaReader{r, s.bed}, nil
}

type lyingDeltaReader struct {
	delta.Reader
	bed *Bed
}

func (r lyingDeltaReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	b, err := r.Reader.Get(ctx, c, buf)
	return r.bed.twist(c, b), err
}

// twist is a copy of a leaf with another first byte, or b. Nodes stay true: a liar that is found out by the first of
// them would never get to lie about a file.
func (b *Bed) twist(c cid.Cid, data []byte) []byte {
	if !b.Lies() || len(data) == 0 || c.Prefix().Codec != cid.Raw {
		return data
	}
	data = slices.Clone(data)
	data[0] ^= 0xff
	return data
}
