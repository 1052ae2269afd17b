package dag

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// keepPaths is a selection for Part.
func keepPaths(l *Layout, paths ...string) func(int) bool {
	return func(i int) bool { return slices.Contains(paths, l.Entries[i].Path) }
}

func TestPart(t *testing.T) {
	leaf := func(s string) blockstore.Leaf {
		return blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, []byte(s)), Size: uint32(len(s))}
	}
	file := func(path string, size int64, leaves ...uint32) Entry {
		id := blockstore.Sum(cid.DagProtobuf, []byte{byte(size)}) // equal size, equal file
		return Entry{Path: path, Kind: KindFile, Cid: id, Size: size, Leaves: leaves}
	}
	dir := func(path string) Entry { return Entry{Path: path, Kind: KindDir} }
	l := &Layout{
		Root: blockstore.Sum(cid.DagProtobuf, []byte("root")),
		Entries: []Entry{
			dir(""),
			dir("a"), file("a/1", 6, 0, 1), dir("a/b"), file("a/b/2", 9, 1, 2), file("a/b/3", 6, 0, 1),
			file("a-", 5, 2),
			dir("c"), {Path: "c/link", Kind: KindSymlink, Target: "../a"}, dir("c/d"), file("c/d/empty", 0),
		},
		Leaves: []blockstore.Leaf{leaf("x"), leaf("five."), leaf("four")},
		Bytes:  26, Files: 5, Dirs: 5, Symlinks: 1,
	}
	tests := map[string]struct {
		keep, want            []string
		leafOf                []uint32
		places                [][]uint32 // leaves of each file of the part
		bytes                 int64
		files, dirs, symlinks int
	}{
		"nothing":         {want: []string{""}, dirs: 1},
		"a folder alone":  {keep: []string{"a"}, want: []string{"", "a"}, dirs: 2},
		"its name's like": {keep: []string{"a-"}, want: []string{"", "a-"}, leafOf: []uint32{2}, places: [][]uint32{{0}}, bytes: 5, files: 1, dirs: 1},
		"a link":          {keep: []string{"c/link"}, want: []string{"", "c", "c/link"}, dirs: 2, symlinks: 1},
		"an empty file":   {keep: []string{"c/d/empty"}, want: []string{"", "c", "c/d", "c/d/empty"}, places: [][]uint32{nil}, files: 1, dirs: 3},
		"leaves renumbered": {
			keep: []string{"a/b/2", "a/b/3"}, want: []string{"", "a", "a/b", "a/b/2", "a/b/3"},
			leafOf: []uint32{1, 2, 0}, places: [][]uint32{{0, 1}, {2, 0}}, bytes: 15, files: 2, dirs: 3,
		},
		"two branches": {
			keep: []string{"a/b/3", "c/d"}, want: []string{"", "a", "a/b", "a/b/3", "c", "c/d"},
			leafOf: []uint32{0, 1}, places: [][]uint32{{0, 1}}, bytes: 6, files: 1, dirs: 5,
		},
		"below and above again": {
			keep: []string{"a/b/2", "a-", "a/1"}, want: []string{"", "a", "a/1", "a/b", "a/b/2", "a-"},
			leafOf: []uint32{0, 1, 2}, places: [][]uint32{{0, 1}, {1, 2}, {2}}, bytes: 20, files: 3, dirs: 3,
		},
	}
	for name, test := range tests {
		part, leafOf := l.Part(keepPaths(l, test.keep...))
		var paths []string
		var places [][]uint32
		for _, e := range part.Entries {
			paths = append(paths, e.Path)
			if e.Kind == KindFile {
				places = append(places, e.Leaves)
			}
		}
		if !slices.Equal(paths, test.want) || !slices.Equal(leafOf, test.leafOf) || !slices.EqualFunc(places, test.places, slices.Equal) {
			t.Errorf("%s: paths %q, leafOf %v, places %v", name, paths, leafOf, places)
		}
		if part.Bytes != test.bytes || part.Files != test.files || part.Dirs != test.dirs || part.Symlinks != test.symlinks {
			t.Errorf("%s: %d bytes, %d files, %d folders, %d links", name, part.Bytes, part.Files, part.Dirs, part.Symlinks)
		}
		if !part.Root.Equals(l.Root) {
			t.Errorf("%s: root %s", name, part.Root)
		}
	}
}

// TestPartOfRandomTrees compares Part with what its words say, computed the slow way.
func TestPartOfRandomTrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newBlocks()
		root, err := drawTree(t, 4).build(DefaultProfile(), s)
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		l, err := ReadLayout(context.Background(), root.Cid, s.get, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(l.Entries)
		one := rapid.IntRange(1, 10).Draw(t, "one in")
		kept := make([]bool, len(l.Entries))
		for i := range kept {
			kept[i] = rapid.IntRange(1, one).Draw(t, "keep") == 1
		}
		part, leafOf := l.Part(func(i int) bool { return kept[i] })
		if want := slowPart(l, kept); !reflect.DeepEqual(part.Entries, want.Entries) || !slices.Equal(part.Leaves, want.Leaves) {
			t.Fatalf("part %+v\nwant %+v", part, want)
		}
		for i, l2 := range leafOf {
			if part.Leaves[i] != l.Leaves[l2] {
				t.Fatalf("leaf %d is not leaf %d", i, l2)
			}
		}
		if len(leafOf) != len(part.Leaves) || part.Files+part.Dirs+part.Symlinks != len(part.Entries) {
			t.Fatalf("%d leaves, %d in leafOf; %d entries", len(part.Leaves), len(leafOf), len(part.Entries))
		}
		if !reflect.DeepEqual(l.Entries, before) {
			t.Fatal("the layout itself was changed")
		}
		if all, _ := l.Part(func(int) bool { return true }); !reflect.DeepEqual(all, l) {
			t.Fatalf("the whole part %+v\nis not %+v", all, l)
		}
	})
}

func slowPart(l *Layout, kept []bool) *Layout {
	p := &Layout{}
	number := map[cid.Cid]uint32{}
	for i, e := range l.Entries {
		take := i == 0 || kept[i]
		for j := range l.Entries {
			take = take || kept[j] && strings.HasPrefix(l.Entries[j].Path, e.Path+"/")
		}
		if !take {
			continue
		}
		for at, leaf := range e.Leaves {
			if at == 0 {
				e.Leaves = slices.Clone(e.Leaves)
			}
			c := l.Leaves[leaf].Cid
			if _, ok := number[c]; !ok {
				number[c] = uint32(len(p.Leaves))
				p.Leaves = append(p.Leaves, l.Leaves[leaf])
			}
			e.Leaves[at] = number[c]
		}
		p.Entries = append(p.Entries, e)
	}
	return p
}
