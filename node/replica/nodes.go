package replica

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// nodeWriter stores nodes behind the back of a get; wait returns its outcome, as often as asked.
type nodeWriter struct {
	done chan struct{}
	err  error
}

func (w *nodeWriter) wait() error {
	<-w.done
	return w.err
}

// layout gets every node of the revision, from the store if they are all there, else from a holder, and
// flattens it. It returns the nodes that the store lacks; nothing is written before the revision was found
// to be what its writer signed.
func (g *get) layout(ctx context.Context, h record.Head) (*session, []blockstore.Block, error) {
	lim := dag.DefaultLimits()
	s := &session{}
	var nodes []blockstore.Block
	// Nodes of another set are no use: peers are served only what is recorded under the set they name.
	lay, err := g.r.layoutOf(ctx, g.id, h.Root)
	if err != nil {
		t := g.newTrunk(h.Root)
		if nodes = g.deltaNodes(ctx, t); nodes != nil {
			lay, err = s.read(ctx, h.Root, nodes, g.r.nodesOf(g.id), lim)
			if err != nil { // some that it took for granted are not here
				g.r.cfg.Log.Debug("delta: layout", "set", g.id, "err", err)
				g.hangUp()
			}
		}
		if err != nil {
			if nodes, err = g.fetchNodes(ctx, t); err != nil {
				return nil, nil, err
			}
			if lay, err = s.read(ctx, h.Root, nodes, nil, lim); err != nil {
				return nil, nil, fmt.Errorf("read revision: %w", err)
			}
		}
	}
	if files, _, bytes := h.Totals(); uint64(lay.Files) != files || uint64(lay.Bytes) != bytes {
		return nil, nil, fmt.Errorf("read revision: %w: it has %d files and %d bytes, its writer signed %d and %d",
			ErrForged, lay.Files, lay.Bytes, files, bytes)
	}
	s.lay, s.index = lay, make(map[cid.Cid]uint32, len(lay.Leaves))
	for i, leaf := range lay.Leaves {
		s.index[leaf.Cid] = uint32(i)
	}
	return s, nodes, nil
}

// read flattens a revision out of nodes that came, and others from here; nil = there are no others.
func (s *session) read(ctx context.Context, root cid.Cid, nodes []blockstore.Block, here dag.Get, lim dag.Limits) (*dag.Layout, error) {
	byCid := make(map[cid.Cid][]byte, len(nodes))
	for _, b := range nodes {
		byCid[b.Cid()] = b.Data()
	}
	s.nodes.Store(&byCid)
	return dag.ReadLayout(ctx, root, func(ctx context.Context, c cid.Cid) ([]byte, error) {
		if b, ok := byCid[c]; ok {
			return b, nil
		}
		if here == nil {
			return nil, blockstore.ErrNotFound
		}
		return here(ctx, c)
	}, lim)
}

// putBatch is how many bytes of nodes go to the store at once: some thousand small nodes, far below what
// one transaction of the store takes.
const putBatch = 1 << 20

// keep starts to store the nodes of a session, which then lets go of them.
func (g *get) keep(ctx context.Context, s *session, nodes []blockstore.Block) *nodeWriter {
	w := &nodeWriter{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for len(nodes) > 0 && w.err == nil {
			n, size := 0, 0
			for n < len(nodes) && size < putBatch {
				size += len(nodes[n].Data())
				n++
			}
			w.err = g.r.cfg.Store.Put(ctx, g.id, nodes[:n]...)
			nodes = nodes[n:]
		}
		if w.err == nil {
			s.nodes.Store(nil)
		}
	}()
	return w
}

// errRevision: a block that is what the signed root names is not a node of a revision, or there are too many.
// No other holder can have better ones.
var errRevision = errors.New("not a revision")

// newTrunk is for the nodes of the revision with this root.
func (g *get) newTrunk(root cid.Cid) *trunk {
	lim := dag.DefaultLimits()
	lim.Bytes = nodeBytes(head(g.v))
	return newTrunk(root, lim, g.r.cfg.Now())
}

