package council

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/handler"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// Frames a second that are taken on one stream, the others wait: four for each of 1,000 sets, and a burst of two
// seconds of that, as when a peer is lost that was the primary of all.
const (
	frameRate  = 4000
	frameBurst = 8000
)

// server answers streams out of a handler.
type server struct {
	handler Handler
	log     *slog.Logger

	mu      sync.Mutex                   // guards what follows
	talking map[peer.ID][]network.Stream // with frames, oldest first
}

// Register answers council streams of h out of handler until the function it returns is called; that one ends
// every stream and waits for the handlers.
func Register(h host.Host, handle Handler, log *slog.Logger) (close func()) {
	srv := &server{handler: handle, log: log, talking: map[peer.ID][]network.Stream{}}
	return handler.Register(h, ID, MaxStreams, srv.serve, log)
}

func (srv *server) serve(ctx context.Context, s network.Stream, busy bool) error {
	if err := s.Scope().SetService(ServiceName); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	r := bufio.NewReader(s)
	s.SetReadDeadline(time.Now().Add(requestTimeout))
	n, err := wire.ReadLen(r, maxRequest)
	if err != nil {
		return err
	}
	// The request, and once more for the fields decoded from it.
	if err := s.Scope().ReserveMemory(2*n, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(2 * n)
	var req councilpb.Request
	if err := wire.ReadBody(r, &req, n); err != nil {
		return err
	}
	switch kind := req.GetKind(); {
	case kind == councilpb.Kind_MESSAGES: // has a limit of its own, or questions could keep the frames out
		return srv.messages(ctx, s, r)
	case busy: // field 1 of every answer is its code, so these are answers to any question
		return send(s, &councilpb.HeadsReply{Code: uint32(wire.Busy)})
	case kind == councilpb.Kind_TABLE:
		return srv.table(s, &req)
	case kind == councilpb.Kind_HEADS:
		return srv.heads(s, &req)
	case kind == councilpb.Kind_PROPOSE:
		return srv.propose(ctx, s, &req)
	}
	return send(s, &councilpb.HeadsReply{Code: uint32(wire.BadRequest)})
}

// messages reads frames until their sender ends the stream. Any other end is an error and resets it, so that the
// sender's next write fails and it opens another.
func (srv *server) messages(ctx context.Context, s network.Stream, r *bufio.Reader) error {
	p := s.Conn().RemotePeer()
	srv.enlist(p, s)
	defer srv.strike(p, s)
	// A frame, and once more for the fields decoded from it.
	if err := s.Scope().ReserveMemory(2*maxFrame, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(2 * maxFrame)
	limit := rate.NewLimiter(frameRate, frameBurst)
	for {
		s.SetReadDeadline(time.Now().Add(idleLimit))
		n, err := wire.ReadLen(r, maxFrame)
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return err
		}
		s.SetReadDeadline(time.Now().Add(requestTimeout))
		var m councilpb.Frame
		if err := wire.ReadBody(r, &m, n); err != nil {
			return err
		}
		f, err := decodeFrame(&m)
		if err != nil {
			return err
		}
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		srv.handler.Frame(p, f)
	}
}

// enlist counts a stream with frames in. When p has too many, its oldest is reset: what p has given up long ago may
// look open here for a minute, and must not keep p from being heard.
func (srv *server) enlist(p peer.ID, s network.Stream) {
	srv.mu.Lock()
	all := append(srv.talking[p], s)
	var oldest network.Stream
	if len(all) > maxMessageStreams {
		oldest, all = all[0], all[1:]
	}
	srv.talking[p] = all
	srv.mu.Unlock()
	if oldest != nil {
		oldest.Reset()
	}
}

func (srv *server) strike(p peer.ID, s network.Stream) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := slices.DeleteFunc(srv.talking[p], func(o network.Stream) bool { return o == s })
	if srv.talking[p] = all; len(all) == 0 {
		delete(srv.talking, p)
	}
}

func (srv *server) table(s network.Stream, req *councilpb.Request) error {
	if len(req.GetTopic()) > maxTopic {
		return fmt.Errorf("%w: name of a topic of %d bytes", ErrMalformed, len(req.GetTopic()))
	}
	version, seats, ok := srv.handler.Table(s.Conn().RemotePeer(), req.GetTopic(), req.GetSince())
	if !ok {
		return srv.refuse(s, ErrNotFound)
	}
	pages, err := encodeTable(version, seats)
	if err != nil {
		return srv.refuse(s, err)
	}
	for _, page := range pages {
		if err := send(s, page); err != nil {
			return err
		}
	}
	return nil
}

func (srv *server) heads(s network.Stream, req *councilpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	ids, err := decodeIDs(req.GetIds())
	if err != nil {
		return err
	}
	heads, err := srv.handler.Heads(s.Conn().RemotePeer(), set, ids)
	if err != nil {
		return srv.refuse(s, err)
	}
	return send(s, encodeHeads(heads[:min(len(heads), len(ids))]))
}

func (srv *server) propose(ctx context.Context, s network.Stream, req *councilpb.Request) error {
	set, err := setID(req.GetSet())
	if err != nil {
		return err
	}
	if n := len(req.GetSealed()); n == 0 || n > record.MaxSealed {
		return fmt.Errorf("%w: a proposal of %d bytes", ErrMalformed, n)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.CloseRead() // ends the goroutine
	defer cancel()
	// The asker says nothing more; a read fails when it resets the stream, and then nobody wants the outcome.
	s.SetReadDeadline(time.Time{})
	wg.Go(func() {
		if _, err := s.Read(make([]byte, 1)); err != nil && !isEnd(err) {
			cancel()
		}
	})
	told := 0
	err = srv.handler.Propose(ctx, s.Conn().RemotePeer(), set, req.GetSealed(), func(o Outcome) error {
		if told++; told > MaxOutcomes {
			return fmt.Errorf("tell outcome: %w: more than %d", ErrMalformed, MaxOutcomes)
		}
		m, err := encodeOutcome(o)
		if err != nil {
			return fmt.Errorf("tell outcome: %w", err)
		}
		if err := send(s, m); err != nil {
			return fmt.Errorf("tell outcome: %w", err)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return srv.refuse(s, err)
	}
	return err
}

// refuse answers with the code of a handler's error and nothing more.
func (srv *server) refuse(s network.Stream, err error) error {
	code := wire.CodeOf(err)
	if code == wire.Internal {
		srv.log.Warn("council request failed", "peer", s.Conn().RemotePeer(), "err", err)
	}
	return send(s, &councilpb.HeadsReply{Code: uint32(code)})
}

// send writes one frame of an answer within its time.
func send(s network.Stream, m proto.Message) error {
	n := proto.Size(m)
	if err := s.Scope().ReserveMemory(n, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("send answer: reserve memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(n)
	s.SetWriteDeadline(time.Now().Add(answerTime(n)))
	return wire.WriteMsg(s, m)
}
