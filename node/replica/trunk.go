package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// trunk is what came of a revision's nodes, from whomever: each is verified, and one that came before named it, so that what
// one holder gave is kept when another one has to go on.
type trunk struct {
	root  cid.Cid
	lim   dag.Limits
	nodes []blockstore.Block
	named map[cid.Cid]bool // the root, and what nodes name; true = it has not come yet
	order []cid.Cid        // of named, as they were met
	left  int              // that have not come
	size  int64
	drip  map[peer.ID]bool // holders that were given up for a faster one
	moved time.Time        // when the last bytes came
}

func newTrunk(root cid.Cid, lim dag.Limits, now time.Time) *trunk {
	t := &trunk{root: root, lim: lim, named: map[cid.Cid]bool{}, drip: map[peer.ID]bool{}, moved: now}
	if root.Prefix().Codec == cid.DagProtobuf { // else it has no nodes
		t.name(root)
	}
	return t
}

func (t *trunk) name(c cid.Cid) {
	if _, met := t.named[c]; !met {
		t.named[c] = true
		t.order = append(t.order, c)
		t.left++
	}
}

// lacking are the nodes that may be asked for now.
func (t *trunk) lacking() []cid.Cid {
	t.order = slices.DeleteFunc(t.order, func(c cid.Cid) bool { return !t.named[c] })
	return slices.Clone(t.order)
}

// take accepts a node that was named and has not come. data is not kept. Errors: blockstore.ErrCorrupt, errRevision.
func (t *trunk) take(c cid.Cid, data []byte) error {
	if !t.named[c] {
		return fmt.Errorf("walk: %w: a node nobody asked for", blockstore.ErrCorrupt)
	}
	b, err := blockstore.Receive(c, slices.Clone(data))
	if err != nil {
		return err
	}
	t.named[c] = false // each only once
	t.left--
	next, err := dag.NextNodes(b)
	if err != nil {
		return fmt.Errorf("walk: %w: %w", errRevision, err)
	}
	for _, c := range next {
		t.name(c)
	}
	t.size += int64(len(data))
	if t.nodes = append(t.nodes, b); len(t.nodes)+t.left > t.lim.Nodes || t.size > t.lim.Bytes {
		return fmt.Errorf("walk: %w: %w", errRevision, dag.ErrLimit)
	}
	return nil
}

// adopt takes what lies here of what is lacking.
func (t *trunk) adopt(ctx context.Context, here dag.Get) error {
	for again := true; again; {
		again = false
		for _, c := range t.lacking() {
			data, err := here(ctx, c)
			if err != nil {
				continue
			}
			if err := t.take(c, data); errors.Is(err, errRevision) {
				return err
			}
			again = true
		}
	}
	return nil
}

// walkStall is the longest silence of a walk before another holder is asked.
const walkStall = 5 * time.Second

// walkAt gets from p what t lacks: with a walk in one round trip if that is all, else what is named, again and again.
func (g *get) walkAt(ctx context.Context, p peer.ID, t *trunk) error {
	if t.left == 0 {
		return nil
	}
	sess, err := g.net.Streams.Chunks(ctx, p, g.id, g.look.cap)
	if err != nil {
		return err
	}
	defer sess.Close()
	defer context.AfterFunc(ctx, func() { sess.Close() })()
	pace := pace{now: g.r.cfg.Now, end: func() { sess.Close() }, another: g.instead(p, t.root, t.drip),
		moved: func() { t.moved = g.r.cfg.Now() }}
	if g.others(p, t) {
		pace.silence = walkStall
	}
	pace.start()
	defer pace.stop()
	sess.Throttle(pace.patiently(g.throttle(ctx, p)))
	sess.Watch(pace.came)
	w := walker{sess: sess, pace: &pace, t: t}
	if len(t.nodes) == 0 {
		return w.all()
	}
	return w.rest()
}

// others tells whether there is another holder of everything that would be asked next.
func (g *get) others(p peer.ID, t *trunk) bool {
	for q, h := range g.holders {
		if q != p && h.complete && g.mayHold(h, t.root) {
			return true
		}
	}
	return false
}

// walker gets the nodes of a trunk in one session.
type walker struct {
	sess *chunks.Session
	pace *pace
	t    *trunk
	buf  []byte
}

func (w *walker) next() (rep chunks.Reply, err error) {
	err = w.pace.wait(func() (int, error) {
		rep, err = w.sess.Next(w.buf)
		return len(rep.Data), err
	})
	if len(rep.Data) > 0 {
		w.buf = rep.Data
	}
	return rep, err
}

// all asks for every node at once.
func (w *walker) all() error {
	if err := w.sess.Walk(w.t.root); err != nil {
		return err
	}
	for {
		rep, err := w.next()
		switch {
		case err != nil && rep.Code == wire.OK && len(rep.Data) > 0: // it drips, but this has come
			return errors.Join(err, w.t.take(rep.Cid, rep.Data))
		case err != nil:
			return err
		case rep.Cid.Defined():
			if err := w.t.take(rep.Cid, rep.Data); err != nil {
				return err
			}
		case rep.Code != wire.OK || w.t.left > 0:
			return fmt.Errorf("walk: %w (%v)", blockstore.ErrNotFound, rep.Code)
		default:
			return nil
		}
	}
}

// rest asks for what is named, and for what that names in turn.
func (w *walker) rest() error {
	for w.t.left > 0 {
		lacking := w.t.lacking()
		lacking = lacking[:min(len(lacking), chunks.MaxWant)]
		if err := w.sess.Want(lacking); err != nil {
			return err
		}
		for range lacking {
			rep, err := w.next()
			if err == nil && rep.Code != wire.OK {
				err = fmt.Errorf("walk: %w (%v)", blockstore.ErrNotFound, rep.Code)
			}
			if err == nil {
				err = w.t.take(rep.Cid, rep.Data)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
