package diff

import (
	"context"
	"errors"
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

// nodes calls Nodes and checks what holds for any answer: each node once, new DAG's nodes only, parents first,
// every new node there, bases from old DAGs. It returns how many of those listed are old ones, too.
func (s *blocks) nodes(t fataler, new cid.Cid, olds ...cid.Cid) (changes []NodeChange, needless int) {
	t.Helper()
	s.gets = 0
	changes, err := Nodes(context.Background(), olds, new, s.get, dag.DefaultLimits())
	if err != nil {
		t.Fatalf("nodes: %v", err)
	}
	gets := s.gets
	again, err := Nodes(context.Background(), olds, new, s.get, dag.DefaultLimits())
	if err != nil || !slices.Equal(changes, again) {
		t.Fatalf("once %v, then %v, %v", changes, again, err)
	}
	s.gets = gets
	old, want := map[cid.Cid]bool{}, s.reach(t, new)
	for _, o := range olds {
		maps.Copy(old, s.reach(t, o))
	}
	listed, named := map[cid.Cid]bool{}, map[cid.Cid]bool{new: true}
	for _, c := range changes {
		if listed[c.Cid] || !want[c.Cid] || !named[c.Cid] {
			t.Fatalf("%s: listed before %v, in the new DAG %v, named by one before %v", c.Cid, listed[c.Cid], want[c.Cid], named[c.Cid])
		}
		if c.Base.Defined() && !old[c.Base] {
			t.Fatalf("%s has the base %s, which is not old", c.Cid, c.Base)
		}
		listed[c.Cid] = true
		if old[c.Cid] {
			needless++
		}
		b, err := blockstore.Receive(c.Cid, s.m[c.Cid])
		if err != nil {
			t.Fatalf("%v", err)
		}
		next, err := dag.NextNodes(b)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, n := range next {
			named[n] = true
		}
	}
	for c := range want {
		if !old[c] && !listed[c] {
			t.Fatalf("%s is new and not listed", c)
		}
	}
	return changes, needless
}

func TestNodesAreWhatIsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 12)
		s := newBlocks()
		old, new := a.build(t, testProfile(), s), b.build(t, testProfile(), s)
		s.nodes(t, new, old)
		if changes, _ := s.nodes(t, old, old); len(changes) > 0 {
			t.Fatalf("nothing changed, but %v", changes)
		}
		// From two old revisions, and with parts of one missing.
		third := with(map[string]item{"x": file(1)}).build(t, testProfile(), s)
		s.nodes(t, new, third, old)
		s.nodes(t, new)
	})
}

// TestNodesWithHoles: old nodes that are not to be had are as if they were nowhere.
func TestNodesWithHoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := revisions(t, 6)
		s := newBlocks()
		old, new := a.build(t, testProfile(), s), b.build(t, testProfile(), s)
		kept := s.reach(t, new)
		lost := map[cid.Cid]bool{}
		for _, c := range slices.SortedFunc(maps.Keys(s.reach(t, old)), func(a, b cid.Cid) int { return strings.Compare(a.KeyString(), b.KeyString()) }) {
			lost[c] = !kept[c] && rapid.Bool().Draw(t, "lost")
		}
		get := func(ctx context.Context, c cid.Cid) ([]byte, error) {
			if lost[c] {
				return nil, blockstore.ErrCorrupt
			}
			return s.get(ctx, c)
		}
		changes, err := Nodes(context.Background(), []cid.Cid{old}, new, get, dag.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		listed := map[cid.Cid]bool{}
		for _, c := range changes {
			listed[c.Cid] = true
		}
		was := s.reach(t, old)
		for c := range kept {
			if !was[c] && !listed[c] {
				t.Fatalf("%s is new and not listed", c)
			}
		}
	})
}

