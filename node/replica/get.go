package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// GetOptions says how to get a set.
type GetOptions struct {
	Dest     func(name string) string // absolute folder for a set of this name
	Force    bool                     // overwrite files this node did not write
	MaxBytes int64                    // refuse more; 0 = no bound
	Patience time.Duration            // give up after this long without a new byte; 0 = a minute
	Progress func(Progress)           // may be nil
}

// Progress is where a get stands.
type Progress struct {
	Phase   string // "find", "list", "check", "fetch", "finish"
	Done    int64  // leaf bytes here, of Total
	Total   int64
	Sources int // peers that delivered
}

// Got is what a get did.
type Got struct {
	Replica *Replica
	Head    record.Head
	Dest    string
	Files   int
	Total   int64 // leaf bytes of the revision, each distinct leaf once for every place it has
	Reused  int64 // of Total, on this disk already
	Fetched int64 // of Total, received and verified in this run
	Sources int
	Skipped []worktree.Skipped
	WireIn  int64
	WireOut int64
}

// defaultPatience is how long a get waits for a source to appear or go on: long enough for a publisher
// to reboot, short enough that a script notices.
const defaultPatience = time.Minute

// grace is how long the first answer waits for others that may know a newer head, when some are still
// being dialled.
const grace = 50 * time.Millisecond

// get is one run of Get; its fields belong to the goroutine that runs it.
type get struct {
	r    *Registry
	net  *Network
	o    GetOptions
	look *lookout

	holders map[peer.ID]*holding
	failed  map[peer.ID]error
	rep     *Replica
	v       record.Verified // whose newest head is being fetched
	bundle  record.Bundle   // v as it came
	dest    string
}

// holding is the current picture of one peer.
type holding struct {
	v        record.Verified
	bundle   record.Bundle
	have     list.Bitmap
	complete bool
}

// Get brings the newest revision of a set into a folder: find, list, difference, fetch, verify, store.
// Every step may be repeated: the same call after a crash goes on where the last one was.
// Errors: ErrOffline, ErrNoPeers, ErrNobody, ErrTimeout, ErrDamaged, ErrTooBig, ErrInUse, ErrBusy,
// worktree.ErrConflict, worktree.ErrNotWritable, blockstore.ErrNoSpace.
func (r *Registry) Get(ctx context.Context, t record.Ticket, o GetOptions) (Got, error) {
	net := r.network()
	if net == nil {
		return Got{}, ErrOffline
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &get{r: r, net: net, o: o, holders: map[peer.ID]*holding{}, failed: map[peer.ID]error{}}
	if rep, ok := r.lookup(t.Set); ok && len(t.Cap) == 0 {
		t.Cap = rep.State().Cap
	}
	g.look = look(ctx, net, t, r.cfg.Log.With("set", t.Set))
	defer g.look.wg.Wait()
	defer cancel()
	in0, out0 := net.Wire()
	got, err := g.run(ctx, t)
	in1, out1 := net.Wire()
	got.WireIn, got.WireOut = in1-in0, out1-out0
	return got, err
}

func (g *get) run(ctx context.Context, t record.Ticket) (Got, error) {
	g.o.Progress(Progress{Phase: "find"})
	if err := g.choose(ctx, t); err != nil {
		return Got{}, err
	}
	h := head(g.v)
	if err := g.open(t, h); err != nil {
		return Got{}, err
	}
	if err := g.rep.acquire(); err != nil {
		return Got{}, err
	}
	defer g.rep.release()
	g.r.announce(g.rep.id) // at once: whoever looks for the set may find this node's first chunks
	g.o.Progress(Progress{Phase: "list"})
	s, store, err := g.layout(ctx, h)
	if err != nil {
		return Got{}, err
	}
	defer store.wait()
	g.o.Progress(Progress{Phase: "check", Total: s.lay.Bytes})
	s.out, err = worktree.NewCheckout(ctx, g.dest, g.rep.id, s.lay, worktree.CheckoutOptions{
		Known: g.r.known(ctx, g.dest), Force: g.o.Force, Now: g.r.cfg.Now})
	if err != nil {
		return Got{}, err
	}
	defer s.out.Close()
	got := Got{Replica: g.rep, Head: h, Dest: g.dest, Files: s.lay.Files, Total: s.lay.Bytes, Reused: s.out.Reused()}
	g.rep.serve(s)
	defer g.rep.serve(nil)
	d := newDownload(g, s, t)
	err = d.run(ctx)
	got.Fetched, got.Sources = d.fetched, len(d.sources)
	if err != nil {
		return got, err
	}
	g.o.Progress(Progress{Phase: "finish", Done: s.lay.Bytes, Total: s.lay.Bytes, Sources: got.Sources})
	if err := store.wait(); err != nil {
		return got, err
	}
	res, err := s.out.Finish(ctx, func(f ...blockstore.File) error { return g.r.cfg.Store.PutFiles(ctx, f...) })
	if err != nil {
		return got, err
	}
	got.Skipped = res.Skipped
	return got, g.complete(t, s, len(res.Skipped) == 0)
}

// serve makes a session visible to the peers that ask, or ends it.
func (p *Replica) serve(s *session) {
	p.mu.Lock()
	p.session = s
	p.mu.Unlock()
	p.feed.reset(p.State().Complete)
}

// complete records that everything is here.
func (g *get) complete(t record.Ticket, s *session, whole bool) error {
	st := g.rep.State()
	st.Complete, st.Leaves = whole, len(s.lay.Leaves)
	if err := g.r.commit(g.rep, st, g.v); err != nil {
		return err
	}
	g.rep.mu.Lock()
	g.rep.session = nil
	g.rep.mu.Unlock()
	g.rep.feed.reset(whole)
	if whole {
		g.confirm(t, s.lay.Root)
	}
	return nil
}

// confirmTimeout is how long a finished get waits to tell its holders so: they answer in a round trip, and
// one that does not is not worth more.
const confirmTimeout = time.Second

// confirm tells the holders that this node is one now; that some cannot be told does no harm.
func (g *get) confirm(t record.Ticket, root cid.Cid) {
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout) // also when the get's own is about to end
	defer cancel()
	var group sync.WaitGroup
	for p := range g.holders {
		group.Go(func() {
			if err := g.net.Streams.Confirm(ctx, p, t.Set, root, t.Cap); err != nil {
				g.r.cfg.Log.Debug("confirm", "peer", p, "err", err)
			}
		})
	}
	group.Wait()
}

