package merge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

func TestCopyName(t *testing.T) {
	long := strings.Repeat("n", 255)
	for _, c := range []struct{ name, want string }{
		{"report.pdf", "report.conflict-W1-7.pdf"},
		{"archive.tar.gz", "archive.tar.conflict-W1-7.gz"},
		{"Makefile", "Makefile.conflict-W1-7"},
		{".bashrc", ".bashrc.conflict-W1-7"},
		{"..x", "..x.conflict-W1-7"},
		{".config.json", ".config.conflict-W1-7.json"},
		{"dot.", "dot.conflict-W1-7."},
		{"No. 5 of the long ones", "No. 5 of the long ones.conflict-W1-7"},
		{"sixteen.23456789012345", "sixteen.conflict-W1-7.23456789012345"},
		{"more.234567890123456", "more.conflict-W1-7.234567890123456"},
		{"more.2345678901234567", "more.2345678901234567.conflict-W1-7"},
		{long, long[:255-14] + ".conflict-W1-7"},
		{long[:241], long[:241] + ".conflict-W1-7"},
		{long[:242], long[:241] + ".conflict-W1-7"},
		{long[:251] + ".ext", long[:251-14] + ".conflict-W1-7.ext"},
		{strings.Repeat("ü", 127), strings.Repeat("ü", 120) + ".conflict-W1-7"},
	} {
		if got := copyName(c.name, "W1", 7, 1); got != c.want {
			t.Errorf("copy of %q is %q, want %q", c.name, got, c.want)
		}
	}
	if got := copyName("a.b", "W1", 7, 12); got != "a.conflict-W1-7-12.b" {
		t.Errorf("number 12 is %q", got)
	}
}

func TestCopyNameIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 255, 255).Draw(t, "name")
		if dag.CheckName(name) != nil {
			t.Skip()
		}
		writer := rapid.StringMatching("[0-9A-Za-z]{1,16}").Draw(t, "writer")
		seq, number := rapid.Uint64().Draw(t, "seq"), rapid.IntRange(1, 1<<30).Draw(t, "number")
		got := copyName(name, writer, seq, number)
		if err := dag.CheckName(got); err != nil || !isWriter(writer) {
			t.Fatalf("%q: %v", got, err)
		}
		if !strings.HasPrefix(name, got[:strings.LastIndex(got, ".conflict-")]) || got == copyName(name, writer, seq, number+1) {
			t.Fatalf("%q is a copy of %q", got, name)
		}
	})
}

// TestLongNames: copies of names of 255 bytes that differ only where they are cut get numbers.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("n", 250)
	w := &world{blocks: blocks{}}
	base := model{}
	x, y := model{long + "1.txt": file(1), long + "2.txt": file(2)}, model{long + "1.txt": file(3), long + "2.txt": file(4)}
	sides := []Side{{x.lay(t, w.blocks), "A", 1}, {y.lay(t, w.blocks), "B", 1 << 60}}
	both, r := w.merged(t, base.lay(t, w.blocks), sides...)
	if len(r.Conflicts) != 2 {
		t.Fatalf("copies: %v", r.Conflicts)
	}
	for i, c := range r.Conflicts {
		e, _ := entryAt(both, c.Copy)
		if len(c.Copy) > 255 || !utf8.ValidString(c.Copy) || numberOf(both.Leaves[e.Leaves[0]]) != []int{4, 3}[i] { // "-2" sorts before ".txt"
			t.Errorf("copy %q has leaf %v", c.Copy, both.Leaves[e.Leaves[0]])
		}
	}
	if again, r := w.merged(t, base.lay(t, w.blocks), Side{both, "M", 1}, sides[1]); again.Root != both.Root || len(r.Conflicts) > 0 {
		t.Errorf("again: %v", r.Conflicts)
	}
}

