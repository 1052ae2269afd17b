package diff

import (
	"path"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// FileRuns says which leaves of one new file the old revision lacks.
type FileRuns struct {
	New  int   // its index in the Entries of the new layout
	Old  int   // of the file in the old layout that Base means; -1 for none
	Runs []Run // places, as indexes into the Leaves of the two entries
}

// Leaves lists the leaves of the new revision that are nowhere in the old one, each once, at its first place,
// with the old leaves it is probably like. Files are in the order of the new layout; either may be nil.
//
// The base file is the one that shares the most bytes of leaves; among equals, and where none shares any: the
// file of the same path, then the one of the same name that is gone from where a neighbour of the new file
// came from, then the only one of the same name that is gone if only one has arrived.
func Leaves(old, new *dag.Layout) []FileRuns {
	return compare(old, new).leaves()
}

// work bounds how many places are looked at for a place of the input, and spare is for small inputs. Usually
// it is two, but in a hostile revision many small files may have one huge base; the last then get none.
const work, spare = 8, 1 << 16

func (c *comparison) leaves() (all []FileRuns) {
	fresh := newTally(c)
	bases := newBaseFinder(c)
	a := aligner{of: make([]tokens, len(c.old.leaves)+len(c.new.leaves))}
	budget := spare + work*bases.places
	for j := range c.new.entries {
		e := &c.new.entries[j]
		if !c.changed(j) || !fresh.has(j) {
			continue
		}
		f := FileRuns{New: j, Old: bases.of(j)}
		budget += (work - 1) * len(e.Leaves)
		if f.Old >= 0 && budget < len(c.old.entries[f.Old].Leaves) {
			f.Old = -1
		}
		var o sequence
		if f.Old >= 0 {
			o = c.oldSequence(f.Old)
			budget -= len(o.ids)
		} else {
			o = newSequence(0)
		}
		f.Runs = a.runs(o, c.newSequence(j), func(i int) bool { return fresh.take(e.Leaves[i]) })
		all = append(all, f)
	}
	return all
}

// oldSequence numbers the leaves of old entry i by their index.
func (c *comparison) oldSequence(i int) sequence {
	leaves := c.old.entries[i].Leaves
	s := newSequence(len(leaves))
	for _, l := range leaves {
		s.add(l, int64(c.old.leaves[l].Size))
	}
	return s
}

// newSequence numbers the leaves of new entry j, which has changed: old ones as oldSequence, others behind.
func (c *comparison) newSequence(j int) sequence {
	leaves := c.new.entries[j].Leaves
	s := newSequence(len(leaves))
	for _, l := range leaves {
		id := uint32(len(c.old.leaves)) + l
		if c.oldLeaf[l] >= 0 {
			id = uint32(c.oldLeaf[l])
		}
		s.add(id, int64(c.new.leaves[l].Size))
	}
	return s
}

// baseFinder finds the old file that a changed one is most like. A file is known by its first entry.
type baseFinder struct {
	c       *comparison
	first   map[cid.Cid]int32 // of each distinct old file, its first entry
	places  int               // of all distinct old files
	holders map[int32][]int32 // of each old leaf that a changed file has, at most MaxBases distinct files

	gone    map[spot]int   // files that are gone
	byName  map[string]int // the same by their names; -1 if several have it
	arrived map[string]int // number of files by name that were added
	source  []int32        // of each new folder, the old folder that its first moved entry came from, or -1
}

// spot is where a file is: its folder's entry, and its name.
type spot struct {
	folder int32
	name   string
}

func newBaseFinder(c *comparison) *baseFinder {
	b := &baseFinder{
		c: c, first: map[cid.Cid]int32{}, holders: map[int32][]int32{},
		gone: map[spot]int{}, byName: map[string]int{}, arrived: map[string]int{},
		source: unset(len(c.new.entries)),
	}
	wanted := make([]bool, len(c.old.leaves))
	for _, i := range c.oldLeaf {
		if i >= 0 {
			wanted[i] = true
		}
	}
	for i := range c.old.entries {
		if c.old.entries[i].Kind == dag.KindFile {
			b.addOld(i, wanted)
		}
	}
	for j, e := range c.new.entries {
		i, parent := c.toOld[j], c.new.parent[j]
		switch {
		case i < 0 && e.Kind == dag.KindFile:
			b.arrived[path.Base(e.Path)]++
		case i >= 0 && parent >= 0 && b.source[parent] < 0 && c.old.entries[i].Path != e.Path:
			b.source[parent] = c.old.parent[i]
		}
	}
	return b
}

// addOld takes in the file that old entry i is.
func (b *baseFinder) addOld(i int, wanted []bool) {
	e := &b.c.old.entries[i]
	if b.c.toNew[i] < 0 {
		name := path.Base(e.Path)
		b.gone[spot{b.c.old.parent[i], name}] = i
		if _, twice := b.byName[name]; twice {
			b.byName[name] = -1
		} else {
			b.byName[name] = i
		}
	}
	if _, known := b.first[e.Cid]; known {
		return
	}
	b.first[e.Cid] = int32(i)
	b.places += len(e.Leaves)
	for _, l := range e.Leaves {
		if !wanted[l] {
			continue
		}
		h := b.holders[int32(l)]
		if len(h) < MaxBases && (len(h) == 0 || h[len(h)-1] != int32(i)) {
			b.holders[int32(l)] = append(h, int32(i))
		}
	}
}

// of returns the old file that is the base of new file j, which has changed, or -1.
func (b *baseFinder) of(j int) int {
	e := &b.c.new.entries[j]
	shared := map[int32]int64{} // bytes by file
	for _, l := range e.Leaves {
		if at := b.c.oldLeaf[l]; at >= 0 {
			for _, f := range b.holders[at] {
				shared[f] += int64(b.c.new.leaves[l].Size)
			}
		}
	}
	best := b.guess(j)
	most := int64(0)
	if best >= 0 {
		most = shared[b.first[b.c.old.entries[best].Cid]]
	}
	guessed := best
	for f, bytes := range shared { // in random order
		if bytes > most || bytes == most && best != guessed && int(f) < best {
			best, most = int(f), bytes
		}
	}
	if best >= 0 && len(b.c.old.entries[best].Leaves) == 0 {
		return -1
	}
	return best
}

// guess returns the old file that j may be a version of by its path, or -1.
func (b *baseFinder) guess(j int) int {
	if i := b.c.toOld[j]; i >= 0 { // of the same path: content of another path is no change
		if b.c.old.entries[i].Kind == dag.KindFile {
			return int(i)
		}
		return -1
	}
	name := path.Base(b.c.new.entries[j].Path)
	if parent := b.c.new.parent[j]; parent >= 0 {
		if i, ok := b.gone[spot{b.source[parent], name}]; ok {
			return i
		}
	}
	if i, ok := b.byName[name]; ok && b.arrived[name] == 1 {
		return i // -1 if there are several
	}
	return -1
}
