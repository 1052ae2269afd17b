package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Restore puts a past revision into a folder of its own, which is no replica: nothing is recorded of it. It takes
// what lies here, and asks peers for the rest. Errors: as Get, and ErrNoRevision if nobody has it any more.
func (r *Registry) Restore(ctx context.Context, t record.Ticket, o GetOptions) (Got, error) {
	if o.Patience == 0 {
		o.Patience = pastPatience
	}
	o = o.withDefaults()
	var here error
	if rep, ok := r.lookup(t.Set); ok {
		t = r.acquainted(t)
		got, err := r.restoreHere(ctx, rep, o)
		if err == nil || !errors.Is(err, ErrNoRevision) {
			return got, err
		}
		here = err
	}
	net := r.network()
	if net == nil {
		return Got{}, errors.Join(fmt.Errorf("restore: %w", ErrNoRevision), here)
	}
	ctx, cancel := context.WithCancel(ctx)
	g := r.newGet(ctx, net, t, o)
	defer g.look.wg.Wait()
	defer cancel()
	defer r.moving()()
	in0, out0 := net.Wire()
	got, err := g.restore(ctx, t)
	in1, out1 := net.Wire()
	got.WireIn, got.WireOut = in1-in0, out1-out0
	g.account(got, err)
	for _, nobody := range []error{ErrDamaged, ErrTimeout, ErrNobody, ErrNoPeers} {
		if errors.Is(err, nobody) {
			if got.Dest != "" { // what was gathered is of no use, and nothing of it is in place
				_ = os.RemoveAll(filepath.Join(got.Dest, worktree.TempDir))
				_ = os.Remove(got.Dest) // if it is empty
			}
			return got, errors.Join(fmt.Errorf("restore: %w: %w", ErrNoRevision, err), here)
		}
	}
	return got, err
}

// pastPatience is how long a restore waits for somebody who has kept what it lacks: a holder says at once that it has
// not, and few have.
const pastPatience = 15 * time.Second

// restoreHere restores a revision all of which lies on this disk; else ErrNoRevision, and nothing is in place.
func (r *Registry) restoreHere(ctx context.Context, rep *Replica, o GetOptions) (Got, error) {
	h, err := r.RevisionHead(rep, o.Revision)
	if err != nil {
		return Got{}, err
	}
	lay, err := r.layoutOf(ctx, rep.id, h.Root)
	if errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt) {
		return Got{}, fmt.Errorf("restore: %w: its folders are not here", ErrNoRevision)
	}
	if err != nil {
		return Got{}, err
	}
	for _, l := range lay.Leaves {
		if has, err := r.cfg.Store.Has(ctx, l.Cid); err != nil || !has {
			return Got{}, fmt.Errorf("restore: %w: some of it is not here", ErrNoRevision)
		}
	}
	v := rep.Verified()
	g := &get{r: r, id: rep.id, o: o, v: v}
	dest, done, err := g.destination()
	if err != nil {
		return Got{}, err
	}
	defer done()
	out, err := g.past(ctx, dest, lay)
	if err != nil {
		return Got{}, err
	}
	defer out.Close() // what is in the temporaries is of use when peers are asked
	got := Got{Replica: rep, Head: h, Name: g.v.Config.Name, Dest: dest, Files: lay.Files, Total: lay.Bytes, Changed: true}
	if len(out.Need()) > 0 {
		return got, fmt.Errorf("restore: %w: some of it cannot be read any more", ErrNoRevision)
	}
	if err := out.Release(ctx); err != nil {
		return got, err
	}
	got.Done, err = out.Finish(ctx, unrecorded)
	return got, err
}

// unrecorded is for folders that are no replica.
func unrecorded(...blockstore.File) error { return nil }

// destination checks where a revision is to be restored; done ends the claim on it.
func (g *get) destination() (dest string, done func(), err error) {
	dest = filepath.Clean(g.o.Dest(g.v.Config.Name))
	if err := worktree.CheckOutside(dest, g.r.cfg.Home); err != nil {
		return "", nil, fmt.Errorf("write files: %w", err)
	}
	for _, rep := range g.r.all() {
		if st := rep.State(); st.Dir == dest {
			return "", nil, fmt.Errorf("write into %s: %w: %s", dest, ErrInUse, st.Name)
		}
	}
	if err := g.r.claim(dest); err != nil {
		return "", nil, err
	}
	return dest, func() { g.r.unclaim(dest) }, nil
}

func (g *get) past(ctx context.Context, dest string, lay *dag.Layout) (*worktree.Checkout, error) {
	return worktree.NewCheckout(ctx, dest, g.id, lay, worktree.CheckoutOptions{Force: g.o.Force, FreeSpace: g.r.spaceFor(0), Local: g.r.cfg.Store.Get, Hold: true,
		MinLeaf: g.v.Genesis.Profile.Min, Now: g.r.cfg.Now})
}

// restore gets a past revision with the help of peers.
func (g *get) restore(ctx context.Context, t record.Ticket) (got Got, err error) {
	g.o.Progress(Progress{Phase: "find"})
	if err := g.choose(ctx, t); err != nil {
		return Got{}, err
	}
	if err := g.pickRevision(ctx); err != nil {
		return Got{}, err
	}
	dest, done, err := g.destination()
	if err != nil {
		return Got{}, err
	}
	defer done()
	h := head(g.v)
	s, _, err := g.layout(ctx, h)
	if err != nil {
		return Got{}, err
	}
	out, err := g.past(ctx, dest, s.lay)
	if err != nil {
		return Got{}, err
	}
	s.out = newTarget(out, nil)
	defer s.close()
	rep, _ := g.r.lookup(g.id)
	got = Got{Replica: rep, Head: h, Name: g.v.Config.Name, Dest: dest, Files: s.lay.Files, Total: s.lay.Bytes, Changed: true}
	d := newDownload(g, s)
	g.look.widen() // few have kept it
	err = d.run(ctx)
	got.Fetched, got.Sources = d.fetched, d.delivered
	if err == nil {
		err = out.Release(ctx)
	}
	if err != nil {
		return got, err
	}
	got.Done, err = out.Finish(ctx, unrecorded)
	return got, err
}

// pickRevision finds the head of the revision asked for: here, or in what a holder remembers.
func (g *get) pickRevision(ctx context.Context) error {
	if head(g.v).Revision == g.o.Revision {
		return nil
	}
	if rep, ok := g.r.lookup(g.id); ok {
		if h, err := g.r.RevisionHead(rep, g.o.Revision); err == nil {
			g.v.Heads, g.v.HeadCids = []record.Head{h}, []cid.Cid{cid.Undef}
			return nil
		}
	}
	for p, held := range g.holders {
		heads, cids, err := g.historyAt(ctx, p, held)
		if err != nil {
			g.r.cfg.Log.Debug("history", "set", g.id, "peer", p, "err", err) // what came before the mistake is good
		}
		for i, h := range heads {
			if h.Revision == g.o.Revision {
				g.v.Heads, g.v.HeadCids = []record.Head{h}, []cid.Cid{cids[i]}
				return nil
			}
		}
	}
	return fmt.Errorf("revision %d: %w: the newest is %d", g.o.Revision, ErrNoRevision, head(g.v).Revision)
}

func (g *get) historyAt(ctx context.Context, p peer.ID, held *holding) ([]record.Head, []cid.Cid, error) {
	sealed, err := g.net.Streams.History(ctx, p, g.id, g.look.cap)
	if err != nil {
		return nil, nil, err
	}
	return record.OpenAncestors(held.v, sealed)
}
