package replica

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/segment"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// bulkAside is how much must be lacking for a voter that follows the set into a folder to fetch it there at once:
	// a quarter of a second of a fast disk is not worth writing it twice.
	bulkAside = 64 << 20
	// asidePatience is how long a source may be silent: the council knows of others soon, and asks again.
	asidePatience = 5 * time.Second
	// turnTime is how long the fetch of a head waits for the one before: that may ask somebody who is not there.
	turnTime = 250 * time.Millisecond
)

// recentHeads is how many heads that were fetched are remembered until the council has said what it makes of them.
const recentHeads = 15

// want is a head that the council asked for.
type want struct {
	head *election.Head
	entry
	from []peer.ID
	look *lookout      // where its holders are told, once it is begun with
	old  chan struct{} // closed when a newer one that includes it is wanted, too
}

// Fetch implements council.Seat.
func (s *seat) Fetch(h *election.Head, sealed []byte, from []peer.ID) {
	e, err := s.rep.open(sealed)
	if err != nil {
		s.r.cfg.Log.Error("a head that was verified", "set", s.rep.id, "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wants[h.ID]; w != nil {
		w.from = from
		if w.look != nil {
			s.tell(w)
		}
		return
	}
	w := &want{head: h, entry: e, from: from, old: make(chan struct{})}
	for _, o := range s.wants {
		if h.Covers(o.head) && !o.dropped() {
			close(o.old)
		}
	}
	s.wants[h.ID] = w
	s.vote.start(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.wants, h.ID)
		}()
		if err := s.pursue(w); err != nil {
			s.r.cfg.Log.Debug("fetch for the council", "set", s.rep.id, "revision", e.Revision, "err", err)
		}
	})
}

func (w *want) dropped() bool {
	select {
	case <-w.old:
		return true
	default:
		return false
	}
}

// tell names the voters that have a head as its holders. s.mu is held.
func (s *seat) tell(w *want) {
	v := at(s.rep.Verified(), w.entry)
	b := record.Bundle{Genesis: s.rep.State().Bundle.Genesis, Configs: s.rep.State().Bundle.Configs, Heads: [][]byte{w.sealed}}
	for _, p := range w.from {
		w.look.report(s.ctx, sighting{peer: p, verified: &v, info: list.Info{Bundle: b, Complete: true}, complete: true})
	}
}

// pursue gets a head's blocks, unless a newer head that includes it is wanted before it was begun with.
func (s *seat) pursue(w *want) error {
	select {
	case s.turn <- struct{}{}: // one after the other: most of the next is in this one
		defer func() { <-s.turn }()
	case <-time.After(turnTime):
	case <-w.old:
	case <-s.ctx.Done():
	}
	if s.ctx.Err() != nil || w.dropped() {
		return s.ctx.Err()
	}
	s.rep.aside.RLock()
	defer s.rep.aside.RUnlock()
	ctx, cancel := context.WithCancel(s.ctx)
	t := record.Ticket{Set: s.rep.id, Cap: s.rep.State().Cap}
	var look *lookout
	net := s.r.network()
	if net == nil {
		cancel()
		return ErrOffline
	}
	if len(w.from) == 0 {
		t.Addrs = s.rep.State().holders()
		look = newLook(net, t, func() *record.Bundle { return nil }, s.r.cfg.Log.With("set", s.rep.id))
		look.search(ctx, t)
	} else {
		look = newLook(net, t, func() *record.Bundle { return nil }, s.r.cfg.Log.With("set", s.rep.id))
	}
	defer look.wg.Wait()
	defer cancel()
	s.mu.Lock()
	w.look = look
	s.tell(w)
	s.mu.Unlock()
	place := "aside " + w.id.String() // what is fetched is named by no revision before it is shown
	if err := s.r.claimSoon(s.ctx, place, busyWait); err != nil {
		return err
	}
	defer s.r.unclaim(place)
	if err := s.r.fetchAside(ctx, s.rep, w.entry, look, w.old, s.complete()); err != nil {
		return err
	}
	s.remember(w.sealed)
	s.vote.council.Tell(s.rep.id, election.Fetched{Head: w.head})
	return nil
}

