package fetch

import (
	"math"
	"math/bits"
)

// span is a run of consecutive leaves that is asked for and owned as one.
type span struct {
	lo    uint32 // first leaf
	n     uint8  // leaves, 1 to 64: a span's part of any bitmap fits one word
	bytes int64
	held  int // leaves of this span that getters have, summed over the getters: its rarity
}

// pieces knows which leaves are wanted and who was asked for them.
//
// Invariants: free, lent and "in flight twice" are disjoint subsets of want; free = no request, lent = one
// request, to a stalled peer; open has a span if and only if one of its leaves is free or lent.
type pieces struct {
	size   []uint32
	spans  []span
	spanOf []uint32
	want   bitmap // needed and not here
	free   bitmap
	lent   bitmap
	open   bitmap     // over spans
	out    [][2]int32 // requests in flight per leaf: slab positions, 0 = none; filled from the left
	left   int
	bytes  int64 // wanted
	opened uint64
}

func newPieces(cfg Config) *pieces {
	n := len(cfg.Leaves)
	p := &pieces{
		size: cfg.Leaves, spanOf: make([]uint32, n), out: make([][2]int32, n),
		want: newBitmap(n), free: newBitmap(n), lent: newBitmap(n), opened: 1,
	}
	for i, size := range cfg.Leaves {
		last := len(p.spans) - 1
		if last < 0 || int(p.spans[last].n) >= cfg.MaxBatchLeaves ||
			p.spans[last].bytes+int64(size) > int64(cfg.MaxBatchBytes) {
			p.spans = append(p.spans, span{lo: uint32(i)})
			last++
		}
		p.spans[last].n++
		p.spans[last].bytes += int64(size)
		p.spanOf[i] = uint32(last)
	}
	p.open = newBitmap(len(p.spans))
	for _, leaf := range cfg.Need {
		if int(leaf) < n && !p.want.get(leaf) {
			p.want.set(leaf)
			p.free.set(leaf)
			p.open.set(p.spanOf[leaf])
			p.left++
			p.bytes += int64(p.size[leaf])
		}
	}
	return p
}

// mask returns the leaves of span s that may be asked for now, as bits.
func (p *pieces) mask(s int) uint64 {
	sp := p.spans[s]
	return p.free.window(sp.lo, sp.n) | p.lent.window(sp.lo, sp.n)
}

// part is the share of span s's bytes that the leaves of mask make up, by count.
func (p *pieces) part(s int, mask uint64) int64 {
	return p.spans[s].bytes * int64(bits.OnesCount64(mask)) / int64(p.spans[s].n)
}

// done takes a leaf off the list.
func (p *pieces) done(leaf uint32) {
	p.want.clear(leaf)
	p.left--
	p.bytes -= int64(p.size[leaf])
}

// refresh restores the invariants after want or the requests of a leaf changed. stalled tells whether
// the peer behind a request is stalled.
func (p *pieces) refresh(leaf uint32, stalled func(req int32) bool) {
	first, second := p.out[leaf][0], p.out[leaf][1]
	want := p.want.get(leaf)
	free := want && first == 0
	lent := want && first != 0 && second == 0 && stalled(first)
	if free && !p.free.get(leaf) || lent && !p.lent.get(leaf) {
		p.opened++
	}
	p.free.put(leaf, free)
	p.lent.put(leaf, lent)
	s := p.spanOf[leaf]
	p.open.put(s, p.mask(int(s)) != 0)
}

// cut turns bits of span s into leaf indexes: the lowest first, at least one, within room bytes.
func (p *pieces) cut(s int, mask uint64, room int64) []uint32 {
	leaves := make([]uint32, 0, bits.OnesCount64(mask))
	for ; mask != 0; mask &= mask - 1 {
		leaf := p.spans[s].lo + uint32(bits.TrailingZeros64(mask))
		room -= int64(p.size[leaf])
		if room < 0 && len(leaves) > 0 {
			break
		}
		leaves = append(leaves, leaf)
	}
	return leaves
}

// cutEnd is cut from the other end: the highest leaves, in ascending order.
func (p *pieces) cutEnd(s int, mask uint64, room int64) []uint32 {
	var last uint64
	for rest := mask; rest != 0; {
		bit := uint64(1) << (63 - bits.LeadingZeros64(rest))
		room -= int64(p.size[p.spans[s].lo+uint32(bits.TrailingZeros64(bit))])
		if room < 0 && last != 0 {
			break
		}
		last |= bit
		rest &^= bit
	}
	return p.cut(s, last, math.MaxInt64)
}
