package delta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the server holds decides how a change travels; in every case the client ends up with the revision.
func TestWaysOfAChange(t *testing.T) {
	old := files{"a/big": random(1, 3<<20), "b/other": random(2, 100<<10), "gone": random(3, 10<<10)}
	new := files{"a/big": overwrite(old["a/big"], 1<<20, 4096, 9), "b/moved": old["b/other"], "fresh": random(4, 5000)}
	unknown := blockstore.Sum(cid.DagProtobuf, []byte("unknown root"))
	tests := map[string]struct {
		have   []cid.Cid // "old root" is put behind
		noHave bool
		push   int64
		lose   bool // the server's old leaves
		want   puller
	}{
		"all at once":           {push: MaxPush, want: puller{nodes: 5, pushed: 2, whole: 1}},
		"unknown root, old one": {have: []cid.Cid{unknown}, push: MaxPush, want: puller{nodes: 5, pushed: 2, whole: 1}},
		"no push":               {want: puller{nodes: 5, asked: 2, whole: 2}},
		"edited in place":       {push: MaxPush, lose: true, want: puller{nodes: 5, pushed: 1, noBase: 1, asked: 1, whole: 1}},
		"budget for a small":    {push: 6000, want: puller{nodes: 5, pushed: 1, asked: 1, whole: 1}},
		"no have-root":          {noHave: true, push: MaxPush, want: puller{nodes: 6, pushed: 21, whole: 21}},
		"only unknown roots":    {noHave: true, have: []cid.Cid{unknown, unknown}, want: puller{nodes: 6, asked: 2, whole: 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
				a := build(t, old, w.src, w.mine)
				b := build(t, new, w.src)
				if test.lose {
					_, bases := newLeaves(t, w.src, a, b)
					w.src.lose(blockstore.ErrNotFound, bases...)
				}
				base := a
				if test.noHave {
					base = cid.Undef
				} else {
					test.have = append(test.have, a)
				}
				s := w.session(t, ctx, Request{Want: b, Have: test.have, Push: test.push})
				defer s.Close()
				if s.Base() != base {
					t.Errorf("base %s, want %s", s.Base(), base)
				}
				p := newPuller(t, w.mine, b)
				if err := p.pull(ctx, s); err != nil {
					t.Fatal(err)
				}
				complete(t, w.mine, b)
				got := *p
				got.mine, got.codec, got.want = nil, nil, cid.Undef
				if got != test.want {
					t.Errorf("got %+v\nwant %+v", got, test.want)
				}
			})
		})
	}
}

// unasked is everything up to EndPush; patches are copied.
func unasked(t testing.TB, s *Session) (items []Item) {
	t.Helper()
	for {
		i := must(s.Next())(t)
		i.Patch = bytes.Clone(i.Patch)
		if items = append(items, i); i.Kind == EndPush {
			return items
		}
	}
}

// many is n files of 1 to 16 KiB, each with its own content.
func many(n int, seed byte) files {
	f := files{}
	for i := range n {
		size := 1<<10 + i*7919%(15<<10)
		f[fmt.Sprintf("dir%02d/file%04d", i%10, i)] = random(seed, 20<<10)[i%4000:][:size]
	}
	return f
}

// Leaves whose base is not there are named before any patch of their window, so that the client signs while
// the server encodes.
func TestNoBaseComesFirst(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		old, new := many(100, 1), many(100, 1)
		for name, data := range new {
			new[name] = overwrite(data, 100, 50, 7)
		}
		a, b := build(t, old, w.src, w.mine), build(t, new, w.src)
		_, bases := newLeaves(t, w.src, a, b)
		for i := range 50 {
			w.src.lose([]error{blockstore.ErrNotFound, blockstore.ErrCorrupt}[i%2], bases[2*i])
		}
		s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}, Push: MaxPush})
		defer s.Close()
		var order []wire.Code
		for _, i := range unasked(t, s) {
			if i.Kind != Leaf {
				continue
			}
			order = append(order, i.Code)
			if len(i.Bases) != 1 || i.Size == 0 || (i.Code == wire.OK) == (i.Length == 0) {
				t.Errorf("%+v", i)
			}
		}
		want := slices.Concat(
			slices.Repeat([]wire.Code{wire.NoBase}, 32), slices.Repeat([]wire.Code{wire.OK}, 32),
			slices.Repeat([]wire.Code{wire.NoBase}, 18), slices.Repeat([]wire.Code{wire.OK}, 18))
		if !slices.Equal(order, want) {
			t.Errorf("codes %v", order)
		}
	})
}

