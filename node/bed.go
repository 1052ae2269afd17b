package node

import (
	"github.com/libp2p/go-libp2p"

	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
)

// Bed replaces parts of a node: test networks put nodes on one. All members are needed; a nil Bed is a node as it is.
type Bed struct {
	Network []libp2p.Option                   // come last, and replace the transports
	Blocks  func(chunks.Source) chunks.Source // what is served instead
	Deltas  func(delta.Source) delta.Source   // what is served instead
	Free    func(free int64) int64            // what the store takes for the free bytes of its disk
}

func (b *Bed) network() []libp2p.Option {
	if b == nil {
		return nil
	}
	return b.Network
}

func (b *Bed) blocks(s chunks.Source) chunks.Source {
	if b == nil {
		return s
	}
	return b.Blocks(s)
}

func (b *Bed) deltas(s delta.Source) delta.Source {
	if b == nil {
		return s
	}
	return b.Deltas(s)
}

func (b *Bed) freeSpace(dir string) (int64, error) {
	free, err := badgerstore.FreeSpace(dir)
	if b == nil || err != nil {
		return free, err
	}
	return b.Free(free), nil
}
