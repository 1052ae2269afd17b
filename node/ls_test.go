package node

import (
	"testing"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// A folder is as large as what lies below it.
func TestTotals(t *testing.T) {
	t.Parallel()
	lay := &dag.Layout{Entries: []dag.Entry{{Kind: dag.KindDir}, {Path: "a", Kind: dag.KindDir}, {Path: "a/b", Kind: dag.KindDir}, {Path: "a/b/c", Size: 5},
		{Path: "a/b/l", Kind: dag.KindSymlink}, {Path: "a/d", Size: 7}, {Path: "ab", Size: 1}, {Path: "e", Kind: dag.KindDir}}}
	for i := range lay.Entries {
		if lay.Entries[i].Size > 0 {
			lay.Entries[i].Kind = dag.KindFile
		}
	}
	for dir, want := range map[string]map[string][2]int{
		"": {"a": {12, 2}, "ab": {1, 0}, "e": {0, 0}}, "a": {"a/b": {5, 1}, "a/d": {7, 0}}, "a/b": {"a/b/c": {5, 0}, "a/b/l": {0, 0}}, "e": {}, "ab": {"ab": {1, 0}},
	} {
		got := map[string][2]int{}
		for _, e := range entries(lay, dir) {
			got[e.Path] = [2]int{int(e.Size), e.Files}
		}
		if len(got) != len(want) {
			t.Errorf("%q: %v", dir, got)
		}
		for path, w := range want {
			if got[path] != w {
				t.Errorf("%q has %v, want %v", path, got[path], w)
			}
		}
	}
}
