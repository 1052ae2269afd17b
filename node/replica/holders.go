package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// grace is how long the first answer waits for others that may know a newer head, when some are still
// being dialled.
const grace = 50 * time.Millisecond

// ownGrace is how long a get of a set that is complete here waits for anybody with something newer, and one that
// was shown false records for anybody honest.
const ownGrace = 2 * time.Second

// voterGrace is how long the first answer waits for a voter of the set that is being dialled: who orders the revisions
// knows the newest, and others may be behind.
const voterGrace = time.Second

// holding is the current picture of one peer.
type holding struct {
	v        record.Verified
	bundle   record.Bundle
	have     list.Bitmap
	complete bool
}

// choose waits for holders and settles on the newest head they show that is not older than what this
// node has accepted before.
func (g *get) choose(ctx context.Context, t record.Ticket) error {
	patience := time.NewTimer(g.o.Patience)
	defer patience.Stop()
	var own <-chan time.Time
	if rep, ok := g.r.lookup(t.Set); ok && rep.State().Complete {
		own = time.After(ownGrace)
	}
	if g.pick(t); g.voted() { // and all of it lies here
		return nil
	}
	var settle, doubt <-chan time.Time
	late := false           // only a voter is waited for
	if len(g.holders) > 0 { // of a run before; they need not say anything more
		g.pick(t)
		settle = time.After(grace)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return g.nobody()
		case <-own:
			g.pick(t)
			return nil
		case <-settle:
			if late || !g.awaitsVoter() {
				return nil
			}
			late, settle = true, time.After(voterGrace)
		case <-doubt:
			if len(g.holders) == 0 {
				return g.nobody()
			}
		case <-g.look.signal:
			g.absorb()
			if len(g.holders) == 0 {
				if doubt == nil && g.forged() != nil {
					doubt = time.After(ownGrace) // an honest holder may be on its way
				}
				continue
			}
			if g.pick(t); g.answered() || late && !g.awaitsVoter() {
				return nil
			}
			if settle == nil {
				settle = time.After(grace)
			}
		}
	}
}

// answered tells whether every peer heard of so far has answered or failed.
func (g *get) answered() bool {
	for _, p := range g.look.heard() {
		if g.holders[p] == nil && g.failed[p] == nil {
			return false
		}
	}
	return true
}

// awaitsVoter tells whether a voter of the set was heard of that has neither answered nor failed.
func (g *get) awaitsVoter() bool {
	heard := g.look.heard()
	return slices.ContainsFunc(g.v.Config.Voters, func(p peer.ID) bool {
		return slices.Contains(heard, p) && g.holders[p] == nil && g.failed[p] == nil
	})
}

// forged is why some peer's records were refused, or nil.
func (g *get) forged() error {
	for _, err := range g.failed {
		if errors.Is(err, record.ErrForged) || errors.Is(err, record.ErrMalformed) || errors.Is(err, ErrForged) {
			return err
		}
	}
	return nil
}

// nobody says why no holder was found.
func (g *get) nobody() error {
	if err := g.forged(); err != nil {
		return fmt.Errorf("find: %w: %w", ErrForged, err)
	}
	if g.net.Peers() == 0 {
		return fmt.Errorf("find: %w", ErrNoPeers)
	}
	return fmt.Errorf("find: %w", ErrNobody)
}

// absorb takes the lookout's news into the picture and returns it for who wants the details.
func (g *get) absorb() []sighting {
	all := g.look.take()
	rep, known := g.r.lookup(g.id)
	for _, s := range all {
		switch {
		case s.err != nil:
			delete(g.holders, s.peer)
			g.failed[s.peer] = s.err
		case s.verified != nil:
			h := &holding{v: *s.verified, bundle: s.info.Bundle, have: list.NewBitmap(s.info.Leaves), complete: s.info.Complete}
			copy(h.have, s.info.Have)
			h.add(s.have)
			g.holders[s.peer] = h
			if known && !g.o.Plan { // a change of the members comes without a revision
				if err := g.r.adoptConfigs(rep, h.v, h.bundle); err != nil {
					g.r.cfg.Log.Warn("members of a set", "set", g.id, "err", err)
				}
			}
			g.ever[s.peer] = true
			delete(g.failed, s.peer)
		case g.holders[s.peer] != nil:
			h := g.holders[s.peer]
			h.complete = h.complete || s.complete
			h.add(s.have)
		}
		if h := g.holders[s.peer]; known {
			rep.feed.meet(s.peer, h != nil && h.some())
		}
	}
	return all
}

// some tells whether a holder has shown that it has anything.
func (h *holding) some() bool {
	return h.complete || slices.ContainsFunc(h.have, func(b byte) bool { return b != 0 })
}

// add notes leaves; numbers beyond the revision's are nobody's.
func (h *holding) add(leaves []uint32) {
	for _, i := range leaves {
		if int(i) < 8*len(h.have) {
			h.have.Set(int(i))
		}
	}
}

// pick settles on the newest records known, the node's own included.
func (g *get) pick(t record.Ticket) {
	if rep, ok := g.r.lookup(t.Set); ok {
		g.v, g.bundle = rep.Verified(), rep.State().Bundle
	}
	if g.o.Pinned && len(g.v.Heads) > 0 {
		return
	}
	if g.voted() {
		return
	}
	for _, h := range g.holders {
		if newer(h.v, g.v) && !g.refused[h.v.HeadCids[0]] {
			g.v, g.bundle = h.v, h.bundle
		}
	}
}

// maxRemembered is how many holders of a set, and addresses of each, are remembered: some will be up.
const maxRemembered = 4

// addresses are those of the holders, for the next time.
func (g *get) addresses() []string {
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	var all []string
	for p := range g.holders {
		known := g.net.Swarm.Known(ctx, p)
		known.Addrs = known.Addrs[:min(len(known.Addrs), maxRemembered)]
		addrs, err := peer.AddrInfoToP2pAddrs(&known)
		if err != nil || len(all) >= maxRemembered*maxRemembered {
			continue
		}
		for _, a := range addrs {
			all = append(all, a.String())
		}
	}
	return all
}
