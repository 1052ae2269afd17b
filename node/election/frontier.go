package election

import (
	"slices"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Frontier is a set of heads of which none covers another, ascending by ID. It is never modified.
type Frontier []*Head

// Covers tells whether f includes everything h includes.
func (f Frontier) Covers(h *Head) bool {
	for _, x := range f {
		if x.Covers(h) {
			return true
		}
	}
	return false
}

// CoversAll tells whether f includes everything o includes.
func (f Frontier) CoversAll(o Frontier) bool {
	if f.same(o) {
		return true
	}
	for _, h := range o {
		if !f.Covers(h) {
			return false
		}
	}
	return true
}

// Holds tells whether h itself is in f.
func (f Frontier) Holds(h *Head) bool {
	return slices.ContainsFunc(f, func(x *Head) bool { return x == h || x.ID == h.ID })
}

// Add is f with h: f itself if it covers h, else a new frontier without what h covers.
func (f Frontier) Add(h *Head) Frontier {
	if f.Covers(h) {
		return f
	}
	out := make(Frontier, 0, len(f)+1)
	for _, x := range f {
		if !h.Covers(x) {
			out = append(out, x)
		}
	}
	at, _ := slices.BinarySearchFunc(out, h, func(x, h *Head) int { return compareIDs(x, h) })
	return slices.Insert(out, at, h)
}

// Down is the least vector that covers all of f, a new one.
func (f Frontier) Down() record.Vector {
	out := record.Vector{}
	for _, h := range f {
		for k, n := range h.Vector {
			out[k] = max(out[k], n)
		}
	}
	return out
}

// Equal tells whether f and o hold the same heads.
func (f Frontier) Equal(o Frontier) bool {
	return f.same(o) || slices.EqualFunc(f, o, func(a, b *Head) bool { return a == b || a.ID == b.ID })
}

// same is a quick yes: one slice, seen twice.
func (f Frontier) same(o Frontier) bool {
	return len(f) == len(o) && (len(f) == 0 || &f[0] == &o[0])
}

// without is f less the heads that drop names.
func (f Frontier) without(drop func(*Head) bool) Frontier {
	if !slices.ContainsFunc(f, drop) {
		return f
	}
	return slices.DeleteFunc(slices.Clone(f), drop)
}

// newest is the head of f with the highest (epoch, seq, ID); nil of none.
func (f Frontier) newest() *Head {
	var best *Head
	for _, h := range f {
		if best == nil || compareHeads(h, best) > 0 {
			best = h
		}
	}
	return best
}

func compareIDs(a, b *Head) int {
	switch x, y := a.ID.KeyString(), b.ID.KeyString(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func compareHeads(a, b *Head) int {
	if c := a.Epoch.Compare(b.Epoch); c != 0 {
		return c
	}
	if a.seq != b.seq {
		if a.seq < b.seq {
			return -1
		}
		return 1
	}
	return compareIDs(a, b)
}
