package chunks

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

// readAhead is the client's read buffer, in bytes. It saves calls for headers and small blocks; of a large
// block only what came with its header is copied, the rest is read straight into the caller's buffer.
const readAhead = 4 << 10

// Reply is one block, or why there is none.
type Reply struct {
	Cid  cid.Cid   // what the reply is about; undefined at the end of a walk
	Code wire.Code // OK, or why Data is empty; at the end of a walk, how it went
	Data []byte    // NOT verified against Cid
}

// Throttle waits until some of the n bytes that come next may be read, and tells how many: 1 to n.
type Throttle func(n int) (int, error)

// Session is the client's side of one stream. One goroutine may call Want and Walk while another calls
// Next; Close may be called by anyone. After any error but ErrWindow and a wrong argument the session
// is over, and every call fails; but after one of Want or Walk what was sent before it still comes. The server ends a session that wants nothing for a minute.
type Session struct {
	s     network.Stream
	pace  handler.Paced // of s
	in    *bufio.Reader // of pace
	wants chan want     // sent; Next takes one when it has taken all replies to the one before
	allow Throttle      // Next's; nil = nothing is waited for

	cur want // Next's: what is being replied to; no CIDs left = nothing

	once sync.Once // guards err and the closing of done
	err  error     // why the session is over; to be read once done is closed
	done chan struct{}
}

// Open begins a session for one set with p. ctx bounds only the opening. Errors: ErrNotFound, ErrBusy,
// ErrRemote, those of the stream.
func Open(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte) (*Session, error) {
	if err := blockstore.CheckCid(set); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	s, err := h.NewStream(ctx, p, ID)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	x := &Session{
		s: s, pace: handler.Paced{From: s, Patience: frameTimeout},
		wants: make(chan want, MaxOutstanding), done: make(chan struct{}),
	}
	x.in = bufio.NewReaderSize(&x.pace, readAhead)
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	err = x.greet(set, capability)
	if !stop() {
		err = ctx.Err() // the stream was reset for it
	}
	if err != nil {
		s.Reset()
		return nil, fmt.Errorf("open session: %w", err)
	}
	return x, nil
}

// greet names the set and waits for the answer.
func (x *Session) greet(set cid.Cid, capability []byte) error {
	if err := x.s.Scope().SetService(ServiceName); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	digest := blockstore.Digest(set)
	x.s.SetWriteDeadline(time.Now().Add(frameTimeout))
	x.pace.Begin()
	if err := wire.WriteMsg(x.s, &chunkspb.Hello{Set: digest[:], Capability: capability}); err != nil {
		return err
	}
	var m chunkspb.Welcome
	if err := wire.ReadMsg(x.in, &m, wire.MaxControl); err != nil {
		return err
	}
	return wire.ErrorOf(m.GetCode())
}

// Want asks for up to MaxWant blocks; their replies come from Next in this order, after those of
// earlier wants. It does not wait for them. Errors: ErrWindow if MaxOutstanding wants wait already,
// blockstore.ErrInvalid, ErrClosed, those of the stream.
func (x *Session) Want(cids []cid.Cid) error { return x.ask(opBlocks, cids) }

// Walk asks for the nodes below and including root; see Reply for how the end looks. A peer may send
// any number of nodes: whoever takes them must stop at what the root leads to. Errors: as Want.
func (x *Session) Walk(root cid.Cid) error { return x.ask(opWalk, []cid.Cid{root}) }

func (x *Session) ask(op byte, cids []cid.Cid) error {
	b, err := appendWant(make([]byte, 0, wantHeader+len(cids)*cidSize), op, cids)
	if err != nil {
		return fmt.Errorf("want: %w", err)
	}
	select {
	case <-x.done:
		return fmt.Errorf("want: %w", x.err)
	default:
	}
	select { // before it is sent, so that Next knows of it when its reply comes
	case x.wants <- want{op: op, cids: append([]cid.Cid(nil), cids...)}:
	default:
		return fmt.Errorf("want: %w", ErrWindow)
	}
	x.s.SetWriteDeadline(time.Now().Add(frameTimeout))
	if _, err := x.s.Write(b); err != nil {
		return fmt.Errorf("want: %w", err) // what comes of earlier wants may be on its way: Next finds the end behind it
	}
	return nil
}

// Next gives the next reply. Data uses the memory of buf if that has the capacity, else new memory,
// and is valid until the caller uses it again. While nothing is wanted it waits for a Want, without a
// deadline; then for as long as the reply gets on, see handler.Paced. Errors: ErrMalformed, ErrClosed,
// those of the stream.
func (x *Session) Next(buf []byte) (Reply, error) {
	for len(x.cur.cids) == 0 {
		select {
		case x.cur = <-x.wants:
		case <-x.done:
			return Reply{}, fmt.Errorf("next reply: %w", x.err)
		}
	}
	r, err := x.next(buf)
	if err != nil {
		return Reply{}, fmt.Errorf("next reply: %w", x.end(err))
	}
	return r, nil
}

// Throttle makes Next ask allow before it reads anything of a reply; an error of it ends the session. It is called
// before Next is. While it waits, the peer finds its window full: who has a low limit should want few blocks at once,
// as a peer ends a session of which it could send nothing for a few minutes.
func (x *Session) Throttle(allow Throttle) { x.allow = allow }

// Watch makes Next tell fn, a few times a second, of bytes that came of a reply that takes long. It is called before Next is.
func (x *Session) Watch(fn func(n int)) { x.pace.Came = fn }

// read fills b as fast as it may.
func (x *Session) read(b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if x.allow != nil {
			begun := time.Now()
			var err error
			if n, err = x.allow(min(n, Piece)); err != nil {
				return err
			}
			x.pace.Rested(time.Since(begun)) // the peer is not to blame
			x.pace.Most = n
		}
		if _, err := io.ReadFull(x.in, b[:n]); err != nil {
			return noEOF(err)
		}
		b = b[n:]
	}
	return nil
}

func (x *Session) next(buf []byte) (Reply, error) {
	var b [replyHeader]byte
	x.pace.Begin()
	if err := x.read(b[:]); err != nil {
		return Reply{}, err
	}
	h, err := parseHeader(b)
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Cid: h.cid(), Code: h.code}
	if err := x.match(r); err != nil {
		return Reply{}, err
	}
	if cap(buf) < h.length {
		buf = make([]byte, h.length)
	}
	r.Data = buf[:h.length]
	return r, x.read(r.Data)
}

// match holds a reply against what was wanted and moves on to the next.
func (x *Session) match(r Reply) error {
	if x.cur.op == opWalk {
		switch {
		case !r.Cid.Defined():
			x.cur = want{}
		case r.Code != wire.OK || r.Cid.Prefix().Codec != cid.DagProtobuf:
			return fmt.Errorf("%w: %s is no node of a walk", ErrMalformed, r.Cid)
		}
		return nil
	}
	if !r.Cid.Equals(x.cur.cids[0]) {
		return fmt.Errorf("%w: about %s, wanted %s", ErrMalformed, r.Cid, x.cur.cids[0])
	}
	x.cur.cids = x.cur.cids[1:]
	return nil
}

// end makes err the reason why the session is over, unless there is one already, frees the stream, and
// gives the reason.
func (x *Session) end(err error) error {
	x.once.Do(func() {
		x.err = err
		close(x.done)
		x.s.Reset()
	})
	return x.err
}

// Close ends the session. Replies that were not taken are lost.
func (x *Session) Close() error {
	x.end(ErrClosed)
	return nil
}
