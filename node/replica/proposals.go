package replica

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/election"
	proposals "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Proposals serves what writers and voters ask of this node.
type Proposals struct{ r *Registry }

// Proposals is what the council protocol's server needs of the registry.
func (r *Registry) Proposals() Proposals { return Proposals{r} }

// Heads gives sealed heads by their ids, those that are here, to who may read the set.
func (c Proposals) Heads(from peer.ID, set cid.Cid, ids []cid.Cid) (out [][]byte, err error) {
	rep, ok := c.r.readable(set, from, nil)
	if !ok {
		return nil, fmt.Errorf("heads: %w", proposals.ErrNotFound)
	}
	vote := c.r.votes()
	var pool []entry
	for _, id := range ids {
		if vote != nil {
			if b := vote.council.Sealed(set, id); b != nil {
				out = append(out, b)
				continue
			}
		}
		if pool == nil {
			pool = rep.pool()
		}
		if e, ok := find(pool, id); ok {
			out = append(out, e.sealed)
		}
	}
	return out, nil
}

// Propose fetches what a writer wants to have published, has it ordered, and tells what becomes of it.
func (c Proposals) Propose(ctx context.Context, from peer.ID, set cid.Cid, sealed []byte, tell func(proposals.Outcome) error) error {
	rep, ok := c.r.readable(set, from, nil)
	if !ok {
		return fmt.Errorf("propose: %w", proposals.ErrNotFound)
	}
	v := rep.Verified()
	opened, _, err := record.OpenProposal(sealed, v.Config)
	if err == nil && opened.Writer != from {
		err = fmt.Errorf("%w: it is another's", record.ErrForged)
	}
	if err != nil {
		return tell(proposals.Outcome{Code: proposals.Failed, Text: "the proposal is not valid here: " + err.Error()})
	}
	s := rep.seated()
	view, _ := c.r.View(rep)
	if s == nil || view.Role != election.Primary || !view.Absorbed {
		return tell(proposals.Outcome{Code: proposals.Refused, Primary: elsewhere(view, c.r.self)})
	}
	p := proposal{Proposal: opened, sealed: sealed}
	e, done := s.ordered(p)
	if !done {
		o, err := c.take(ctx, rep, s, from, p)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return tell(proposals.Outcome{Code: proposals.Failed, Text: "what is proposed could not be fetched: " + err.Error()})
		case o.refused:
			return tell(proposals.Outcome{Code: proposals.Refused, Primary: o.primary})
		}
		e = o.head
	}
	if err := tell(proposals.Outcome{Code: proposals.Accepted, Head: e.sealed, Holders: 1}); err != nil {
		return err
	}
	out := s.await(ctx, e, askTime)
	if !out.durable {
		return nil
	}
	return tell(proposals.Outcome{Code: proposals.Durable, Holders: len(out.on), On: out.on})
}

// take fetches a proposal and has it ordered. Nothing is collected meanwhile: no revision names it yet.
func (c Proposals) take(ctx context.Context, rep *Replica, s *seat, from peer.ID, p proposal) (ordered, error) {
	place := fmt.Sprintf("proposal %s %x %d", rep.id, p.Instance, p.Seq)
	if err := c.r.claimSoon(ctx, place, busyWait); err != nil {
		return ordered{}, err
	}
	defer c.r.unclaim(place)
	if e, ok := s.ordered(p); ok { // by whoever held the claim
		return ordered{head: e}, nil
	}
	if err := c.r.fetchProposal(ctx, rep, from, p); err != nil {
		return ordered{}, err
	}
	select {
	case o := <-s.propose(p):
		return o, nil
	case <-ctx.Done():
		return ordered{}, ctx.Err()
	case <-s.ctx.Done():
		return ordered{refused: true}, nil
	}
}

func elsewhere(v council.View, self peer.ID) peer.ID {
	if v.Primary == self {
		return ""
	}
	return v.Primary
}

// fetchProposal brings all of a proposal here, and the folders of what it was made from, from its writer.
func (r *Registry) fetchProposal(ctx context.Context, rep *Replica, from peer.ID, p proposal) error {
	net := r.network()
	if net == nil {
		return ErrOffline
	}
	rep.aside.RLock()
	defer rep.aside.RUnlock()
	ctx, cancel := context.WithCancel(ctx)
	look := newLook(net, record.Ticket{Set: rep.id, Cap: rep.State().Cap}, func() *record.Bundle { return nil }, r.cfg.Log.With("set", rep.id))
	defer look.wg.Wait()
	defer cancel()
	v := rep.Verified()
	// A head that nobody signed, for the parts that ask what to fetch by one.
	e := entry{Head: record.Head{Set: rep.id, ConfigVersion: v.Config.Version, Root: p.Root, Proposals: [][]byte{p.sealed}, Revision: head(v).Revision + 1}}
	shown := at(v, e)
	look.report(ctx, sighting{peer: from, verified: &shown, complete: true})
	if err := r.fetchAside(ctx, rep, e, look, nil, nil); err != nil {
		return err
	}
	if !p.From.Defined() {
		return nil
	}
	if _, err := r.layoutOf(ctx, rep.id, p.From); !isMissing(err) {
		return err
	}
	g := r.asideGet(rep, e, look)
	t := newTrunk(p.From, dag.DefaultLimits(), r.cfg.Now())
	if err := g.walkAt(ctx, from, t); err != nil {
		return fmt.Errorf("what it was made from: %w", err)
	}
	if _, err := (&session{}).read(ctx, p.From, t.nodes, nil, dag.DefaultLimits()); err != nil {
		return fmt.Errorf("what it was made from: %w", err)
	}
	return r.putNodes(ctx, rep.id, t.nodes)
}

// putNodes stores nodes under a set.
func (r *Registry) putNodes(ctx context.Context, set cid.Cid, nodes []blockstore.Block) error {
	for len(nodes) > 0 {
		n, size := 0, 0
		for n < len(nodes) && size < putBatch {
			size += len(nodes[n].Data())
			n++
		}
		if err := r.cfg.Store.Put(ctx, set, nodes[:n]...); err != nil {
			return err
		}
		nodes = nodes[n:]
	}
	return nil
}
