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
	Full    func() bool                       // nothing can be written to any disk
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

// storeSpace tells the free bytes of the disk of a store; nil leaves it to the store. A full disk still has three quarters
// of what the store leaves free: nothing is added then, but what needs a half of that is done, removing and closing.
func (b *Bed) storeSpace(reserve int64) func(dir string) (int64, error) {
	if reserve == 0 {
		reserve = badgerstore.DefaultReserve
	}
	return b.space(reserve * 3 / 4)
}

// folderSpace tells the free bytes of the disk of a set's folder; nil leaves it to whoever writes there.
func (b *Bed) folderSpace() func(dir string) (int64, error) { return b.space(0) }

func (b *Bed) space(left int64) func(dir string) (int64, error) {
	if b == nil {
		return nil
	}
	return func(dir string) (int64, error) {
		free, err := badgerstore.FreeSpace(dir)
		if err == nil && b.Full() {
			free = min(free, left)
		}
		return free, err
	}
}
