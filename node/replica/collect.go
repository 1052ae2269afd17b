package replica

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Live returns, for every set, the blocks that a collection keeps: what its newest revision consists of, and forks
// beside it, and the nodes of those before it that State remembers. Leaves of past revisions are kept by the files they lie in,
// segments too.
func (r *Registry) Live(ctx context.Context) (func(set, c cid.Cid) bool, error) {
	live := map[cid.Cid]map[cid.Cid]bool{}
	for _, rep := range r.all() {
		roots, past := r.roots(rep)
		if len(roots) == 0 {
			continue
		}
		if r.absent(rep) {
			live[rep.id] = nil
			continue
		}
		mine := map[cid.Cid]bool{}
		for i, root := range slices.Concat(roots, past) {
			present := i < len(roots)
			whole, err := r.mark(ctx, rep.id, root, mine, present)
			if err != nil {
				return nil, fmt.Errorf("mark %s: %w", rep.State().Name, err)
			}
			if present && !whole {
				mine = nil // incomplete: keep all of it
				break
			}
		}
		live[rep.id] = mine
	}
	return func(set, c cid.Cid) bool {
		mine, ok := live[set]
		return ok && (mine == nil || mine[c])
	}, nil
}

// absent tells whether this node votes on a set and does not take part just now: what it has promised to keep only its
// council knows.
func (r *Registry) absent(rep *Replica) bool {
	return rep.State().Seated && rep.seated() == nil && slices.Contains(rep.Verified().Config.Voters, r.self)
}

// roots lists the revisions of a set that are kept: all of the newest one and of what the council knows beside it,
// and the nodes of the last 16, of what they were merged from, and of the one that the folder holds, should that be older.
func (r *Registry) roots(rep *Replica) (whole, nodes []cid.Cid) {
	heads, err := rep.chain()
	if err != nil { // the rest cannot be shown to anybody either
		r.cfg.Log.Warn("old heads of a set are damaged", "set", rep.id, "err", err)
	}
	if len(heads) == 0 {
		return nil, nil
	}
	for _, h := range heads {
		nodes = append(nodes, h.Root)
	}
	whole = nodes[:1:1]
	beside := rep.State().Forks
	if s := rep.seated(); s != nil {
		beside = append(slices.Clone(beside), s.sealedHave()...)
	}
	for _, e := range poolOf(rep.Verified(), beside) {
		whole = append(whole, e.Root)
	}
	nodes = nodes[1:]
	if base, err := cid.Decode(rep.State().Base); err == nil {
		nodes = append(nodes, base)
	}
	for _, h := range heads { // whoever comes later computes a merge again
		if h.Merge == nil {
			continue
		}
		nodes = append(nodes, h.Merge.Bases...)
		for _, side := range h.Merge.Sides {
			nodes = append(nodes, side.Root)
		}
	}
	return whole, nodes
}

// mark adds the nodes below root, itself included, to live, and leaves if they are wanted. What is in live already
// is not looked into again. whole tells whether every node was here.
func (r *Registry) mark(ctx context.Context, set, root cid.Cid, live map[cid.Cid]bool, leaves bool) (whole bool, err error) {
	whole = true
	var buf []byte
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if live[c] {
			continue
		}
		if c.Type() == cid.Raw {
			live[c] = leaves
			continue
		}
		n, mem, err := r.node(ctx, set, c, buf)
		if isMissing(err) {
			whole = false
			continue
		}
		if err != nil {
			return false, err
		}
		buf, live[c] = mem, true
		for _, l := range n.Links {
			todo = append(todo, l.Cid)
		}
	}
	return whole, nil
}

// node reads and decodes a node of a set; mem is for the next call. Errors: blockstore.ErrNotFound,
// blockstore.ErrCorrupt also for a block that is no node.
func (r *Registry) node(ctx context.Context, set, c cid.Cid, buf []byte) (n dag.Node, mem []byte, err error) {
	data, err := r.cfg.Store.GetFrom(ctx, set, c, buf)
	if err != nil {
		return n, buf, err
	}
	b, err := blockstore.Receive(c, data)
	if err != nil {
		return n, data, err
	}
	if n, err = dag.Decode(b); err != nil {
		return n, data, fmt.Errorf("%w: %w", blockstore.ErrCorrupt, err)
	}
	return n, data, nil
}

// Collect gives up what is not kept of past revisions and lets sweep delete what no set needs. Nothing may be
// shared, fetched or removed meanwhile: what such a command has just stored is not named by any revision yet.
// Errors: ErrBusy, and sweep's.
func (r *Registry) Collect(ctx context.Context, sweep func(keep func(set, c cid.Cid) bool) error) error {
	r.mu.Lock()
	if r.collecting || len(r.places) > 0 {
		r.mu.Unlock()
		return fmt.Errorf("collect: %w", ErrBusy)
	}
	r.collecting = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.collecting = false
		r.wake()
	}()
	if err := r.sweepSegments(ctx, true); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	for _, rep := range r.all() {
		if err := r.compactAside(ctx, rep); err != nil {
			return fmt.Errorf("collect: %w", err)
		}
	}
	keep, err := r.Live(ctx)
	if err != nil {
		return err
	}
	return sweep(keep)
}
