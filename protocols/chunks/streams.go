package chunks

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// streams counts the streams of each peer, and lets the server wait for all handlers. The zero value
// is ready.
type streams struct {
	wg sync.WaitGroup // one for each stream

	mu     sync.Mutex // guards what follows
	closed bool
	open   map[peer.ID]int
}

// enter counts a stream in and tells how many p has; false if the server is closed.
func (t *streams) enter(p peer.ID) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, false
	}
	if t.open == nil {
		t.open = make(map[peer.ID]int)
	}
	t.wg.Add(1)
	t.open[p]++
	return t.open[p], true
}

func (t *streams) leave(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[p]--; t.open[p] == 0 {
		delete(t.open, p)
	}
	t.wg.Done()
}

// close refuses new streams and waits for the open ones, which the caller has told to end.
func (t *streams) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}
