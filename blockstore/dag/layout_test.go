package dag

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// profiles are the default one under every policy, and one so small that a few entries make shards and a
// few leaves make levels.
func profiles() []Profile {
	a, b, c, d := DefaultProfile(), DefaultProfile(), DefaultProfile(), DefaultProfile()
	b.Meta, c.Meta = MetaMode, MetaNone
	d.FanMin, d.FanAvg, d.FanMax, d.HAMTThreshold = 2, 3, 4, 200
	e := d
	e.Meta = MetaNone
	return []Profile{a, b, c, d, e}
}

// readBack reads the revision root and checks it against x, bytes included.
func readBack(t interface{ Fatalf(string, ...any) }, x *tree, p Profile, s *blocks, root Link) *Layout {
	ctx := context.Background()
	lay, err := ReadLayout(ctx, root.Cid, s.get, DefaultLimits())
	if err != nil {
		t.Fatalf("ReadLayout: %v", err)
	}
	compareEntries(t, lay.Entries, x.flatten(p, ""))
	var total, files, dirs, links int
	for _, e := range lay.Entries {
		var data []byte
		for _, i := range e.Leaves {
			data = append(data, s.m[lay.Leaves[i].Cid].Data()...)
		}
		total += len(data)
		switch e.Kind {
		case KindFile:
			files++
			if int64(len(data)) != e.Size {
				t.Fatalf("%q: %d bytes of leaves, size %d", e.Path, len(data), e.Size)
			}
			r, err := NewReader(ctx, e.Cid, s.get)
			if err != nil {
				t.Fatalf("%q: %v", e.Path, err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%q: reader differs from leaves (%v)", e.Path, err)
			}
		case KindDir:
			dirs++
		case KindSymlink:
			links++
		}
	}
	if int(lay.Bytes) != total || int(root.Size) != total || lay.Files != files || lay.Dirs != dirs || lay.Symlinks != links {
		t.Fatalf("totals %d (link %d), %d, %d, %d; want %d, %d, %d, %d",
			lay.Bytes, root.Size, lay.Files, lay.Dirs, lay.Symlinks, total, files, dirs, links)
	}
	return lay
}

func TestLayoutOfSample(t *testing.T) {
	for i, p := range profiles() {
		s := newBlocks()
		root := must(sample().build(p, s))(t)
		s.gets = 0
		lay, err := ReadLayout(context.Background(), root.Cid, s.get, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		distinct := map[cid.Cid]bool{}
		for _, c := range s.order {
			distinct[c] = true
		}
		if i < 3 && s.gets != len(distinct) || s.gets < len(distinct) { // small shards are shared by folders that differ
			t.Errorf("profile %d: %d gets for %d distinct nodes", i, s.gets, len(distinct))
		}
		again := readBack(t, sample(), p, s, root)
		if !reflect.DeepEqual(lay, again) {
			t.Errorf("profile %d: two layouts of one root differ", i)
		}
		seen := uint32(0) // leaves are numbered by first occurrence
		for _, e := range lay.Entries {
			for _, l := range e.Leaves {
				if l > seen {
					t.Fatalf("profile %d, %q: leaf %d before %d", i, e.Path, l, seen)
				}
				seen = max(seen, l+1)
			}
		}
		if int(seen) != len(lay.Leaves) {
			t.Errorf("profile %d: %d leaves, %d used", i, len(lay.Leaves), seen)
		}
	}
}

// drawTree draws a random tree of at most depth folders below one another.
func drawTree(t *rapid.T, depth int) *tree {
	name := rapid.StringMatching(`[a-zA-Zäß .-]{1,12}`).Filter(func(s string) bool { return CheckName(s) == nil })
	attr := func(t *rapid.T) Attr {
		a := Attr{Mode: rapid.Uint32Range(0, 0o7777).Draw(t, "mode")}
		if rapid.Bool().Draw(t, "has mtime") {
			a.Mtime = stamp(rapid.Int64Range(-1e10, 1e11).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		}
		return a
	}
	kids := map[string]*tree{}
	for range rapid.IntRange(0, 12).Draw(t, "kids") {
		n := name.Draw(t, "name")
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0:
			kids[n] = &tree{kind: KindSymlink, target: name.Draw(t, "target")}
		case kind == 1 && depth > 1:
			kids[n] = drawTree(t, depth-1)
		default:
			data := seeded(rapid.Byte().Draw(t, "seed"), rapid.IntRange(0, 3000).Draw(t, "size"))
			kids[n] = &tree{kind: KindFile, attr: attr(t), data: data}
		}
	}
	return &tree{kind: KindDir, attr: attr(t), kids: kids}
}

func TestRandomTreesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(profiles()).Draw(t, "profile")
		x, s := drawTree(t, 4), newBlocks()
		root, err := x.build(p, s)
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		readBack(t, x, p, s, root)
		for c, b := range s.m {
			if c.Type() == cid.Raw {
				continue
			}
			n, err := Decode(b)
			if err != nil || !bytes.Equal(n.encode(), b.Data()) {
				t.Fatalf("node %s does not round-trip: %v", c, err)
			}
		}
	})
}