// Whatever is edited and whatever the server has lost, the client gets the revision, and a push keeps its budget.
func TestRandomEdits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		number := func(most int, name string) int { return rapid.IntRange(0, most).Draw(rt, name) }
		old, new := files{}, files{}
		for i := range 1 + number(2, "files") {
			name, data := fmt.Sprint("d/", i), random(byte(i), number(400<<10, "size"))
			old[name], new[name] = data, data
			for range number(3, "edits") {
				at := number(len(data), "at")
				cut := min(number(100<<10, "cut"), len(data)-at)
				data = slices.Concat(data[:at], random(byte(number(255, "seed")), number(100<<10, "insert")), data[at+cut:])
				new[name] = data
			}
		}
		if rapid.Bool().Draw(rt, "move") {
			new["e/moved"], new["d/0"] = new["d/0"], nil
		}
		push := int64(number(600<<10, "push"))
		lost := rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(rt, "lost")
		inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
			a, b := build(t, old, w.src, w.mine), build(t, new, w.src)
			leaves, bases := newLeaves(t, w.src, a, b)
			for i, c := range bases {
				if lost[i%len(lost)] && !slices.Contains(leaves, c) {
					w.src.lose(blockstore.ErrNotFound, c)
				}
			}
			s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}, Push: push})
			defer s.Close()
			p := newPuller(t, w.mine, b)
			if err := p.pull(ctx, s); err != nil {
				t.Fatal(err) // also if the server had sent more than the budget
			}
			complete(t, w.mine, b)
			if push == 0 && p.pushed+p.noBase > 0 {
				t.Errorf("%d leaves pushed without a budget", p.pushed+p.noBase)
			}
		})
	})
}

// A dry session tells the lengths that a real one has.
func TestDry(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		old, new := many(30, 1), many(30, 1)
		for name, data := range new {
			new[name] = overwrite(data, 0, 700, 7)
		}
		new["fresh"] = random(8, 300<<10)
		a, b := build(t, old, w.src), build(t, new, w.src)
		const push = 40 << 10 // not enough for all
		sent := 0
		read := func(dry bool) (items []Item) {
			s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}, Push: push, Dry: dry})
			defer s.Close()
			items = unasked(t, s)
			leaves, bases := newLeaves(t, w.src, a, b)
			lay := must(reader{w.src}.Layout(ctx, b))(t)
			for _, l := range lay.Leaves {
				if l.Cid == leaves[len(leaves)-1] {
					ask := Ask{Cid: l.Cid, Size: int(l.Size), Bases: bases[:1]}
					if err := s.Ask(ask); err != nil {
						t.Fatal(err)
					}
				}
			}
			return append(items, must(s.Next())(t))
		}
		wet, dry := read(false), read(true)
		if len(wet) != len(dry) {
			t.Fatalf("%d items, dry %d", len(wet), len(dry))
		}
		for i := range wet {
			a, b := wet[i], dry[i]
			if a.Kind == Leaf {
				if sent += len(b.Patch); len(b.Patch) != 1 {
					t.Errorf("dry patch of %d bytes", len(b.Patch))
				}
				if a.NeedsBase() != b.NeedsBase() {
					t.Errorf("item %d needs its base: %v, dry %v", i, a.NeedsBase(), b.NeedsBase())
				}
				if _, err := b.Apply(newPuller(t, w.mine, a.Cid).codec, nil); !errors.Is(err, blockstore.ErrInvalid) {
					t.Errorf("dry patch applied: %v", err)
				}
				a.Patch, b.Patch = nil, nil
			}
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("item %d:\n%v, dry\n%v", i, a, b)
			}
		}
		if sent < 20 {
			t.Errorf("only %d leaves", sent)
		}
	})
}

// Nodes leave before the new revision is laid out and compared.
func TestNodesDoNotWaitForLeaves(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b := build(t, many(20, 1), w.src), build(t, many(20, 2), w.src)
		compare := make(chan struct{})
		w.src.look = func(root cid.Cid) {
			if root == b {
				<-compare
			}
		}
		s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}, Push: MaxPush})
		defer s.Close()
		for must(s.Next())(t).Kind != EndNodes {
		}
		close(compare)
		if i := must(s.Next())(t); i.Kind != Leaf {
			t.Errorf("%+v", i)
		}
	})
}

// Without a have-root nothing is compared: the first node comes while the others are still to be read.
func TestWholeTreeIsStreamed(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, many(200, 1), w.src)
		w.src.slow = 20 * time.Millisecond
		begin := time.Now()
		s := w.session(t, ctx, Request{Want: b})
		defer s.Close()
		must(s.Next())(t)
		first := time.Since(begin)
		unasked(t, s)
		if all := time.Since(begin); first > all/20 {
			t.Errorf("the first node came after %v of %v", first, all)
		}
	})
}

