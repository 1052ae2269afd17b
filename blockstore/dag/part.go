package dag

import (
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
)

// Part is a layout of some entries of l: those that keep names, by their index in l.Entries, and all folders
// above them. A folder that is kept does not keep what lies in it; the root is always there. Leaves are numbered
// anew in the order of first occurrence, and leafOf[i] is the index in l.Leaves of the part's leaf i. Bytes and
// the counts are of the part, Root is that of l. keep is asked once for each entry, in order.
func (l *Layout) Part(keep func(entry int) bool) (part *Layout, leafOf []uint32) {
	p := parter{
		from: l, part: &Layout{Root: l.Root},
		number: make([]uint32, len(l.Leaves)), files: map[cid.Cid][]uint32{},
	}
	// A folder stands before what lies in it, so the folders above an entry are the last ones of each depth.
	var above []int // the folders above the entry looked at, the root first
	taken := 0      // so many of them are in the part already
	for i := range l.Entries {
		depth := depthOf(l.Entries[i].Path)
		above = append(above[:depth], i)
		taken = min(taken, depth)
		if !keep(i) && i != 0 {
			continue
		}
		for _, j := range above[taken:] {
			p.add(&l.Entries[j])
		}
		taken = len(above)
	}
	return p.part, p.leafOf
}

// depthOf is the number of folders above an entry.
func depthOf(path string) int {
	if path == "" {
		return 0
	}
	return 1 + strings.Count(path, "/")
}

// parter takes entries of one layout into another.
type parter struct {
	from, part *Layout
	leafOf     []uint32             // for each leaf of part, its index in from
	number     []uint32             // for each leaf of from, 1 + its index in part; 0 = none yet
	files      map[cid.Cid][]uint32 // leaves of the distinct files of part
}

func (p *parter) add(e *Entry) {
	kept := *e
	switch e.Kind {
	case KindFile:
		kept.Leaves = p.leaves(e)
		p.part.Bytes += e.Size
		p.part.Files++
	case KindDir:
		p.part.Dirs++
	case KindSymlink:
		p.part.Symlinks++
	}
	p.part.Entries = append(p.part.Entries, kept)
}

// leaves renumbers the leaves of file e, once for all files that are equal to it.
func (p *parter) leaves(e *Entry) []uint32 {
	if len(e.Leaves) == 0 {
		return e.Leaves
	}
	if known, ok := p.files[e.Cid]; ok {
		return known
	}
	leaves := slices.Clone(e.Leaves)
	for i, l := range leaves {
		if p.number[l] == 0 {
			p.part.Leaves = append(p.part.Leaves, p.from.Leaves[l])
			p.leafOf = append(p.leafOf, l)
			p.number[l] = uint32(len(p.leafOf))
		}
		leaves[i] = p.number[l] - 1
	}
	p.files[e.Cid] = leaves
	return leaves
}
