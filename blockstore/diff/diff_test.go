package diff

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// state is what a path holds, attributes apart.
type state struct{ content, attr string }

func stateOf(lay *dag.Layout, e dag.Entry) state {
	var leaves []string
	for _, l := range e.Leaves {
		leaves = append(leaves, lay.Leaves[l].Cid.String())
	}
	return state{
		content: fmt.Sprint(e.Kind, e.Target, leaves),
		attr:    fmt.Sprint(e.Attr.Mode, e.Attr.Mtime.UnixNano()),
	}
}

func states(lay *dag.Layout) map[string]state {
	m := map[string]state{}
	for _, e := range lay.Entries {
		m[e.Path] = stateOf(lay, e)
	}
	return m
}

// apply does the changes to the old revision, without looking at the new one for more than a change says.
func apply(t fataler, old, new *dag.Layout, changes []Change) map[string]state {
	m := states(old)
	put := map[string]state{}
	for _, c := range changes {
		switch c.Op {
		case Removed:
			delete(m, c.Path)
		case Added, Retyped:
			put[c.Path] = stateOf(new, new.Entries[c.New])
		case Modified:
			s := stateOf(new, new.Entries[c.New])
			if !c.Attr {
				s.attr = m[c.Path].attr
			}
			put[c.Path] = s
		case Attr:
			put[c.Path] = state{m[c.Path].content, stateOf(new, new.Entries[c.New]).attr}
		case Renamed:
			if old.Entries[c.Old].Path != c.From || new.Entries[c.New].Path != c.Path {
				t.Fatalf("%v means other entries", c)
			}
			for k := range c.Entries {
				o, n := old.Entries[c.Old+k], new.Entries[c.New+k]
				s := stateOf(old, o)
				if c.Attr {
					s.attr = stateOf(new, n).attr
				}
				delete(m, o.Path)
				put[n.Path] = s
			}
		default:
			t.Fatalf("unknown change %v", c)
		}
	}
	maps.Copy(m, put)
	return m
}

func TestCompareTurnsOldIntoNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 12)
		old, new := a.layout(t), b.layout(t)
		changes := Compare(old, new)
		if got, want := apply(t, old, new, changes), states(new); !maps.Equal(got, want) {
			t.Fatalf("changes %v make\n%v, want\n%v", changes, got, want)
		}
		if (len(changes) == 0) != (old.Root == new.Root) {
			t.Fatalf("%d changes from %s to %s", len(changes), old.Root, new.Root)
		}
		paths := map[string]bool{}
		for _, c := range changes {
			if paths[c.Path] {
				t.Fatalf("%q changed twice: %v", c.Path, changes)
			}
			paths[c.Path] = true
		}
		if again := Compare(old, new); !slices.Equal(changes, again) {
			t.Fatalf("once %v, then %v", changes, again)
		}
		if !slices.IsSortedFunc(changes, func(a, b Change) int { return comparePaths(a.Path, b.Path) }) {
			t.Fatalf("out of order: %v", changes)
		}
		if got, want := Summarize(changes).Bytes, newBytes(old, new); got != want {
			t.Fatalf("%d bytes new, want %d: %v", got, want, changes)
		}
		checkPairs(t, old, new, changes)
	})
}

// newBytes is the size of all leaves that the old layout lacks.
func newBytes(old, new *dag.Layout) (sum int64) {
	for _, l := range new.Leaves {
		if !slices.Contains(old.Leaves, l) {
			sum += int64(l.Size)
		}
	}
	return sum
}

// checkPairs refuses added and removed entries with the same content, which would have been a rename.
func checkPairs(t fataler, old, new *dag.Layout, changes []Change) {
	gone := map[string]string{}
	for _, c := range changes {
		if c.Op == Removed && old.Entries[c.Old].Kind != dag.KindDir && (old.Entries[c.Old].Size > 0 || old.Entries[c.Old].Target != "") {
			gone[stateOf(old, old.Entries[c.Old]).content] = c.Path
		}
	}
	for _, c := range changes {
		if c.Op != Added || new.Entries[c.New].Kind == dag.KindDir {
			continue
		}
		if from, ok := gone[stateOf(new, new.Entries[c.New]).content]; ok {
			t.Fatalf("%q was added and %q removed with the same content", c.Path, from)
		}
	}
}

