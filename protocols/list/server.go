package list

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
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/handler"
	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// server answers requests out of a catalog.
type server struct {
	catalog Catalog
	log     *slog.Logger
}

// Register answers list streams of h out of c until the function it returns is called; that one ends
// every stream and waits for the handlers.
func Register(h host.Host, c Catalog, log *slog.Logger) (close func()) {
	srv := &server{catalog: c, log: log}
	return handler.Register(h, ID, MaxStreams, srv.serve, log)
}

func (srv *server) serve(ctx context.Context, s network.Stream, busy bool) error {
	if err := s.Scope().SetService(ServiceName); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	// The request, and once more for the fields decoded from it.
	if err := s.Scope().ReserveMemory(2*wire.MaxControl, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(2 * wire.MaxControl)
	s.SetReadDeadline(time.Now().Add(requestTimeout))
	var req listpb.Request
	if err := wire.ReadMsg(bufio.NewReader(s), &req, wire.MaxControl); err != nil {
		return err
	}
	s.SetReadDeadline(time.Time{})
	// Field 1 of every answer is its code, so this is an answer to any request.
	if busy {
		return send(s, &listpb.InfoReply{Code: uint32(wire.Busy)})
	}
	switch req.GetKind() {
	case listpb.Kind_SETS:
		return srv.sets(ctx, s)
	case listpb.Kind_INFO:
		return srv.info(ctx, s, &req)
	case listpb.Kind_WATCH:
		return srv.watch(ctx, s, &req)
	case listpb.Kind_CONFIRM:
		return srv.confirm(ctx, s, &req)
	case listpb.Kind_HISTORY:
		return srv.history(ctx, s, &req)
	}
	return send(s, &listpb.InfoReply{Code: uint32(wire.BadRequest)})
}

func (srv *server) sets(ctx context.Context, s network.Stream) error {
	sets, err := srv.catalog.Sets(ctx, s.Conn().RemotePeer())
	m := &listpb.SetsReply{}
	if err == nil {
		m, err = encodeSets(sets)
	}
	if err != nil {
		return srv.refuse(s, err)
	}
	return send(s, m)
}

func (srv *server) info(ctx context.Context, s network.Stream, req *listpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	info, err := srv.catalog.Info(ctx, s.Conn().RemotePeer(), set, req.GetCapability())
	if err != nil {
		return srv.refuse(s, err)
	}
	m, _ := encodeInfo(info, decodeKnown(req.GetKnown()))
	return send(s, &listpb.InfoReply{Info: m})
}

func (srv *server) history(ctx context.Context, s network.Stream, req *listpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	c, ok := srv.catalog.(Historian)
	if !ok {
		return send(s, &listpb.InfoReply{Code: uint32(wire.BadRequest)})
	}
	heads, err := c.History(ctx, s.Conn().RemotePeer(), set, req.GetCapability())
	if err != nil {
		return srv.refuse(s, err)
	}
	m, size := &listpb.HistoryReply{}, 0
	for _, h := range heads[:min(len(heads), MaxHistory)] {
		if size += len(h); size > maxHistoryBytes {
			break // a part of it is of use, as it begins with the newest
		}
		m.Heads = append(m.Heads, h)
	}
	return send(s, m)
}

func (srv *server) confirm(ctx context.Context, s network.Stream, req *listpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	if len(req.GetRoot()) != sha256.Size {
		return send(s, &listpb.InfoReply{Code: uint32(wire.BadRequest)})
	}
	if c, ok := srv.catalog.(Confirmer); ok {
		err := c.Confirm(ctx, s.Conn().RemotePeer(), set, blockstore.FromDigest(cid.DagProtobuf, [sha256.Size]byte(req.GetRoot())), req.GetCapability())
		if err != nil {
			return srv.refuse(s, err)
		}
	}
	return send(s, &listpb.InfoReply{})
}

// refuse answers with the code of a catalog's error and nothing more.
func (srv *server) refuse(s network.Stream, err error) error {
	code := wire.CodeOf(err)
	if code == wire.Internal {
		srv.log.Warn("list request failed", "peer", s.Conn().RemotePeer(), "err", err)
	}
	return send(s, &listpb.InfoReply{Code: uint32(code)})
}

// watch sends updates until the catalog, the peer or the server ends it.
func (srv *server) watch(ctx context.Context, s network.Stream, req *listpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.CloseRead() // ends the reading goroutine
	defer cancel()      // ends the filling one
	updates, err := srv.catalog.Watch(ctx, s.Conn().RemotePeer(), set, req.GetCapability())
	if err != nil {
		return srv.refuse(s, err)
	}
	// The client says nothing more; a read fails when it resets the stream, and then the watch is over.
	wg.Go(func() {
		if _, err := s.Read(make([]byte, 1)); err != nil && !wire.Ended(err) {
			cancel()
		}
	})
	box := &mailbox{p: pending{sent: decodeKnown(req.GetKnown())}, ready: make(chan struct{}, 1)}
	wg.Go(func() { box.fill(ctx, updates) })
	return box.drain(ctx, s)
}

// mailbox joins the updates of a catalog while the stream is busy or the interval is not over.
type mailbox struct {
	mu     sync.Mutex // guards what follows
	p      pending
	closed bool

	ready chan struct{} // holds one token while there may be something to take
}

// fill takes every update at once, so that a slow watcher never holds up the catalog.
func (b *mailbox) fill(ctx context.Context, updates <-chan Update) {
	for {
		var u Update
		var open bool
		select {
		case <-ctx.Done():
			return
		case u, open = <-updates:
		}
		b.mu.Lock()
		if open {
			b.p.add(u)
		} else {
			b.closed = true
		}
		b.mu.Unlock()
		select {
		case b.ready <- struct{}{}:
		default:
		}
		if !open {
			return
		}
	}
}

func (b *mailbox) take() (m *listpb.Update, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.p.take(), b.closed
}

// drain sends what is there, then waits out the interval, so that what comes meanwhile goes together.
func (b *mailbox) drain(ctx context.Context, s network.Stream) error {
	alive := time.NewTimer(keepAlive)
	defer alive.Stop()
	for {
		idle := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.ready:
		case <-alive.C:
			idle = true
		}
		m, closed := b.take()
		if m == nil && idle {
			m = &listpb.Update{}
		}
		if m != nil {
			if err := send(s, m); err != nil {
				return err
			}
		}
		if closed {
			return nil
		}
		alive.Reset(keepAlive)
		if m == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(updateInterval):
		}
	}
}

// send writes one frame within its time.
func send(s network.Stream, m proto.Message) error {
	n := proto.Size(m)
	if n > MaxFrame {
		return fmt.Errorf("send answer: %w: %d bytes", wire.ErrTooLarge, n)
	}
	if err := s.Scope().ReserveMemory(n, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("send answer: reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(n)
	s.SetWriteDeadline(time.Now().Add(frameTime(n)))
	return wire.WriteMsg(s, m)
}
