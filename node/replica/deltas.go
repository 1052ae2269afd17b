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
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// deltaPush is how many bytes of patches a holder may send unasked, in the round trip of the nodes: what
	// comes in vain, because it lies here somewhere, costs at most that.
	deltaPush = 4 << 20
	// deltaWhole is the most bytes of new leaves that are taken from the one holder that sends the patches:
	// compressed, and in order. More than that comes faster from several.
	deltaWhole = 8 << 20
	// deltaStall is the longest silence of a delta before another holder is asked: more than encoding a few
	// of the largest leaves takes a slow one.
	deltaStall = 10 * time.Second
	// deltaPeers is how many holders are tried for one delta before the leaves are fetched whole.
	deltaPeers = 4
	// maxBad patches of one holder are forgiven: a signature may collide by accident.
	maxBad = 3
	// signFrom is the least size of a leaf that a signature is made for: below it, the signature and the blocks
	// an edit touches are no less than the leaf.
	signFrom = 2 << 10
)

// deltaStream is an open delta session with one holder.
type deltaStream struct {
	*delta.Session
	peer    peer.ID
	pushing bool // leaves that nobody asked for may still come
	stop    func() bool
	pace    pace
}

// dialDelta opens a session that ends with ctx, or when it is silent for too long, or drips while another holder is there that
// does not; drip are those that do.
func (g *get) dialDelta(ctx context.Context, p peer.ID, q delta.Request, drip map[peer.ID]bool) (*deltaStream, error) {
	q.Set, q.Capability, q.Dry = g.id, g.look.cap, g.o.Plan
	sess, err := g.net.Streams.Delta(ctx, p, q)
	if err != nil {
		return nil, err
	}
	d := &deltaStream{Session: sess, peer: p, pushing: true,
		pace: pace{now: g.r.cfg.Now, end: func() { sess.Close() }, another: g.instead(p, q.Want, drip), silence: deltaStall}}
	d.stop = context.AfterFunc(ctx, func() { sess.Close() })
	d.pace.start()
	sess.Throttle(d.pace.patiently(g.throttle(ctx, p)))
	sess.Watch(d.pace.came)
	return d, nil
}

func (d *deltaStream) next() (item delta.Item, err error) {
	err = d.pace.wait(func() (int, error) {
		item, err = d.Next()
		return item.Length, err
	})
	return item, err
}

func (d *deltaStream) close() {
	d.stop()
	d.pace.stop()
	d.Close()
}

// hangUp ends the delta session that a get may have open.
func (g *get) hangUp() {
	if g.delta != nil {
		g.delta.close()
		g.delta = nil
	}
}

// deltaNodes gets the nodes of a revision that the base lacks, as patches, from the first holder that can give
// them; its session stays open for the leaves. nil if nobody can: all nodes are to be got then but those that t has.
func (g *get) deltaNodes(ctx context.Context, t *trunk) []blockstore.Block {
	if g.base.lay == nil || !g.base.ours {
		return nil
	}
	tried := map[peer.ID]int{}
	for range deltaPeers {
		p, ok := g.nextHolder(t.root, tried)
		if !ok || len(t.nodes) > 0 {
			return nil
		}
		tried[p]++
		q := delta.Request{Want: t.root, Have: []cid.Cid{g.base.lay.Root}, Push: deltaPush}
		d, err := g.dialDelta(ctx, p, q, t.drip)
		if err != nil {
			g.r.cfg.Log.Debug("delta", "set", g.id, "peer", p, "err", err)
			continue
		}
		nodes, err := g.takeNodes(ctx, d, t.root, t.lim)
		if err == nil {
			g.delta = d
			return nodes
		}
		d.close()
		g.r.cfg.Log.Debug("delta", "set", g.id, "peer", p, "base", d.Base(), "err", err)
		for _, b := range nodes {
			if t.take(b.Cid(), b.Data()) != nil {
				break
			}
		}
	}
	return nil
}

