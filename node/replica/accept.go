package replica

// This file is about what a get records of itself: that it may begin, before the first byte, and that everything is here.

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// complete records that everything is here.
func (g *get) complete(t record.Ticket, s *session, whole bool) error {
	holders := g.addresses()
	past, connected := g.lineage()
	mark, _ := markerOf(g.dest) // unknown is no harm
	err := g.r.change(g.rep, func(st *State) error {
		if whole {
			st.Base, st.Onto, st.Holders = s.lay.Root.String(), "", holders
			st.BaseHead = g.v.HeadCids[0].String()
		}
		st.Marker = mark
		if !g.current(*st) {
			return nil // a voter has gone on meanwhile
		}
		st.Leaves = len(s.lay.Leaves)
		if g.rep.seated() == nil {
			st.Complete = whole || g.o.KeepLocal && st.Complete // what somebody edited is lost, and all else is served as before
		}
		if whole && connected {
			st.Past = past
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := g.settle(whole); err != nil {
		return err
	}
	if whole {
		g.r.reseat(g.rep) // a voter that was still on its way to all of it
	}
	g.r.layouts.add(g.r.cfg.Now(), g.rep.id, s.lay)
	g.rep.unserve(s)
	if err := g.r.retain(context.Background(), g.rep); err != nil {
		g.r.cfg.Log.Warn("give up past revisions", "set", g.rep.id, "err", err)
	}
	if !whole {
		return nil
	}
	peers := slices.Collect(maps.Keys(g.holders))
	if g.wait > 0 { // who follows goes on: one of them may be away, and the folder is wanted
		g.look.wg.Go(func() { g.confirm(t, s.lay.Root, peers) })
		return nil
	}
	g.confirm(t, s.lay.Root, peers)
	return nil
}

// confirmTimeout is how long a finished get waits to tell its holders so: they answer in a round trip, and
// one that does not is not worth more.
const confirmTimeout = time.Second

// confirm tells the holders that this node is one now; that some cannot be told does no harm.
func (g *get) confirm(t record.Ticket, root cid.Cid, holders []peer.ID) {
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout) // also when the get's own is about to end
	defer cancel()
	var group sync.WaitGroup
	for _, p := range holders {
		group.Go(func() {
			if err := g.net.Streams.Confirm(ctx, p, t.Set, root, t.Cap); err != nil {
				g.r.cfg.Log.Debug("confirm", "set", g.id, "peer", p, "err", err)
			}
		})
	}
	group.Wait()
}

// open finds or makes the replica, marks it as being worked on and checks that the revision may go to the
// destination. Nothing is written yet; leave ends it.
func (g *get) open(ctx context.Context, t record.Ticket, h record.Head) error {
	g.rep, g.fresh = g.r.ensure(g.v, State{Set: t.Set.String(), Name: g.v.Config.Name, Dir: g.dest, Cap: t.Cap, Bundle: g.bundle})
	for p, held := range g.holders { // of the time before it was known here
		g.rep.feed.meet(p, held.some())
	}
	if err := g.rep.await(ctx, g.wait); err != nil {
		return err
	}
	err := g.allowed(h)
	if err != nil {
		g.leave()
	}
	return err
}

func (g *get) allowed(h record.Head) error {
	if st := g.rep.State(); st.Shared {
		return fmt.Errorf("get %s: %w: it is shared from %s", g.v.Config.Name, ErrInUse, st.Dir)
	}
	if st := g.rep.State(); g.r.writes(g.rep) && !g.fresh && st.Dir != "" && st.Dir != g.dest {
		if _, err := os.Lstat(st.Dir); err == nil { // what was not published yet would be forgotten
			return fmt.Errorf("get %s: %w: this node publishes it from %s", g.v.Config.Name, ErrInUse, st.Dir)
		}
	}
	_, _, bytes := h.Totals()
	if g.o.MaxBytes > 0 && bytes > uint64(g.o.MaxBytes) {
		return fmt.Errorf("get %s: %w: %d bytes", g.v.Config.Name, ErrTooBig, bytes)
	}
	for _, other := range g.r.all() {
		if st := other.State(); st.Dir == g.dest && other != g.rep {
			return fmt.Errorf("get into %s: %w: %s", g.dest, ErrInUse, st.Name)
		}
	}
	return nil
}

// accept records the revision and where it goes. It is saved before the first byte is fetched, so that an
// interrupted get is known by name and goes on after a restart; and not before the folder was found fit,
// so that a get that was refused leaves what was here as it was.
func (g *get) accept(t record.Ticket, h record.Head) error {
	seated := g.rep.seated() != nil
	err := g.r.change(g.rep, func(st *State) error {
		same := len(g.rep.Verified().Heads) > 0 && head(g.rep.Verified()).Root == h.Root
		if !seated { // what a voter has complete lies beside the folder too
			st.Complete = st.Complete && st.Dir == g.dest && same
		}
		switch root := h.Root.String(); {
		case st.Complete && st.Base == root || st.Onto == root:
		case st.Onto == "" && g.base.whole:
			st.Onto = root
		default:
			st.Onto = mixed
		}
		st.Name, st.Dir, st.Cap = g.v.Config.Name, g.dest, t.Cap
		if !g.base.inDest {
			st.Base = "" // of another folder
		}
		if seated {
			return nil // its head is the council's to choose
		}
		if !slices.EqualFunc(st.Bundle.Heads, g.bundle.Heads, bytes.Equal) {
			st.supersede()
		}
		configs := st.Bundle.Configs
		if st.Bundle = g.bundle; len(configs) > len(st.Bundle.Configs) { // changed meanwhile
			st.Bundle.Configs = configs
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.fresh = false
	return nil
}

// leave ends open. A replica that was never accepted is forgotten.
func (g *get) leave() {
	if g.fresh {
		g.r.forget(g.rep)
	}
	g.rep.release()
}
