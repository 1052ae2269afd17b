package replica

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// vetting checks merged heads: that all they were made of was proposed by writers, and that they are what comes of it.
// A plain head needs none of that, its root is its writer's. Heads that were accepted before are trusted.
type vetting struct {
	g       *get
	trusted []entry
	known   []entry          // of others: signatures are right, and nothing else is known of them
	asked   map[cid.Cid]bool // for the parents of these the holders were asked
	passed  map[cid.Cid]bool
}

// vet checks a head that is to be taken; trusted are heads that were, beside those that the set's records name.
// Errors: ErrForged, and those of getting folders.
func (g *get) vet(ctx context.Context, e entry, trusted [][]byte) error {
	if !e.Merged() {
		return nil
	}
	v := vetting{g: g, passed: map[cid.Cid]bool{}, asked: map[cid.Cid]bool{}}
	if rep, ok := g.r.lookup(g.id); ok && rep.State().Complete {
		st := rep.State()
		v.trusted = rep.openAll(slices.Concat(st.Bundle.Heads, st.Forks, trusted))
		v.known = rep.openAll(st.Past) // which a holder may have told
	}
	return v.check(ctx, e)
}

func (v *vetting) check(ctx context.Context, e entry) error {
	if _, ok := find(v.trusted, e.id); ok || !e.Merged() || v.passed[e.id] {
		return nil
	}
	v.passed[e.id] = true // no head is its own ancestor: its parents were hashed before it
	parents, err := v.parents(ctx, e)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(parents, func(p entry) bool { return repeats(e.Head, p.Head) }); i >= 0 {
		return v.check(ctx, parents[i])
	}
	all, err := e.Written()
	if err != nil {
		return err
	}
	for _, s := range e.Merge.Sides {
		if slices.ContainsFunc(all, func(p record.Proposal) bool { return p.Root == s.Root }) {
			continue
		}
		i := slices.IndexFunc(parents, func(p entry) bool { return p.Root == s.Root })
		if i < 0 {
			return fmt.Errorf("check merge: %w: a side is neither a proposal's nor a parent's that is known", ErrForged)
		}
		if err := v.check(ctx, parents[i]); err != nil {
			return err
		}
	}
	return checkMerge(e.Head, v.g.v.Genesis.Profile, func(root cid.Cid) (*dag.Layout, error) { return v.g.borrow(ctx, root) })
}

// repeats tells whether h has the content of its parent p, and the same proof of it.
func repeats(h, p record.Head) bool {
	return h.Root == p.Root && h.Merge.Equal(p.Merge) && slices.EqualFunc(h.Proposals, p.Proposals, bytes.Equal)
}

// parents are those of e's parents that are known here, or to a holder.
func (v *vetting) parents(ctx context.Context, e entry) ([]entry, error) {
	for {
		var out []entry
		var lacking []cid.Cid
		for _, id := range e.Parents {
			if p, ok := find(v.trusted, id); ok {
				out = append(out, p)
			} else if p, ok := find(v.known, id); ok {
				out = append(out, p)
			} else {
				lacking = append(lacking, id)
			}
		}
		if len(lacking) == 0 || v.asked[e.id] {
			return out, ctx.Err()
		}
		v.asked[e.id] = true
		for p := range v.g.holders {
			v.known = append(v.known, v.remembered(ctx, p, lacking)...)
		}
	}
}

// remembered are heads that a holder remembers: those asked for, or, where it does not answer that, the last ones.
func (v *vetting) remembered(ctx context.Context, p peer.ID, ids []cid.Cid) []entry {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if sealed, err := v.g.net.Streams.Heads(ctx, p, v.g.id, ids); err == nil && len(sealed) > 0 {
		return poolOf(v.g.v, sealed)
	}
	sealed, err := v.g.net.Streams.History(ctx, p, v.g.id, v.g.look.cap)
	if err != nil {
		v.g.r.cfg.Log.Debug("history", "set", v.g.id, "peer", p, "err", err)
	}
	return poolOf(v.g.v, sealed)
}
