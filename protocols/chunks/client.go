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
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// Client's sizes in bytes.
const (
	// readAhead is the client's read buffer. It saves calls for headers and small blocks; of a large
	// block only what came with its header is copied, the rest is read straight into the caller's buffer.
	readAhead = 4 << 10
	// readPiece is how much of a block must arrive within frameTimeout: 2 KB/s, below which another
	// peer is better.
	readPiece = 64 << 10
)

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
// is over, and every call fails. The server ends a session that wants nothing for a minute.
type Session struct {
	s     network.Stream
	in    *bufio.Reader
	wants chan want // sent; Next takes one when it has taken all replies to the one before
	allow Throttle  // Next's; nil = nothing is waited for

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
		s: s, in: bufio.NewReaderSize(s, readAhead),
		wants: make(chan want, MaxOutstanding), done: make(chan struct{}),
	}
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
	x.s.SetDeadline(time.Now().Add(frameTimeout))
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
		return fmt.Errorf("want: %w", x.end(err))
	}
	return nil
}

// Next gives the next reply. Data uses the memory of buf if that has the capacity, else new memory,
// and is valid until the caller uses it again. While nothing is wanted it waits for a Want, without a
// deadline; then for each piece of the reply at most frameTimeout. Errors: ErrMalformed, ErrClosed,
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
// before Next is. While it waits, the peer finds its window full; so that it does not take us for dead, what is left of a
// reply after throttlePatience is read first and asked for then.
func (x *Session) Throttle(allow Throttle) { x.allow = allow }

// throttlePatience is less than any server's: one whose reply is not taken for longer, or that has nothing more to say, ends
// the session, and what it sent is lost.
const throttlePatience = 20 * time.Second

// toll is what one reply has to pay to a throttle.
type toll struct {
	allow Throttle // nil = nothing
	until time.Time
	owed  int // read, not allowed yet
}

func (x *Session) newToll() *toll {
	return &toll{allow: x.allow, until: time.Now().Add(throttlePatience)}
}

// pass tells how many of n bytes may be read now.
func (t *toll) pass(n int) (int, error) {
	switch {
	case t.allow == nil:
		return n, nil
	case time.Now().After(t.until):
		t.owed += n
		return n, nil
	}
	return t.allow(n)
}

// pay waits for what is owed.
func (t *toll) pay() error {
	for t.owed > 0 {
		n, err := t.allow(t.owed)
		if err != nil {
			return err
		}
		t.owed -= n
	}
	return nil
}

// read fills b as fast as it may, each piece within frameTimeout.
func (x *Session) read(b []byte, t *toll) error {
	for len(b) > 0 {
		n, err := t.pass(min(len(b), readPiece))
		if err != nil {
			return err
		}
		x.s.SetReadDeadline(time.Now().Add(frameTimeout))
		if _, err := io.ReadFull(x.in, b[:n]); err != nil {
			return noEOF(err)
		}
		b = b[n:]
	}
	return nil
}

func (x *Session) next(buf []byte) (Reply, error) {
	var b [replyHeader]byte
	t := x.newToll()
	if err := x.read(b[:], t); err != nil {
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
	if err := x.read(r.Data, t); err != nil {
		return Reply{}, err
	}
	return r, t.pay()
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
