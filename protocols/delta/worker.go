package delta

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/patch"
)

// errNoBase: the bytes of a base are not to be had here.
var errNoBase = errors.New("no base")

// worker is a codec and the blocks it works on.
type worker struct {
	codec  *patch.Codec
	one    []byte // room for one block, a base or a node
	target []byte // room for the target, while bases are read
	base   []byte // bases joined
	out    []byte
}

// workshop lends workers, at most Workers at once, to encode and to compare revisions: whoever asks for more
// waits, and nobody holds one while it waits for a peer. What is not lent may be collected as garbage.
type workshop struct {
	slots chan struct{}
	idle  sync.Pool // of *worker
}

func newWorkshop() *workshop {
	return &workshop{slots: make(chan struct{}, Workers)}
}

// use calls fn with a worker. Errors: fn's, ctx's.
func (s *workshop) use(ctx context.Context, fn func(*worker) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	w, _ := s.idle.Get().(*worker)
	if w == nil {
		codec, err := patch.New(patch.DefaultLimits())
		if err != nil {
			return err
		}
		w = &worker{codec: codec, one: make([]byte, usualBlock), target: make([]byte, usualBlock)}
	}
	defer s.idle.Put(w)
	return fn(w)
}

// job is what a patch is made of.
type job struct {
	target    cid.Cid
	bases     []cid.Cid
	signature []byte // of the bases, which then are not read; empty = none
}

// encode makes the patch, which is valid until the worker's next job, and tells the size of the target.
// Errors: errNoBase, those of reading the target, patch.ErrPatch and patch.ErrLimit for a bad signature.
func (w *worker) encode(ctx context.Context, r Reader, j job) (p []byte, size int, err error) {
	target, err := r.Get(ctx, j.target, w.target)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(j.signature) > 0:
		var sig patch.Signature
		if sig, err = patch.ParseSignature(j.signature, patch.DefaultLimits()); err == nil {
			w.out, err = w.codec.EncodeSigned(w.out[:0], sig, target)
		}
	case len(j.bases) > 0:
		if err = w.join(ctx, r, j.bases); err == nil {
			w.out, err = w.codec.EncodeDict(w.out[:0], w.base, target)
		}
	default:
		w.out, err = w.codec.EncodeWhole(w.out[:0], target)
	}
	return w.out, len(target), err
}

// join reads bases into w.base. Errors: errNoBase, patch.ErrLimit.
func (w *worker) join(ctx context.Context, r Reader, bases []cid.Cid) error {
	w.base = w.base[:0]
	for _, c := range bases {
		data, err := r.Get(ctx, c, w.one)
		switch {
		case errors.Is(err, blockstore.ErrNotFound), errors.Is(err, blockstore.ErrCorrupt):
			return fmt.Errorf("%w: %w", errNoBase, err)
		case err != nil:
			return err
		case len(w.base)+len(data) > patch.DefaultLimits().Base:
			return fmt.Errorf("join %d bases: %w", len(bases), patch.ErrLimit)
		}
		w.base = append(w.base, data...)
	}
	return nil
}