// TestNodesReadLittle counts what is read for a change in a large tree, in one of folders and in one of shards.
func TestNodesReadLittle(t *testing.T) {
	flat := model{}
	for i := range 10_000 {
		flat.put(fmt.Sprintf("all/f%04d", i), file(i))
		flat.put(fmt.Sprintf("other/g%04d", i/100), file(-i))
	}
	deep := bigTree()
	for i := range 100 {
		deep.put(fmt.Sprintf("a/b/c/d/e/folder/f%02d", i), file(200_000+i))
	}
	twins := bigTree()
	for i := range 100 {
		twins.put(fmt.Sprintf("a/b/c/twin/f%02d.txt", i), file(300_000+i))
	}
	edit := func(p string) func(m model) {
		return func(m model) {
			it := m[p]
			it.leaves = []int{999_999}
			m[p] = it
		}
	}
	move := func(from, to string) func(m model) { return func(m model) { m.move(from, to) } }
	for _, c := range []struct {
		name             string
		m                model
		do               func(m model)
		listed, needless int
		reads            int // most calls of get
	}{
		{"nothing", deep, func(m model) {}, 0, 0, 0},
		{"edit", deep, edit("d42/f42.txt"), 3, 0, 6},
		{"edit, deep", deep, edit("a/b/c/d/e/folder/f42"), 8, 0, 16},
		{"edit in shards", flat, edit("all/f4242"), 4, 0, 9}, // the file's slot is in a shard below the root shard
		{"rename in shards", flat, move("all/f4242", "all/renamed"), 4, 0, 10},
		{"rename", deep, move("d42/f42.txt", "d42/renamed"), 2, 0, 4},
		{"move of a folder up", deep, move("a/b/c/d/e/folder", "folder"), 6, 0, 12},
		{"move of a folder down", deep, move("d42", "a/b/c/d/e/d42"), 6, 0, 12},
		{"move of a folder into a new one", deep, move("d42", "x/y/d42"), 3, 0, 10},
		{"rename of a folder", deep, move("d42", "renamed"), 1, 0, 2},
		{"rename of a folder and an edit in it", deep, func(m model) {
			m.move("d42", "renamed")
			edit("renamed/f42.txt")(m)
		}, 3, 0, 6},
		{"move of a folder out of one that goes", deep, func(m model) {
			m.move("a/b/c/d/e/folder", "folder")
			m.remove("a")
		}, 1, 0, 8},
		{"removal of a folder", deep, func(m model) { m.remove("d42") }, 1, 0, 2},
		{"removal of a folder, and a new file", deep, func(m model) {
			m.remove("d42")
			m.put("new", file(999_999))
		}, 2, 0, 10},
		{"swap of two folders", deep, func(m model) {
			m.move("d42", "x")
			m.move("d43", "d42")
			m.move("x", "d43")
		}, 1, 0, 2},
		{"swap of folders at different depths", deep, func(m model) {
			m.move("d42", "x")
			m.move("a/b/c/d/e/folder", "d42")
			m.move("x", "a/b/c/d/e/folder")
		}, 6, 0, 15},
		{"swap at different depths, the same names inside", twins, func(m model) {
			m.move("d42", "x")
			m.move("a/b/c/twin", "d42")
			m.move("x", "a/b/c/twin")
		}, 4, 0, 220},
		{"move of a folder of which half goes, as do others", deep, func(m model) {
			for i := range 20 {
				m.remove(fmt.Sprintf("d%02d", 11+i))
			}
			for i := range 60 {
				m.remove(fmt.Sprintf("d10/f%02d.txt", i))
			}
			m.move("d10", "a/d10")
		}, 3, 0, 13},
		{"new folder of ten files", deep, func(m model) {
			for i := range 10 {
				m.put(fmt.Sprint("fresh/", i), file(500_000+i))
			}
		}, 12, 0, 13},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newBlocks()
			n := c.m.clone()
			c.do(n)
			old, new := c.m.build(t, dag.DefaultProfile(), s), n.build(t, dag.DefaultProfile(), s)
			changes, needless := s.nodes(t, new, old)
			if len(changes) != c.listed || needless != c.needless || s.gets > c.reads {
				t.Errorf("%d listed, %d of them needless, %d reads; want %d, %d, at most %d",
					len(changes), needless, s.gets, c.listed, c.needless, c.reads)
			}
		})
	}
}