func TestInvalid(t *testing.T) {
	lay := parse(t, "a=1").lay(t, blocks{})
	r, err := Merge(nil, Side{lay, "A", 1}, Side{parse(t, "b=1").lay(t, blocks{}), "B", 1})
	if err != nil {
		t.Fatal(err)
	}
	unbuilt := &dag.Layout{Entries: r.Entries, Leaves: r.Leaves}
	for name, c := range map[string]struct {
		base  *dag.Layout
		sides []Side
	}{
		"no side":         {lay, nil},
		"no layout":       {lay, []Side{{nil, "A", 1}}},
		"empty layout":    {nil, []Side{{&dag.Layout{}, "A", 1}}},
		"empty base":      {&dag.Layout{}, []Side{{lay, "A", 1}}},
		"a result":        {nil, []Side{{unbuilt, "A", 1}}},
		"a result's base": {unbuilt, []Side{{lay, "A", 1}}},
		"writer":          {nil, []Side{{lay, "A/../B", 1}}},
		"no writer":       {nil, []Side{{lay, "", 1}}},
		"long writer":     {nil, []Side{{lay, strings.Repeat("A", 17), 1}}},
	} {
		if _, err := Merge(c.base, c.sides...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Build(testProfile(), Result{}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("build of nothing: %v", err)
	}
	stop := errors.New("stop")
	if _, err := Build(testProfile(), r, func(blockstore.Block) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
}

// TestLimits: what two revisions are together may be too much.
func TestLimits(t *testing.T) {
	lay := parse(t, "a/b/c=1 d=2").lay(t, blocks{}) // 5 entries, 1001 + 1002 bytes, paths of 10 bytes
	ok := dag.Limits{Depth: 3, Entries: 5, Bytes: 2003}
	root := newSource(lay, 0).root()
	if _, err := flatten(root, ok); err != nil {
		t.Fatal(err)
	}
	for _, lim := range []dag.Limits{{Depth: 2, Entries: 5, Bytes: 2003}, {Depth: 3, Entries: 4, Bytes: 2003}, {Depth: 3, Entries: 5, Bytes: 2002}} {
		if _, err := flatten(root, lim); !errors.Is(err, dag.ErrLimit) {
			t.Errorf("%+v: %v", lim, err)
		}
	}
	deep := model{}
	deep.put(strings.Repeat(strings.Repeat("n", 200)+"/", 6)+"a", file(1)) // 1206 bytes, and 3200 for the folders above
	if _, err := flatten(newSource(deep.lay(t, blocks{}), 0).root(), dag.Limits{Depth: 9, Entries: 8, Bytes: 2000}); !errors.Is(err, dag.ErrLimit) {
		t.Errorf("long paths: %v", err)
	}
	far := strings.Repeat("d/", 40)
	sides := []Side{
		{parse(t, "x/"+far+"e/a=1").lay(t, blocks{}), "A", 1},
		{parse(t, "e/a=1 e/"+far+"b=2").lay(t, blocks{}), "B", 1},
	}
	if _, err := Merge(parse(t, "e/a=1").lay(t, blocks{}), sides...); !errors.Is(err, dag.ErrLimit) {
		t.Errorf("deep folder moved deep: %v", err)
	}
}

// TestLeafSizes: sides that disagree on a leaf would make a root that nobody can read.
func TestLeafSizes(t *testing.T) {
	a, b := parse(t, "a=1").lay(t, blocks{}), parse(t, "b=1,2").lay(t, blocks{})
	b.Leaves[0].Size++
	if _, err := Merge(nil, Side{a, "A", 1}, Side{b, "B", 1}); !errors.Is(err, dag.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestEmitsWhatIsNew: nodes of the sides are not made again.
func TestEmitsWhatIsNew(t *testing.T) {
	for _, c := range []struct {
		base, x, y string
		want       int
	}{
		{"a=1 d/b=2", "a=1 d/b=2", "a=1 d/b=2", 0},
		{"a=1 d/b=2", "a=1 d/b=3", "a=1 d/b=2", 0},
		{"a=1 d/b=2", "a=1 d/b=2", "a=1 d/b=2 d/c=4", 0},
		{"a=1 d/b=2", "a=3 d/b=2", "a=1 d/b=2 d/c=4", 1},
		{"a=1 d/e/b=2 d/f/b=1", "a=1 d/e/b=3 d/f/b=1", "a=1 d/e/b=4 d/f/b=1", 3},
	} {
		s := blocks{}
		r, err := Merge(parse(t, c.base).lay(t, s), Side{parse(t, c.x).lay(t, s), "A", 1}, Side{parse(t, c.y).lay(t, s), "B", 1})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if _, err := Build(testProfile(), r, func(blockstore.Block) error { n++; return nil }); err != nil || n != c.want {
			t.Errorf("%s, %s on %s: %d nodes, %v; want %d", c.x, c.y, c.base, n, err, c.want)
		}
	}
}

// TestForeignShapes: files and folders of a side that our profile would build otherwise are made anew, so that the
// root can be read and is the same for everybody.
func TestForeignShapes(t *testing.T) {
	foreign := testProfile()
	foreign.FanMin, foreign.FanAvg, foreign.FanMax, foreign.HAMTThreshold = 3, 5, 6, 40
	for _, meta := range []dag.Meta{dag.MetaNone, dag.MetaMode, dag.MetaModeMtime} {
		t.Run(string(meta), func(t *testing.T) {
			s := blocks{}
			foreign.Meta = meta
			text := "big=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 d/one=17 d/two=18 d/none= l->x"
			x := s.layout(t, parse(t, text).build(t, foreign, s))
			p := testProfile()
			p.Meta = meta
			y := s.layout(t, parse(t, text+" new=19").build(t, p, s))
			own := s.layout(t, parse(t, text).build(t, p, s))
			if x.Root == own.Root {
				t.Fatal("the foreign shape is our own")
			}
			for _, sides := range [][]Side{{{x, "A", 1}, {y, "B", 1}}, {{y, "A", 1}, {x, "B", 1}}} {
				r, err := Merge(own, sides...)
				if err != nil || len(r.Conflicts) > 0 {
					t.Fatal(err, r.Conflicts)
				}
				root, err := Build(p, r, s.emit)
				if err != nil || root.Cid != y.Root {
					t.Errorf("root %s, %v; want %s", root.Cid, err, y.Root)
				}
				s.layout(t, root.Cid)
			}
		})
	}
}

// TestSeveralAncestors: the merge of two ancestors is the base of a further merge.
func TestSeveralAncestors(t *testing.T) {
	w := &world{blocks: blocks{}}
	lay := func(s string) *dag.Layout { return parse(t, s).lay(t, w.blocks) }
	base, _ := w.merged(t, lay("a=1 b=1 c=1"), Side{lay("a=2 b=1 c=1"), "A", 1}, Side{lay("a=1 b=2 c=1"), "B", 1})
	got, r := w.merged(t, base, Side{lay("a=2 b=2 c=3"), "A", 2}, Side{lay("a=2 b=2 c=1 d=1"), "B", 2})
	if text(got) != "a=2 b=2 c=3 d=1" || len(r.Conflicts) > 0 {
		t.Errorf("got %s, %v", text(got), r.Conflicts)
	}
}

// TestRootIsPinned: nodes of different versions must come to the same root, so whoever changes a rule, or what
// diff.Compare takes for a rename, changes the format.
func TestRootIsPinned(t *testing.T) {
	s, p := blocks{}, dag.DefaultProfile()
	lay := func(text string) *dag.Layout { return s.layout(t, parse(t, text).build(t, p, s)) }
	r, err := Merge(lay("a.txt=1 d/b=2 d/c=3 e->x g/h=4 i=5 k=6"),
		Side{lay("a.txt=7 m/b=2 m/c=3 e->y g=8 i=9 k=6!600"), "AAAAAAAA", 12},
		Side{lay("a.txt=10 d/b=11 d/c=3 d/n=12 e->z g/h=13 k=6!700"), "BBBBBBBB", 34},
		Side{lay("a.txt=14 d/b=15 d/c=3 e->x g/h=4 i=16 k=6"), "CCCCCCCC", 56})
	if err != nil {
		t.Fatal(err)
	}
	root, err := Build(p, r, s.emit)
	if err != nil {
		t.Fatal(err)
	}
	const entries = "a.conflict-BBBBBBBB-34.txt=10 a.conflict-CCCCCCCC-56.txt=14 a.txt=7 e->y e.conflict-BBBBBBBB-34->z g/h=13 " +
		"g.conflict-AAAAAAAA-12=8 i=9 i.conflict-CCCCCCCC-56=16 k=6!600 m/b=11 m/b.conflict-CCCCCCCC-56=15 m/c=3 m/n=12"
	if got := text(s.layout(t, root.Cid)); got != entries {
		t.Errorf("got  %s\nwant %s", got, entries)
	}
	if got := root.Cid.String(); got != "bafybeidzwxtzwqpl3d3qulm37yqve533xu7nx3pagvsmx6qq6vm436r43a" {
		t.Errorf("root %s", got)
	}
}

// TestManyFiles: sides of 20,000 files in folders above the threshold, each with changes of its own.
func TestManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	base, x, y, want := model{}, model{}, model{}, model{}
	for i := range 20_000 {
		p := fmt.Sprintf("d%02d/f%05d.txt", i/2000, i)
		for _, m := range []model{base, x, y, want} {
			m.put(p, file(i))
		}
		switch i % 100 {
		case 0:
			x[p], want[p] = file(i, 1), file(i, 1)
		case 1:
			y[p], want[p] = file(i, 2), file(i, 2)
		case 2:
			x[p], y[p], want[p] = file(i, 3), file(i, 4), file(i, 3)
			want[strings.TrimSuffix(p, ".txt")+".conflict-B-2.txt"] = file(i, 4)
		case 3:
			delete(x, p)
			delete(want, p)
		}
	}
	w := &world{blocks: blocks{}}
	got, r := w.merged(t, base.lay(t, w.blocks), Side{x.lay(t, w.blocks), "A", 1}, Side{y.lay(t, w.blocks), "B", 2})
	if wanted := want.lay(t, w.blocks); got.Root != wanted.Root || len(r.Conflicts) != 200 {
		t.Errorf("root %s, want %s; %d copies", got.Root, wanted.Root, len(r.Conflicts))
	}
}

// BenchmarkMerge merges two sides of 100,000 files that differ from the base in 100 each.
func BenchmarkMerge(b *testing.B) {
	s := blocks{}
	base, x, y := model{}, model{}, model{}
	for i := range 100_000 {
		p := fmt.Sprintf("d%02d/f%05d.txt", i/1000, i)
		base.put(p, file(i))
		x.put(p, file(i+i%1000/999))
		y.put(p, file(i+i%1000/998))
	}
	p := dag.DefaultProfile()
	lays := [3]*dag.Layout{}
	for i, m := range []model{base, x, y} {
		lays[i] = s.layout(b, m.build(b, p, s))
	}
	var r Result
	b.Run("merge", func(b *testing.B) {
		for b.Loop() {
			var err error
			if r, err = Merge(lays[0], Side{lays[1], "A", 1}, Side{lays[2], "B", 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("build", func(b *testing.B) {
		var root cid.Cid
		for b.Loop() {
			l, err := Build(p, r, func(blockstore.Block) error { return nil })
			if err != nil || root.Defined() && root != l.Cid {
				b.Fatal(l, err)
			}
			root = l.Cid
		}
	})
}
