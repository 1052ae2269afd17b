package beacon

import (
	"log/slog"
	"maps"
	"math/bits"
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// links knows to which peers the router has a stream, as the router's tracer. The router learns that a peer
// joined a topic by that peer's stream to us, often before ours to it stands; what is published in between is
// dropped without a word. So whoever joined is announced to a room when both are there.
type links struct {
	idle // what the router tells besides
	door *door
	log  *slog.Logger

	mu   sync.Mutex // guards what follows; nothing that can wait is done under it
	up   map[peer.ID]bool
	wait map[peer.ID]map[*room]bool // rooms that peer joined before its link was up
	sent uint64                     // messages that were lost on their way out
	got  uint64                     // on their way in
	much uint64                     // and those beyond a peer's rate
}

func newLinks(d *door, log *slog.Logger) *links {
	return &links{door: d, log: log, up: map[peer.ID]bool{}, wait: map[peer.ID]map[*room]bool{}}
}

// joined announces p to r as soon as there is a link to p.
func (l *links) joined(p peer.ID, r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up[p] {
		r.arrive(p, false)
		return
	}
	if l.wait[p] == nil {
		l.wait[p] = map[*room]bool{}
	}
	l.wait[p][r] = true
}

// left takes back what joined said.
func (l *links) left(p peer.ID, r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.wait[p], r); len(l.wait[p]) == 0 {
		delete(l.wait, p)
	}
}

// closed takes back what joined said of anyone.
func (l *links) closed(r *room) {
	l.mu.Lock()
	waiting := slices.Collect(maps.Keys(l.wait))
	l.mu.Unlock()
	for _, p := range waiting {
		l.left(p, r)
	}
}

// OnNewOutboundStream implements pubsub.RawTracer. What is published from now on goes to p.
func (l *links) OnNewOutboundStream(p peer.ID, _ protocol.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up[p] = true
	for r := range l.wait[p] {
		r.arrive(p, false)
	}
	delete(l.wait, p)
}

// OnClosedOutboundStream implements pubsub.RawTracer.
func (l *links) OnClosedOutboundStream(p peer.ID) {
	l.door.unlinked(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.up, p)
}

// DropRPC implements pubsub.RawTracer: the queue of p is full, or its link is not up.
func (l *links) DropRPC(rpc *pubsub.RPC, p peer.ID) {
	if n := len(rpc.GetPublish()); n > 0 {
		l.lose(&l.sent, n, "not sent: the link takes no more", p)
	}
}

// UndeliverableMessage implements pubsub.RawTracer: the goroutine that takes messages in did not get to run.
func (l *links) UndeliverableMessage(m *pubsub.Message) {
	l.lose(&l.got, 1, "not taken in", m.ReceivedFrom)
}

// refused: p sends more than is taken from one neighbour.
func (l *links) refused(p peer.ID, n int) {
	l.lose(&l.much, n, "not looked at: too many from one peer", p)
}

// lose counts n lost messages and logs the losses 1, 2, 4, 8 ...
func (l *links) lose(count *uint64, n int, how string, p peer.ID) {
	l.mu.Lock()
	before := *count
	*count += uint64(n)
	after := *count
	l.mu.Unlock()
	if loggable(before, after) {
		l.log.Warn("beacons "+how, "peer", p, "lost", after)
	}
}

// loggable tells whether a count went over a power of two: who loses much must not write a log fast.
func loggable(before, after uint64) bool { return bits.Len64(before) < bits.Len64(after) }

// idle is a pubsub.RawTracer that does nothing.
type idle struct{}

func (idle) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (idle) OnClosedOutboundStream(peer.ID)           {}
func (idle) Join(string)                              {}
func (idle) Leave(string)                             {}
func (idle) Graft(peer.ID, string)                    {}
func (idle) Prune(peer.ID, string)                    {}
func (idle) ValidateMessage(*pubsub.Message)          {}
func (idle) DeliverMessage(*pubsub.Message)           {}
func (idle) RejectMessage(*pubsub.Message, string)    {}
func (idle) DuplicateMessage(*pubsub.Message)         {}
func (idle) ThrottlePeer(peer.ID)                     {}
func (idle) RecvRPC(*pubsub.RPC)                      {}
func (idle) SendRPC(*pubsub.RPC, peer.ID)             {}
func (idle) DropRPC(*pubsub.RPC, peer.ID)             {}
func (idle) UndeliverableMessage(*pubsub.Message)     {}
