package diff

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// fataler is what testing.TB and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// blocks is a store of nodes that counts.
type blocks struct {
	m    map[cid.Cid][]byte
	gets int
}

func newBlocks() *blocks { return &blocks{m: map[cid.Cid][]byte{}} }

func (s *blocks) emit(b blockstore.Block) error {
	s.m[b.Cid()] = b.Data()
	return nil
}

func (s *blocks) get(_ context.Context, c cid.Cid) ([]byte, error) {
	s.gets++
	b, ok := s.m[c]
	if !ok {
		return nil, fmt.Errorf("%s: %w", c, blockstore.ErrNotFound)
	}
	return slices.Clone(b), nil
}

// item is a file, folder or symlink of a model. A file's leaves are numbers; equal numbers are equal leaves.
type item struct {
	kind   dag.Kind
	leaves []int
	mode   uint32
	mtime  int64
	target string
}

// model is a revision by path, folders included, but for the root.
type model map[string]item

func (m model) clone() model {
	n := maps.Clone(m)
	for p, it := range n {
		it.leaves = slices.Clone(it.leaves)
		n[p] = it
	}
	return n
}

func leafOf(n int) blockstore.Leaf {
	return blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, fmt.Append(nil, n)), Size: uint32(1000 + n*37%500)}
}

func leavesOf(numbers ...int) []blockstore.Leaf {
	leaves := make([]blockstore.Leaf, len(numbers))
	for i, n := range numbers {
		leaves[i] = leafOf(n)
	}
	return leaves
}

// seq is n numbers from first on.
func seq(first, n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = first + i
	}
	return s
}

func file(leaves ...int) item {
	return item{kind: dag.KindFile, leaves: leaves, mode: 0o644, mtime: 1e9}
}
func dir() item { return item{kind: dag.KindDir, mode: 0o755} }

// with makes a model of files, and the folders they need.
func with(files map[string]item) model {
	m := model{}
	for p, it := range files {
		m.put(p, it)
	}
	return m
}

func (m model) put(p string, it item) {
	m[p] = it
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if _, ok := m[d]; !ok {
			m[d] = dir()
		}
	}
}

// below lists p and what lies below it, in byte order.
func (m model) below(p string) (paths []string) {
	for q := range m {
		if q == p || strings.HasPrefix(q, p+"/") {
			paths = append(paths, q)
		}
	}
	slices.Sort(paths)
	return paths
}

func (m model) remove(p string) {
	for _, q := range m.below(p) {
		delete(m, q)
	}
}

func (m model) move(from, to string) {
	for _, q := range m.below(from) {
		it := m[q]
		delete(m, q)
		m.put(to+strings.TrimPrefix(q, from), it)
	}
}

// testProfile has small nodes, so that small trees have shards and files of several levels.
func testProfile() dag.Profile {
	p := dag.DefaultProfile()
	p.FanMin, p.FanAvg, p.FanMax, p.HAMTThreshold = 2, 4, 8, 400
	return p
}

