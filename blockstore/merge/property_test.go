package merge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// world is a base and what became of it on some sides.
type world struct {
	blocks blocks
	base   *dag.Layout
	sides  []Side
}

// newWorld draws a world; with still, none of its sides renames anything.
func newWorld(t *rapid.T, sides int, still bool) *world {
	s := &script{random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), fresh: new(int), still: still}
	*s.fresh = 10
	s.start(rapid.IntRange(0, 25).Draw(t, "entries"))
	w := &world{blocks: blocks{}}
	w.base = s.m.lay(t, w.blocks)
	for i := range sides {
		side := s.clone()
		if i > 0 && rapid.IntRange(0, 4).Draw(t, "begin as the side before") == 0 {
			side = &script{random: s.random, fresh: s.fresh, still: still, m: modelOf(w.sides[i-1].Layout)}
		}
		for range rapid.IntRange(0, 12).Draw(t, "edits") {
			side.edit()
		}
		w.sides = append(w.sides, Side{Layout: side.m.lay(t, w.blocks), Writer: "writer" + string(rune('A'+i)), Seq: uint64(i)})
	}
	return w
}

// modelOf is the model that a layout was built from.
func modelOf(l *dag.Layout) model {
	m := model{}
	for _, e := range l.Entries[1:] {
		it := item{kind: e.Kind, mode: e.Attr.Mode, mtime: e.Attr.Mtime.Unix(), target: e.Target}
		for _, i := range e.Leaves {
			it.leaves = append(it.leaves, numberOf(l.Leaves[i]))
		}
		m[e.Path] = it
	}
	return m
}

// merged merges, builds, and checks what holds of every result: the root is that of exactly the entries that were
// told, made of nodes of the sides and those emitted, and nothing depends on chance.
func (w *world) merged(t fataler, base *dag.Layout, sides ...Side) (*dag.Layout, Result) {
	t.Helper()
	r, err := Merge(base, sides...)
	if err != nil {
		t.Fatalf("merge: %v", err)
	}
	root, err := Build(testProfile(), r, w.blocks.emit)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	lay := w.blocks.layout(t, root.Cid)
	told, err := Layout(testProfile(), r)
	if err != nil || !reflect.DeepEqual(normal(told), normal(lay)) {
		t.Fatalf("layout %s, told %s, %v", text(lay), text(told), err)
	}
	if again, err := Merge(base, sides...); err != nil || !reflect.DeepEqual(r, again) {
		t.Fatalf("the second time %v, %v", again, err)
	}
	for _, c := range r.Conflicts {
		if e, ok := entryAt(lay, c.Copy); !ok || e.Kind == dag.KindDir {
			t.Fatalf("no copy at %q", c.Copy)
		}
		if _, ok := entryAt(lay, c.Path); !ok && len(sides) == 2 {
			t.Fatalf("copy %q of %q, which is not there", c.Copy, c.Path)
		}
	}
	return lay, r
}

// normal is a layout without the difference between no list and an empty one.
func normal(l *dag.Layout) dag.Layout {
	n := *l
	n.Leaves = slices.Concat([]blockstore.Leaf{}, l.Leaves)
	n.Entries = slices.Clone(l.Entries)
	for i := range n.Entries {
		n.Entries[i].Leaves = slices.Concat([]uint32{}, n.Entries[i].Leaves)
	}
	return n
}

func entryAt(l *dag.Layout, path string) (dag.Entry, bool) {
	for _, e := range l.Entries {
		if e.Path == path {
			return e, true
		}
	}
	return dag.Entry{}, false
}

// contentAt is the content of an entry in words.
func contentAt(l *dag.Layout, e dag.Entry) string {
	words := fmt.Sprint(e.Kind, e.Target)
	for _, i := range e.Leaves {
		words += fmt.Sprint(" ", l.Leaves[i].Cid)
	}
	return words
}

// contents maps the content of files and symlinks to the paths that have it.
func contents(l *dag.Layout) map[string][]string {
	all := map[string][]string{}
	for _, e := range l.Entries {
		if e.Kind != dag.KindDir {
			c := contentAt(l, e)
			all[c] = append(all[c], e.Path)
		}
	}
	return all
}

// index is a layout's entries by path.
func index(l *dag.Layout) map[string]dag.Entry {
	all := map[string]dag.Entry{}
	if l != nil {
		for _, e := range l.Entries {
			all[e.Path] = e
		}
	}
	return all
}

