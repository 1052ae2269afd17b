package chunks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// wantQueue is the reading half of a session.
type wantQueue struct {
	s     network.Stream
	in    *bufio.Reader
	wants chan want    // read, not replied to; closed at the end
	open  atomic.Int64 // wants in the channel or being replied to
	some  bool         // there has been one
	err   error        // why reading ended, nil if the client ended it; set before wants is closed
}

// fill reads wants until the client has no more, which is nil, or reading fails.
func (q *wantQueue) fill() error {
	for {
		w, err := q.read()
		if wire.Ended(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read want: %w", err)
		}
		q.some = true
		q.open.Add(1)
		q.wants <- w // blocks while MaxOutstanding wait; session takes them in any case
	}
}

// read reads one want: io.EOF if the client ended the stream between two, or has been sent all it wanted and been silent
// since. That end is a clean one, as it may have much to take yet that is on its way.
func (q *wantQueue) read() (want, error) {
	var h [wantHeader]byte
	for {
		q.s.SetReadDeadline(time.Now().Add(idleTimeout))
		var err error
		if h[0], err = q.in.ReadByte(); err == nil {
			break
		}
		// A client whose window is full sends nothing for as long as our replies take.
		switch {
		case !isTimeout(err):
			return want{}, err
		case q.open.Load() > 0:
		case q.some:
			return want{}, io.EOF
		default:
			return want{}, err
		}
	}
	q.s.SetReadDeadline(time.Now().Add(helloTimeout))
	return readWant(q.in, h)
}

// isTimeout tells whether err is a deadline's. Not every muxer's error is os.ErrDeadlineExceeded, but all
// say so by this method.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// readWant reads a want whose first byte is in h already.
func readWant(in io.Reader, h [wantHeader]byte) (want, error) {
	if _, err := io.ReadFull(in, h[1:]); err != nil {
		return want{}, noEOF(err)
	}
	n, err := wantCount(h)
	if err != nil {
		return want{}, err
	}
	var room [MaxWant * cidSize]byte
	if _, err := io.ReadFull(in, room[:n*cidSize]); err != nil {
		return want{}, noEOF(err)
	}
	cids, err := decodeCids(room[:n*cidSize])
	return want{op: h[0], cids: cids}, err
}

// noEOF makes an end inside a frame distinguishable from an end between two.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// deadlineWriter gives every piece of a write a time of its own, so that who takes a large reply slowly is not taken for
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

// replier is the writing half of a session.
type replier struct {
	srv     *server
	s       network.Stream
	set     cid.Cid
	r       Reader
	limit   Limiter       // nil = none
	out     *bufio.Writer // joins small replies; large ones pass it by
	flushed time.Time     // when out was last known to be empty
}

// run replies to wants in their order until there are no more.
func (w *replier) run(ctx context.Context, q *wantQueue) error {
	for x := range q.wants {
		err := w.reply(ctx, x)
		q.open.Add(-1)
		if err == nil && len(q.wants) == 0 {
			err = w.flush()
		}
		if err != nil {
			return err
		}
	}
	return w.flush()
}

// reply replies to one want. The buffer is borrowed only while there is something to say.
func (w *replier) reply(ctx context.Context, x want) error {
	b := w.srv.buffers.Get().(*[]byte)
	defer w.srv.buffers.Put(b)
	if x.op == opWalk {
		return w.walk(ctx, *b, x.cids[0])
	}
	for _, c := range x.cids {
		data, err := w.r.Get(ctx, c, (*b)[replyHeader:replyHeader])
		if err == nil && len(data) > blockstore.MaxBlockSize {
			err = fmt.Errorf("block of %d bytes: %w", len(data), blockstore.ErrInvalid)
		}
		if err != nil {
			data = nil
			w.note(ctx, c, err)
		}
		if err := w.send(ctx, *b, headerOf(c, wire.CodeOf(err), len(data)), data); err != nil {
			return err
		}
	}
	return nil
}

// walk sends the nodes below root, and how that went.
func (w *replier) walk(ctx context.Context, b []byte, root cid.Cid) error {
	var sendErr error // of the stream, not of the source
	err := w.r.Walk(ctx, root, func(n blockstore.Block) error {
		sendErr = w.send(ctx, b, headerOf(n.Cid(), wire.OK, len(n.Data())), n.Data())
		return sendErr
	})
	if sendErr != nil {
		return sendErr
	}
	if err != nil {
		w.note(ctx, root, err)
	}
	return w.send(ctx, b, headerOf(cid.Undef, wire.CodeOf(err), 0), nil)
}

// note logs what the node's owner should know: damage and failures, not what peers ask for in vain.
func (w *replier) note(ctx context.Context, c cid.Cid, err error) {
	if wire.CodeOf(err) != wire.NotFound && ctx.Err() == nil {
		w.srv.o.Log.Warn("reading a block failed", "peer", w.s.Conn().RemotePeer(), "set", w.set, "cid", c, "err", err)
	}
}

// send sends one reply. b is the borrowed buffer, whose first bytes are the header's place; data usually
// lies right behind it, and then both go out in one write.
func (w *replier) send(ctx context.Context, b []byte, h header, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.put(b)
	parts := [][]byte{b[:replyHeader], data}
	if len(data) > 0 && len(data) <= len(b)-replyHeader && &data[0] == &b[replyHeader] {
		parts = [][]byte{b[:replyHeader+len(data)]}
	}
	for _, part := range parts {
		if err := w.pass(ctx, part); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		w.srv.o.Sent(w.s.Conn().RemotePeer(), len(data))
	}
	return nil
}

// pass writes b as fast as the limiter lets it pass.
func (w *replier) pass(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if w.limit != nil {
			// It may let us wait long: the client must see progress, or it gives us up.
			if time.Since(w.flushed) > time.Second {
				if err := w.flush(); err != nil {
					return err
				}
			}
			var err error
			if n, err = w.limit.Wait(ctx, n); err != nil {
				return fmt.Errorf("wait for rate limit: %w", err)
			}
		}
		if err := w.write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// write joins what is small. What does not fit goes out as it is, without a copy: an empty bufio.Writer
// hands a large slice through.
func (w *replier) write(b []byte) error {
	if len(b) > w.out.Available() {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if _, err := w.out.Write(b); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	return nil
}

func (w *replier) flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	w.flushed = time.Now()
	return nil
}
