package record

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"
)

// fork is a history in this shape, the heads' names in order of their revisions; d abandons x.
//
//	a - b - d
//	  \ c /
//	  \ x
type fork struct {
	sealed map[string][]byte
	ids    map[string]cid.Cid
}

func newFork(t testing.TB, w *world) fork {
	f := fork{map[string][]byte{"a": w.bundle.Heads[0]}, map[string]cid.Cid{"a": w.headCid}}
	one := InstanceKey([]byte("voter--1"))
	grow := func(name, store string, change func(*Head)) {
		b := w.child(t, func(h *Head) {
			h.Epoch.Instance = []byte("voter--" + store)
			h.Vector = Vector{one: 1}
			h.Vector[InstanceKey(h.Epoch.Instance)]++
			change(h)
		})
		_, o, err := openHead(b)
		if err != nil {
			t.Fatal(err)
		}
		f.sealed[name], f.ids[name] = b, o.id
	}
	grow("b", "1", func(*Head) {})
	grow("c", "2", func(*Head) {})
	grow("x", "3", func(*Head) {})
	grow("d", "1", func(h *Head) {
		h.Revision, h.Parents, h.Abandoned = 3, []cid.Cid{f.ids["b"], f.ids["c"]}, []cid.Cid{f.ids["x"]}
		h.Vector = Vector{one: 3, InstanceKey([]byte("voter--2")): 1, InstanceKey([]byte("voter--3")): 1}
	})
	return f
}

func (f fork) list(names ...string) (out [][]byte) {
	for _, n := range names {
		out = append(out, f.sealed[n])
	}
	return out
}

func TestOpenAncestors(t *testing.T) {
	w := newWorld(t)
	f := newFork(t, w)
	bundle := func(names ...string) Verified {
		return must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, f.list(names...)}))(t)
	}
	d := bundle("d")
	// A head by a stranger that another head names as its parent.
	alien := w.head
	alien.Epoch.Owner = w.stranger.id
	alienSealed := must(SealHead(alien, w.stranger.key))(t)
	_, o, err := openHead(alienSealed)
	if err != nil {
		t.Fatal(err)
	}
	onAlien := must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{w.child(t, func(h *Head) { h.Parents = []cid.Cid{o.id} })}}))(t)
	tests := map[string]struct {
		v      Verified
		sealed [][]byte
		good   int
		want   error
	}{
		"nothing":                    {d, nil, 0, nil},
		"one parent":                 {d, f.list("c"), 1, nil},
		"abandoned":                  {d, f.list("x"), 1, nil},
		"all":                        {d, f.list("b", "c", "x", "a"), 4, nil},
		"in another order":           {d, f.list("x", "a", "c", "b"), 4, nil},
		"through the abandoned":      {d, f.list("x", "a"), 2, nil},
		"of a frontier":              {bundle("b", "c"), f.list("a"), 1, nil},
		"of one of a frontier":       {bundle("d", "x"), f.list("b", "a"), 2, nil},
		"nobody names it yet":        {d, f.list("a", "b"), 0, ErrForged},
		"one of its ancestors twice": {d, f.list("b", "x", "a", "a"), 3, ErrMalformed},
		"one twice":                  {d, f.list("b", "b"), 1, ErrMalformed},
		"one that is there":          {bundle("d", "x"), f.list("x"), 0, ErrMalformed},
		"the head itself":            {d, f.list("d"), 0, ErrForged},
		"a sibling":                  {bundle("b"), f.list("c"), 0, ErrForged},
		"garbage":                    {d, append(f.list("b"), []byte("garbage")), 1, ErrMalformed},
		"a config":                   {d, w.bundle.Configs, 0, ErrForged},
		"a bit flipped":              {d, [][]byte{flip(f.sealed["b"])}, 0, ErrForged},
		"by a stranger":              {onAlien, [][]byte{alienSealed}, 0, ErrForged},
		"no head to begin at":        {bundle(), f.list("a"), 0, ErrForged},
		"a config that is missing":   {Verified{Set: w.set, Heads: d.Heads, HeadCids: d.HeadCids}, f.list("b"), 0, ErrNoConfig},
	}
	for name, test := range tests {
		heads, ids, err := OpenAncestors(test.v, test.sealed)
		if !errors.Is(err, test.want) || len(heads) != test.good || len(ids) != test.good {
			t.Errorf("%s: %d heads, %d CIDs, %v; want %d and %v", name, len(heads), len(ids), err, test.good, test.want)
		}
	}
}

// What a head says of its parents is held against them as soon as they come, in whatever order.
func TestOpenAncestorsHoldsThemAgainstTheirChildren(t *testing.T) {
	w := newWorld(t)
	f := newFork(t, w)
	one, two, three := InstanceKey([]byte("voter--1")), InstanceKey([]byte("voter--2")), InstanceKey([]byte("voter--3"))
	tests := map[string]struct {
		change func(*Head)
		sealed [][]byte
		good   int
	}{
		"forgets a parent":        {func(h *Head) { h.Vector = Vector{one: 3, three: 1} }, f.list("b", "c"), 1},
		"forgets what it drops":   {func(h *Head) { h.Vector = Vector{one: 3, two: 1} }, f.list("b", "c", "x"), 2},
		"revision jumps":          {func(h *Head) { h.Revision = 4 }, f.list("b", "c"), 1},
		"revision falls behind":   {func(h *Head) { h.Revision = 2 }, f.list("b", "c"), 0},
		"merges what nobody made": {func(h *Head) { w.merge(t)(h); h.Merge.Sides[1].Root = rootOf("x") }, f.list("b", "c"), 1},
	}
	for name, test := range tests {
		b := w.child(t, func(h *Head) {
			h.Revision, h.Parents, h.Abandoned = 3, []cid.Cid{f.ids["b"], f.ids["c"]}, []cid.Cid{f.ids["x"]}
			h.Vector = Vector{one: 3, two: 1, three: 1}
			test.change(h)
		})
		v := must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{b}}))(t)
		heads, _, err := OpenAncestors(v, test.sealed)
		if !errors.Is(err, ErrForged) || len(heads) != test.good {
			t.Errorf("%s: %d heads, %v; want %d and ErrForged", name, len(heads), err, test.good)
		}
	}
}