// TestNothingIsLost: content that only a side has is in the result. Where nothing was renamed, it is under its path
// or in a copy of that; every folder that was added is there; and nothing else is in the result.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		still := rapid.Bool().Draw(t, "no renames")
		w := newWorld(t, rapid.IntRange(1, 4).Draw(t, "sides"), still)
		if rapid.IntRange(0, 3).Draw(t, "no base") == 0 {
			w.base = nil
		}
		lay, r := w.merged(t, w.base, w.sides...)
		known := map[string][]string{}
		if w.base != nil {
			known = contents(w.base)
		}
		have := contents(lay)
		for i, s := range w.sides {
			for c, paths := range contents(s.Layout) {
				if known[c] == nil && have[c] == nil {
					t.Fatalf("side %d: content of %q is lost in %s", i, paths, text(lay))
				}
			}
		}
		if still && !followed(w.base, w.sides...) { // a removal and an addition may look like a rename
			w.checkPaths(t, lay, r)
		}
	})
}

// checkPaths is the part of TestNothingIsLost that knows all paths.
func (w *world) checkPaths(t *rapid.T, lay *dag.Layout, r Result) {
	at, base := index(lay), index(w.base)
	copies := map[string][]string{} // contents
	isCopy := map[string]bool{}
	for _, c := range r.Conflicts {
		copies[c.Path] = append(copies[c.Path], contentAt(lay, at[c.Copy]))
		isCopy[c.Copy] = true
	}
	changed := map[string]bool{} // paths
	for i, s := range w.sides {
		side := index(s.Layout)
		for path, e := range side {
			was, inBase := base[path]
			if inBase && was.Kind == e.Kind && contentAt(w.base, was) == contentAt(s.Layout, e) {
				continue
			}
			changed[path] = true
			there, ok := at[path]
			switch c := contentAt(s.Layout, e); {
			case e.Kind == dag.KindDir && !(ok && there.Kind == dag.KindDir):
				if !inBase || was.Kind != dag.KindDir {
					t.Fatalf("side %d: folder %q is lost", i, path)
				}
			case e.Kind == dag.KindDir, ok && contentAt(lay, there) == c, slices.Contains(copies[path], c):
			default:
				t.Fatalf("side %d: %q is neither there nor a copy in %s", i, path, text(lay))
			}
		}
	}
	for path, e := range at {
		if path == "" || isCopy[path] {
			continue
		}
		everywhere, some := true, false
		for _, s := range w.sides {
			_, has := index(s.Layout)[path]
			everywhere, some = everywhere && has, some || has
		}
		if !some {
			t.Fatalf("%q is on no side", path)
		}
		if was, inBase := base[path]; inBase && !everywhere && !changed[path] && e.Kind != dag.KindDir && sameAttr(was.Attr, e.Attr) {
			t.Fatalf("%q was removed and not changed, but is there", path)
		}
	}
}

// TestAgain: merging what was merged already changes nothing.
func TestAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 2, rapid.Bool().Draw(t, "no renames"))
		x, y := w.sides[0], w.sides[1]
		equal := func(what string, got, want *dag.Layout) {
			t.Helper()
			if got.Root != want.Root {
				t.Fatalf("%s: got %s, want %s", what, text(got), text(want))
			}
		}
		for _, base := range []*dag.Layout{w.base, nil} {
			both, _ := w.merged(t, base, x, y)
			m := Side{Layout: both, Writer: "merged", Seq: 9}
			for what, sides := range map[string][]Side{"x, x": {x, x}, "x": {x}, "x, x, x": {x, x, x}} {
				lay, _ := w.merged(t, base, sides...)
				equal(what, lay, x.Layout)
			}
			for i, s := range w.sides { // a side is the common ancestor of itself and the result
				lay, _ := w.merged(t, s.Layout, m, s)
				equal(fmt.Sprint("on side ", i), lay, both)
				lay, _ = w.merged(t, s.Layout, s, m)
				equal(fmt.Sprint("on side ", i, ", which wins"), lay, both)
			}
			if base != nil && followed(base, x, y) {
				continue // the base does not tell that what has another name now is the same
			}
			for i, s := range w.sides {
				lay, r := w.merged(t, base, m, s)
				equal(fmt.Sprint("with side ", i), lay, both)
				if len(r.Conflicts) > 0 {
					t.Fatalf("with side %d: new copies %v", i, r.Conflicts)
				}
			}
		}
		if lay, _ := w.merged(t, x.Layout, x, y); lay.Root != y.Layout.Root {
			t.Fatalf("x on x with y: got %s, want %s", text(lay), text(y.Layout))
		}
	})
}

// followed tells whether a rename of one of the sides matters to another.
func followed(base *dag.Layout, sides ...Side) bool {
	if base == nil {
		return false
	}
	b := newSource(base, 0)
	for _, own := range sides {
		src := newSource(own.Layout, 0)
		for _, other := range sides {
			if len(matter(findRenames(b, src), b.root(), src.root(), newSource(other.Layout, 0).root())) > 0 {
				return true
			}
		}
	}
	return false
}