// takeNodes reads the nodes of a delta. Only nodes that one before names are accepted; with an error, those that came are
// returned too.
func (g *get) takeNodes(ctx context.Context, d *deltaStream, root cid.Cid, lim dag.Limits) ([]blockstore.Block, error) {
	codec, err := patch.New(patch.DefaultLimits())
	if err != nil {
		return nil, err
	}
	frontier := delta.NewFrontier(root)
	got := map[cid.Cid][]byte{}
	var nodes []blockstore.Block
	var size int64
	for {
		item, err := d.next()
		if err != nil {
			return nodes, err
		}
		switch {
		case item.Kind == delta.EndNodes && item.Code == wire.OK:
			return nodes, nil
		case item.Kind != delta.Node || item.Code != wire.OK:
			return nil, fmt.Errorf("take nodes: %w (%v)", blockstore.ErrNotFound, item.Code)
		}
		var base []byte
		if item.NeedsBase() && len(item.Bases) == 1 {
			if base = got[item.Bases[0]]; base == nil {
				if base, err = g.r.cfg.Store.GetFrom(ctx, g.id, item.Bases[0], nil); err != nil {
					return nil, fmt.Errorf("take nodes: base: %w", err)
				}
			}
		}
		b, err := item.Apply(codec, base)
		if err == nil {
			err = frontier.Take(b)
		}
		if err != nil {
			return nil, fmt.Errorf("take nodes: %w", err)
		}
		got[b.Cid()] = b.Data()
		size += int64(len(b.Data()))
		if nodes = append(nodes, b); len(nodes) > lim.Nodes || size > lim.Bytes {
			return nil, fmt.Errorf("take nodes: %w: %w", errRevision, dag.ErrLimit)
		}
	}
}

// patcher gets leaves over the delta protocol: patches of what lies here in another form, and what is new if it
// is not much. What it does not get is fetched whole, by the scheduler.
type patcher struct {
	g     *get
	s     *session
	plan  *diff.Plan
	codec *patch.Codec
	want  map[uint32]bool
	base  map[cid.Cid]bool // leaves of the revision that holders were told is here; nil = not asked for yet
	bad   map[peer.ID]int
	fails map[peer.ID]int
	tried map[peer.ID]int
	drip  map[peer.ID]bool // holders that were given up for a faster one

	left             int64 // bytes of needed leaves that are not here yet
	patched, fetched int64 // bytes of leaves got, by how the plan said they would come
	sources          map[peer.ID]bool
	price            int64 // of a dry run: bytes of patches that would have come
	priced           map[uint32]bool
}

// newPatcher wants of the leaves needed those that the plan patches, and the new ones too if they are few.
func (g *get) newPatcher(s *session, plan *diff.Plan, need []uint32) (*patcher, error) {
	codec, err := patch.New(patch.DefaultLimits())
	if err != nil {
		return nil, err
	}
	p := &patcher{g: g, s: s, plan: plan, codec: codec, want: map[uint32]bool{},
		bad: map[peer.ID]int{}, fails: map[peer.ID]int{}, tried: map[peer.ID]int{}, drip: map[peer.ID]bool{}, sources: map[peer.ID]bool{}, priced: map[uint32]bool{}}
	var whole int64
	for _, i := range need {
		p.left += int64(s.lay.Leaves[i].Size)
		if plan.Leaves[i].Source != diff.Patch {
			whole += int64(s.lay.Leaves[i].Size)
		}
	}
	for _, i := range need {
		if plan.Leaves[i].Source == diff.Patch || whole <= deltaWhole {
			p.want[i] = true
		}
	}
	return p, nil
}

// run asks one holder after the other until everything wanted is here. That nobody can give something is no
// error. Errors: ctx's, and what writing returns.
func (p *patcher) run(ctx context.Context) error {
	for range deltaPeers {
		if len(p.want) == 0 {
			return nil
		}
		if p.g.delta == nil && !p.reconnect(ctx) {
			return ctx.Err()
		}
		err := p.take(ctx, p.g.delta)
		peer := p.g.delta.peer
		p.g.hangUp()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var local localError
		if errors.As(err, &local) {
			return local.error
		}
		if err == nil {
			return nil // what is still wanted this holder has not got
		}
		p.g.r.cfg.Log.Debug("delta", "set", p.g.id, "peer", peer, "err", err)
		if p.fails[peer]++; p.fails[peer] > 1 { // it may have ended only because the check of the folder took long
			p.tried[peer]++
		}
		p.g.absorb()
	}
	return nil
}