// fetchAside makes all blocks of a head lie under the set on stable storage, without touching any folder; a merge is
// computed again before anything of it is fetched. A lot goes straight into the folder of who follows the set, unless
// old is closed before. have are other heads that are complete here, and were checked.
func (r *Registry) fetchAside(ctx context.Context, rep *Replica, e entry, look *lookout, old <-chan struct{}, have [][]byte) error {
	g := r.asideGet(rep, e, look)
	defer g.hangUp()
	in0, out0 := g.net.Wire()
	s, nodes, err := g.layout(ctx, e.Head)
	if err != nil {
		return err
	}
	defer func() {
		in1, out1 := g.net.Wire()
		s.haul.in, s.haul.out = in1-in0, out1-out0
		rep.arrived(s.haul)
	}()
	if err := g.vet(ctx, e, have); err != nil {
		return err
	}
	store := g.keep(ctx, s, nodes) // before the leaves: who changes the folder meanwhile sees what will be needed of it
	defer store.wait()
	if err := store.wait(); err != nil {
		return err
	}
	for {
		was := rep.State()
		done, err := g.gather(ctx, s, rep, e, old)
		if err != nil || done {
			return err
		}
		// What the folder held was counted as here: has it changed since?
		now := rep.State()
		if now.Base == was.Base && now.Onto == was.Onto || g.base.lay == nil || r.whole(ctx, rep.id, e.Root) {
			break
		}
		g.base.lay = nil
	}
	r.layouts.add(r.cfg.Now(), rep.id, s.lay)
	return nil
}

// gather fetches the leaves of a session aside. done: they came into the folder instead, and are on stable storage.
func (g *get) gather(ctx context.Context, s *session, rep *Replica, e entry, old <-chan struct{}) (done bool, err error) {
	out, err := g.r.newAside(ctx, rep, s.lay, g.base.lay)
	if err != nil {
		return false, err
	}
	s.out = out
	defer out.Close()
	if done, err := g.toFolder(ctx, rep, e, out, old); done || err != nil {
		return done, err
	}
	if err := g.fetchLeaves(ctx, s); err != nil {
		return false, err
	}
	return false, out.finish()
}

// asideGet is a get that has no folder.
func (r *Registry) asideGet(rep *Replica, e entry, look *lookout) *get {
	g := &get{r: r, net: look.net, id: rep.id, look: look, v: at(rep.Verified(), e), holders: map[peer.ID]*holding{},
		failed: map[peer.ID]error{}, ever: map[peer.ID]bool{}, refused: map[cid.Cid]bool{}, o: GetOptions{Patience: asidePatience, Grace: time.Second}.withDefaults()}
	g.absorb()
	g.base = base{forget: func() {}}
	if h, ok := rep.Head(); ok && rep.State().Complete {
		if lay, err := r.layoutOf(context.Background(), rep.id, h.Root); err == nil {
			g.base.lay, g.base.ours = lay, true
		}
	}
	return g
}

// fetchLeaves fills the sink of a session: patches first, then whole leaves.
func (g *get) fetchLeaves(ctx context.Context, s *session) error {
	need := s.out.Need()
	if len(need) == 0 {
		return nil
	}
	if plan := g.plan(ctx, s.lay); plan != nil {
		p, err := g.newPatcher(s, plan, need)
		if err != nil {
			return err
		}
		err = p.run(ctx)
		s.haul.patched, s.haul.fetched = s.haul.patched+p.patched, s.haul.fetched+p.fetched
		if err != nil {
			return err
		}
	}
	d := newDownload(g, s)
	err := d.run(ctx)
	s.haul.fetched += d.fetched
	return err
}

// haul is what a voter received for the council, before its folder is brought there from its own disk.
type haul struct {
	in, out          int64 // all bytes on the wire
	patched, fetched int64 // leaf bytes
}

// arrived adds to what the next revision in the folder is made of.
func (rep *Replica) arrived(h haul) {
	rep.mu.Lock()
	defer rep.mu.Unlock()
	rep.haul.in, rep.haul.out = rep.haul.in+h.in, rep.haul.out+h.out
	rep.haul.patched, rep.haul.fetched = rep.haul.patched+h.patched, rep.haul.fetched+h.fetched
}

// unload adds what was received for the council since the last time to what a get of the folder did.
func (rep *Replica) unload(got *Got) {
	rep.mu.Lock()
	h := rep.haul
	rep.haul = haul{}
	rep.mu.Unlock()
	got.WireIn, got.WireOut = got.WireIn+h.in, got.WireOut+h.out
	got.Patched += min(h.patched, got.Reused())
	got.Fetched += min(h.fetched, got.Reused())
}