// choose waits for holders and settles on the newest head they show that is not older than what this
// node has accepted before.
func (g *get) choose(ctx context.Context, t record.Ticket) error {
	patience := time.NewTimer(g.o.Patience)
	defer patience.Stop()
	var settle <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return g.nobody()
		case <-settle:
			return nil
		case <-g.look.signal:
			g.absorb()
			if len(g.holders) == 0 {
				continue
			}
			if g.pick(t); g.answered(t) {
				return nil
			}
			if settle == nil {
				settle = time.After(grace)
			}
		}
	}
}

// answered tells whether every peer named by the ticket has answered or failed.
func (g *get) answered(t record.Ticket) bool {
	for _, p := range t.Addrs {
		if g.holders[p.ID] == nil && g.failed[p.ID] == nil {
			return false
		}
	}
	return true
}

// nobody says why no holder was found.
func (g *get) nobody() error {
	for _, err := range g.failed {
		if errors.Is(err, record.ErrForged) || errors.Is(err, record.ErrMalformed) || errors.Is(err, ErrForged) {
			return fmt.Errorf("find: %w: %w", ErrForged, err)
		}
	}
	if g.net.Peers() == 0 {
		return fmt.Errorf("find: %w", ErrNoPeers)
	}
	return fmt.Errorf("find: %w", ErrNobody)
}

// absorb takes the lookout's news into the picture and returns it for who wants the details.
func (g *get) absorb() []sighting {
	all := g.look.take()
	for _, s := range all {
		switch {
		case s.err != nil:
			delete(g.holders, s.peer)
			g.failed[s.peer] = s.err
		case s.verified != nil:
			h := &holding{v: *s.verified, bundle: s.info.Bundle, have: list.NewBitmap(s.info.Leaves), complete: s.info.Complete}
			copy(h.have, s.info.Have)
			g.holders[s.peer] = h
			delete(g.failed, s.peer)
		case g.holders[s.peer] != nil:
			h := g.holders[s.peer]
			h.complete = h.complete || s.complete
			for _, i := range s.have {
				if int(i) < 8*len(h.have) {
					h.have.Set(int(i))
				}
			}
		}
	}
	return all
}