// build makes the nodes of m and returns the root.
func (m model) build(t fataler, p dag.Profile, s *blocks) cid.Cid {
	t.Helper()
	kids := map[string][]dag.Link{}
	paths := slices.Collect(maps.Keys(m))
	slices.SortFunc(paths, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	add := func(name string, l dag.Link, err error) {
		if err != nil {
			t.Fatalf("build %q: %v", name, err)
		}
		l.Name = path.Base(name)
		kids[path.Dir(name)] = append(kids[path.Dir(name)], l)
	}
	for _, name := range paths { // the deepest first
		it := m[name]
		switch it.kind {
		case dag.KindFile:
			l, err := dag.BuildFile(p, dag.Attr{Mode: it.mode, Mtime: time.Unix(it.mtime, 0)}, leavesOf(it.leaves...), s.emit)
			add(name, l, err)
		case dag.KindSymlink:
			l, err := dag.BuildSymlink(p, it.target, s.emit)
			add(name, l, err)
		default:
			l, err := dag.BuildDir(p, dag.Attr{Mode: it.mode}, kids[name], s.emit)
			add(name, l, err)
		}
	}
	root, err := dag.BuildDir(p, dag.Attr{Mode: 0o755}, kids["."], s.emit)
	if err != nil {
		t.Fatalf("build root: %v", err)
	}
	return root.Cid
}

func (s *blocks) layout(t fataler, root cid.Cid) *dag.Layout {
	t.Helper()
	lay, err := dag.ReadLayout(context.Background(), root, s.get, dag.DefaultLimits())
	if err != nil {
		t.Fatalf("layout: %v", err)
	}
	return lay
}

func (m model) layout(t fataler) *dag.Layout {
	t.Helper()
	s := newBlocks()
	return s.layout(t, m.build(t, testProfile(), s))
}

// reach is all nodes below root.
func (s *blocks) reach(t fataler, root cid.Cid) map[cid.Cid]bool {
	t.Helper()
	seen := map[cid.Cid]bool{root: true}
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		b, err := blockstore.Receive(c, s.m[c])
		if err != nil {
			t.Fatalf("reach: %v", err)
		}
		next, err := dag.NextNodes(b)
		if err != nil {
			t.Fatalf("reach: %v", err)
		}
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return seen
}

// script makes random revisions. Leaf numbers that were never used before come from fresh.
type script struct {
	random *rand.Rand // rapid draws small numbers mostly, which makes small trees
	m      model
	fresh  int
}

func (s *script) new() int { s.fresh++; return s.fresh }

func (s *script) int(most int) int { return s.random.IntN(most + 1) }

// pick chooses a path of a kind; any for 0.
func (s *script) pick(kind dag.Kind) (string, bool) {
	var paths []string
	for p, it := range s.m {
		if kind == 0 || it.kind == kind {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return "", false
	}
	slices.Sort(paths)
	return paths[s.int(len(paths)-1)], true
}

// name makes a path that is free, in a folder that exists.
func (s *script) name() string {
	for {
		p := string(rune('a'+s.int(5))) + []string{"", "", "-", ".x", "0", "-1", " 2", "z"}[s.int(7)] // "/" sorts among them
		if d, ok := s.pick(dag.KindDir); ok && s.int(3) > 0 && strings.Count(d, "/") < 4 {
			p = d + "/" + p
		}
		if _, taken := s.m[p]; !taken {
			return p
		}
	}
}

// content makes leaves, some of them occurring elsewhere.
func (s *script) content() []int {
	n := s.int(3)
	if s.int(5) == 0 {
		n = s.int(60)
	}
	leaves := make([]int, n)
	for i := range leaves {
		if leaves[i] = -s.int(3); s.int(4) > 0 { // numbers up to 0 are common leaves
			leaves[i] = s.new()
		}
	}
	return leaves
}

func (s *script) addFile() {
	s.m[s.name()] = item{kind: dag.KindFile, leaves: s.content(), mode: 0o644, mtime: int64(s.int(2))}
}

// start makes a tree of about n entries.
func (s *script) start(n int) {
	s.m = model{}
	for range n / 4 {
		s.m[s.name()] = dir()
	}
	for range n {
		s.addFile()
	}
	for range n / 10 {
		s.m[s.name()] = item{kind: dag.KindSymlink, target: fmt.Sprint("to", s.int(3))}
	}
}

// splice replaces cut leaves of a file at a random place.
func (s *script) splice(cut int, put ...int) {
	if p, ok := s.pick(dag.KindFile); ok {
		it := s.m[p]
		at := s.int(len(it.leaves))
		it.leaves = slices.Replace(it.leaves, at, min(at+cut, len(it.leaves)), put...)
		s.m[p] = it
	}
}

// edit does one thing to the tree.
func (s *script) edit() {
	switch s.int(14) {
	case 0, 1:
		s.splice(1, s.new())
	case 2:
		s.splice(0, s.new(), s.new())
	case 3:
		s.splice(3)
	case 4:
		s.splice(4, s.new(), s.new())
	case 5:
		s.swap()
	case 6:
		s.addFile()
	case 7:
		s.m[s.name()] = dir()
	case 8:
		if p, ok := s.pick(0); ok {
			s.m.remove(p)
		}
	case 9, 10:
		if p, ok := s.pick(0); ok {
			if to := s.name(); !strings.HasPrefix(to, p+"/") {
				s.m.move(p, to)
			}
		}
	case 11:
		if p, ok := s.pick(0); ok { // a copy
			to := s.name()
			for _, q := range s.m.below(p) {
				s.m.put(to+strings.TrimPrefix(q, p), s.m[q])
			}
		}
	case 12, 13:
		if p, ok := s.pick(0); ok {
			it := s.m[p]
			it.mode, it.mtime = []uint32{0o600, 0o755, 0o644}[s.int(2)], int64(s.int(2))
			s.m[p] = it
		}
	case 14:
		if p, ok := s.pick(0); ok { // another kind
			s.m.remove(p)
			s.m[p] = []item{dir(), file(s.new()), {kind: dag.KindSymlink, target: "x"}}[s.int(2)]
		}
	}
}

func (s *script) swap() {
	if p, ok := s.pick(dag.KindFile); ok {
		it := s.m[p]
		a := s.int(len(it.leaves))
		b := a + s.int(len(it.leaves)-a)
		it.leaves = slices.Concat(it.leaves[b:], it.leaves[a:b], it.leaves[:a])
		s.m[p] = it
	}
}

// revisions draws a tree and what becomes of it by at most n edits.
func revisions(t *rapid.T, n int) (old, new model) {
	s := &script{random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
	s.start(rapid.IntRange(0, 60).Draw(t, "entries"))
	old = s.m.clone()
	for range rapid.IntRange(0, n).Draw(t, "edits") {
		s.edit()
	}
	return old, s.m
}

// bigTree is 100 folders of 100 files of one or two leaves.
func bigTree() model {
	m := model{}
	for i := range 10_000 {
		m.put(fmt.Sprintf("d%02d/f%02d.txt", i/100, i%100), file(seq(2*i, 1+i%2)...))
	}
	return m
}

// tenChanges rewrites five files of bigTree, renames three, adds one and removes one.
func tenChanges(m model) model {
	n := maps.Clone(m)
	for i := range 5 {
		n[fmt.Sprintf("d%02d/f50.txt", 10*i)] = file(100_000 + i)
	}
	for i := range 3 {
		n.move(fmt.Sprintf("d%02d/f07.txt", 20*i), fmt.Sprintf("d%02d/g07.txt", 20*i))
	}
	n["d99/new.txt"] = file(100_005)
	delete(n, "d98/f00.txt")
	return n
}

func bigLayouts(t testing.TB) (old, new *dag.Layout, s *blocks) {
	t.Helper()
	s = newBlocks()
	m := bigTree()
	old = s.layout(t, m.build(t, dag.DefaultProfile(), s))
	new = s.layout(t, tenChanges(m).build(t, dag.DefaultProfile(), s))
	s.gets = 0
	return old, new, s
}