// borrow flattens a revision whose folders lie here or at a holder; nothing of it is kept.
func (g *get) borrow(ctx context.Context, root cid.Cid) (*dag.Layout, error) {
	lay, err := g.r.layoutOf(ctx, g.id, root)
	if err == nil || !isMissing(err) {
		return lay, err
	}
	g.older = true
	defer func() { g.older = false }()
	nodes, err := g.fetchNodes(ctx, g.newTrunk(root))
	if err != nil {
		return nil, err
	}
	return (&session{}).read(ctx, root, nodes, nil, dag.DefaultLimits())
}

// toFolder leaves a large revision to the follower of the set, and waits for it.
func (g *get) toFolder(ctx context.Context, rep *Replica, e entry, out *aside, old <-chan struct{}) (done bool, err error) {
	var bytes int64
	for _, i := range out.Need() {
		bytes += int64(out.lay.Leaves[i].Size)
	}
	if bytes < bulkAside || !g.r.followed(rep.id) {
		return false, nil
	}
	arrived := make(chan struct{})
	rep.mu.Lock()
	busy := rep.bulk != nil
	if !busy {
		rep.bulk = &bulk{e, arrived}
	}
	rep.mu.Unlock()
	if busy { // with one before it
		return false, nil
	}
	g.r.hint(rep.id, "")
	defer func() {
		rep.mu.Lock()
		rep.bulk = nil
		rep.mu.Unlock()
	}()
	select {
	case <-arrived:
		return true, nil
	case <-old:
		return true, errSuperseded
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// bulk is a revision that the follower of a set is to fetch although it is not the newest yet.
type bulk struct {
	entry
	arrived chan struct{} // closed when it is complete in the folder
}

func (r *Registry) followed(set cid.Cid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.followers[set] != nil
}

// voted makes the newest head of a set that this node votes on, or the one that its follower is to fetch for the
// council, the one to get; false for other sets.
func (g *get) voted() bool {
	rep, ok := g.r.lookup(g.id)
	if !ok || g.o.Revision != 0 || rep.seated() == nil || len(rep.Verified().Heads) == 0 {
		return false
	}
	g.v, g.bundle = rep.Verified(), rep.State().Bundle
	rep.mu.Lock()
	b := rep.bulk
	rep.mu.Unlock()
	if b != nil {
		g.v = at(g.v, b.entry)
		g.bundle.Heads = [][]byte{b.sealed}
	}
	return true
}

// current tells whether what was got is still what the set's records say.
func (g *get) current(st State) bool {
	return slices.EqualFunc(st.Bundle.Heads, g.bundle.Heads, bytes.Equal)
}

// settle ends a get of a set that this node votes on, or did: what the folder holds need not lie beside it, and the
// council may be waiting for it.
func (g *get) settle(whole bool) error {
	if !whole {
		return nil
	}
	g.rep.mu.Lock()
	b := g.rep.bulk
	g.rep.mu.Unlock()
	waited := b != nil && b.Root == head(g.v).Root
	if !waited && !g.rep.aside.TryLock() {
		return nil // the next one does
	}
	if waited {
		if err := worktree.Sync(g.dest); err != nil {
			return err
		}
		close(b.arrived)
		return nil
	}
	defer g.rep.aside.Unlock()
	if st := g.rep.State(); !g.current(st) || len(st.Forks) > 0 || g.r.cfg.Segments == "" || !g.onlyThis() {
		return nil
	}
	if all, err := segment.List(g.r.asideDir(g.id)); err != nil || len(all) == 0 {
		return err
	}
	if err := worktree.Sync(g.dest); err != nil {
		return err
	}
	if err := g.r.dropAside(context.Background(), g.id); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// onlyThis tells whether the council knows of nothing that what was got does not include, and no proposal waits to be
// ordered: nothing that lies aside is of use then. Nothing is added meanwhile: rep.aside is held.
func (g *get) onlyThis() bool {
	if g.r.working("proposal " + g.id.String()) {
		return false
	}
	s := g.rep.seated()
	if s == nil {
		return !g.rep.State().Seated
	}
	now := g.rep.Verified()
	return !slices.ContainsFunc(s.sealedHave(), func(b []byte) bool {
		e, err := open(now, b)
		return err != nil || !head(g.v).Vector.Covers(e.Vector)
	})
}
