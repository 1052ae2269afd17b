package delta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// sender is the writing half of a session.
type sender struct {
	srv *server
	s   network.Stream
	r   Reader
	q   Request
	old *dag.Layout // of the have-root, nil if there is none

	limit Limiter // nil = none

	left    int64         // of the push budget
	frame   []byte        // of the item being sent
	payload int           // bytes of patch in it
	out     *bufio.Writer // joins small frames
	flushed time.Time     // when out was last known to be empty
	err     error         // of a write: the session is over
}

// run sends the nodes and the pushed leaves, then answers asks until there are no more.
func (x *sender) run(ctx context.Context, q *askQueue) error {
	code := x.result(ctx, x.nodes(ctx))
	if err := x.end(ctx, code); err != nil {
		return err
	}
	if code == wire.OK && x.q.Push > 0 {
		code = x.result(ctx, x.push(ctx))
	}
	if err := x.end(ctx, code); err != nil {
		return err
	}
	q.open.Add(-1)
	for a := range q.asks {
		err := x.answer(ctx, a.Ask)
		q.done(a)
		if err == nil && len(q.asks) == 0 {
			err = x.flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// result is the code for err. It logs what the node's owner should know: damage and failures, not what peers
// ask for in vain.
func (x *sender) result(ctx context.Context, err error) wire.Code {
	code := codeOf(err)
	if (code == wire.Corrupt || code == wire.Internal) && x.err == nil && ctx.Err() == nil {
		x.srv.o.Log.Warn("reading for a delta failed", "peer", x.s.Conn().RemotePeer(), "set", x.q.Set, "root", x.q.Want, "err", err)
	}
	return code
}

// end sends the item that ends the nodes, or the pushed leaves, and says how it went.
func (x *sender) end(ctx context.Context, code wire.Code) error {
	if _, err := x.pack(&deltapb.Item{Code: uint32(code)}); err != nil {
		return err
	}
	if err := x.send(ctx); err != nil {
		return err
	}
	return x.flush()
}

// nodes sends the nodes that the have-root lacks.
func (x *sender) nodes(ctx context.Context) error {
	if x.old == nil {
		return x.walk(ctx)
	}
	var changes []diff.NodeChange
	err := x.srv.work.use(ctx, func(w *worker) (err error) {
		get := func(ctx context.Context, c cid.Cid) ([]byte, error) { return x.r.Get(ctx, c, w.one) }
		changes, err = diff.Nodes(ctx, []cid.Cid{x.old.Root}, x.q.Want, get, dag.DefaultLimits())
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range changes {
		if err := x.node(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// walk sends every node of the want root, each as soon as it is met, in depth-first preorder.
func (x *sender) walk(ctx context.Context) error {
	seen := make(map[cid.Cid]bool)
	for todo := []cid.Cid{x.q.Want}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] {
			continue
		}
		if len(seen) == dag.DefaultLimits().Nodes {
			return fmt.Errorf("nodes of %s: %w", x.q.Want, dag.ErrLimit)
		}
		seen[c] = true
		data, err := x.r.Get(ctx, c, nil)
		if err != nil {
			return err
		}
		b, err := blockstore.Receive(c, data)
		if err != nil {
			return err
		}
		next, err := dag.NextNodes(b)
		if err != nil {
			return err
		}
		if err := x.node(ctx, diff.NodeChange{Cid: c}); err != nil {
			return err
		}
		slices.Reverse(next) // the first child is on top
		todo = append(todo, next...)
	}
	return nil
}

// node sends a node, whole if the old one is gone meanwhile.
func (x *sender) node(ctx context.Context, n diff.NodeChange) error {
	j := job{target: n.Cid}
	if n.Base.Defined() {
		j.bases = []cid.Cid{n.Base}
	}
	_, err := x.encode(ctx, j, j.bases, false)
	if errors.Is(err, errNoBase) {
		j.bases = nil
		_, err = x.encode(ctx, j, nil, false)
	}
	if err != nil {
		return err
	}
	return x.send(ctx)
}

// answer answers an ask. The client knows the bases.
func (x *sender) answer(ctx context.Context, a Ask) error {
	_, err := x.encode(ctx, job{target: a.Cid, bases: a.Bases, signature: a.Signature}, nil, x.q.Dry)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		m := &deltapb.Item{Code: uint32(x.result(ctx, err))}
		if m.Cids, err = refs(a.Cid, nil); err != nil {
			return err
		}
		if _, err = x.pack(m); err != nil {
			return err
		}
	}
	return x.send(ctx)
}

// encode packs the item that j makes, with these bases named, and tells what it costs. Errors: the worker's.
func (x *sender) encode(ctx context.Context, j job, named []cid.Cid, dry bool) (n int64, err error) {
	err = x.srv.work.use(ctx, func(w *worker) error {
		p, size, err := w.encode(ctx, x.r, j)
		if err != nil {
			return err
		}
		m := &deltapb.Item{Size: uint32(size), Patch: p}
		if dry {
			m.Patch, m.Length = p[:1], uint32(len(p))
		}
		if m.Cids, err = refs(j.target, named); err != nil {
			return err
		}
		n, err = x.pack(m)
		return err
	})
	return n, err
}

// pack makes m the item being sent and tells what it costs.
func (x *sender) pack(m *deltapb.Item) (n int64, err error) {
	x.frame, err = wire.Append(x.frame[:0], m)
	x.payload = len(m.Patch)
	return cost(proto.Size(m), m), err
}

// send sends the packed item. The limiter may wait long: what came before goes out first, or the client
// gives us up.
func (x *sender) send(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for rest := x.frame; len(rest) > 0; {
		n := len(rest)
		if x.limit != nil {
			if time.Since(x.flushed) > flushEvery {
				if err := x.flush(); err != nil {
					return err
				}
			}
			var err error
			if n, err = x.limit.Wait(ctx, n); err != nil {
				return fmt.Errorf("wait for rate limit: %w", err)
			}
		}
		if err := x.write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return x.sent(nil)
}

// sent tells of the item that was written.
func (x *sender) sent(err error) error {
	if err == nil && x.payload > 0 {
		x.srv.o.Sent(x.s.Conn().RemotePeer(), x.payload)
	}
	return err
}

// write joins what is small and comes at once.
func (x *sender) write(b []byte) error {
	if _, err := x.out.Write(b); err != nil {
		x.err = fmt.Errorf("write item: %w", err)
		return x.err
	}
	if time.Since(x.flushed) < flushEvery {
		return nil
	}
	return x.flush()
}

func (x *sender) flush() error {
	if err := x.out.Flush(); err != nil {
		x.err = fmt.Errorf("write item: %w", err)
		return x.err
	}
	x.flushed = time.Now()
	return nil
}
