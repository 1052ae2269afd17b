package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

const (
	// maxLayouts and maxLayoutParts bound the flattened revisions that are kept in memory: two of some sets, or
	// of one with half a million files: 300 MB (a part, an entry or a leaf, takes up to 150 bytes).
	maxLayouts     = 6
	maxLayoutParts = 2_000_000
	// layoutKept is how long one is kept after its last use: as long as those who follow a set take to come
	// for the next revision, one after the other.
	layoutKept = time.Minute
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
	used time.Time
}

func parts(l *dag.Layout) int { return len(l.Entries) + len(l.Leaves) }

// find returns the layout of root if it is remembered for this set: one set's peers are told nothing of another.
func (m *layouts) find(now time.Time, set, root cid.Cid) *dag.Layout {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.list, func(l flat) bool { return l.Root == root && l.set == set })
	if i < 0 {
		return nil
	}
	l := m.list[i]
	l.used = now
	m.list = append(slices.Delete(m.list, i, i+1), l) // the last used is the last to go
	return l.Layout
}

// add remembers a layout, and forgets the ones that were not used for the longest time.
func (m *layouts) add(now time.Time, set cid.Cid, l *dag.Layout) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(o flat) bool { return o.Root == l.Root && o.set == set })
	m.list = append(m.list, flat{set, l, now})
	total := 0
	for i := len(m.list) - 1; i >= 0; i-- {
		if total += parts(m.list[i].Layout); total > maxLayoutParts || len(m.list)-i > maxLayouts {
			m.list = slices.Clone(m.list[i+1:])
			return
		}
	}
}

// expire forgets the layouts that were not used since.
func (m *layouts) expire(since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(l flat) bool { return l.used.Before(since) })
}

// Tidy gives up memory that was not used for a while; call it now and then.
func (r *Registry) Tidy() { r.layouts.expire(r.cfg.Now().Add(-layoutKept)) }

// layoutOf flattens a revision of a set whose nodes are all here. Errors: blockstore.ErrNotFound.
func (r *Registry) layoutOf(ctx context.Context, set, root cid.Cid) (*dag.Layout, error) {
	if l := r.layouts.find(r.cfg.Now(), set, root); l != nil {
		return l, nil
	}
	l, err := dag.ReadLayout(ctx, root, r.nodesOf(set), dag.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("layout of %s: %w", root, err)
	}
	r.layouts.add(r.cfg.Now(), set, l)
	return l, nil
}
