package diff

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// carryOut does what a plan says to a disk that holds the old revision, and returns the content by path. Leaves
// come from where the plan says; have is what is on this disk.
func carryOut(t fataler, p *Plan, old, new *dag.Layout, have map[cid.Cid]bool) map[string]string {
	for i, l := range p.Leaves {
		switch ok := have[new.Leaves[i].Cid]; {
		case ok != (l.Source == Reuse), (len(l.Base) > 0) != (l.Source == Patch), len(l.Base) > MaxBases:
			t.Fatalf("leaf %d is here %v, plan %v", i, ok, l)
		case l.Source != Reuse && l.Source != Patch && l.Source != Fetch:
			t.Fatalf("leaf %d has no source", i)
		}
		for _, b := range l.Base {
			if !have[b] {
				t.Fatalf("base %s is not here", b)
			}
		}
	}
	before, disk := map[string]string{}, map[string]string{}
	for _, e := range old.Entries {
		before[e.Path] = stateOf(old, e).content
	}
	maps.Copy(disk, before)
	for _, f := range p.Files {
		if f.Action == Move {
			if _, ok := disk[f.From]; !ok {
				t.Fatalf("%q is moved from %q, where nothing is", f.Path, f.From)
			}
			delete(disk, f.From)
		}
	}
	for _, path := range slices.Backward(p.Gone) {
		if _, ok := disk[path]; !ok {
			t.Fatalf("%q is removed, but not there", path)
		}
		for q := range disk {
			if strings.HasPrefix(q, path+"/") {
				t.Fatalf("%q is removed while %q is in it", path, q)
			}
		}
		delete(disk, path)
	}
	for _, e := range new.Entries {
		if e.Kind != dag.KindFile {
			disk[e.Path] = stateOf(new, e).content
		}
	}
	for _, f := range p.Files {
		switch e := new.Entries[f.Entry]; {
		case f.Path != e.Path || f.Reused+f.Patched+f.Fetched != e.Size || (f.From != "") != (f.Action == Move):
			t.Fatalf("file %+v of %+v", f, e)
		case f.Action == Keep:
			if _, ok := disk[f.Path]; !ok {
				t.Fatalf("%q is kept, but not there", f.Path)
			}
		case f.Action == Move:
			disk[f.Path] = before[f.From]
		case f.Action == Build:
			disk[f.Path] = stateOf(new, e).content
		default:
			t.Fatalf("file without an action: %+v", f)
		}
		if f.Action != Build && f.Patched+f.Fetched > 0 {
			t.Fatalf("not built, but not here: %+v", f)
		}
	}
	return disk
}

func TestPlanMakesTheNewRevision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 12)
		old, new := a.layout(t), b.layout(t)
		have := map[cid.Cid]bool{}
		damaged := rapid.Bool().Draw(t, "damaged")
		for _, l := range old.Leaves {
			have[l.Cid] = !damaged || rapid.IntRange(0, 9).Draw(t, "lost") > 0
		}
		for _, l := range new.Leaves { // in other sets
			if _, was := have[l.Cid]; !was {
				have[l.Cid] = rapid.IntRange(0, 4).Draw(t, "elsewhere") == 0
			}
		}
		here := func(c cid.Cid) bool { return have[c] }
		p := NewPlan(new, old, here)
		want := map[string]string{}
		for _, e := range new.Entries {
			want[e.Path] = stateOf(new, e).content
		}
		if got := carryOut(t, p, old, new, have); !maps.Equal(got, want) {
			t.Fatalf("got\n%v, want\n%v\n%s", got, want, strings.Join(p.Lines(), "\n"))
		}
		checkTotals(t, p, new)
		if again := NewPlan(new, old, here); !p.Equal(again) || !slices.Equal(p.Lines(), again.Lines()) {
			t.Fatalf("once %v, then %v", p, again)
		}
		bare := NewPlan(new, nil, here)
		checkTotals(t, bare, new)
		if bare.Patched > 0 || len(bare.Gone) > 0 {
			t.Fatalf("from nothing: %+v", bare)
		}
	})
}