func TestNextNodesReachesEverything(t *testing.T) {
	s := newBlocks()
	root := must(sample().build(profiles()[3], s))(t)
	seen := map[cid.Cid]bool{root.Cid: true}
	for todo := []cid.Cid{root.Cid}; len(todo) > 0; todo = todo[1:] {
		for _, c := range must(NextNodes(s.m[todo[0]]))(t) {
			if !seen[c] {
				seen[c] = true
				todo = append(todo, c)
			}
		}
	}
	for _, c := range s.order {
		if !seen[c] {
			t.Errorf("node %s not reached", c)
		}
	}
	leaf := s.put([]byte("x"))
	if next, err := NextNodes(s.m[leaf.Cid]); err != nil || len(next) != 0 {
		t.Errorf("a leaf has %d nodes below, %v", len(next), err)
	}
}

func TestMissing(t *testing.T) {
	ctx, s := context.Background(), newBlocks()
	p := profiles()[3]
	root := must(sample().build(p, s))(t)
	if missing := must(Missing(ctx, root.Cid, s.get, DefaultLimits()))(t); len(missing) != 0 {
		t.Errorf("%d nodes missing of a complete DAG", len(missing))
	}
	lay := must(ReadLayout(ctx, root.Cid, s.get, DefaultLimits()))(t)
	gone := map[cid.Cid]bool{}
	for i, e := range lay.Entries {
		if i > 0 && i%100 == 0 && e.Kind != KindDir {
			gone[e.Cid] = true
			delete(s.m, e.Cid)
		}
	}
	missing := must(Missing(ctx, root.Cid, s.get, DefaultLimits()))(t)
	if len(gone) == 0 || len(missing) != len(gone) {
		t.Errorf("%d nodes missing, want %d", len(missing), len(gone))
	}
	for _, c := range missing {
		if !gone[c] {
			t.Errorf("%s is not missing", c)
		}
	}
	if _, err := ReadLayout(ctx, root.Cid, s.get, DefaultLimits()); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("ReadLayout of an incomplete DAG: %v", err)
	}
	delete(s.m, root.Cid)
	if missing := must(Missing(ctx, root.Cid, s.get, DefaultLimits()))(t); !slices.Equal(missing, []cid.Cid{root.Cid}) {
		t.Errorf("without its root %v is missing", missing)
	}
}

func TestLimits(t *testing.T) {
	ctx, s := context.Background(), newBlocks()
	p := profiles()[3]
	root := must(sample().build(p, s))(t)
	lay := must(ReadLayout(ctx, root.Cid, s.get, DefaultLimits()))(t)
	s.gets = 0
	must(ReadLayout(ctx, root.Cid, s.get, DefaultLimits()))(t)
	exact := Limits{Depth: 9, Entries: len(lay.Entries), Nodes: s.gets, Bytes: lay.Bytes}
	if _, err := ReadLayout(ctx, root.Cid, s.get, exact); err != nil {
		t.Errorf("exact limits: %v", err)
	}
	for name, tighten := range map[string]func(*Limits){
		"depth":   func(l *Limits) { l.Depth = 2 },
		"entries": func(l *Limits) { l.Entries-- },
		"nodes":   func(l *Limits) { l.Nodes-- },
		"bytes":   func(l *Limits) { l.Bytes-- },
	} {
		lim := exact
		tighten(&lim)
		if _, err := ReadLayout(ctx, root.Cid, s.get, lim); !errors.Is(err, ErrLimit) {
			t.Errorf("one %s too many: %v", name, err)
		}
	}
}