// TestEitherWins: which side wins decides who has the names, and no more.
func TestEitherWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 2, rapid.Bool().Draw(t, "no renames"))
		if rapid.IntRange(0, 3).Draw(t, "no base") == 0 {
			w.base = nil
		}
		a, ra := w.merged(t, w.base, w.sides[0], w.sides[1])
		b, rb := w.merged(t, w.base, w.sides[1], w.sides[0])
		count := func(l *dag.Layout) map[string]int {
			n := map[string]int{}
			for c, paths := range contents(l) {
				n[c] = len(paths)
			}
			return n
		}
		if !maps.Equal(count(a), count(b)) {
			t.Fatalf("contents differ: %s and %s", text(a), text(b))
		}
		plain := func(l *dag.Layout, r Result) (paths []string) {
			for _, e := range l.Entries {
				if !slices.ContainsFunc(r.Conflicts, func(c Conflict) bool { return c.Copy == e.Path }) {
					paths = append(paths, fmt.Sprint(e.Path, e.Kind == dag.KindDir))
				}
			}
			return paths
		}
		if p, q := plain(a, ra), plain(b, rb); !slices.Equal(p, q) || len(ra.Conflicts) != len(rb.Conflicts) {
			t.Fatalf("names differ: %s and %s", text(a), text(b))
		}
	})
}

// TestDisjoint: sides that work in different folders are merged into what one would have become after the other,
// whoever renames what.
func TestDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fresh := new(int)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		half := func(prefix string) (old, new model) {
			s := &script{random: random, fresh: fresh}
			*s.fresh += 10
			s.start(rapid.IntRange(0, 15).Draw(t, "entries"))
			old, new = model{}, model{}
			for p, it := range s.m {
				old.put(prefix+p, it)
			}
			for range rapid.IntRange(0, 10).Draw(t, "edits") {
				s.edit()
			}
			for p, it := range s.m {
				new.put(prefix+p, it)
			}
			return old, new
		}
		w := &world{blocks: blocks{}}
		join := func(a, b model) *dag.Layout {
			m := model{"l": dir(), "r": dir()}
			maps.Copy(m, a)
			maps.Copy(m, b)
			return m.lay(t, w.blocks)
		}
		l, l2 := half("l/")
		r, r2 := half("r/")
		lay, res := w.merged(t, join(l, r), Side{Layout: join(l2, r), Writer: "a"}, Side{Layout: join(l, r2), Writer: "b"})
		if want := join(l2, r2); lay.Root != want.Root || len(res.Conflicts) > 0 {
			t.Fatalf("got %s, want %s", text(lay), text(want))
		}
	})
}

// FuzzMerge: whatever the revisions, the result can be built, read and merged again.
func FuzzMerge(f *testing.F) {
	f.Add("a=1 d/b=2 d/c=3 l->x", "e/b=2 e/c=3 a=4 l->y", "a=5 d/b=9 d/c=3", "a/x=1", true)
	f.Add("n=1", "n/a=1 n.conflict-A-1=2", "n->z n.conflict-A-1/", "", false)
	f.Add("a=1 "+strings.Repeat("n", 250)+".ext=2", "b=1", "a=3", "a=1!600 b/", true)
	f.Fuzz(func(t *testing.T, base, x, y, z string, known bool) {
		w := &world{blocks: blocks{}}
		lay := func(s string) *dag.Layout {
			m, ok := lenient(s)
			if !ok {
				t.Skip()
			}
			return m.lay(t, w.blocks)
		}
		var b *dag.Layout
		if known {
			b = lay(base)
		}
		sides := []Side{{lay(x), "A", 1}, {lay(y), "B", 2}, {lay(z), "C", 3}}
		both, _ := w.merged(t, b, sides...)
		again, _ := w.merged(t, sides[2].Layout, Side{both, "D", 4}, sides[2])
		if again.Root != both.Root {
			t.Errorf("again: %s, want %s", text(again), text(both))
		}
	})
}

// lenient parses a model of at most 40 entries with names that are allowed, and folders above all.
func lenient(s string) (model, bool) {
	words := strings.Fields(s)
	if len(words) > 40 {
		return nil, false
	}
	m := model{}
	for _, word := range words {
		name, kind := word, "/"
		if at := strings.IndexAny(word, "=>"); at >= 0 {
			name, kind = strings.TrimSuffix(word[:at], "-"), word[at:]
		}
		name = strings.Trim(name, "/")
		parts := strings.Split(name, "/")
		for i, p := range parts {
			above, there := m[strings.Join(parts[:i+1], "/")]
			if dag.CheckName(p) != nil || len(parts) > 8 || there && (i == len(parts)-1 || above.kind != dag.KindDir) {
				return nil, false
			}
		}
		it := dir()
		switch {
		case kind[0] == '=':
			it = file()
			for _, c := range kind[1:] {
				it.leaves = append(it.leaves, int(c)%64)
			}
		case kind[0] == '>' && len(kind) > 1 && len(kind) < 100 && strings.ToValidUTF8(kind, "") == kind && !strings.Contains(kind, "\x00"):
			it = item{kind: dag.KindSymlink, target: kind[1:]}
		}
		m.put(name, it)
	}
	return m, true
}