// TestPartMakesTheNewRevision: a disk that holds the old revision has the new one, attributes and all, when what
// the plan touches is made and what is gone is removed; and nothing is touched without need.
func TestPartMakesTheNewRevision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 12)
		old, new := a.layout(t), b.layout(t)
		have := map[cid.Cid]bool{}
		for _, l := range old.Leaves {
			have[l.Cid] = rapid.IntRange(0, 9).Draw(t, "lost") > 0
		}
		p := NewPlan(new, old, func(c cid.Cid) bool { return have[c] })
		part, _ := new.Part(p.Touches)
		disk, before, want := states(old), states(old), states(new)
		for _, path := range p.Gone {
			delete(disk, path)
		}
		for _, f := range p.Files {
			if f.Action == Move {
				delete(disk, f.From)
			}
		}
		for i, e := range part.Entries {
			s := stateOf(part, e)
			disk[e.Path] = s
			above := i+1 < len(part.Entries) && strings.HasPrefix(part.Entries[i+1].Path, e.Path)
			lost := slices.ContainsFunc(e.Leaves, func(l uint32) bool { return !have[part.Leaves[l].Cid] })
			if o, ok := before[e.Path]; ok && o == s && !lost && !above && i > 0 {
				t.Fatalf("%q is touched, but is as it was", e.Path)
			}
		}
		if !maps.Equal(disk, want) {
			t.Fatalf("got\n%v, want\n%v\n%s", disk, want, strings.Join(p.Lines(), "\n"))
		}
	})
}