// pick settles on the newest records known, the node's own included.
func (g *get) pick(t record.Ticket) {
	if rep, ok := g.r.lookup(t.Set); ok {
		g.v, g.bundle = rep.Verified(), rep.State().Bundle
	}
	for _, h := range g.holders {
		if len(g.v.Heads) == 0 || head(h.v).Revision > head(g.v).Revision {
			g.v, g.bundle = h.v, h.bundle
		}
	}
}

// open finds or makes the replica and settles the destination. It is saved at once, so that an
// interrupted get is known by name and serves what it has after a restart.
func (g *get) open(t record.Ticket, h record.Head) error {
	if rep, ok := g.r.lookup(t.Set); ok && rep.State().Shared {
		return fmt.Errorf("get %s: %w: it is shared from %s", g.v.Config.Name, ErrInUse, rep.State().Dir)
	}
	_, bytes := Totals(h, g.v.Config)
	if g.o.MaxBytes > 0 && bytes > uint64(g.o.MaxBytes) {
		return fmt.Errorf("get %s: %w: %d bytes", g.v.Config.Name, ErrTooBig, bytes)
	}
	g.dest = filepath.Clean(g.o.Dest(g.v.Config.Name))
	for _, other := range g.r.all() {
		if st := other.State(); st.Dir == g.dest && other.id != t.Set {
			return fmt.Errorf("get into %s: %w: %s", g.dest, ErrInUse, st.Name)
		}
	}
	st := State{Set: t.Set.String(), Name: g.v.Config.Name, Dir: g.dest, Cap: t.Cap, Bundle: g.bundle}
	if rep, ok := g.r.lookup(t.Set); ok {
		old := rep.State()
		st.Leaves = old.Leaves
		st.Complete = old.Complete && old.Dir == g.dest && head(rep.Verified()).Root == h.Root
	}
	g.rep = g.r.ensure(g.v, st)
	return g.r.commit(g.rep, st, g.v)
}

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
// flattens it. The nodes go to the store meanwhile.
func (g *get) layout(ctx context.Context, h record.Head) (*session, *nodeWriter, error) {
	files, bytes := Totals(h, g.v.Config)
	lim := dag.DefaultLimits()
	s := &session{nodes: map[cid.Cid][]byte{}}
	w := &nodeWriter{done: make(chan struct{})}
	lay, err := dag.ReadLayout(ctx, h.Root, g.r.getNode, lim)
	if err == nil {
		close(w.done)
	} else {
		nodes, err := g.fetchNodes(ctx, h.Root, lim)
		if err != nil {
			return nil, nil, err
		}
		for _, b := range nodes {
			s.nodes[b.Cid()] = b.Data()
		}
		lay, err = dag.ReadLayout(ctx, h.Root, func(_ context.Context, c cid.Cid) ([]byte, error) {
			if b, ok := s.nodes[c]; ok {
				return b, nil
			}
			return nil, blockstore.ErrNotFound
		}, lim)
		if err != nil {
			return nil, nil, fmt.Errorf("read revision: %w", err)
		}
		go g.keep(ctx, w, nodes)
	}
	if uint64(lay.Files) != files || uint64(lay.Bytes) != bytes {
		<-w.done
		return nil, nil, fmt.Errorf("read revision: %w: it has %d files and %d bytes, its writer signed %d and %d",
			ErrForged, lay.Files, lay.Bytes, files, bytes)
	}
	s.lay, s.index = lay, make(map[cid.Cid]uint32, len(lay.Leaves))
	for i, leaf := range lay.Leaves {
		s.index[leaf.Cid] = uint32(i)
	}
	return s, w, nil
}

// putBatch is how many bytes of nodes go to the store at once: some thousand small nodes, far below what
// one transaction of the store takes.
const putBatch = 1 << 20

