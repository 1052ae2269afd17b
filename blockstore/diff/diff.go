// Package diff compares two revisions and says, in values, what changed and how to get from one to the other.
//
// Terms: a place is a position in the list of leaves of one file; a leaf may stand at several places. A run is
// a stretch of places of a new file whose leaves the old side lacks. A base is an old leaf or node that a new
// one is probably much like, and so is worth making a patch against; a wrong base costs time, never
// correctness. An anchor is a leaf that stands in both of two files, with its place in each.
//
// Four questions are answered:
//
//   - Compare: what would a person say has happened? Entries are paired by path in one merge of the two sorted
//     lists; of what is left, folders by CID, the largest first, then files and symlinks by content, of the
//     same name first; and at last a folder is taken for moved if all its entries were, out of one folder.
//   - Runs and Leaves: which leaves are new, and what are they like? Equal leaves are anchored: first those
//     that stand once on either side, wherever they moved; then, neighbour by neighbour, what is equal beside
//     an anchor or at an end of both files; then the remaining duplicates in order. The bases of a new leaf are
//     the old ones between the anchors around it, where it would lie if the bytes behind the left anchor, or
//     before the right one, had not moved: at most MaxBases. What was appended to a file has none.
//   - Nodes: which nodes are new? Both DAGs are read from the roots down, side by side, and never below a node
//     that is in both (nodes.go).
//   - NewPlan: what does whoever has this disk do to get the new revision? The plan is a value that can be
//     printed, compared and carried out.
//
// Everything takes time and memory linear in its input (Nodes: in the change), up to a logarithm. Layouts must
// come from dag.ReadLayout, whose limits are the limits here. The package is pure: no I/O, no goroutine, no
// clock; blocks come from a function that is passed in. Equal arguments give equal results.
package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Op is what happened to an entry.
type Op uint8

// The operations. Content is what leaves or a symlink's target say, without mode and mtime.
const (
	Added    Op = iota + 1 // nothing with its content is gone
	Removed                // nothing with its content is new
	Modified               // other content under the same path
	Attr                   // same content, other mode or mtime
	Renamed                // same content under another path; of a folder: so did all that lies below it
	Retyped                // another kind of entry under the same path
)

// String is a word for people.
func (o Op) String() string {
	words := [...]string{"unknown", "added", "removed", "modified", "attributes", "renamed", "retyped"}
	if int(o) >= len(words) {
		o = 0
	}
	return words[o]
}

// Change is one entry, or one moved folder, that differs between two revisions.
type Change struct {
	Op       Op
	Path     string // in the new revision; of Removed in the old one
	From     string // of Renamed: the path in the old revision
	Old, New int    // index in the Entries of either layout; -1 where it is not
	Attr     bool   // of Modified and Renamed: mode or mtime of it, or of something below, differs as well
	// Entries is how many entries the change is about: 1, or of a renamed folder also all below it. Those are
	// the next ones in Entries of either layout, in the same order.
	Entries int
	// Bytes is how many bytes of leaves the change brings that are nowhere in the old revision; a leaf counts
	// at the first path it occurs under, so that the sum is what a holder of the old revision lacks.
	Bytes int64
}

// String describes the change in one line without a line break.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q", c.Op, c.Path)
	if c.Op == Renamed {
		fmt.Fprintf(&b, " from %q", c.From)
	}
	if c.Entries > 1 {
		fmt.Fprintf(&b, ", %d entries", c.Entries)
	}
	if c.Attr {
		b.WriteString(", attributes")
	}
	if c.Bytes > 0 {
		fmt.Fprintf(&b, ", %d bytes new", c.Bytes)
	}
	return b.String()
}

// Compare lists what differs between two revisions, in the order of Path as layouts have it. Either may be nil:
// a revision without entries.
//
// Of several equal files or folders, those of one name are the same, then the first in order; what has no
// content is the same only under the same name. A copy of what is still there is Added, with no Bytes.
func Compare(old, new *dag.Layout) []Change {
	return compare(old, new).changes()
}

// Summary counts changes by what happened.
type Summary struct {
	Added, Removed, Modified, Attr, Retyped int   // entries
	Renamed                                 int   // entries, those below a renamed folder included
	Bytes                                   int64 // of leaves that are nowhere in the old revision
}

