package merge

import (
	"cmp"
	"slices"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// merger merges two trees, x the winner's and y the loser's, on the tree o of the base.
type merger struct {
	sides []Side
}

// entry decides one path by the rules of the package documentation: what has the name, if anything, and what lost
// it and must become a copy.
func (m *merger) entry(o, x, y *node) (plain, loser *node) {
	switch {
	case x.same(y), o.same(y):
		return x, nil
	case o.same(x):
		return y, nil
	case x.isDir() || y.isDir():
		return m.dirAndFile(o, x, y)
	case x == nil:
		return y, nil
	case y == nil, x.sameContent(y), o.sameContent(y):
		return x, nil
	case o.sameContent(x):
		return y, nil
	}
	return x, y
}

// dirAndFile decides a path that is a folder on one side at least.
func (m *merger) dirAndFile(o, x, y *node) (plain, loser *node) {
	file := x
	if x.isDir() {
		file = y
	}
	if file.isDir() {
		file = nil
	}
	dir := m.dirs(o.asDir(), x.asDir(), y.asDir())
	if dir == nil {
		return file, nil
	}
	return dir, file
}

// dirs merges folders, each of which may be absent, but not both of the sides. It returns nil if nothing of a
// folder that one side removed stays.
func (m *merger) dirs(o, x, y *node) *node {
	if x.same(y) {
		return x
	}
	kids, losers := m.kids(o, x, y)
	kids = m.addCopies(kids, losers)
	some := x
	if x == nil {
		some = y
	}
	if removed := o != nil && (x == nil || y == nil); removed && len(kids) == 0 && sameAttr(o.entry.Attr, some.entry.Attr) {
		return nil
	}
	attr := some.entry.Attr
	if x != nil && y != nil && o != nil && sameAttr(o.entry.Attr, attr) {
		attr = y.entry.Attr
	}
	for _, n := range []*node{x, y} {
		if n != nil && sameAttr(n.entry.Attr, attr) && sameList(n.list(), kids) {
			return n
		}
	}
	return &node{
		name: some.name, src: some.src, opened: true, kids: kids,
		entry: &dag.Entry{Kind: dag.KindDir, Attr: attr},
	}
}

func sameList(a, b []*node) bool {
	return slices.EqualFunc(a, b, func(a, b *node) bool { return a == b || a.name == b.name && a.same(b) })
}

// kids decides the names of a folder, in one pass over the sorted entries of all three.
func (m *merger) kids(o, x, y *node) (kids, losers []*node) {
	lists := [3][]*node{o.list(), x.list(), y.list()}
	for {
		var first *node // of the names that are left
		for _, l := range lists {
			if len(l) > 0 && (first == nil || l[0].name < first.name) {
				first = l[0]
			}
		}
		if first == nil {
			return kids, losers
		}
		var same [3]*node
		for i, l := range lists {
			if len(l) > 0 && l[0].name == first.name {
				same[i], lists[i] = l[0], l[1:]
			}
		}
		plain, loser := m.entry(same[0], same[1], same[2])
		if plain != nil {
			kids = append(kids, plain)
		}
		if loser != nil {
			losers = append(losers, loser)
		}
	}
}

// addCopies adds the losers to a folder's entries, under names of their own, but for those whose content is there.
func (m *merger) addCopies(kids, losers []*node) []*node {
	if len(losers) == 0 {
		return kids
	}
	taken, copies := map[string]*node{}, map[string][]*node{}
	for _, k := range kids {
		taken[k.name] = k
		if k.copyOf != "" {
			copies[k.copyOf] = append(copies[k.copyOf], k)
		}
	}
	tried := map[string]int{} // of each name without a number, the last one tried: long names may share theirs
	for _, l := range losers {
		if slices.ContainsFunc(copies[l.name], l.sameContent) {
			continue
		}
		side := m.sides[l.side]
		first := copyName(l.name, side.Writer, side.Seq, 1)
		for {
			tried[first]++
			name := copyName(l.name, side.Writer, side.Seq, tried[first])
			there := taken[name]
			if there == nil {
				made := *l
				made.name, made.copyOf = name, l.name
				taken[name] = &made
				kids = append(kids, &made)
			}
			if there == nil || there.sameContent(l) {
				break
			}
		}
	}
	slices.SortFunc(kids, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return kids
}