func words(changes []Change) (lines []string) {
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return lines
}

func TestCompareInWords(t *testing.T) {
	album := func(at string, mode uint32) map[string]item {
		m := map[string]item{at + "/empty": file()}
		for i := range 20 {
			m[fmt.Sprintf("%s/sub/p%02d.jpg", at, i)] = item{kind: dag.KindFile, leaves: []int{i}, mode: mode}
		}
		return m
	}
	for _, c := range []struct {
		name     string
		old, new map[string]item
		want     []string
	}{
		{"nothing", map[string]item{"a": file(1)}, map[string]item{"a": file(1)}, nil},
		{"first revision", nil, map[string]item{"a": file(1)}, []string{`added "a", 1037 bytes new`}},
		{"last file", map[string]item{"a": file(1)}, nil, []string{`removed "a"`}},
		{
			"modified", map[string]item{"a": file(1, 2, 3)}, map[string]item{"a": file(1, 9, 3)},
			[]string{`modified "a", 1333 bytes new`},
		},
		{
			"attributes",
			map[string]item{"a": file(1), "d/x": file(2)},
			map[string]item{"a": {kind: dag.KindFile, leaves: []int{1}, mode: 0o755, mtime: 1e9}, "d/x": {kind: dag.KindFile, leaves: []int{2}, mode: 0o644}},
			[]string{`attributes "a"`, `attributes "d/x"`},
		},
		{"renamed", map[string]item{"a": file(1, 2)}, map[string]item{"b": file(1, 2)}, []string{`renamed "b" from "a"`}},
		{
			"renamed and touched", map[string]item{"a": file(1, 2)},
			map[string]item{"b": {kind: dag.KindFile, leaves: []int{1, 2}, mode: 0o600}},
			[]string{`renamed "b" from "a", attributes`},
		},
		{"folder moved", album("photos", 0o644), album("old/photos", 0o644), []string{
			`added "old"`, `renamed "old/photos" from "photos", 23 entries`,
		}},
		{"folder copied by a tool that sets other modes", album("photos", 0o644), album("pictures", 0o600), []string{
			`renamed "pictures" from "photos", 23 entries, attributes`,
		}},
		{
			"two equal folders, both moved",
			with(map[string]item{"a/one/x": file(1), "a/two/x": file(1)}),
			with(map[string]item{"b/one/x": file(1), "b/three/x": file(1)}),
			[]string{`removed "a"`, `added "b"`, `renamed "b/one" from "a/one", 2 entries`, `renamed "b/three" from "a/two", 2 entries`},
		},
		{
			"folder moved, one file in it changed",
			map[string]item{"a/x": file(1), "a/y": file(2)}, map[string]item{"b/x": file(1), "b/y": file(3)},
			[]string{`removed "a"`, `removed "a/y"`, `added "b"`, `renamed "b/x" from "a/x"`, `added "b/y", 1111 bytes new`},
		},
		{
			"folder moved, but for one file",
			map[string]item{"a/x": file(1), "a/y": file(2)}, map[string]item{"b/x": file(1)},
			[]string{`removed "a"`, `removed "a/y"`, `added "b"`, `renamed "b/x" from "a/x"`},
		},
		{
			"a moved folder keeps what is in it, although another folder needs one like that",
			map[string]item{"b/q/f": file(1), "b/x": file(2), "c/q/f": file(1)},
			map[string]item{"d/q/f": file(1), "d/y": file(3), "z/q/f": file(1), "z/x": file(2)},
			[]string{
				`removed "c"`, `added "d"`, `renamed "d/q" from "c/q", 2 entries`,
				`added "d/y", 1111 bytes new`, `renamed "z" from "b", 4 entries`,
			},
		},
		{
			"the same content thrice, the one of the same name moved",
			map[string]item{"a/x": file(1), "a/y": file(1), "keep": file(1)},
			map[string]item{"a/z": file(7), "b/y": file(1), "keep": file(1)},
			[]string{`removed "a/x"`, `added "a/z", 1259 bytes new`, `added "b"`, `renamed "b/y" from "a/y"`},
		},
		{"copy", map[string]item{"a": file(1)}, map[string]item{"a": file(1), "b": file(1)}, []string{`added "b"`}},
		{
			"the same new leaf twice", nil, map[string]item{"a": file(1), "b": file(1)},
			[]string{`added "a", 1037 bytes new`, `added "b"`},
		},
		{"empty files do not move", map[string]item{"a": file()}, map[string]item{"b": file()}, []string{`removed "a"`, `added "b"`}},
		{"but keep their names", map[string]item{"a/x": file()}, map[string]item{"b/x": file()}, []string{`renamed "b" from "a", 2 entries`}},
		{
			"a file becomes a folder and lies in it",
			map[string]item{"a": file(1)}, map[string]item{"a/a": file(1)},
			[]string{`retyped "a"`, `added "a/a"`},
		},
		{
			"symlinks",
			map[string]item{"l": {kind: dag.KindSymlink, target: "x"}, "m": {kind: dag.KindSymlink, target: "y"}},
			map[string]item{"l": {kind: dag.KindSymlink, target: "z"}, "n": {kind: dag.KindSymlink, target: "y"}},
			[]string{`modified "l"`, `renamed "n" from "m"`},
		},
		{
			"a folder sorts before names that go on behind its own",
			map[string]item{"a/x": file(1), "a-b": file(2)},
			map[string]item{"a/x": file(3), "a-b": file(4)},
			[]string{`modified "a/x", 1111 bytes new`, `modified "a-b", 1148 bytes new`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := words(Compare(with(c.old).layout(t), with(c.new).layout(t))); !slices.Equal(got, c.want) {
				t.Errorf("got\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestCompareWithNothing(t *testing.T) {
	lay := with(map[string]item{"d/a": file(1)}).layout(t)
	if got := Summarize(Compare(nil, lay)); got != (Summary{Added: 3, Bytes: 1037}) {
		t.Errorf("from nothing: %v", got)
	}
	if got := Summarize(Compare(lay, nil)); got != (Summary{Removed: 3}) {
		t.Errorf("to nothing: %v", got)
	}
}

func TestSummary(t *testing.T) {
	old, new, _ := bigLayouts(t)
	want := "1 added, 1 removed, 5 modified, 3 renamed, 0 attributes, 0 retyped, "
	bytes := int64(0)
	for i := range 6 {
		bytes += int64(leafOf(100_000 + i).Size)
	}
	if got := Summarize(Compare(old, new)).String(); got != fmt.Sprintf("%s%d bytes new", want, bytes) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHostileCompare compares a file of millions of places, which a few nodes can name, under a great many
// paths: hundreds of billions of places, if each were looked at.
func TestHostileCompare(t *testing.T) {
	const paths, places, distinct = 100_000, 4 << 20, 1000
	layout := func(last int) *dag.Layout {
		lay := &dag.Layout{Leaves: append(leavesOf(seq(0, distinct-1)...), leafOf(last))}
		huge := make([]uint32, places)
		for i := range huge {
			huge[i] = uint32(i % distinct)
		}
		root := blockstore.Sum(cid.DagProtobuf, fmt.Append(nil, last))
		lay.Entries = []dag.Entry{{Kind: dag.KindDir, Cid: root}}
		var size int64
		for _, l := range huge {
			size += int64(lay.Leaves[l].Size)
		}
		for i := range paths {
			lay.Entries = append(lay.Entries, dag.Entry{
				Path: fmt.Sprintf("%06d", i), Kind: dag.KindFile, Size: size, Leaves: huge,
				Cid: blockstore.Sum(cid.DagProtobuf, fmt.Append(nil, "file", last)),
			})
			lay.Bytes += size
		}
		return lay
	}
	old, new := layout(-500), layout(-1000)
	fresh := int64(leafOf(-1000).Size)
	if got := Summarize(Compare(old, new)); got != (Summary{Modified: paths, Bytes: fresh}) {
		t.Errorf("compare: %v", got)
	}
	p := NewPlan(new, old, func(c cid.Cid) bool { return c != leafOf(-1000).Cid })
	if p.Total != new.Bytes || p.Fetched+p.Patched != fresh {
		t.Errorf("plan: %d patched, %d fetched of %d", p.Patched, p.Fetched, p.Total)
	}
}

func BenchmarkCompare(b *testing.B) {
	old, new, _ := bigLayouts(b)
	b.ResetTimer()
	for b.Loop() {
		if len(Compare(old, new)) != 10 {
			b.Fatal("not ten changes")
		}
	}
}
