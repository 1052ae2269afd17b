package council

import (
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/election"
)

// maxHeads is how many heads a seat remembers before it forgets those that nothing names: what a frontier holds at
// most, twice. recentHeads of them, the newest, are kept for peers that are still about to ask for them.
const maxHeads, recentHeads = 512, 128

// heads are the verified heads of a seat with their bytes. Safe for concurrent use.
type heads struct {
	mu   sync.Mutex // guards what follows
	byID map[cid.Cid]knownHead
	n    uint64 // counts what was added
}

type knownHead struct {
	head   *election.Head
	sealed []byte
	n      uint64
}

func (k *heads) add(h *election.Head, sealed []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = map[cid.Cid]knownHead{}
	}
	if _, known := k.byID[h.ID]; known {
		return
	}
	k.n++
	k.byID[h.ID] = knownHead{head: h, sealed: sealed, n: k.n}
}

func (k *heads) find(id cid.Cid) *election.Head {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byID[id].head
}

func (k *heads) sealed(id cid.Cid) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byID[id].sealed
}

// full tells whether it is time to prune.
func (k *heads) full() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.byID) > maxHeads
}

// prune forgets what is neither recent nor named.
func (k *heads) prune(named map[cid.Cid]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, h := range k.byID {
		if h.n+recentHeads <= k.n && !named[id] {
			delete(k.byID, id)
		}
	}
}