func TestTouches(t *testing.T) {
	link := func(target string) item { return item{kind: dag.KindSymlink, target: target} }
	private := item{kind: dag.KindDir, mode: 0o700}
	touched := file(1)
	touched.mtime++
	base := with(map[string]item{"a/f": file(1), "a/g": file(2, 3), "a/l": link("f"), "d/e": dir(), "z": file(9)})
	tests := map[string]struct {
		change func(m model)
		want   []string
	}{
		"nothing":                    {func(model) {}, nil},
		"content":                    {func(m model) { m["a/g"] = file(2, 4) }, []string{"a/g"}},
		"mtime":                      {func(m model) { m["a/f"] = touched }, []string{"a/f"}},
		"a copy":                     {func(m model) { m.put("n/f", file(1)) }, []string{"n", "n/f"}},
		"a file moved":               {func(m model) { m.move("a/f", "d/f") }, []string{"d/f"}},
		"a file gone":                {func(m model) { m.remove("a/f") }, nil},
		"a target":                   {func(m model) { m["a/l"] = link("g") }, []string{"a/l"}},
		"a link moved":               {func(m model) { m.move("a/l", "l") }, []string{"l"}},
		"a folder's mode":            {func(m model) { m["a"] = private }, []string{"a"}},
		"a folder moved":             {func(m model) { m.move("a", "b") }, []string{"b", "b/f", "b/g", "b/l"}},
		"a folder made":              {func(m model) { m.put("d/e/new", dir()) }, []string{"d/e/new"}},
		"a folder instead of a file": {func(m model) { delete(m, "z"); m.put("z/z", file(9)) }, []string{"z", "z/z"}},
		"a link instead of a folder": {func(m model) { m.remove("d"); m["d"] = link("a") }, []string{"d"}},
	}
	old := base.layout(t)
	all := func(cid.Cid) bool { return true }
	for name, test := range tests {
		m := base.clone()
		test.change(m)
		new := m.layout(t)
		p := NewPlan(new, old, all)
		var got []string
		for i, e := range new.Entries {
			if p.Touches(i) {
				got = append(got, e.Path)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	n := 0
	for i := range old.Entries {
		if NewPlan(old, nil, all).Touches(i) {
			n++
		}
	}
	if n != len(old.Entries) {
		t.Errorf("from nothing: %d of %d entries", n, len(old.Entries))
	}
}

// TestPlanOfAppend: the last leaf of a file that grew is not said to be patched from what it has nothing of.
func TestPlanOfAppend(t *testing.T) {
	old := with(map[string]item{"log": file(1, 2, 99)}).layout(t)
	new := with(map[string]item{"log": file(1, 2, 505, 506, 507)}).layout(t)
	p := NewPlan(new, old, func(c cid.Cid) bool {
		return slices.ContainsFunc(old.Leaves, func(l blockstore.Leaf) bool { return l.Cid == c })
	})
	want := []Source{Reuse, Reuse, Patch, Fetch, Fetch}
	for i, l := range p.Leaves {
		if l.Source != want[i] {
			t.Errorf("leaf %d is %v, want %v", i, l.Source, want[i])
		}
	}
}

func checkTotals(t fataler, p *Plan, new *dag.Layout) {
	t.Helper()
	var by [Fetch + 1]int64
	for i, l := range p.Leaves {
		by[l.Source] += int64(new.Leaves[i].Size)
	}
	var reused, patched, fetched int64
	for _, f := range p.Files {
		reused, patched, fetched = reused+f.Reused, patched+f.Patched, fetched+f.Fetched
	}
	if p.Total != new.Bytes || p.Total != p.Reused+p.Patched+p.Fetched ||
		p.Patched != by[Patch] || p.Fetched != by[Fetch] || reused != p.Reused || patched != p.Patched || fetched != p.Fetched {
		t.Fatalf("totals %d = %d + %d + %d; by leaf %v; by file %d, %d, %d; layout %d",
			p.Total, p.Reused, p.Patched, p.Fetched, by, reused, patched, fetched, new.Bytes)
	}
}

func TestPlanInWords(t *testing.T) {
	old := with(map[string]item{
		"keep": file(1, 2), "touch": file(3), "edit": file(4, 5, 6), "from": file(7, 8), "gone/x": file(9),
		"kind": file(10), "photos/p": file(11), "lost": file(12),
	})
	new := with(map[string]item{
		"keep": file(1, 2), "edit": file(4, 50, 6), "to\nline": file(7, 8), "copy": file(1, 2),
		"kind/x": file(10), "album/p": file(11), "lost": file(12), "new": file(60, 60, 1),
		"touch": {kind: dag.KindFile, leaves: []int{3}, mode: 0o600, mtime: 1e9},
	})
	a, b := old.layout(t), new.layout(t)
	p := NewPlan(b, a, func(c cid.Cid) bool {
		return c != leafOf(12).Cid && slices.ContainsFunc(a.Leaves, func(l blockstore.Leaf) bool { return l.Cid == c })
	})
	want := []string{
		`move "album/p" from "photos/p"`,
		`build "copy": 2111 bytes reused, 0 patched, 0 fetched`,
		`build "edit": 2370 bytes reused, 1350 patched, 0 fetched`,
		`build "kind/x": 1370 bytes reused, 0 patched, 0 fetched`,
		`build "lost": 0 bytes reused, 0 patched, 1444 fetched`,
		`build "new": 2257 bytes reused, 0 patched, 1220 fetched`,
		`move "to\nline" from "from"`,
		`keep "touch" and set attributes`,
		`remove "gone"`, `remove "gone/x"`, `remove "kind"`, `remove "photos"`,
		`9 files: 2 kept, 2 moved, 5 built; 4 paths removed`,
		fmt.Sprintf(`%d bytes: %d reused, 1350 patched, 2664 fetched`, b.Bytes, b.Bytes-1350-2664),
	}
	if got := p.Lines(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	other := NewPlan(b, a, func(cid.Cid) bool { return true })
	if p.Equal(other) {
		t.Error("a plan equals another one")
	}
}

func BenchmarkPlan(b *testing.B) {
	old, new, _ := bigLayouts(b)
	have := map[cid.Cid]bool{}
	for _, l := range old.Leaves {
		have[l.Cid] = true
	}
	for b.Loop() {
		NewPlan(new, old, func(c cid.Cid) bool { return have[c] })
	}
}
