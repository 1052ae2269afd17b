package handler

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/protocols/wire"
)

// Protocol is one in which a stream carries one request, and then frames in answer.
type Protocol struct {
	ID      protocol.ID
	Service string        // its name in the resource manager
	Request time.Duration // from the opening of the stream to the end of the request
	Frame   time.Duration // that a frame may take, once it has begun
	Slowest int           // bytes a second a frame must get on at, after a first Frame
}

// Question is the asker's side of one stream. It is used by one goroutine.
type Question struct {
	ctx  context.Context
	of   Protocol
	s    network.Stream
	r    *bufio.Reader
	stop func() bool // takes ctx's hold off the stream
}

// Ask opens a stream to peer and sends the request. The stream is reset when ctx ends, whose error is then returned
// by this and by Read.
func (p Protocol) Ask(ctx context.Context, h host.Host, to peer.ID, request proto.Message) (*Question, error) {
	s, err := h.NewStream(ctx, to, p.ID)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	q := &Question{ctx: ctx, of: p, s: s, r: bufio.NewReader(s)}
	q.stop = context.AfterFunc(ctx, func() { s.Reset() })
	if err := q.send(request); err != nil {
		q.Close()
		return nil, q.cause(err)
	}
	return q, nil
}

func (q *Question) send(request proto.Message) error {
	if err := q.s.Scope().SetService(q.of.Service); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	q.s.SetWriteDeadline(time.Now().Add(q.of.Request))
	return wire.WriteMsg(q.s, request)
}

// Close frees the stream. Nothing more is wanted of it, so it is reset: that ends the answer of the other side.
func (q *Question) Close() {
	q.stop()
	q.s.Reset()
}

// Read reads one frame of at most most bytes, which must begin within a time; 0 = any. Errors: those of wire.ReadLen
// and of the stream.
func (q *Question) Read(m proto.Message, most int, begin time.Duration) error {
	return q.cause(q.read(m, most, begin))
}

func (q *Question) read(m proto.Message, most int, begin time.Duration) error {
	var deadline time.Time
	if begin > 0 {
		deadline = time.Now().Add(begin)
	}
	q.s.SetReadDeadline(deadline)
	n, err := wire.ReadLen(q.r, most)
	if err != nil {
		return err
	}
	// The frame, and once more for the fields decoded from it.
	if err := q.s.Scope().ReserveMemory(2*n, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("read frame: reserve memory: %w", err)
	}
	defer q.s.Scope().ReleaseMemory(2 * n)
	q.s.SetReadDeadline(time.Now().Add(q.of.Frame + time.Duration(n)*time.Second/time.Duration(q.of.Slowest)))
	return wire.ReadBody(q.r, m, n)
}

// cause is the error of ctx instead of err, if the stream was reset for it.
func (q *Question) cause(err error) error {
	if err != nil && q.ctx.Err() != nil {
		return q.ctx.Err()
	}
	return err
}