// Summarize counts changes.
func Summarize(changes []Change) Summary {
	var s Summary
	for _, c := range changes {
		switch c.Op {
		case Added:
			s.Added += c.Entries
		case Removed:
			s.Removed += c.Entries
		case Modified:
			s.Modified += c.Entries
		case Attr:
			s.Attr += c.Entries
		case Renamed:
			s.Renamed += c.Entries
		case Retyped:
			s.Retyped += c.Entries
		}
		s.Bytes += c.Bytes
	}
	return s
}

// String is the summary in one line.
func (s Summary) String() string {
	return fmt.Sprintf("%d added, %d removed, %d modified, %d renamed, %d attributes, %d retyped, %d bytes new",
		s.Added, s.Removed, s.Modified, s.Renamed, s.Attr, s.Retyped, s.Bytes)
}

// changes writes out a comparison: the new side and the removed entries are each in order and are merged.
func (c *comparison) changes() []Change {
	var arrived, removed, all []Change
	counted := newTally(c)
	for j := 0; j < len(c.new.entries); j++ {
		ch, differs := c.change(j)
		if !differs {
			continue
		}
		if c.changed(j) {
			ch.Bytes = counted.bytes(j)
		}
		arrived = append(arrived, ch)
		j += ch.Entries - 1
	}
	for i, j := range c.toNew {
		if j < 0 {
			removed = append(removed, Change{Op: Removed, Path: c.old.entries[i].Path, Old: i, New: -1, Entries: 1})
		}
	}
	for len(arrived) > 0 && len(removed) > 0 {
		next := &arrived
		if comparePaths(removed[0].Path, arrived[0].Path) < 0 {
			next = &removed
		}
		all = append(all, (*next)[0])
		*next = (*next)[1:]
	}
	return slices.Concat(all, arrived, removed)
}

// change says what happened to new entry j.
func (c *comparison) change(j int) (ch Change, differs bool) {
	i := int(c.toOld[j])
	n := &c.new.entries[j]
	ch = Change{Path: n.Path, Old: i, New: j, Entries: 1}
	if i < 0 {
		ch.Op = Added
		return ch, true
	}
	o := &c.old.entries[i]
	ch.Attr = !sameAttr(o.Attr, n.Attr)
	switch {
	case o.Path != n.Path:
		ch.Op, ch.From, ch.Entries = Renamed, o.Path, int(c.new.end[j])-j
		for k := 1; k < ch.Entries && !ch.Attr; k++ {
			ch.Attr = !sameAttr(c.old.entries[i+k].Attr, c.new.entries[j+k].Attr)
		}
	case o.Kind != n.Kind:
		ch.Op, ch.Attr = Retyped, false
	case !c.sameContent(i, j):
		ch.Op = Modified
	case ch.Attr:
		ch.Op, ch.Attr = Attr, false
	default:
		return Change{}, false
	}
	return ch, true
}

// tally tells which leaves are new to the revision, each once.
type tally struct {
	c     *comparison
	taken []bool           // of each new leaf
	files map[cid.Cid]bool // all of whose leaves were offered already
}

func newTally(c *comparison) *tally {
	return &tally{c: c, taken: make([]bool, len(c.new.leaves)), files: map[cid.Cid]bool{}}
}

// take tells whether the old revision lacks leaf l, the first time it is asked.
func (t *tally) take(l uint32) bool {
	if t.c.oldLeaf[l] >= 0 || t.taken[l] {
		return false
	}
	t.taken[l] = true
	return true
}

// has tells whether new file j, which has changed, has a leaf left to take.
func (t *tally) has(j int) bool {
	e := &t.c.new.entries[j]
	if t.files[e.Cid] {
		return false
	}
	for _, l := range e.Leaves {
		if t.c.oldLeaf[l] < 0 && !t.taken[l] {
			return true
		}
	}
	t.files[e.Cid] = true
	return false
}

// bytes takes all leaves of new entry j, if it is a file, and returns their sizes.
func (t *tally) bytes(j int) (sum int64) {
	e := &t.c.new.entries[j]
	if e.Kind != dag.KindFile || t.files[e.Cid] {
		return 0
	}
	t.files[e.Cid] = true
	for _, l := range e.Leaves {
		if t.take(l) {
			sum += int64(t.c.new.leaves[l].Size)
		}
	}
	return sum
}