// In any order in which everything is named before it comes, a random history opens; in any other it stops at the
// first that is not.
func TestOpenAncestorsOrder(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		all := map[cid.Cid][]byte{}
		opened := map[cid.Cid]Head{w.headCid: w.head}
		ids := []cid.Cid{w.headCid}
		for i := range rapid.IntRange(1, 6).Draw(rt, "heads") {
			h := w.head
			h.Revision, h.Vector, h.Epoch.Instance = 1, Vector{}, []byte(fmt.Sprintf("voter--%d", i))
			named := rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 1, min(3, len(ids)), rapid.ID).Draw(rt, "named")
			parents := rapid.IntRange(1, len(named)).Draw(rt, "parents")
			h.Parents, h.Abandoned = named[:parents], named[parents:]
			for j, id := range named {
				if h.Vector = h.Vector.Merge(opened[id].Vector); j < parents {
					h.Revision = max(h.Revision, opened[id].Revision+1)
				}
			}
			h.Vector[InstanceKey(h.Epoch.Instance)]++
			b := must(SealHead(h, w.voter.key))(t)
			_, o, err := openHead(b)
			if err != nil {
				rt.Fatal(err)
			}
			all[o.id], opened[o.id] = b, h
			ids = append(ids, o.id)
		}
		all[w.headCid] = w.bundle.Heads[0]
		newest := ids[len(ids)-1]
		v := must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{all[newest]}}))(t)
		order := rapid.Permutation(ids[:len(ids)-1]).Draw(rt, "order")
		named := map[cid.Cid]bool{}
		name := func(id cid.Cid) {
			for _, p := range slices.Concat(opened[id].Parents, opened[id].Abandoned) {
				named[p] = true
			}
		}
		name(newest)
		good, sealed := -1, [][]byte(nil)
		for i, id := range order {
			if sealed = append(sealed, all[id]); good < 0 && !named[id] {
				good = i
			}
			name(id)
		}
		heads, got, err := OpenAncestors(v, sealed)
		if good < 0 {
			good = len(order)
		}
		if len(heads) != good || !slices.Equal(got, order[:good]) || (err == nil) != (good == len(order)) {
			rt.Fatalf("%d heads of %d, want %d, %v", len(heads), len(order), good, err)
		}
	})
}

func TestOpenHeads(t *testing.T) {
	w := newWorld(t)
	all, config := newHistory(t, w, 4)
	f := newFork(t, w)
	v := w.verified(t, config)
	// A frontier: neither chained nor of one config, and in no order.
	sealed := [][]byte{f.sealed["c"], all.sealed[3], f.sealed["x"]}
	heads, ids, err := OpenHeads(v, sealed)
	if err != nil || len(heads) != 3 || heads[1].ConfigVersion != 2 || !slices.Equal(ids, []cid.Cid{f.ids["c"], all.ids[3], f.ids["x"]}) {
		t.Errorf("%d heads, %v, %v", len(heads), ids, err)
	}
	old := must(VerifyBundle(w.set, w.bundle))(t)
	heads, _, err = OpenHeads(old, sealed)
	if !errors.Is(err, ErrNoConfig) || !errors.Is(err, ErrForged) || len(heads) != 1 {
		t.Errorf("under a newer config: %d heads, %v", len(heads), err)
	}
	for name, b := range map[string][]byte{"a bit flipped": flip(sealed[0]), "a proposal": w.head.Proposals[0]} {
		if _, _, err := OpenHeads(v, [][]byte{b}); !errors.Is(err, ErrForged) || errors.Is(err, ErrNoConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpenAncestors(f *testing.F) {
	w := newWorld(f)
	k := newFork(f, w)
	v := must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, k.list("d")}))(f)
	ours := k.list("a", "b", "c", "x", "d")
	f.Add(k.sealed["b"], k.sealed["a"])
	f.Add(k.sealed["x"], k.sealed["c"])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		given := [][]byte{a, b}
		heads, ids, err := OpenAncestors(v, given)
		if err != nil && !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		single, all, err := OpenHeads(v, given)
		if err != nil && !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if len(heads) > len(single) {
			t.Fatal("a head verifies among others, but not on its own")
		}
		for i := range single {
			if !slices.ContainsFunc(ours, func(b []byte) bool { return bytes.Equal(given[i], b) }) {
				t.Fatalf("head %d was accepted, but is not ours", i)
			}
		}
		if !slices.Equal(ids, all[:len(ids)]) {
			t.Fatalf("CIDs %v and %v", ids, all)
		}
	})
}