func (g *get) keep(ctx context.Context, w *nodeWriter, nodes []blockstore.Block) {
	defer close(w.done)
	for len(nodes) > 0 {
		n, size := 0, 0
		for n < len(nodes) && size < putBatch {
			size += len(nodes[n].Data())
			n++
		}
		if w.err = g.r.cfg.Store.Put(ctx, g.rep.id, nodes[:n]...); w.err != nil {
			return
		}
		nodes = nodes[n:]
	}
}

// fetchNodes walks the DAG at one holder after the other until one gives all of it.
func (g *get) fetchNodes(ctx context.Context, root cid.Cid, lim dag.Limits) ([]blockstore.Block, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*g.o.Patience) // a bound for a peer that drips; progress is checked per frame by the stream
	defer cancel()
	wait := time.NewTimer(g.o.Patience)
	defer wait.Stop()
	tried := map[peer.ID]int{}
	for {
		p, ok := g.nextHolder(root, tried)
		if ok {
			tried[p]++
			nodes, err := g.walkAt(ctx, p, root, lim)
			if err == nil {
				return nodes, nil
			}
			g.r.cfg.Log.Debug("walk", "peer", p, "err", err)
			if errors.Is(err, blockstore.ErrCorrupt) || errors.Is(err, dag.ErrMalformed) {
				g.net.Swarm.Ban(p, "sent a wrong node")
				tried[p] = maxWalks
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			g.absorb()
			continue
		}
		select {
		case <-g.look.signal:
			g.absorb()
		case <-time.After(200 * time.Millisecond): // a getter that lacked nodes a moment ago may have them now
			for p := range tried {
				if tried[p] < maxWalks {
					tried[p] = 0
				}
			}
		case <-wait.C:
			return nil, fmt.Errorf("list: %w", ErrTimeout)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// maxWalks marks a peer that is not asked for nodes again.
const maxWalks = 1 << 20

// nextHolder prefers complete holders of this root, then whoever was asked least.
func (g *get) nextHolder(root cid.Cid, tried map[peer.ID]int) (peer.ID, bool) {
	var best peer.ID
	for p, h := range g.holders {
		if head(h.v).Root != root || tried[p] > 0 {
			continue
		}
		if best == "" || (h.complete && !g.holders[best].complete) || (h.complete == g.holders[best].complete && p < best) {
			best = p
		}
	}
	return best, best != ""
}

// walkAt gets every node below root from p. Only nodes that were named by one before are accepted.
func (g *get) walkAt(ctx context.Context, p peer.ID, root cid.Cid, lim dag.Limits) ([]blockstore.Block, error) {
	if root.Prefix().Codec != cid.DagProtobuf {
		return nil, nil
	}
	sess, err := g.net.Streams.Chunks(ctx, p, g.look.set, g.look.cap)
	if err != nil {
		return nil, err
	}
	defer sess.Close()
	defer context.AfterFunc(ctx, func() { sess.Close() })()
	if err := sess.Walk(root); err != nil {
		return nil, err
	}
	expected := map[cid.Cid]bool{root: true}
	var nodes []blockstore.Block
	var buf []byte
	for left := 1; ; {
		rep, err := sess.Next(buf)
		if err != nil {
			return nil, err
		}
		if !rep.Cid.Defined() {
			if rep.Code != wire.OK || left > 0 {
				return nil, fmt.Errorf("walk: %w (%v)", blockstore.ErrNotFound, rep.Code)
			}
			return nodes, nil
		}
		if !expected[rep.Cid] {
			return nil, fmt.Errorf("walk: %w: node nobody asked for", dag.ErrMalformed)
		}
		expected[rep.Cid] = false // each only once
		b, err := blockstore.Receive(rep.Cid, append([]byte(nil), rep.Data...))
		if err != nil {
			return nil, err
		}
		buf = rep.Data
		left--
		next, err := dag.NextNodes(b)
		if err != nil {
			return nil, err
		}
		for _, c := range next {
			if _, seen := expected[c]; !seen {
				expected[c] = true
				left++
			}
		}
		if nodes = append(nodes, b); len(nodes)+left > lim.Nodes {
			return nil, fmt.Errorf("walk: %w", dag.ErrLimit)
		}
	}
}