// What the server cannot read has its code, and the session goes on.
func TestFailuresOfTheSource(t *testing.T) {
	old := files{"x": random(1, 2000), "y": random(2, 2000)}
	new := files{"x": overwrite(old["x"], 5, 5, 3), "y": overwrite(old["y"], 5, 5, 3)}
	unknown := blockstore.Sum(cid.DagProtobuf, []byte("unknown root"))
	tests := map[string]struct {
		err  error
		base bool // of the first leaf, else the leaf itself
		leaf wire.Code
		root error // of the want root
		want cid.Cid
		ends wire.Code
	}{
		"target not there":  {err: blockstore.ErrNotFound, leaf: wire.NotFound},
		"target damaged":    {err: blockstore.ErrCorrupt, leaf: wire.Corrupt},
		"disk fails":        {err: errDisk, leaf: wire.Internal},
		"base damaged":      {err: blockstore.ErrCorrupt, base: true, leaf: wire.NoBase},
		"base, disk fails":  {err: errDisk, base: true, leaf: wire.Internal},
		"unknown want root": {want: unknown, ends: wire.NotFound},
		"want root damaged": {root: blockstore.ErrCorrupt, ends: wire.Corrupt},
		"want root fails":   {root: errDisk, ends: wire.Internal},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
				a, b := build(t, old, w.src), build(t, new, w.src)
				leaves, bases := newLeaves(t, w.src, a, b)
				if test.base {
					leaves = bases
				}
				if test.err != nil {
					w.src.lose(test.err, leaves[0])
				}
				if test.root != nil {
					w.src.lose(test.root, b)
				}
				if test.want.Defined() {
					b = test.want
				}
				s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}, Push: MaxPush})
				defer s.Close()
				var codes, want []wire.Code
				for _, i := range unasked(t, s) {
					codes = append(codes, i.Code)
				}
				if test.ends == wire.OK { // root, two files, end, two leaves, end
					want = []wire.Code{0, 0, 0, 0, test.leaf, 0, 0}
				} else {
					want = []wire.Code{test.ends, test.ends}
				}
				if !slices.Equal(codes, want) {
					t.Errorf("codes %v, want %v", codes, want)
				}
				w.src.lose(nil, leaves[0])
				if err := s.Ask(Ask{Cid: leaves[0], Size: 2000}); err != nil {
					t.Fatal(err)
				}
				if i := must(s.Next())(t); i.Code != wire.OK {
					t.Errorf("asked for afterwards: %+v", i)
				}
			})
		})
	}
}

// An old node that goes away after the comparison is done without.
func TestBaseOfANodeVanishes(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b := build(t, many(20, 1), w.src, w.mine), build(t, many(20, 2), w.src)
		w.src.lose(blockstore.ErrNotFound, a)
		w.src.left[a] = 2 // laid out, compared
		s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}})
		defer s.Close()
		i := must(s.Next())(t)
		if i.Kind != Node || i.Cid != b || len(i.Bases) > 0 || i.NeedsBase() {
			t.Errorf("%+v", i)
		}
		if got, err := i.Apply(newPuller(t, w.mine, b).codec, nil); err != nil || got.Cid() != b {
			t.Error(err)
		}
	})
}

// Who has the want root already, or a have-root that is no revision, costs a few bytes.
func TestNothingToDo(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a := build(t, many(20, 1), w.src)
		s := w.session(t, ctx, Request{Want: a, Have: []cid.Cid{a}, Push: MaxPush})
		defer s.Close()
		if items := unasked(t, s); len(items) != 2 || items[0].Code != wire.OK || items[1].Code != wire.OK {
			t.Errorf("%+v", items)
		}
		file := must(reader{w.src}.Layout(ctx, a))(t).Entries[2].Cid // the root of a file
		s = w.session(t, ctx, Request{Want: a, Have: []cid.Cid{file}})
		defer s.Close()
		if s.Base().Defined() {
			t.Error("a file is no have-root")
		}
	})
}

// Bases that a codec would not take joined are left out, from behind, and none comes twice.
func TestBasesFitTheCodec(t *testing.T) {
	lay := &dag.Layout{}
	var want []cid.Cid
	for i := range 4 {
		l := blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, []byte{byte(i)}), Size: 1 << 20}
		lay.Leaves, want = append(lay.Leaves, l), append(want, l.Cid)
	}
	leaves := []uint32{0, 1, 1, 2, 3}
	if got := basesOf(lay, leaves, []int{0, 1, 2, 3, 4}); !slices.Equal(got, want) {
		t.Errorf("4 MiB: %d bases", len(got))
	}
	lay.Leaves[2].Size++
	if got := basesOf(lay, leaves, []int{0, 1, 3, 4}); !slices.Equal(got, want[:3]) {
		t.Errorf("one byte more: %d bases", len(got))
	}
}
