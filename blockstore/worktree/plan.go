package worktree

import (
	"fmt"
	"math"
	"path"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// plan is a layout that was checked, with what a checkout looks up: where each leaf lies. Places are
// numbered in file order, so the places of entry e are first[e] to first[e+1]-1. It never changes.
type plan struct {
	*dag.Layout
	parent []int32  // of each entry, its folder's entry; -1 for the root
	first  []uint32 // of each entry, its first place; one more at the end
	leaf   []uint32 // of each place, its leaf
	off    []int64  // of each place, where it is in the file
	owner  []int32  // of each place, its entry
	start  []uint32 // of each leaf, the start of its places in byLeaf; one more at the end
	byLeaf []uint32 // places by leaf
}

// newPlan checks a layout: it may come from somewhere that checks less than this package needs. Errors:
// dag.ErrMalformed, dag.ErrLimit for more places than leaves of minLeaf bytes can have (0: any).
func newPlan(lay *dag.Layout, minLeaf int) (*plan, error) {
	p := &plan{Layout: lay, parent: make([]int32, len(lay.Entries)), first: make([]uint32, 0, len(lay.Entries)+1)}
	if err := p.checkTree(); err != nil {
		return nil, err
	}
	for i, l := range lay.Leaves {
		if err := blockstore.CheckCid(l.Cid); err != nil || l.Cid.Prefix().Codec != cid.Raw || l.Size == 0 || l.Size > blockstore.MaxBlockSize {
			return nil, fmt.Errorf("checkout: leaf %d: %w", i, dag.ErrMalformed)
		}
	}
	if err := checkPlaces(lay, minLeaf); err != nil {
		return nil, err
	}
	if err := p.addPlaces(); err != nil {
		return nil, err
	}
	p.index()
	return p, nil
}

// checkTree finds the parents. Entries come parents first, children in strict name order, so a stack of
// the folders above is enough, and no name can stand twice.
func (p *plan) checkTree() error {
	type level struct {
		entry int
		last  string // name of the latest child
	}
	es := p.Entries
	if len(es) == 0 || es[0].Path != "" || es[0].Kind != dag.KindDir {
		return fmt.Errorf("checkout: %w: no root", dag.ErrMalformed)
	}
	p.parent[0] = -1
	stack := []level{{entry: 0}}
	for i := 1; i < len(es); i++ {
		dir, name := splitPath(es[i].Path)
		for len(stack) > 0 && es[stack[len(stack)-1].entry].Path != dir {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 || name <= stack[len(stack)-1].last || dag.CheckName(name) != nil || join(dir, name) != es[i].Path {
			return fmt.Errorf("checkout: %w: entry %q", dag.ErrMalformed, es[i].Path)
		}
		stack[len(stack)-1].last = name
		p.parent[i] = int32(stack[len(stack)-1].entry)
		if es[i].Kind == dag.KindDir {
			stack = append(stack, level{entry: i})
		}
	}
	return nil
}

func splitPath(full string) (dir, name string) {
	dir, name = path.Split(full)
	if dir != "" {
		dir = dir[:len(dir)-1]
	}
	return dir, name
}

// checkPlaces counts before anything is allocated: files share their leaf lists, so a few kilobytes of DAG
// can name billions of places.
func checkPlaces(lay *dag.Layout, minLeaf int) error {
	places := uint64(0)
	for _, e := range lay.Entries {
		if minLeaf > 0 && int64(len(e.Leaves)) > e.Size/int64(minLeaf)+1 {
			return fmt.Errorf("checkout: %w: %q has %d chunks in %d bytes", dag.ErrLimit, e.Path, len(e.Leaves), e.Size)
		}
		places += uint64(len(e.Leaves))
	}
	if places > math.MaxUint32 {
		return fmt.Errorf("checkout: %w: %d chunks", dag.ErrLimit, places)
	}
	return nil
}

func (p *plan) addPlaces() error {
	for i, e := range p.Entries {
		p.first = append(p.first, uint32(len(p.leaf)))
		if e.Kind != dag.KindFile {
			continue
		}
		off := int64(0)
		for _, l := range e.Leaves {
			if int(l) >= len(p.Leaves) {
				return fmt.Errorf("checkout: %w: %q names leaf %d", dag.ErrMalformed, e.Path, l)
			}
			p.leaf, p.off, p.owner = append(p.leaf, l), append(p.off, off), append(p.owner, int32(i))
			off += int64(p.Leaves[l].Size)
		}
		if off != e.Size {
			return fmt.Errorf("checkout: %w: %q has %d bytes of leaves, not %d", dag.ErrMalformed, e.Path, off, e.Size)
		}
	}
	p.first = append(p.first, uint32(len(p.leaf)))
	return nil
}

// index groups the places by leaf (counting sort).
func (p *plan) index() {
	p.start = make([]uint32, len(p.Leaves)+1)
	for _, l := range p.leaf {
		p.start[l+1]++
	}
	for i := range p.Leaves {
		p.start[i+1] += p.start[i]
	}
	next := append([]uint32(nil), p.start...)
	p.byLeaf = make([]uint32, len(p.leaf))
	for place, l := range p.leaf {
		p.byLeaf[next[l]] = uint32(place)
		next[l]++
	}
}

// places are those of leaf i.
func (p *plan) places(i uint32) []uint32 { return p.byLeaf[p.start[i]:p.start[i+1]] }

// name is the last component of entry e's path.
func (p *plan) name(e int32) string {
	_, name := splitPath(p.Entries[e].Path)
	return name
}

// size is how many bytes lie at a place.
func (p *plan) size(place uint32) int { return int(p.Leaves[p.leaf[place]].Size) }
