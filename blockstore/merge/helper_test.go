package merge

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// fataler is what testing.TB and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
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

func file(leaves ...int) item {
	return item{kind: dag.KindFile, leaves: leaves, mode: 0o644, mtime: 1e9}
}
func dir() item { return item{kind: dag.KindDir, mode: 0o755} }

// parse reads a model: words like dir/, file=1,2 (its leaves), link->target, each with !mode behind it or not.
func parse(t fataler, text string) model {
	t.Helper()
	m := model{}
	for word := range strings.FieldsSeq(text) {
		rest, mode, hasMode := strings.Cut(word, "!")
		name, it := rest, dir()
		if n, leaves, ok := strings.Cut(rest, "="); ok {
			name, it = n, file()
			for number := range strings.SplitSeq(leaves, ",") {
				if number == "" {
					continue
				}
				l, err := strconv.Atoi(number)
				if err != nil {
					t.Fatalf("%q: %v", word, err)
				}
				it.leaves = append(it.leaves, l)
			}
		} else if n, target, ok := strings.Cut(rest, "->"); ok {
			name, it = n, item{kind: dag.KindSymlink, target: target}
		} else if name, ok = strings.CutSuffix(rest, "/"); !ok {
			t.Fatalf("%q is no entry", word)
		}
		if hasMode {
			bits, err := strconv.ParseUint(mode, 8, 32)
			if err != nil {
				t.Fatalf("%q: %v", word, err)
			}
			it.mode = uint32(bits)
		}
		m.put(name, it)
	}
	return m
}

// text is what parse reads, of a layout, without folders that have entries and a usual mode.
func text(lay *dag.Layout) string {
	var words []string
	for i, e := range lay.Entries {
		word, usual := e.Path, uint32(0o644)
		switch e.Kind {
		case dag.KindFile:
			word += "="
			for k, l := range e.Leaves {
				if k > 0 {
					word += ","
				}
				word += strconv.Itoa(numberOf(lay.Leaves[l]))
			}
		case dag.KindSymlink:
			word, usual = word+"->"+e.Target, 0
		case dag.KindDir:
			word, usual = word+"/", 0o755
			full := i+1 < len(lay.Entries) && strings.HasPrefix(lay.Entries[i+1].Path, word)
			if e.Path == "" || full && e.Attr.Mode == usual {
				continue
			}
		}
		if e.Attr.Mode != usual {
			word += "!" + strconv.FormatUint(uint64(e.Attr.Mode), 8)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// leafOf is leaf number n, whose size tells the number.
func leafOf(n int) blockstore.Leaf {
	return blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, fmt.Append(nil, n)), Size: uint32(1000 + n)}
}

func numberOf(l blockstore.Leaf) int { return int(l.Size) - 1000 }

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

// blocks is a store of nodes.
type blocks map[cid.Cid][]byte

func (s blocks) emit(b blockstore.Block) error {
	s[b.Cid()] = b.Data()
	return nil
}

func (s blocks) get(_ context.Context, c cid.Cid) ([]byte, error) {
	b, ok := s[c]
	if !ok {
		return nil, fmt.Errorf("%s: %w", c, blockstore.ErrNotFound)
	}
	return b, nil
}

// build makes the nodes of m and returns the root.
func (m model) build(t fataler, p dag.Profile, s blocks) cid.Cid {
	t.Helper()
	kids := map[string][]dag.Link{}
	paths := slices.Collect(maps.Keys(m))
	slices.SortFunc(paths, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, name := range paths { // the deepest first
		it := m[name]
		var l dag.Link
		var err error
		switch it.kind {
		case dag.KindFile:
			leaves := make([]blockstore.Leaf, len(it.leaves))
			for i, n := range it.leaves {
				leaves[i] = leafOf(n)
			}
			l, err = dag.BuildFile(p, dag.Attr{Mode: it.mode, Mtime: time.Unix(it.mtime, 0)}, leaves, s.emit)
		case dag.KindSymlink:
			l, err = dag.BuildSymlink(p, it.target, s.emit)
		default:
			l, err = dag.BuildDir(p, dag.Attr{Mode: it.mode}, kids[name], s.emit)
		}
		if err != nil {
			t.Fatalf("build %q: %v", name, err)
		}
		l.Name = path.Base(name)
		kids[path.Dir(name)] = append(kids[path.Dir(name)], l)
	}
	root, err := dag.BuildDir(p, dag.Attr{Mode: 0o755}, kids["."], s.emit)
	if err != nil {
		t.Fatalf("build root: %v", err)
	}
	return root.Cid
}

func (s blocks) layout(t fataler, root cid.Cid) *dag.Layout {
	t.Helper()
	lay, err := dag.ReadLayout(context.Background(), root, s.get, dag.DefaultLimits())
	if err != nil {
		t.Fatalf("layout: %v", err)
	}
	return lay
}

// lay is the layout of m; its nodes go into s.
func (m model) lay(t fataler, s blocks) *dag.Layout {
	t.Helper()
	return s.layout(t, m.build(t, testProfile(), s))
}

// script makes random revisions. Leaf numbers that were never used before come from fresh, which all share.
type script struct {
	random *rand.Rand
	m      model
	fresh  *int
	still  bool // no renames
}

func (s *script) new() int { *s.fresh++; return *s.fresh }

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
		p := string(rune('a'+s.int(5))) + []string{"", "", "-", ".x", "0", ".y.z", " 2", strings.Repeat("ü", 127)}[s.int(7)]
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
	leaves := make([]int, s.int(3))
	if s.int(9) == 0 {
		leaves = make([]int, s.int(30))
	}
	for i := range leaves {
		if leaves[i] = s.int(3); s.int(4) > 0 { // numbers up to 3 are common leaves
			leaves[i] = s.new()
		}
	}
	return leaves
}

func (s *script) add() {
	s.m[s.name()] = item{kind: dag.KindFile, leaves: s.content(), mode: 0o644, mtime: int64(s.int(2))}
}

// start makes a tree of about n entries.
func (s *script) start(n int) {
	s.m = model{}
	for range n / 3 {
		s.m[s.name()] = dir()
	}
	for range n {
		s.add()
	}
	for range n / 8 {
		s.m[s.name()] = item{kind: dag.KindSymlink, target: fmt.Sprint("to", s.int(3))}
	}
}

// edit does one thing to the tree.
func (s *script) edit() {
	p, ok := s.pick(0)
	if !ok {
		s.add()
		return
	}
	it := s.m[p]
	switch s.int(10) {
	case 0, 1, 2:
		if it.kind == dag.KindFile {
			it.leaves = append(slices.Clone(it.leaves), s.new())
			s.m[p] = it
		}
	case 3:
		s.add()
	case 4:
		s.m[s.name()] = dir()
	case 5, 6:
		s.m.remove(p)
	case 7, 8:
		if to := s.name(); !s.still && !strings.HasPrefix(to, p+"/") {
			s.m.move(p, to)
		}
	case 9:
		if it.kind != dag.KindSymlink {
			it.mode, it.mtime = []uint32{0o600, 0o755, 0o644}[s.int(2)], int64(s.int(2))
			s.m[p] = it
		}
	case 10: // another kind
		s.m.remove(p)
		s.m[p] = []item{dir(), file(s.new()), {kind: dag.KindSymlink, target: "x" + fmt.Sprint(s.new())}}[s.int(2)]
	}
}

// clone is a script that goes on from here on its own.
func (s *script) clone() *script {
	c := *s
	c.m = maps.Clone(s.m)
	return &c
}
