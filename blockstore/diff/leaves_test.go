package diff

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

func TestLeavesAreWhatIsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 12)
		old, new := a.layout(t), b.layout(t)
		files := Leaves(old, new)
		listed := map[blockstore.Leaf]int{}
		for k, f := range files {
			if k > 0 && f.New <= files[k-1].New || len(f.Runs) == 0 || new.Entries[f.New].Kind != dag.KindFile {
				t.Fatalf("file %d of %v", k, files)
			}
			for _, r := range f.Runs {
				for _, l := range new.Entries[f.New].Leaves[r.New.First : r.New.First+r.New.N] {
					listed[new.Leaves[l]]++
				}
				if len(r.Base) > MaxBases || len(r.Base) > 0 && f.Old < 0 {
					t.Fatalf("bases %v of file %d", r.Base, f.Old)
				}
				for _, b := range r.Base {
					if b < 0 || b >= len(old.Entries[f.Old].Leaves) {
						t.Fatalf("base %d of file %d", b, f.Old)
					}
				}
			}
		}
		for _, l := range new.Leaves {
			want := 1
			if slices.Contains(old.Leaves, l) {
				want = 0
			}
			if listed[l] != want {
				t.Fatalf("leaf %s is listed %d times, want %d: %v", l.Cid, listed[l], want, files)
			}
		}
		if again := Leaves(old, new); fmt.Sprint(files) != fmt.Sprint(again) {
			t.Fatalf("once %v, then %v", files, again)
		}
	})
}

func TestBaseFiles(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new map[string]item
		want     string // new file, its base file, new places and base places
	}{
		{
			"same path", map[string]item{"a": file(1, 2, 3)}, map[string]item{"a": file(1, 9, 3)},
			"a from a: 1+1 [1]",
		},
		{
			"same path, nothing shared", map[string]item{"a": file(1)}, map[string]item{"a": file(9)},
			"a from a: 0+1 [0]",
		},
		{
			"renamed and edited", map[string]item{"a": file(1, 2, 3), "z": file(7)}, map[string]item{"b": file(1, 9, 3), "z": file(7)},
			"b from a: 1+1 [1]",
		},
		{
			"edited copy of what stays", map[string]item{"a": file(1, 2, 3)}, map[string]item{"a": file(1, 2, 3), "b": file(1, 9, 3)},
			"b from a: 1+1 [1]",
		},
		{
			"rotated, the newer one appended to",
			map[string]item{"log": file(1, 2, 3), "log.1": file(4, 5)},
			map[string]item{"log": file(6), "log.1": file(1, 2, 9)},
			"log from log: 0+1 [0 1 2]; log.1 from log: 2+1 [2]",
		},
		{
			"two that share as much: the one of the same path",
			map[string]item{"a": file(1, 2), "b": file(1, 3)}, map[string]item{"a": file(1, 2), "b": file(1, 9)},
			"b from b: 1+1 [1]",
		},
		{
			"small file edited in a folder that was moved",
			map[string]item{"a/README": file(1), "a/x": file(2), "c/README": file(3), "c/y": file(4)},
			map[string]item{"b/README": file(9), "b/x": file(2)},
			"b/README from a/README: 0+1 [0]",
		},
		{
			"small file moved and edited", map[string]item{"main.go": file(1)}, map[string]item{"cmd/main.go": file(9)},
			"cmd/main.go from main.go: 0+1 [0]",
		},
		{
			"too many of that name to guess",
			map[string]item{"p/main.go": file(1), "q/main.go": file(2)}, map[string]item{"cmd/main.go": file(9)},
			"cmd/main.go from nothing: 0+1 []",
		},
		{
			"one gone, two arrived", map[string]item{"main.go": file(1)}, map[string]item{"a/main.go": file(8), "b/main.go": file(9)},
			"a/main.go from nothing: 0+1 []; b/main.go from nothing: 0+1 []",
		},
		{"new", map[string]item{"a": file(1)}, map[string]item{"a": file(1), "b": file(9)}, "b from nothing: 0+1 []"},
		{"was a folder", map[string]item{"a/x": file(1)}, map[string]item{"a": file(9)}, "a from nothing: 0+1 []"},
		{"was empty", map[string]item{"a": file()}, map[string]item{"a": file(9)}, "a from nothing: 0+1 []"},
		{"leaves of others only", map[string]item{"a": file(1), "b": file(2)}, map[string]item{"a": file(1), "b": file(1, 2, 1)}, ""},
		{
			"the same new leaf again", map[string]item{"a": file(1)}, map[string]item{"a": file(8, 9, 8), "b": file(9, 8)},
			"a from a: 0+1 [0] 1+1 []",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, new := with(c.old).layout(t), with(c.new).layout(t)
			var lines []string
			for _, f := range Leaves(old, new) {
				from := "nothing"
				if f.Old >= 0 {
					from = old.Entries[f.Old].Path
				}
				line := new.Entries[f.New].Path + " from " + from + ":"
				for _, r := range f.Runs {
					line += fmt.Sprintf(" %d+%d %v", r.New.First, r.New.N, r.Base)
				}
				lines = append(lines, line)
			}
			if got := strings.Join(lines, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestHostileBases gives many small files one huge base file.
func TestHostileBases(t *testing.T) {
	huge := seq(0, 50_000)
	old, new := &dag.Layout{}, &dag.Layout{}
	rich := with(map[string]item{"huge": file(huge...)}).layout(t)
	poor := model{}
	const n = 5_000
	for i := range n {
		poor[fmt.Sprintf("f%05d", i)] = file(i, 100_000+i)
	}
	*new = *poor.layout(t)
	// The same file under every name, which a few nodes can say.
	old.Root, old.Leaves = rich.Root, rich.Leaves
	old.Entries = []dag.Entry{rich.Entries[0]}
	for i := range n {
		e := rich.Entries[1]
		e.Path = fmt.Sprintf("f%05d", i)
		old.Entries = append(old.Entries, e)
	}
	files := Leaves(old, new)
	based := 0
	for _, f := range files {
		if f.Old >= 0 {
			based++
		}
	}
	// 50,000 places of the base and 10,000 of the rest are looked at at most work times, and 2^16 more.
	if len(files) != n || based == 0 || based > (work*60_000+spare)/50_000 {
		t.Errorf("%d files, %d with a base", len(files), based)
	}
}