// TestNodesReadLittleOfAFile is the same for the nodes inside a large file.
func TestNodesReadLittleOfAFile(t *testing.T) {
	const gib = 4096 // leaves
	for _, c := range []struct {
		name          string
		edit          func(l []int) []int
		to            string // path
		listed, reads int
		unlike        int // nodes without a base
	}{
		{"overwritten", func(l []int) []int { l[1000] = -1; return l }, "dir/big", 5, 10, 0},
		{"inserted", func(l []int) []int { return slices.Insert(l, gib/3, -1, -2) }, "dir/big", 6, 14, 0},
		{"deleted", func(l []int) []int { return slices.Delete(l, 1000, 1500) }, "dir/big", 7, 30, 0},
		{"appended", func(l []int) []int { return append(l, -1) }, "dir/big", 5, 11, 0},
		{"renamed and touched", func(l []int) []int { return l }, "dir/new", 3, 7, 0},
		{"renamed and overwritten", func(l []int) []int { l[1000] = -1; return l }, "dir/new", 5, 11, 0},
		{"moved and overwritten", func(l []int) []int { l[1000] = -1; return l }, "new/big", 6, 12, 1},
		{"halves swapped", func(l []int) []int { return slices.Concat(l[gib/2:], l[:gib/2]) }, "dir/big", 12, 60, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newBlocks()
			m := with(map[string]item{"dir/big": file(seq(0, gib)...), "dir/more": file(-7), "dir/less": file(-8, -9)})
			n := m.clone()
			n.remove("dir/big")
			it := file(c.edit(seq(0, gib))...)
			it.mtime++
			n.put(c.to, it)
			old, new := m.build(t, dag.DefaultProfile(), s), n.build(t, dag.DefaultProfile(), s)
			changes, needless := s.nodes(t, new, old)
			based := 0
			for _, ch := range changes {
				if ch.Base.Defined() {
					based++
				}
			}
			if len(changes) > c.listed || needless > 0 || s.gets > c.reads || based != len(changes)-c.unlike {
				t.Errorf("%d listed, %d of them needless, %d with a base, %d reads; want at most %d, none, all but %d, at most %d",
					len(changes), needless, based, s.gets, c.listed, c.unlike, c.reads)
			}
		})
	}
}

// TestBasesOfNodes: an entry that changed has its old version as base.
func TestBasesOfNodes(t *testing.T) {
	m := bigTree()
	n := tenChanges(m)
	s := newBlocks()
	old, new := m.build(t, testProfile(), s), n.build(t, testProfile(), s)
	was := map[string]cid.Cid{}
	for _, e := range s.layout(t, old).Entries {
		was[e.Path] = e.Cid
	}
	got := map[cid.Cid]cid.Cid{}
	changes, _ := s.nodes(t, new, old)
	for _, c := range changes {
		got[c.Cid] = c.Base
	}
	checked := 0
	for _, e := range s.layout(t, new).Entries {
		o, ok := was[e.Path]
		if !ok || o == e.Cid {
			continue
		}
		checked++
		if got[e.Cid] != o {
			t.Errorf("%q has the base %s, want %s", e.Path, got[e.Cid], o)
		}
	}
	if checked < 10 {
		t.Errorf("only %d entries changed", checked)
	}
}

// TestBestBase: of several old revisions the most similar node is the base.
func TestBestBase(t *testing.T) {
	s := newBlocks()
	build := func(at int) (root cid.Cid, dir, big cid.Cid) {
		m := model{}
		for i := range 50 {
			m.put(fmt.Sprintf("dir/f%02d", i), file(1000*min(at, i)+i))
		}
		m["dir/big"] = file(slices.Concat(seq(0, 2000-at), seq(10_000, at))...)
		root = m.build(t, dag.DefaultProfile(), s)
		for _, e := range s.layout(t, root).Entries {
			switch e.Path {
			case "dir":
				dir = e.Cid
			case "dir/big":
				big = e.Cid
			}
		}
		return root, dir, big
	}
	far, _, _ := build(2)
	near, nearDir, nearBig := build(40)
	new, newDir, newBig := build(41)
	for _, olds := range [][]cid.Cid{{far, near}, {near, far}} {
		changes, _ := s.nodes(t, new, olds...)
		for _, c := range changes {
			if c.Cid == newDir && c.Base != nearDir || c.Cid == newBig && c.Base != nearBig {
				t.Errorf("%s has the base %s", c.Cid, c.Base)
			}
		}
	}
}

// TestSlotIsNoName: two entries in one slot of their shards have nothing to do with each other.
func TestSlotIsNoName(t *testing.T) {
	node := func(name string, n int) dag.Node {
		l := dag.Link{Name: name, Cid: blockstore.Sum(cid.DagProtobuf, fmt.Append(nil, n))}
		return dag.Node{Kind: dag.KindDir, Shard: true, Links: []dag.Link{l}, Slots: []byte{7}}
	}
	n := node("a", 1)
	for name, want := range map[string]bool{"a": true, "b": false, "": false} {
		if _, ok := inPlace(n, 0, node(name, 2)); ok != want {
			t.Errorf("a in the place of %q: %v", name, ok)
		}
	}
}

