package delta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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

// Session is the client's side of one stream. One goroutine may call Ask while another calls Next; Close may
// be called by anyone. After any error but ErrWindow and a wrong argument the session is over, and every call
// fails. The server ends a session that asks for nothing for a minute after EndPush.
type Session struct {
	s    network.Stream
	pace handler.Paced // of s
	in   *bufio.Reader // of pace
	dry  bool
	base cid.Cid
	asks chan Ask // sent, without signatures; Next takes one when its item comes
	// allow is Next's: it waits until some of the n bytes that come next may be read, and tells how many; nil = nothing is
	// waited for.
	allow func(n int) (int, error)

	// Next's:
	phase Kind  // Node, then Leaf while leaves are pushed, then EndPush
	nodes int   // that came
	left  int64 // of the push budget

	once sync.Once // guards err and the closing of done
	err  error     // why the session is over; to be read once done is closed
	done chan struct{}
}

// Open begins a session with p. It returns when the server has answered, and items are on their way. ctx
// bounds only the opening. Errors: ErrNotFound, ErrBusy, ErrRemote, ErrMalformed, blockstore.ErrInvalid for a
// wrong request, those of the stream.
func Open(ctx context.Context, h host.Host, p peer.ID, q Request) (*Session, error) {
	m, err := q.message()
	if err != nil {
		return nil, fmt.Errorf("open delta: %w", err)
	}
	s, err := h.NewStream(ctx, p, ID)
	if err != nil {
		return nil, fmt.Errorf("open delta: %w", err)
	}
	x := &Session{
		s: s, pace: handler.Paced{From: s, Patience: patience}, dry: q.Dry, asks: make(chan Ask, MaxAsks),
		phase: Node, left: min(q.Push, MaxPush), done: make(chan struct{}),
	}
	x.in = bufio.NewReaderSize(&x.pace, readAhead)
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	err = x.greet(m, q.Have)
	if !stop() {
		err = ctx.Err() // the stream was reset for it
	}
	if err != nil {
		s.Reset()
		return nil, fmt.Errorf("open delta: %w", err)
	}
	return x, nil
}

// greet sends the request and waits for the answer.
func (x *Session) greet(q *deltapb.Request, have []cid.Cid) error {
	if err := x.s.Scope().SetService(ServiceName); err != nil {
		return fmt.Errorf("attach to service: %w", err)
	}
	x.s.SetWriteDeadline(time.Now().Add(frameTimeout))
	if err := wire.WriteMsg(x.s, q); err != nil {
		return err
	}
	x.pace.Begin()
	var m deltapb.Welcome
	if err := wire.ReadMsg(x.in, &m, wire.MaxControl); err != nil {
		return noEOF(err)
	}
	if err := wire.ErrorOf(m.GetCode()); err != nil {
		return err
	}
	switch n := int(m.GetBase()); {
	case n > len(have):
		return fmt.Errorf("%w: base %d of %d have-roots", ErrMalformed, n, len(have))
	case n > 0:
		x.base = have[n-1]
	}
	return nil
}

// Base is the have-root whose nodes the server has, and patches nodes against; undefined if there is none.
func (x *Session) Base() cid.Cid { return x.base }

// Next gives the next item: nodes, a parent before its children, EndNodes, pushed leaves, EndPush, then one
// Leaf for each Ask in order. After EndPush it waits for an Ask, without a deadline; for an item that is due
// at most a minute until it begins. An item may be about anything: see Item.Apply and Frontier.
// Errors: ErrMalformed, also for more than the budget or than a revision can have; ErrClosed, those of the
// stream.
func (x *Session) Next() (Item, error) {
	var a Ask
	if x.phase == EndPush {
		select {
		case a = <-x.asks:
		case <-x.done:
			return Item{}, fmt.Errorf("next item: %w", x.err)
		}
	}
	i, err := x.next(a)
	if err != nil {
		return Item{}, fmt.Errorf("next item: %w", x.end(err))
	}
	return i, nil
}

// next reads an item; a is the ask it answers, if it does.
func (x *Session) next(a Ask) (Item, error) {
	x.pace.Begin()
	n, err := wire.ReadLen(x.in, maxItem)
	if err != nil {
		return Item{}, noEOF(err)
	}
	var m deltapb.Item
	if err := wire.ReadBody(throttled{x}, &m, n); err != nil {
		return Item{}, err
	}
	switch x.phase {
	case Node:
		return x.nextNode(&m)
	case Leaf:
		return x.nextPushed(&m, n)
	default:
		return answerTo(a, &m, x.dry)
	}
}

