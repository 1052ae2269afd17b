package replica

// How what was scanned becomes a revision: by this node where it is the only voter, else by the set's primary.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// errElected: the set has got other voters while a revision was made for the only one.
var errElected = errors.New("others vote on the set now")

// draft is the proposal to hand in: the last one if that says the same and nobody told what became of it, so that it
// does not become two revisions; else a new one. A number that others may have seen is never used again.
func (r *Registry) draft(rep *Replica, st State, lay *dag.Layout, note string) (proposal, error) {
	base, from := []cid.Cid(nil), cid.Undef
	if v := rep.Verified(); len(v.Heads) > 0 {
		base, from = rep.origin(rep.built())
	}
	if sealed := rep.State().Draft; len(sealed) > 0 {
		p, _, err := record.OpenProposal(sealed, rep.Verified().Config)
		if err == nil && p.Root == lay.Root && p.Note == note && slices.Equal(p.Base, base) && p.From == from {
			return proposal{Proposal: p, sealed: sealed}, nil
		}
	}
	err := r.change(rep, func(now *State) error {
		now.Seq++
		st.Seq, st.Instance = now.Seq, now.Instance
		return nil
	})
	if err != nil {
		return proposal{}, err
	}
	p, err := r.propose(rep, st, lay, note)
	if err != nil {
		return proposal{}, err
	}
	return p, r.change(rep, func(now *State) error {
		now.Draft = p.sealed
		return nil
	})
}

// writes tells whether this node is one of the set's writers.
func (r *Registry) writes(rep *Replica) bool {
	return slices.Contains(rep.Verified().Config.Writers, r.self)
}

// propose signs a proposal for a layout, on top of what the folder was built from. st holds the number to use.
func (r *Registry) propose(rep *Replica, st State, lay *dag.Layout, note string) (proposal, error) {
	p := record.Proposal{Set: rep.id, Root: lay.Root, Writer: r.self, Instance: st.Instance, Seq: st.Seq,
		Files: uint64(lay.Files), Entries: uint64(len(lay.Entries)), Bytes: uint64(lay.Bytes), Note: note}
	if v, built := rep.Verified(), rep.built(); len(v.Heads) > 0 {
		p.Base, p.From = rep.origin(built)
	}
	sealed, err := record.SealProposal(p, r.cfg.Key)
	if err != nil {
		return proposal{}, fmt.Errorf("publish: %w", err)
	}
	return proposal{Proposal: p, sealed: sealed}, nil
}

// origin names what the folder was built from: a head, and a root if that is not the head's.
func (p *Replica) origin(built cid.Cid) (base []cid.Cid, from cid.Cid) {
	v, st := p.Verified(), p.State()
	base, from = v.HeadCids[:1], built
	if head(v).Root == built {
		from = cid.Undef
	}
	pool := p.pool()
	if id, err := cid.Decode(st.BaseHead); err == nil {
		base, from = []cid.Cid{id}, built
		if e, ok := find(pool, id); ok && e.Root == built {
			from = cid.Undef
		}
		return base, from
	}
	for _, e := range pool {
		if e.Root == built {
			return []cid.Cid{e.id}, cid.Undef
		}
	}
	return base, from
}

// publish signs a proposal and the head that orders it, and commits both. The head goes last: everything
// it names is in the store by now.
func (r *Registry) publish(rep *Replica, st State, lay *dag.Layout, note string) error {
	v := rep.Verified()
	key := record.InstanceKey(st.Instance)
	st.Seq++
	p, err := r.propose(rep, st, lay, note)
	if err != nil {
		return err
	}
	h := record.Head{Set: rep.id, ConfigVersion: v.Config.Version, ConfigHash: v.ConfigHash, Root: lay.Root, Revision: 1,
		Epoch:     record.Epoch{ConfigVersion: v.Config.Version, N: 1, Owner: r.self, Instance: st.Instance},
		Proposals: [][]byte{p.sealed}, Vector: record.Vector{}, Time: r.cfg.Now()}
	if len(v.Heads) > 0 {
		h.Revision, h.Parents = v.Heads[0].Revision+1, []cid.Cid{v.HeadCids[0]}
		h.Vector = v.Heads[0].Vector.Merge(nil)
	}
	st.HeadSeq = max(st.HeadSeq, h.Vector[key]) + 1
	h.Vector[key] = st.HeadSeq
	sealed, err := record.SealHead(h, r.cfg.Key)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return r.change(rep, func(now *State) error {
		if now.Seated || len(now.Bundle.Configs) > 0 && rep.Verified().Config.Version != v.Config.Version {
			return errElected
		}
		if len(v.Heads) == 0 {
			*now = st // nothing is remembered of a set that is new
			now.Shared = true
		}
		now.succeed(sealed)
		now.Dir, now.Only, now.Marker, now.Base = st.Dir, st.Only, st.Marker, lay.Root.String()
		now.Complete, now.Leaves, now.Seq, now.HeadSeq = true, len(lay.Leaves), st.Seq, st.HeadSeq
		now.BaseHead = ""
		return nil
	})
}

// hand gives a proposal to whoever orders the set's revisions.
func (r *Registry) hand(ctx context.Context, rep *Replica, st State, lay *dag.Layout, o ShareOptions, out *Shared) error {
	if _, err := r.Instance(rep.id); err != nil {
		return err
	}
	if err := r.sync(ctx, rep, lay, st.Dir); err != nil {
		return err
	}
	p, err := r.draft(rep, st, lay, o.Note)
	if err != nil {
		return err
	}
	fresh := lay.Leaves
	if p.fresh = lay.Bytes; rep.built().Defined() {
		if old, err := r.layoutOf(ctx, rep.id, rep.built()); err == nil {
			fresh, p.fresh = leaving(lay, old)
		}
	}
	if rep.seated() != nil && p.fresh <= keepAside {
		if err := r.copyAside(ctx, rep, fresh, p.fresh); err != nil {
			return err
		}
	}
	wait := cmp.Or(o.Wait, durableWait)
	if out.Alone {
		wait = 0
	}
	done, err := r.submit(ctx, rep, p, wait)
	if err != nil {
		return err
	}
	out.Head, out.HeadID, out.Merged = done.head.Head, done.head.id, done.head.Root != lay.Root
	out.Durable, out.On, out.Primary = done.durable, done.on, done.primary
	return r.adopt(rep, st, lay, done.head)
}
