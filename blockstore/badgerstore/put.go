package badgerstore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Put implements blockstore.Putter. A block that is there already is compared, so that putting it
// again heals a damaged one.
func (s *Store) Put(ctx context.Context, set cid.Cid, blocks ...blockstore.Block) error {
	for _, bl := range blocks {
		if err := checkBlock(bl); err != nil {
			return fmt.Errorf("put block: %w", err)
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	err := s.update(ctx, func(b *batch) error {
		no, err := b.setNo(set)
		if err != nil {
			return err
		}
		for _, bl := range blocks {
			if err := b.putBlock(no, bl); err != nil {
				return err
			}
			if err := b.flushIfFull(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put %d blocks: %w", len(blocks), err)
	}
	return nil
}

func checkBlock(bl blockstore.Block) error {
	if err := blockstore.CheckCid(bl.Cid()); err != nil {
		return err
	}
	if n := len(bl.Data()); n > blockstore.MaxBlockSize {
		return fmt.Errorf("%w: %d bytes", blockstore.ErrInvalid, n)
	}
	return nil
}

func (b *batch) putBlock(set uint32, bl blockstore.Block) error {
	c, data := bl.Cid(), bl.Data()
	p, err := b.load(blockKey(nil, c))
	if err != nil {
		return err
	}
	if touched := b.store.touched; touched != nil {
		touched[p.key] = struct{}{}
	}
	if len(data) > inlineMax {
		if err := b.putPieces(c, data); err != nil {
			return err
		}
	}
	var sets []uint32
	if p.now != nil {
		if in, err := parseInline(p.now, nil); err == nil { // otherwise damaged: written anew
			sets = in.sets
			same := in.size == len(data) && (in.size > inlineMax || bytes.Equal(in.data, data))
			if same && contains(sets, set) {
				return nil
			}
		}
	}
	b.set(p, inline{sets: withSet(sets, set), size: len(data), data: data}.encode())
	return nil
}

// putPieces writes those pieces that are not there already.
func (b *batch) putPieces(c cid.Cid, data []byte) error {
	for i := 0; len(data) > 0; i++ {
		n := min(pieceSize, len(data))
		if err := b.put(pieceKey(c, i), data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// takeOut removes a block's membership in those sets that drop selects, and the block when it is in no
// set any more. It tells whether the block went.
func (b *batch) takeOut(key []byte, in inline, drop func(set uint32) bool) (gone bool, err error) {
	var keep []uint32
	for _, set := range in.sets {
		if !drop(set) {
			keep = append(keep, set)
		}
	}
	if len(keep) == len(in.sets) && len(keep) > 0 {
		return false, nil
	}
	if len(keep) > 0 {
		return false, b.put(key, inline{sets: keep, size: in.size, data: in.data}.encode())
	}
	if err := b.put(key, nil); err != nil {
		return false, err
	}
	return true, b.takeOutPieces(key, in.size)
}

func (b *batch) takeOutPieces(key []byte, size int) error {
	if size <= inlineMax {
		return nil
	}
	c, err := cidOfBlockKey(key)
	if err != nil {
		return err
	}
	for i := range (size + pieceSize - 1) / pieceSize {
		if err := b.put(pieceKey(c, i), nil); err != nil {
			return err
		}
	}
	return nil
}