// reconnect opens a session with another holder, for leaves only: the nodes are here.
func (p *patcher) reconnect(ctx context.Context) bool {
	for {
		peer, ok := p.g.nextHolder(p.s.lay.Root, p.tried)
		if !ok || ctx.Err() != nil {
			return false
		}
		root := p.s.lay.Root
		d, err := p.g.dialDelta(ctx, peer, delta.Request{Want: root, Have: []cid.Cid{root}}, p.drip)
		if err == nil {
			p.g.delta = d
			return true
		}
		p.g.r.cfg.Log.Debug("delta", "set", p.g.id, "peer", peer, "err", err)
		p.tried[peer]++
	}
}

// localError is a failure of this machine: no other holder can help.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// asker sends questions while the answers are read.
type asker struct {
	queue  chan delta.Ask
	window chan struct{} // a token for each question that may be under way
	order  []question    // asked and not answered, oldest first
	done   chan struct{}
}

type question struct {
	leaf  uint32
	based bool // on bases that the holder may lack: then it is asked once more, with their signature
}

func newAsker(ctx context.Context, d *deltaStream, most int) *asker {
	a := &asker{queue: make(chan delta.Ask, most), window: make(chan struct{}, delta.MaxAsks), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for q := range a.queue {
			select {
			case a.window <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if d.Ask(q) != nil {
				return // whoever reads the answers finds the stream broken
			}
		}
	}()
	return a
}

func (a *asker) ask(i uint32, q delta.Ask) {
	a.order = append(a.order, question{i, len(q.Bases) > 0 && q.Signature == nil})
	a.queue <- q // never blocks: it has room for two questions about each leaf
}

// take reads what the holder sends unasked, asks for the rest, and reads the answers.
func (p *patcher) take(ctx context.Context, d *deltaStream) error {
	ctx, cancel := context.WithCancel(ctx)
	a := newAsker(ctx, d, 2*len(p.want)+1)
	defer func() {
		cancel()
		close(a.queue)
		d.Close() // wakes an asker that the peer keeps waiting
		<-a.done
	}()
	asked, err := p.takePushed(ctx, d, a)
	if err != nil {
		return err
	}
	for _, i := range p.s.inOrder(p.want) {
		if !asked[i] {
			a.ask(i, delta.Ask{Cid: p.s.lay.Leaves[i].Cid, Size: int(p.s.lay.Leaves[i].Size), Bases: p.plan.Leaves[i].Base})
		}
	}
	return p.takeAnswers(ctx, d, a)
}

// takePushed reads what comes unasked; what the holder lacks the base of is asked for at once, and returned.
func (p *patcher) takePushed(ctx context.Context, d *deltaStream, a *asker) (asked map[uint32]bool, err error) {
	asked = map[uint32]bool{}
	for d.pushing {
		item, err := d.next()
		if err != nil {
			return nil, err
		}
		if item.Kind != delta.Leaf {
			d.pushing = item.Kind != delta.EndPush
			continue
		}
		i, ok := p.s.index[item.Cid]
		if !ok || !p.want[i] || asked[i] {
			continue // it lies here, in a place the holder cannot know of
		}
		if !p.mine(item.Bases) {
			continue // asked for later
		}
		if item.Code == wire.NoBase {
			asked[i] = true
			p.sign(ctx, a, i)
			continue
		}
		if err := p.leaf(ctx, d, i, item); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// takeAnswers reads the answers to all questions, and asks once more where a signature is needed.
func (p *patcher) takeAnswers(ctx context.Context, d *deltaStream, a *asker) error {
	for len(a.order) > 0 {
		item, err := d.next()
		if err != nil {
			return err
		}
		q := a.order[0]
		a.order = a.order[1:]
		<-a.window
		switch {
		case item.Kind != delta.Leaf || item.Cid != p.s.lay.Leaves[q.leaf].Cid:
			return fmt.Errorf("delta: answer to another question")
		case item.Code == wire.NoBase && q.based:
			p.sign(ctx, a, q.leaf)
		default:
			if err := p.leaf(ctx, d, q.leaf, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// mine tells whether a holder may know that this node has the bases it names: they are of the revision that it was
// told of. By whether a patch of others is of use it would learn what else lies here.
func (p *patcher) mine(bases []cid.Cid) bool {
	if p.base == nil {
		p.base = map[cid.Cid]bool{}
		if p.g.base.ours {
			for _, l := range p.g.base.lay.Leaves {
				p.base[l.Cid] = true
			}
		}
	}
	for _, c := range bases {
		if !p.base[c] {
			return false
		}
	}
	return true
}

// inOrder lists leaves in file order.
func (s *session) inOrder(leaves map[uint32]bool) []uint32 {
	list := make([]uint32, 0, len(leaves))
	for i := range leaves {
		list = append(list, i)
	}
	slices.Sort(list)
	return list
}

// sign asks for a leaf with the signature of the bases, for a holder that lacks them; for the whole leaf if they
// are not here either, or not worth it. The bases are the plan's, whatever the holder named: it learns nothing
// of blocks that are none of its business.
func (p *patcher) sign(ctx context.Context, a *asker, i uint32) {
	leaf, bases := p.s.lay.Leaves[i], p.plan.Leaves[i].Base
	q := delta.Ask{Cid: leaf.Cid, Size: int(leaf.Size)}
	if base, err := p.bases(ctx, bases); err == nil && len(base) > 0 && leaf.Size >= signFrom {
		q.Bases = bases
		q.Signature = patch.AppendSignature(nil, patch.Sign(base, patch.BlockSize(len(base))))
	}
	a.ask(i, q)
}

// bases reads and joins leaves that lie on this disk.
func (p *patcher) bases(ctx context.Context, cids []cid.Cid) ([]byte, error) {
	var all []byte
	for _, c := range cids {
		b, err := p.here(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func (p *patcher) here(ctx context.Context, c cid.Cid) ([]byte, error) {
	if i, ok := p.s.index[c]; ok && p.s.out != nil {
		if b, err := p.s.out.Read(i, nil); err == nil {
			return b, nil
		}
	}
	return p.g.r.cfg.Store.Get(ctx, c, nil)
}

// leaf takes one answer. A patch that does not make the leaf costs only that it is fetched whole; a holder that
// sends several is not asked for more.
func (p *patcher) leaf(ctx context.Context, d *deltaStream, i uint32, item delta.Item) error {
	if item.Code != wire.OK {
		return nil // stays wanted, and is fetched whole
	}
	if p.g.o.Plan {
		p.price += int64(item.Length)
		p.priced[i] = true
		p.count(i)
		return nil
	}
	var base []byte
	if item.NeedsBase() {
		var err error
		if base, err = p.bases(ctx, item.Bases); err != nil {
			p.g.r.cfg.Log.Debug("delta: base", "set", p.g.id, "err", err)
			return nil // somebody changed it; fetched whole
		}
	}
	b, err := item.Apply(p.codec, base)
	if err != nil {
		if p.bad[d.peer]++; p.bad[d.peer] >= maxBad {
			p.g.net.Swarm.Ban(d.peer, "sent wrong patches")
			return err
		}
		p.g.r.cfg.Log.Debug("delta: patch", "set", p.g.id, "peer", d.peer, "err", err)
		return nil
	}
	if err := p.s.out.Write(i, b.Data()); errors.Is(err, blockstore.ErrCorrupt) {
		return err // of another size than the revision says
	} else if err != nil {
		return localError{fmt.Errorf("write: %w", err)}
	}
	p.sources[d.peer] = true
	p.g.arrived(i)
	p.count(i)
	p.left -= int64(p.s.lay.Leaves[i].Size)
	p.g.o.Progress(Progress{Phase: "fetch", Done: p.s.lay.Bytes - p.left, Total: p.s.lay.Bytes, Sources: len(p.sources)})
	return nil
}

func (p *patcher) count(i uint32) {
	delete(p.want, i)
	size := int64(p.s.lay.Leaves[i].Size)
	if p.plan.Leaves[i].Source == diff.Patch {
		p.patched += size
	} else {
		p.fetched += size
	}
}
