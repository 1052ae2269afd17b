package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// maxLayouts and maxLayoutParts bound the flattened revisions that are kept in memory: the newest two of some
// sets, and about 50 MB (a part, an entry or a leaf, takes up to 300 bytes). Larger ones are read each time.
const (
	maxLayouts     = 6
	maxLayoutParts = 160_000
)

// layouts remembers flattened revisions: the one a folder holds is needed again for the next one, and for
// every peer that asks for the difference.
type layouts struct {
	mu   sync.Mutex // guards list; not held while one is read
	list []flat
}

// flat is a layout all nodes of which belong to set.
type flat struct {
	set cid.Cid
	*dag.Layout
}

func parts(l *dag.Layout) int { return len(l.Entries) + len(l.Leaves) }

// find returns the layout of root if it is remembered for this set: one set's peers are told nothing of another.
func (m *layouts) find(set, root cid.Cid) *dag.Layout {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.list, func(l flat) bool { return l.Root == root && l.set == set })
	if i < 0 {
		return nil
	}
	l := m.list[i]
	m.list = append(slices.Delete(m.list, i, i+1), l) // the last used is the last to go
	return l.Layout
}

// add remembers a layout, and forgets the ones that were not used for the longest time.
func (m *layouts) add(set cid.Cid, l *dag.Layout) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(o flat) bool { return o.Root == l.Root && o.set == set })
	m.list = append(m.list, flat{set, l})
	total := 0
	for i := len(m.list) - 1; i >= 0; i-- {
		if total += parts(m.list[i].Layout); total > maxLayoutParts || len(m.list)-i > maxLayouts {
			m.list = slices.Clone(m.list[i+1:])
			return
		}
	}
}

// layoutOf flattens a revision of a set whose nodes are all here. Errors: blockstore.ErrNotFound.
func (r *Registry) layoutOf(ctx context.Context, set, root cid.Cid) (*dag.Layout, error) {
	if l := r.layouts.find(set, root); l != nil {
		return l, nil
	}
	l, err := dag.ReadLayout(ctx, root, r.nodesOf(set), dag.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("layout of %s: %w", root, err)
	}
	r.layouts.add(set, l)
	return l, nil
}