// TestShardsComeAndGo crosses the threshold between one node and a trie, both ways.
func TestShardsComeAndGo(t *testing.T) {
	small, large := model{}, model{}
	for i := range 500 {
		p, it := fmt.Sprintf("dir/f%03d", i), file(i)
		large.put(p, it)
		if i < 400 {
			small.put(p, it)
		}
	}
	p := dag.DefaultProfile()
	p.HAMTThreshold = 450 * (4 + 36)
	s := newBlocks()
	a, b := small.build(t, p, s), large.build(t, p, s)
	if _, needless := s.nodes(t, b, a); needless > 0 {
		t.Errorf("growing lists %d old nodes", needless)
	}
	if _, needless := s.nodes(t, a, b); needless > 0 {
		t.Errorf("shrinking lists %d old nodes", needless)
	}
	// One entry more or less makes a slot a shard or a shard a slot.
	for i := 450; i < 500; i++ {
		fewer := large.clone()
		fewer.remove(fmt.Sprintf("dir/f%03d", i))
		c := fewer.build(t, p, s)
		for _, pair := range [][2]cid.Cid{{b, c}, {c, b}} {
			if changes, needless := s.nodes(t, pair[1], pair[0]); needless > 0 || len(changes) > 6 || s.gets > 15 {
				t.Errorf("entry %d: %d nodes listed, %d of them old, %d reads", i, len(changes), needless, s.gets)
			}
		}
	}
}

func TestNodesErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := newBlocks()
	m := bigTree()
	old, new := m.build(t, dag.DefaultProfile(), s), tenChanges(m).build(t, dag.DefaultProfile(), s)
	lim := dag.DefaultLimits()
	call := func(get dag.Get, lim dag.Limits) error {
		_, err := Nodes(ctx, []cid.Cid{old}, new, get, lim)
		return err
	}
	lim.Nodes = 20
	if err := call(s.get, lim); !errors.Is(err, dag.ErrLimit) {
		t.Errorf("20 nodes: %v", err)
	}
	lim = dag.DefaultLimits()
	changes, _ := s.nodes(t, new, old)
	last := changes[len(changes)-1].Cid
	whole := s.m[last]
	s.m[last] = whole[1:]
	if err := call(s.get, lim); !errors.Is(err, blockstore.ErrCorrupt) {
		t.Errorf("corrupt: %v", err)
	}
	delete(s.m, last)
	if err := call(s.get, lim); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	s.m[last] = whole
	junk := blockstore.NewBlock(cid.DagProtobuf, []byte("junk"))
	s.m[junk.Cid()] = junk.Data()
	if _, err := Nodes(ctx, nil, junk.Cid(), s.get, lim); !errors.Is(err, dag.ErrMalformed) {
		t.Errorf("junk: %v", err)
	}
	cancel()
	if err := call(s.get, lim); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestHostileNodes: a DAG of few nodes with a great many paths is read once, and so is a chain.
func TestHostileNodes(t *testing.T) {
	s := newBlocks()
	p := dag.DefaultProfile()
	p.HAMTThreshold = 1 << 20
	link, err := dag.BuildFile(p, dag.Attr{}, leavesOf(1), s.emit)
	for range 200 {
		if err != nil {
			t.Fatal(err)
		}
		var kids []dag.Link
		for i := range 20 {
			l := link
			l.Name = fmt.Sprint(i)
			kids = append(kids, l)
		}
		link, err = dag.BuildDir(p, dag.Attr{}, kids[:2+link.Cid.Hash()[5]%2], s.emit)
		if errors.Is(err, dag.ErrLimit) || link.Tsize > 1<<50 {
			break
		}
	}
	old := with(map[string]item{"0": file(2)}).build(t, p, s)
	changes, _ := s.nodes(t, link.Cid, old)
	if s.gets > (2+tries)*len(changes)+2 || len(changes) < 30 {
		t.Errorf("%d listed, %d reads", len(changes), s.gets)
	}
}

func BenchmarkNodes(b *testing.B) {
	old, new, s := bigLayouts(b)
	for b.Loop() {
		changes, err := Nodes(context.Background(), []cid.Cid{old.Root}, new.Root, s.get, dag.DefaultLimits())
		if err != nil || len(changes) == 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.gets)/float64(b.N), "gets/op")
}
