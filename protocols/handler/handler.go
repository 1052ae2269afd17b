// Package handler runs the stream handlers of a protocol: it counts the streams of each peer, ends every
// stream with Close or Reset, and waits for all of them when the protocol is taken down.
package handler

import (
	"context"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Serve answers one stream. It returns nil for a clean end, which is a Close; any error is a Reset, which tells
// the peer and frees both sides at once. busy: the peer has more streams open than it may. The stream is reset
// when ctx ends.
type Serve func(ctx context.Context, s network.Stream, busy bool) error

// Register answers streams of protocol id on h with serve until the function it returns is called; that one
// ends every stream and waits for the handlers. A peer may have maxStreams open; further ones are busy.
func Register(h host.Host, id protocol.ID, maxStreams int, serve Serve, log *slog.Logger) (close func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{ctx: ctx, serve: serve, max: maxStreams, log: log.With("protocol", string(id)), open: map[peer.ID]int{}}
	h.SetStreamHandler(id, r.handle)
	return func() {
		h.RemoveStreamHandler(id)
		cancel()
		r.close()
	}
}

type runner struct {
	ctx   context.Context // ends when the protocol is taken down
	serve Serve
	max   int
	log   *slog.Logger

	wg sync.WaitGroup // one for each stream

	mu     sync.Mutex // guards what follows
	closed bool
	open   map[peer.ID]int
}

// handle owns s.
func (r *runner) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	n, ok := r.enter(p)
	if !ok {
		s.Reset()
		return
	}
	defer r.leave(p)
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	err := r.serve(ctx, s, n > r.max)
	if stop() && err == nil {
		s.Close()
		return
	}
	s.Reset()
	r.log.Debug("stream ended", "peer", p, "err", err)
}

// enter counts a stream in and tells how many p has; false if the protocol was taken down.
func (r *runner) enter(p peer.ID) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, false
	}
	r.wg.Add(1)
	r.open[p]++
	return r.open[p], true
}

func (r *runner) leave(p peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[p]--; r.open[p] == 0 {
		delete(r.open, p)
	}
	r.wg.Done()
}

// close refuses new streams and waits for the open ones, which have been told to end.
func (r *runner) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wg.Wait()
}
