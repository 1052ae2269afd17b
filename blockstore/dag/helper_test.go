package dag

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// blocks is a store in memory.
type blocks struct {
	m     map[cid.Cid]blockstore.Block
	order []cid.Cid // as emitted
	gets  int
	buf   []byte // what get returned last; written over by the next, to catch whoever keeps it
}

func newBlocks() *blocks { return &blocks{m: map[cid.Cid]blockstore.Block{}} }

func (s *blocks) emit(b blockstore.Block) error {
	s.m[b.Cid()] = b
	s.order = append(s.order, b.Cid())
	return nil
}

func (s *blocks) get(_ context.Context, c cid.Cid) ([]byte, error) {
	s.gets++
	b, ok := s.m[c]
	if !ok {
		return nil, fmt.Errorf("%s: %w", c, blockstore.ErrNotFound)
	}
	for i := range s.buf {
		s.buf[i] = 0xee
	}
	s.buf = slices.Clone(b.Data())
	return s.buf, nil
}

// put stores data as a leaf.
func (s *blocks) put(data []byte) blockstore.Leaf {
	b := blockstore.NewBlock(cid.Raw, data)
	s.m[b.Cid()] = b
	return blockstore.Leaf{Cid: b.Cid(), Size: uint32(len(data))}
}

// node encodes n as it is, right or wrong, and returns its link.
func (s *blocks) node(name string, n Node) Link {
	b := n.block()
	s.m[b.Cid()] = b
	return n.link(name, b)
}

func seeded(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// leavesOf stores data as leaves of different sizes, at most 100 bytes each, and returns them.
func (s *blocks) leavesOf(data []byte) (leaves []blockstore.Leaf) {
	for i := 0; len(data) > 0; i++ {
		n := min(1+i*37%100, len(data))
		leaves = append(leaves, s.put(data[:n]))
		data = data[n:]
	}
	return leaves
}

// fakeLeaves is n leaves whose bytes nobody needs.
func fakeLeaves(n int) []blockstore.Leaf {
	leaves := make([]blockstore.Leaf, n)
	for i := range leaves {
		leaves[i] = blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, fmt.Append(nil, i)), Size: uint32(64<<10 + i)}
	}
	return leaves
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func stamp(sec int64, ns int64) time.Time { return time.Unix(sec, ns).UTC() }

// tree is a file, folder or symlink as a test makes it.
type tree struct {
	kind   Kind
	attr   Attr
	data   []byte
	target string
	kids   map[string]*tree
}

// build makes the DAG of x and returns its link.
func (x *tree) build(p Profile, s *blocks) (Link, error) {
	switch x.kind {
	case KindFile:
		return BuildFile(p, x.attr, s.leavesOf(x.data), s.emit)
	case KindSymlink:
		return BuildSymlink(p, x.target, s.emit)
	default:
		var entries []Link
		for name, kid := range x.kids { // in random order
			l, err := kid.build(p, s)
			if err != nil {
				return l, err
			}
			l.Name = name
			entries = append(entries, l)
		}
		return BuildDir(p, x.attr, entries, s.emit)
	}
}

// flatten lists x as a Layout should, without CIDs and leaves.
func (x *tree) flatten(p Profile, path string) []Entry {
	e := Entry{Path: path, Kind: x.kind, Size: int64(len(x.data)), Target: x.target}
	e.Attr, _ = p.attr(x.kind, x.attr)
	all := []Entry{e}
	for _, name := range slices.Sorted(mapKeys(x.kids)) {
		all = append(all, x.kids[name].flatten(p, strings.TrimPrefix(path+"/"+name, "/"))...)
	}
	return all
}

func mapKeys(m map[string]*tree) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// sample is a tree with something of everything.
func sample() *tree {
	at := stamp(1_700_000_000, 123_456_789)
	many := map[string]*tree{}
	for i := range 700 { // 700 * (9 + 36) bytes of links are just below 32 KiB
		many[fmt.Sprintf("entry-%03d", i)] = &tree{kind: KindFile, attr: Attr{Mode: 0o644, Mtime: at}, data: seeded(byte(i), 20)}
	}
	shards := map[string]*tree{"again": {kind: KindDir, attr: Attr{Mode: 0o700}, kids: many}}
	for name, kid := range many {
		shards["x-"+name] = kid
	}
	return &tree{kind: KindDir, attr: Attr{Mode: 0o755}, kids: map[string]*tree{
		"empty":        {kind: KindFile, attr: Attr{Mode: 0o600, Mtime: stamp(0, 0)}},
		"small":        {kind: KindFile, attr: Attr{Mode: 0o755, Mtime: at}, data: []byte("hello")},
		"big":          {kind: KindFile, attr: Attr{Mode: 0o644, Mtime: stamp(-5, 1)}, data: seeded(1, 100_000)},
		"zeros":        {kind: KindFile, attr: Attr{Mode: 0o444}, data: make([]byte, 100_000)},
		"link":         {kind: KindSymlink, target: "dir/../small"},
		"dir":          {kind: KindDir, attr: Attr{Mode: 0o700}, kids: map[string]*tree{"ä \n.txt": {kind: KindFile, data: []byte("x")}}},
		"copy":         {kind: KindDir, attr: Attr{Mode: 0o700}, kids: map[string]*tree{"ä \n.txt": {kind: KindFile, data: []byte("x")}}},
		"void":         {kind: KindDir, attr: Attr{Mode: 0o755}},
		"many":         {kind: KindDir, attr: Attr{Mode: 0o750}, kids: many},
		"shards":       {kind: KindDir, attr: Attr{Mode: 0o711}, kids: shards},
		"shards again": {kind: KindDir, attr: Attr{Mode: 0o711}, kids: shards},
	}}
}

func compareEntries(t interface{ Fatalf(string, ...any) }, got, want []Entry) {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		g, w := got[i], want[i]
		if g.Path != w.Path || g.Kind != w.Kind || g.Size != w.Size || g.Target != w.Target ||
			g.Attr.Mode != w.Attr.Mode || !g.Attr.Mtime.Equal(w.Attr.Mtime) {
			t.Fatalf("entry %d is\n%+v, want\n%+v", i, g, w)
		}
	}
}
