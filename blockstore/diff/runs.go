package diff

import (
	"slices"
	"sort"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// MaxBases is the most bases of one leaf or node: with leaves of at most 1 MiB, 4 MiB to load and to search.
const MaxBases = 4

// Span is a stretch of places.
type Span struct{ First, N int }

// Run is a stretch of places in a new file whose leaves the old side lacks and which have the same bases.
type Run struct {
	New Span
	// Base are places in the old file, ascending, at most MaxBases. None for bytes that were put between two
	// leaves, or deep inside a long insertion.
	Base []int
}

// Runs returns the places of a new file whose leaf the old file does not hold, in order and maximal. It takes
// time n log n.
func Runs(old, new []blockstore.Leaf) []Run {
	return runsOf(old, new, func(l blockstore.Leaf) (cid.Cid, int64) { return l.Cid, int64(l.Size) })
}

// linkRuns is Runs for the links of two nodes of a file.
func linkRuns(old, new []dag.Link) []Run {
	return runsOf(old, new, func(l dag.Link) (cid.Cid, int64) { return l.Cid, int64(l.Size) })
}

func runsOf[T any](old, new []T, part func(T) (c cid.Cid, bytes int64)) []Run {
	ids := make(map[cid.Cid]uint32, len(old))
	number := func(list []T) sequence {
		s := newSequence(len(list))
		for _, e := range list {
			c, bytes := part(e)
			id, known := ids[c]
			if !known {
				id = uint32(len(ids))
				ids[c] = id
			}
			s.add(id, bytes)
		}
		return s
	}
	o := number(old)
	fresh := uint32(len(ids)) // the first number that is not of an old part
	n := number(new)
	a := aligner{of: make([]tokens, len(ids))}
	return a.runs(o, n, func(i int) bool { return n.ids[i] >= fresh })
}

// sequence is a list of parts, numbered so that equal parts have equal numbers.
type sequence struct {
	ids []uint32
	off []int64 // where each part starts, bytes, and where the last one ends
}

func newSequence(n int) sequence {
	return sequence{ids: make([]uint32, 0, n), off: make([]int64, 1, n+1)}
}

func (s *sequence) add(id uint32, size int64) {
	s.ids = append(s.ids, id)
	s.off = append(s.off, s.off[len(s.off)-1]+size)
}

func (s *sequence) size(i int) int64 { return s.off[i+1] - s.off[i] }

// tokens is how often a part stands in either sequence, and where in the old one: one more than the first of
// those places that may still become an anchor, or 0.
type tokens struct{ olds, news, first int32 }

// aligner finds anchors; its table of parts is all zero between two uses.
type aligner struct{ of []tokens }

// anchors returns the old place that each new place is anchored to, or -1, no old place twice.
func (a *aligner) anchors(old, new []uint32) []int32 {
	to, next := unset(len(new)), make([]int32, len(old)) // next: as tokens.first, of the same part
	for i := len(old) - 1; i >= 0; i-- {
		t := &a.of[old[i]]
		next[i], t.first = t.first, int32(i)+1
		t.olds++
	}
	for _, id := range new {
		a.of[id].news++
	}
	taken := make([]bool, len(old))
	anchor := func(i, at int) { to[i], taken[at] = int32(at), true }
	for i, id := range new {
		if t := a.of[id]; t.olds == 1 && t.news == 1 {
			anchor(i, int(t.first)-1)
		}
	}
	extend(old, new, to, taken)
	for i, id := range new {
		t := &a.of[id]
		for to[i] < 0 && t.first > 0 {
			if at := int(t.first) - 1; !taken[at] {
				anchor(i, at)
			}
			t.first = next[t.first-1]
		}
	}
	for _, ids := range [][]uint32{old, new} {
		for _, id := range ids {
			a.of[id] = tokens{}
		}
	}
	return to
}

// extend anchors equal parts behind an anchor or the start of both sequences, and then in front of an anchor
// or the end of both.
func extend(old, new []uint32, to []int32, taken []bool) {
	for i, at := 0, 0; i < len(new); i++ {
		if to[i] < 0 && at < len(old) && !taken[at] && old[at] == new[i] {
			to[i], taken[at] = int32(at), true
		}
		at = len(old)
		if to[i] >= 0 {
			at = int(to[i]) + 1
		}
	}
	for i, at := len(new)-1, len(old)-1; i >= 0; i-- {
		if to[i] < 0 && at >= 0 && !taken[at] && old[at] == new[i] {
			to[i], taken[at] = int32(at), true
		}
		at = -1
		if to[i] >= 0 {
			at = int(to[i]) - 1
		}
	}
}

// runs lists the places of new that are missing and not anchored.
func (a *aligner) runs(old, new sequence, missing func(place int) bool) (runs []Run) {
	to := a.anchors(old.ids, new.ids)
	free := newFree(len(old.ids), to)
	left := -1 // the anchor before, a place of new
	for right := 0; right <= len(new.ids); right++ {
		if right < len(new.ids) && to[right] < 0 {
			continue
		}
		g := gap{old: old, from: new.off[left+1], to: new.off[right]}
		g.right.First, g.right.N = free.before(len(old.ids))
		if right < len(new.ids) {
			g.right.First, g.right.N = free.before(int(to[right]))
		}
		g.left.First, g.left.N = free.behind(-1)
		if left >= 0 {
			g.left.First, g.left.N = free.behind(int(to[left]))
		}
		if right == len(new.ids) && left+1 < right {
			g.grown = g.left == g.right && g.left.N == 1 && new.off[left+2]-g.from >= old.size(g.left.First)
		}
		for i := left + 1; i < right; i++ {
			if missing(i) {
				runs = addPlace(runs, i, g.bases(new.off[i], new.off[i+1]))
			}
		}
		left = right
	}
	return runs
}

// addPlace puts place i into the last run, if it is next to it and has the same bases, or else into a new one.
func addPlace(runs []Run, i int, base []int) []Run {
	if n := len(runs); n > 0 {
		if r := &runs[n-1]; r.New.First+r.New.N == i && slices.Equal(r.Base, base) {
			r.New.N++
			return runs
		}
	}
	return append(runs, Run{New: Span{i, 1}, Base: base})
}

// free tells which old places are no anchors.
type free struct {
	until []int // of each place, the first anchor from there on, or the end
	since []int // of each place, and the end, the place behind the last anchor before it
}

func newFree(n int, to []int32) free {
	f := free{until: make([]int, n+1), since: make([]int, n+1)}
	f.until[n] = n
	taken := make([]bool, n)
	for _, at := range to {
		if at >= 0 {
			taken[at] = true
		}
	}
	for i := n - 1; i >= 0; i-- {
		f.until[i] = f.until[i+1]
		if taken[i] {
			f.until[i] = i
		}
	}
	for i := range n {
		f.since[i+1] = f.since[i]
		if taken[i] {
			f.since[i+1] = i + 1
		}
	}
	return f
}

// behind and before return the free places next to an anchor: the first and their number.
func (f free) behind(at int) (first, n int) { return at + 1, f.until[at+1] - at - 1 }
func (f free) before(at int) (first, n int) { return f.since[at], at - f.since[at] }

// gap is what lies between two anchors that follow each other in the new sequence.
type gap struct {
	old      sequence
	from, to int64 // bytes of the new sequence
	// The old places without an anchor behind the left anchor and before the right one: the same ones, unless
	// something between them was moved or deleted.
	left, right Span
	// grown: it ends with both sequences, and nothing old lies in it but the last place, whose part the first
	// new one is as large as. That is what an append makes of the part that the end of the file had cut off. All
	// of that part is then in the first new one, and the others have nothing of it. Where it was an insertion
	// instead, what they would have had of it is less than what the file grew by.
	grown bool
}

// bases returns the old places for the bytes [start, end) of the new sequence.
func (g *gap) bases(start, end int64) []int {
	zero := g.old.off[g.left.First] - g.from // where the new sequence begins in the old one, seen from the left
	front := g.cover(g.left, start+zero, end+zero)
	var back Span
	if !g.grown {
		zero = g.old.off[g.right.First+g.right.N] - g.to
		back = g.cover(g.right, start+zero, end+zero)
	}
	if front.N+back.N == 0 {
		return nil
	}
	if g.left == g.right && g.left.N <= MaxBases {
		front, back = g.left, Span{}
	}
	// Of too many, the first ones seen from the left anchor and the first ones seen from the right.
	var bases []int
	add := func(at int) {
		if len(bases) < MaxBases && !slices.Contains(bases, at) {
			bases = append(bases, at)
		}
	}
	for front.N+back.N > 0 && len(bases) < MaxBases {
		if front.N > 0 {
			add(front.First)
			front.First, front.N = front.First+1, front.N-1
		}
		if back.N > 0 {
			back.N--
			add(back.First + back.N)
		}
	}
	slices.Sort(bases)
	return bases
}

// cover returns the places of s that hold some of the bytes [start, end) of the old sequence.
func (g *gap) cover(s Span, start, end int64) Span {
	off := g.old.off[s.First : s.First+s.N+1]
	start, end = max(start, off[0]), min(end, off[s.N])
	if start >= end {
		return Span{}
	}
	first := sort.Search(s.N, func(i int) bool { return off[i+1] > start })
	last := sort.Search(s.N, func(i int) bool { return off[i+1] >= end })
	return Span{s.First + first, last - first + 1}
}
