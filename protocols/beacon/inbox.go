package beacon

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// inboxSize is the most messages of a topic that wait to be heard: 16 senders with all they may have, 16 MiB
	// if every message is as large as can be.
	inboxSize = 256
	// inboxPeer is the most of one sender: four seconds of four beacons.
	inboxPeer = 16
)

// inbox keeps what was received until it is heard. When hearing is slow, whoever sends most loses its oldest
// messages: what is newest matters most, and a peer that floods only floods itself.
type inbox struct {
	mu     sync.Mutex // guards what follows, but not the channel's use
	queue  []Heard    // oldest first
	from   map[peer.ID]int
	lost   uint64
	signal chan struct{} // holds one token when queue is not empty
}

func newInbox() *inbox {
	return &inbox{from: map[peer.ID]int{}, signal: make(chan struct{}, 1)}
}

// push takes h in. It tells how many messages were lost so far if one was lost by that, else 0.
func (q *inbox) push(h Heard) (lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.from[h.From] >= inboxPeer:
		lost = q.drop(h.From)
	case len(q.queue) >= inboxSize:
		loudest := q.queue[0].From
		for p, n := range q.from {
			if n > q.from[loudest] {
				loudest = p
			}
		}
		lost = q.drop(loudest)
	}
	q.queue = append(q.queue, h)
	q.from[h.From]++
	select {
	case q.signal <- struct{}{}:
	default:
	}
	return lost
}

// drop loses the oldest message of p, which has one.
func (q *inbox) drop(p peer.ID) uint64 {
	i := slices.IndexFunc(q.queue, func(h Heard) bool { return h.From == p })
	q.queue = slices.Delete(q.queue, i, i+1)
	q.leave(p)
	q.lost++
	return q.lost
}

// pop takes the oldest message out; false if there is none.
func (q *inbox) pop() (Heard, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		return Heard{}, false
	}
	h := q.queue[0]
	q.queue = slices.Delete(q.queue, 0, 1)
	q.leave(h.From)
	return h, true
}

func (q *inbox) leave(p peer.ID) {
	if q.from[p]--; q.from[p] == 0 {
		delete(q.from, p)
	}
}