// fetchNodes asks one holder after the other for the nodes that are lacking, until all are here. Errors: ErrTimeout,
// ErrDamaged, errRevision.
func (g *get) fetchNodes(ctx context.Context, t *trunk) ([]blockstore.Block, error) {
	if len(t.nodes) > 0 {
		if err := t.adopt(ctx, g.r.nodesOf(g.id)); err != nil {
			return nil, err
		}
	}
	tried := map[peer.ID]int{}
	damaged := false // some holder of everything has not got it all intact, or sent something else
	for {
		if p, ok := g.nextHolder(t.root, tried); ok {
			tried[p]++
			err := g.walkAt(ctx, p, t)
			if err == nil || errors.Is(err, errRevision) {
				return t.nodes, err
			}
			g.r.cfg.Log.Debug("walk", "set", g.id, "peer", p, "left", t.left, "err", err)
			if errors.Is(err, blockstore.ErrCorrupt) {
				g.net.Swarm.Ban(p, "sent a wrong node")
				tried[p] = maxWalks
			}
			damaged = damaged || tried[p] == maxWalks || (g.holders[p] != nil && g.holders[p].complete && errors.Is(err, blockstore.ErrNotFound))
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			g.absorb()
			continue
		}
		g.look.widen() // who is known does not do
		if err := g.again(ctx, tried); err != nil {
			return nil, err
		}
		switch quiet := g.r.cfg.Now().Sub(t.moved); {
		case damaged && quiet > g.o.Grace:
			return nil, fmt.Errorf("list: %w: folders of the set", ErrDamaged)
		case quiet > g.o.Patience:
			return nil, fmt.Errorf("list: %w", ErrTimeout)
		}
	}
}

// again waits for news of the holders, or until they are asked once more.
func (g *get) again(ctx context.Context, tried map[peer.ID]int) error {
	select {
	case <-g.look.signal:
		g.absorb()
	case <-time.After(walkPause):
		for p := range tried {
			if tried[p] < maxWalks {
				tried[p] = 0
			}
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// walkPause is when holders are asked again: a getter that lacked nodes a moment ago may have them now.
const walkPause = 200 * time.Millisecond

// nodeBytes is the most bytes the nodes of a revision may have, by what its writer signed: a link in a file's
// tree is 50 bytes for 64 KiB of content at least, an entry of a folder is a name of up to 255 bytes with
// its own node; shards add a little.
func nodeBytes(h record.Head) int64 {
	_, entries, bytes := h.Totals()
	const perEntry, least = 1 << 10, 1 << 20
	return int64(min(entries*perEntry+bytes/512, 1<<40)) + least
}

// maxWalks marks a peer that is not asked for nodes again.
const maxWalks = 1 << 20

// nextHolder prefers complete holders of this root, then whoever was asked least.
func (g *get) nextHolder(root cid.Cid, tried map[peer.ID]int) (peer.ID, bool) {
	var best peer.ID
	for p, h := range g.holders {
		if !g.mayHold(h, root) || tried[p] > 0 {
			continue
		}
		if best == "" || (h.complete && !g.holders[best].complete) || (h.complete == g.holders[best].complete && g.rank(p) < g.rank(best)) {
			best = p
		}
	}
	return best, best != ""
}

// mayHold tells whether a holder is worth asking for a revision: one that shows it, and for a past one whoever is
// complete, because it may have kept it.
func (g *get) mayHold(h *holding, root cid.Cid) bool {
	return head(h.v).Root == root || (g.o.Revision != 0 || g.older) && h.complete
}

// rank orders holders differently at every node, so that not all of them ask the same one first.
func (g *get) rank(p peer.ID) string {
	sum := sha256.Sum256([]byte(string(g.r.self) + string(p)))
	return string(sum[:])
}
