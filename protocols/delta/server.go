package delta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/handler"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ServerOptions are what a server may be given; the zero value serves without limit.
type ServerOptions struct {
	// Limit gives what bounds the items of one session, over the connection c; nil, or what it returns is: nothing.
	Limit func(c network.Conn, set cid.Cid) Limiter
	Log   *slog.Logger           // nil = none
	Sent  func(p peer.ID, n int) // told of patch bytes as they go out; nil = nobody
}

// server answers sessions out of a source.
type server struct {
	source Source
	o      ServerOptions
	work   *workshop
}

// Register answers delta sessions of h out of src until the function it returns is called; that one ends
// every session and waits for the handlers.
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
	srv := &server{source: src, o: o, work: newWorkshop()}
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
	in := bufio.NewReaderSize(s, readAhead)
	var m deltapb.Request
	if err := wire.ReadMsg(in, &m, wire.MaxControl); err != nil {
		return err
	}
	q, err := parseRequest(&m)
	if err != nil {
		return err
	}
	if busy || s.Scope().ReserveMemory(StreamMemory, network.ReservationPriorityAlways) != nil {
		return welcome(s, wire.Busy, 0)
	}
	defer s.Scope().ReleaseMemory(StreamMemory)
	r, err := srv.source.Open(ctx, s.Conn().RemotePeer(), q.Set, q.Capability)
	if err != nil {
		code := codeOf(err)
		if code != wire.NotFound {
			srv.o.Log.Warn("opening a set failed", "peer", s.Conn().RemotePeer(), "set", q.Set, "err", err)
		}
		return welcome(s, code, 0)
	}
	defer r.Close()
	var base int
	var old *dag.Layout
	err = srv.work.use(ctx, func(*worker) (err error) {
		base, old, err = pickBase(ctx, r, q.Have)
		return err
	})
	if err != nil {
		return err
	}
	if err := welcome(s, wire.OK, base); err != nil {
		return err
	}
	x := &sender{srv: srv, s: s, r: r, q: q, old: old, left: q.Push, limit: srv.o.Limit(s.Conn(), q.Set), flushed: time.Now()}
	x.out = bufio.NewWriterSize(deadlineWriter{s}, flushSize)
	return x.session(ctx, in)
}

// pickBase is the first of the have-roots whose nodes are here, counted from 1, and its layout; 0 if there is
// none. A root that is no revision, or a damaged one, is as if it had not been named.
func pickBase(ctx context.Context, r Reader, have []cid.Cid) (n int, old *dag.Layout, err error) {
	for i, root := range have {
		if old, err := r.Layout(ctx, root); err == nil {
			return i + 1, old, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, nil
}

// welcome answers the request.
func welcome(s network.Stream, code wire.Code, base int) error {
	s.SetWriteDeadline(time.Now().Add(helloTimeout))
	return wire.WriteMsg(s, &deltapb.Welcome{Code: uint32(code), Base: uint32(base)})
}

// session runs the two halves of a session: one goroutine reads asks ahead, this one sends. When either
// fails, both end.
func (x *sender) session(ctx context.Context, in *bufio.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := &askQueue{s: x.s, in: in, asks: make(chan waiting, MaxAsks)}
	q.open.Store(1) // what comes unasked
	var wg sync.WaitGroup
	wg.Go(func() {
		if q.err = q.fill(ctx); q.err != nil {
			x.s.Reset() // ends a write
			cancel()    // ends a read of the source
		}
		close(q.asks)
	})
	err := x.run(ctx, q)
	if err != nil {
		x.s.Reset() // ends a read of the next ask
		cancel()    // ends waiting for room in the queue
	}
	wg.Wait()
	return errors.Join(q.err, err) // one is the cause, the other what followed from it
}

// deadlineWriter gives every piece of a write a time of its own, so that who takes a large item slowly is not taken for
// one that takes nothing.
type deadlineWriter struct{ s network.Stream }

func (w deadlineWriter) Write(b []byte) (done int, err error) {
	for done < len(b) && err == nil {
		w.s.SetWriteDeadline(time.Now().Add(writeTimeout))
		var n int
		n, err = w.s.Write(b[done:min(done+writePiece, len(b))])
		done += n
	}
	return done, err
}