func TestReadLayoutStopsWithItsContext(t *testing.T) {
	s := newBlocks()
	root := must(sample().build(DefaultProfile(), s))(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadLayout(ctx, root.Cid, s.get, DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReaderSeeks(t *testing.T) {
	ctx, s := context.Background(), newBlocks()
	data := seeded(9, 50_000)
	l := must(BuildFile(DefaultProfile(), Attr{}, s.leavesOf(data), s.emit))(t)
	r := must(NewReader(ctx, l.Cid, s.get))(t)
	if r.Size() != int64(len(data)) {
		t.Fatalf("size %d", r.Size())
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(data)+10).Draw(t, "at")
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		whence := rapid.SampledFrom([]int{io.SeekStart, io.SeekCurrent, io.SeekEnd}).Draw(t, "whence")
		offset := int64(at)
		switch whence {
		case io.SeekCurrent:
			offset -= r.offset
		case io.SeekEnd:
			offset -= r.Size()
		}
		if pos, err := r.Seek(offset, whence); err != nil || pos != int64(at) {
			t.Fatalf("seek: %d, %v", pos, err)
		}
		got, err := io.ReadAll(io.LimitReader(r, int64(n)))
		want := data[min(at, len(data)):min(at+n, len(data))]
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes at %d: got %d, %v", n, at, len(got), err)
		}
	})
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek to -1 succeeded")
	}
}

func TestFileLinkAndLeavesOfStoredFiles(t *testing.T) {
	ctx := context.Background()
	for _, p := range profiles() {
		for _, n := range []int{0, 1, 50, 5000} {
			s := newBlocks()
			leaves := s.leavesOf(seeded(3, n))
			built := must(BuildFile(p, Attr{Mode: 0o600}, leaves, s.emit))(t)
			built.Name = "name"
			if again := must(FileLink("name", s.m[built.Cid]))(t); again != built {
				t.Errorf("%d bytes: FileLink %+v, built %+v", n, again, built)
			}
			if got := must(FileLeaves(ctx, built.Cid, s.get))(t); !slices.Equal(got, leaves) {
				t.Errorf("%d bytes: FileLeaves differ", n)
			}
		}
	}
	s := newBlocks()
	dir := must(BuildDir(DefaultProfile(), Attr{}, nil, s.emit))(t)
	if _, err := FileLink("x", s.m[dir.Cid]); !errors.Is(err, ErrMalformed) {
		t.Errorf("FileLink of a folder: %v", err)
	}
	if _, err := FileLeaves(ctx, dir.Cid, s.get); !errors.Is(err, ErrMalformed) {
		t.Errorf("FileLeaves of a folder: %v", err)
	}
}

func BenchmarkReadLayout10kFiles(b *testing.B) {
	s := newBlocks()
	var entries []Link
	for i, leaf := range fakeLeaves(10_000) {
		l, err := BuildFile(DefaultProfile(), Attr{Mode: 0o600, Mtime: stamp(1e9, int64(i))}, []blockstore.Leaf{leaf}, s.emit)
		if err != nil {
			b.Fatal(err)
		}
		l.Name = fmt.Sprintf("file-%05d", i)
		entries = append(entries, l)
	}
	root, err := BuildDir(DefaultProfile(), Attr{Mode: 0o755}, entries, s.emit)
	if err != nil {
		b.Fatal(err)
	}
	get := func(_ context.Context, c cid.Cid) ([]byte, error) { return s.m[c].Data(), nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadLayout(context.Background(), root.Cid, get, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
