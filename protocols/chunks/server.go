package chunks

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	chunkspb "github.com/shoal-p2p/shoal/protocols/chunks/pb"
	"github.com/shoal-p2p/shoal/protocols/handler"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ServerOptions are what a server may be given; the zero value serves without limit.
type ServerOptions struct {
	// Limit gives what bounds the payload of one session, over the connection c; nil, or what it returns is: nothing.
	Limit func(c network.Conn, set cid.Cid) Limiter
	Log   *slog.Logger           // nil = none
	Sent  func(p peer.ID, n int) // told of payload bytes as they go out; nil = nobody
}

// server answers sessions out of a source.
type server struct {
	source  Source
	o       ServerOptions
	buffers sync.Pool // of *[]byte with bufferSize bytes
}

// Register answers chunk sessions of h out of src until the function it returns is called; that one
// ends every session and waits for the handlers.
func Register(h host.Host, src Source, o ServerOptions) (close func()) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Sent == nil {
		o.Sent = func(peer.ID, int) {}
	}
	if o.Limit == nil {
		o.Limit = func(network.Conn, cid.Cid) Limiter { return nil }
	}
	srv := &server{source: src, o: o}
	srv.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	return handler.Register(h, ID, MaxStreams, srv.serve, o.Log)
}

func (srv *server) serve(ctx context.Context, s network.Stream, busy bool) error {
	if err := s.Scope().SetService(ServiceName); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	if err := s.Scope().ReserveMemory(wire.MaxControl, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(wire.MaxControl)
	s.SetReadDeadline(time.Now().Add(helloTimeout))
	in := bufio.NewReaderSize(s, maxWantSize)
	var hello chunkspb.Hello
	if err := wire.ReadMsg(in, &hello, wire.MaxControl); err != nil {
		return err
	}
	if len(hello.GetSet()) != sha256.Size {
		return fmt.Errorf("%w: set id of %d bytes", ErrMalformed, len(hello.GetSet()))
	}
	if busy || s.Scope().ReserveMemory(StreamMemory, network.ReservationPriorityAlways) != nil {
		return welcome(s, wire.Busy)
	}
	defer s.Scope().ReleaseMemory(StreamMemory)
	set := blockstore.FromDigest(cid.Raw, [sha256.Size]byte(hello.GetSet()))
	r, err := srv.source.Open(ctx, s.Conn().RemotePeer(), set, hello.GetCapability())
	if err != nil {
		code := wire.CodeOf(err)
		if code != wire.NotFound {
			srv.o.Log.Warn("opening a set failed", "peer", s.Conn().RemotePeer(), "set", set, "err", err)
		}
		return welcome(s, code)
	}
	defer r.Close()
	if err := welcome(s, wire.OK); err != nil {
		return err
	}
	return srv.session(ctx, in, &replier{srv: srv, s: s, set: set, r: r, limit: srv.o.Limit(s.Conn(), set), out: bufio.NewWriterSize(deadlineWriter{s}, flushSize), flushed: time.Now()})
}

// welcome answers the greeting.
func welcome(s network.Stream, code wire.Code) error {
	s.SetWriteDeadline(time.Now().Add(helloTimeout))
	return wire.WriteMsg(s, &chunkspb.Welcome{Code: uint32(code)})
}

// session runs the two halves of a session: one goroutine reads wants ahead, this one replies. When
// either fails, both end.
func (srv *server) session(ctx context.Context, in *bufio.Reader, w *replier) error {
	s := w.s
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := &wantQueue{s: s, in: in, wants: make(chan want, MaxOutstanding)}
	var wg sync.WaitGroup
	wg.Go(func() {
		if q.err = q.fill(); q.err != nil {
			s.Reset() // ends a write
			cancel()  // ends a read of the source
		}
		close(q.wants)
	})
	err := w.run(ctx, q)
	if err != nil {
		s.Reset() // ends a read of the next want
	}
	for range q.wants { // nobody replies any more: make room until the reader has noticed
	}
	wg.Wait()
	if q.err != nil {
		return q.err // the cause; err is only what followed from it
	}
	return err
}
