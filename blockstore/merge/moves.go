package merge

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
)

// A rename by one side that diff.Compare finds is followed if
//
//   - its content is not that of a second entry that the side removed, added or renamed, and is not nothing: which
//     one became which would be a guess;
//   - the other side has the entry under its old name, of the same kind, and changed it or something below it:
//     otherwise a removal and an addition give the same;
//   - nothing is at the new name on the other side or in the base: two entries would want one name;
//   - it does not touch another rename of either side for which all this holds too, one of its names being the
//     same as one of the other's, above it or below it: the order in which they are followed would matter;
//   - there are no more than maxMoves of them.
//
// A folder counts as renamed if all entries in it were, with nothing added, removed or edited. So an edit by the side
// that renames a folder lets its files be followed one by one, and what the other side added in it stays behind.
//
// To follow a rename is to rename in the base and on the other side what the one side renamed, and then to merge
// path by path: the change of the other side is then one under the new name. Of sides that are merged already, those
// renames are followed that one of them made and that are still to be seen.

// maxMoves bounds what is made one by one, each in time linear in the size of its folders.
const maxMoves = 1 << 14

// move is a rename that may be followed.
type move struct{ from, to string }

// findRenames lists the renames between the base, which may be nil, and a side that are no guess.
func findRenames(base, side *source) []move {
	if base == nil {
		return nil
	}
	changes := diff.Compare(base.lay, side.lay)
	if !slices.ContainsFunc(changes, func(c diff.Change) bool { return c.Op == diff.Renamed }) {
		return nil
	}
	gone, come := newKeyring(base), newKeyring(side)
	for _, c := range changes {
		if c.Op == diff.Removed || c.Op == diff.Renamed {
			gone.count(c.Old, c.Entries)
		}
		if c.Op == diff.Added || c.Op == diff.Renamed {
			come.count(c.New, c.Entries)
		}
	}
	var moves []move
	for _, c := range changes {
		if c.Op != diff.Renamed {
			continue
		}
		if key := gone.key(c.Old); key != "" && gone.counts[key] == 1 && come.counts[key] == 1 {
			moves = append(moves, move{from: c.From, to: c.Path})
		}
	}
	return moves
}

// follow makes the renames of x in o and y, and those of y in o and x.
func follow(o, x, y *node, byX, byY []move) {
	byX, byY = matter(byX, o, x, y), matter(byY, o, y, x)
	if len(byX)+len(byY) > maxMoves {
		return
	}
	touches := overlaps(slices.Concat(byX, byY))
	for _, m := range byX {
		if !touches(m) {
			o.move(m.from, m.to, x)
			y.move(m.from, m.to, x)
		}
	}
	for _, m := range byY {
		if !touches(m) {
			o.move(m.from, m.to, y)
			x.move(m.from, m.to, y)
		}
	}
}

// matter is those renames, each once, that are to be seen on their own side and matter to the other.
func matter(moves []move, o, own, other *node) (kept []move) {
	seen := map[move]bool{}
	for _, m := range moves {
		was, is, theirs := o.find(m.from), own.find(m.to), other.find(m.from)
		switch kind := was.entry.Kind; {
		case seen[m], own.find(m.from) != nil, is == nil || is.entry.Kind != kind:
		case theirs == nil || theirs.entry.Kind != kind || theirs.same(was):
		case !o.vacant(m.to), !other.vacant(m.to):
		default:
			kept = append(kept, m)
		}
		seen[m] = true
	}
	return kept
}

// overlaps tells of each of the moves whether it touches another.
func overlaps(moves []move) func(move) bool {
	at, above := map[string]int{}, map[string]bool{}
	for _, m := range moves {
		for _, p := range []string{m.from, m.to} {
			at[p]++
			for up := parent(p); up != ""; up = parent(up) {
				above[up] = true
			}
		}
	}
	touches := func(p string) bool {
		if above[p] || at[p] > 1 {
			return true
		}
		for up := parent(p); up != ""; up = parent(up) {
			if at[up] > 0 {
				return true
			}
		}
		return false
	}
	return func(m move) bool { return touches(m.from) || touches(m.to) }
}

// keyring counts entries of a source by content.
type keyring struct {
	src    *source
	keys   map[int]string
	counts map[string]int
}

func newKeyring(s *source) *keyring {
	return &keyring{src: s, keys: map[int]string{}, counts: map[string]int{}}
}

// count counts n entries from number i on.
func (r *keyring) count(i, n int) {
	for ; n > 0; i, n = i+1, n-1 {
		r.counts[r.key(i)]++
	}
}

// key is equal for entries of equal content; that of a folder is its entries' names and keys. It is "" where there
// is none: an empty file, and a folder without another.
func (r *keyring) key(i int) string {
	if key, known := r.keys[i]; known {
		return key
	}
	e := &r.src.lay.Entries[i]
	h, empty := sha256.New(), true
	h.Write([]byte{byte(e.Kind)})
	switch e.Kind {
	case dag.KindFile:
		for _, l := range e.Leaves {
			d := blockstore.Digest(r.src.lay.Leaves[l].Cid)
			h.Write(d[:])
			empty = false
		}
	case dag.KindSymlink:
		h.Write([]byte(e.Target))
		empty = false
	case dag.KindDir:
		for k := i + 1; k < int(r.src.end[i]); k = int(r.src.end[k]) {
			key := r.key(k)
			h.Write([]byte(baseName(r.src.lay.Entries[k].Path)))
			h.Write([]byte{0, byte(r.src.lay.Entries[k].Kind), byte(len(key))}) // names have no NUL
			h.Write([]byte(key))
			empty = empty && key == ""
		}
	}
	key := ""
	if !empty {
		key = string(h.Sum(nil))
	}
	r.keys[i] = key
	return key
}

// parent is the path of the folder that an entry is in, "" for the root.
func parent(path string) string {
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		return path[:slash]
	}
	return ""
}