func (x *Session) nextNode(m *deltapb.Item) (Item, error) {
	i, err := parseItem(m, Node, x.dry)
	if err != nil {
		return Item{}, err
	}
	x.nodes++
	switch {
	case i.Kind == EndNodes:
		x.phase = Leaf
	case i.Code != wire.OK:
		return Item{}, fmt.Errorf("%w: node %s with the code %v", ErrMalformed, i.Cid, i.Code)
	case x.nodes > dag.DefaultLimits().Nodes:
		return Item{}, fmt.Errorf("%w: more than %d nodes", ErrMalformed, dag.DefaultLimits().Nodes)
	}
	return i, nil
}

// nextPushed reads an item whose message has n bytes.
func (x *Session) nextPushed(m *deltapb.Item, n int) (Item, error) {
	i, err := parseItem(m, Leaf, x.dry)
	if err != nil {
		return Item{}, err
	}
	if i.Kind == EndPush {
		x.phase = EndPush
		return i, nil
	}
	if x.left -= cost(n, m); x.left < 0 {
		return Item{}, fmt.Errorf("%w: more pushed than allowed", ErrMalformed)
	}
	return i, nil
}

// answerTo reads the item that answers a.
func answerTo(a Ask, m *deltapb.Item, dry bool) (Item, error) {
	i, err := parseItem(m, Leaf, dry)
	if err != nil {
		return Item{}, err
	}
	switch {
	case i.Kind != Leaf || !i.Cid.Equals(a.Cid) || len(i.Bases) > 0:
		return Item{}, fmt.Errorf("%w: about %s, asked for %s", ErrMalformed, i.Cid, a.Cid)
	case i.Code == wire.OK && i.Size != a.Size:
		return Item{}, fmt.Errorf("%w: %s has %d bytes, not %d", ErrMalformed, i.Cid, a.Size, i.Size)
	}
	i.Size, i.Bases = a.Size, a.Bases
	return i, nil
}

// Ask asks for leaves; their items come from Next in this order, after those of earlier asks. It does not wait
// for them, and may be called before EndPush was read. All are asked for, or on ErrWindow and
// blockstore.ErrInvalid none. Errors: these, ErrClosed, those of the stream.
func (x *Session) Ask(asks ...Ask) error {
	var b []byte
	for _, a := range asks {
		m, err := a.message()
		if err != nil {
			return err
		}
		if b, err = wire.Append(b, m); err != nil {
			return fmt.Errorf("ask: %w", err)
		}
	}
	select {
	case <-x.done:
		return fmt.Errorf("ask: %w", x.err)
	default:
	}
	if len(asks) > cap(x.asks)-len(x.asks) { // one goroutine asks: there can only be more room
		return fmt.Errorf("ask: %w", ErrWindow)
	}
	for _, a := range asks { // before they are sent, so that Next knows of them when their items come
		x.asks <- Ask{Cid: a.Cid, Size: a.Size, Bases: slices.Clone(a.Bases)}
	}
	x.s.SetWriteDeadline(time.Now().Add(frameTimeout))
	if _, err := x.s.Write(b); err != nil {
		return fmt.Errorf("ask: %w", x.end(err))
	}
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

// Close ends the session. Items that were not taken are lost.
func (x *Session) Close() error {
	x.end(ErrClosed)
	return nil
}

// Throttle makes Next ask allow before it reads the bytes of an item, 1 to n of which it lets pass when it returns; an error
// of it ends the session. It is called before Next is. While it waits, the peer finds its window full.
func (x *Session) Throttle(allow func(n int) (int, error)) { x.allow = allow }

// Watch makes Next tell fn, a few times a second, of bytes that came of an item that takes long. It is called before Next is.
func (x *Session) Watch(fn func(n int)) { x.pace.Came = fn }

// throttled reads an item of x as fast as it may.
type throttled struct{ x *Session }

func (t throttled) Read(b []byte) (int, error) {
	if t.x.allow == nil {
		return t.x.in.Read(b)
	}
	begun := time.Now()
	n, err := t.x.allow(len(b))
	if err != nil {
		return 0, err
	}
	t.x.pace.Rested(time.Since(begun)) // the peer is not to blame
	t.x.pace.Most = n
	return io.ReadFull(t.x.in, b[:n]) // all that was let pass
}

// noEOF makes an end inside a session distinguishable from a clean one, which a server never makes.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
