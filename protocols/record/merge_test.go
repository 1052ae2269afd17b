package record

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// second is another proposal of w's writer than w.proposal.
func (w *world) second(t testing.TB) []byte {
	p := w.proposal
	p.Seq, p.Root, p.Base, p.From = 2, rootOf("two"), []cid.Cid{w.headCid}, rootOf("origin")
	return must(SealProposal(p, w.writer.key))(t)
}

// merge makes a head one that merges the second proposal with w.head.
func (w *world) merge(t testing.TB) func(*Head) {
	return func(h *Head) {
		h.Root, h.Proposals = rootOf("merged"), [][]byte{w.second(t)}
		h.Merge = &Merge{
			Bases: []cid.Cid{rootOf("origin")},
			Sides: []MergeSide{{rootOf("two"), "12D3KooW", 2}, {rootOf("one"), "abcdefgh", 1}},
			Files: 5, Entries: 7, Bytes: 11,
		}
	}
}

func TestTotals(t *testing.T) {
	w := newWorld(t)
	plain, _, err := OpenHead(w.bundle.Heads[0], w.config, w.configHash)
	merged, _, err2 := OpenHead(w.child(t, w.merge(t)), w.config, w.configHash)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	broken := plain
	broken.Proposals = [][]byte{[]byte("garbage")}
	for name, test := range map[string]struct {
		h    Head
		want [3]uint64
	}{"plain": {plain, [3]uint64{2, 3, 4}}, "merged": {merged, [3]uint64{5, 7, 11}}, "broken": {broken, [3]uint64{}}, "none": {Head{}, [3]uint64{}}} {
		if f, e, b := test.h.Totals(); [3]uint64{f, e, b} != test.want {
			t.Errorf("%s: %d files, %d entries, %d bytes, want %v", name, f, e, b, test.want)
		}
	}
	all, err := merged.Written()
	if err != nil || len(all) != 1 || all[0].Seq != 2 || !all[0].From.Equals(rootOf("origin")) || all[0].Writer != w.writer.id || plain.Merged() || !merged.Merged() {
		t.Errorf("written %+v, %v", all, err)
	}
	if _, err := broken.Written(); !errors.Is(err, ErrMalformed) {
		t.Errorf("written garbage: %v", err)
	}
}

func TestMergeRoundTrip(t *testing.T) {
	w := newWorld(t)
	roots := rapid.Custom(func(t *rapid.T) cid.Cid { return rootOf(rapid.String().Draw(t, "root")) })
	counter := rapid.Uint64Range(1, MaxCounter)
	sides := rapid.Custom(func(t *rapid.T) MergeSide {
		return MergeSide{roots.Draw(t, "side"), rapid.StringMatching(`[0-9A-Za-z]{1,16}`).Draw(t, "writer"), counter.Draw(t, "seq")}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := &Merge{
			Bases: rapid.SliceOfN(roots, 0, MaxBases).Draw(t, "bases"), Sides: rapid.SliceOfN(sides, 2, MaxSides).Draw(t, "sides"),
			Files: counter.Draw(t, "files"), Entries: counter.Draw(t, "entries"), Bytes: counter.Draw(t, "bytes"),
		}
		h := w.head
		h.Merge = m
		b, err := SealHead(h, w.voter.key)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := OpenHead(b, w.config, w.configHash)
		if err != nil || !got.Merge.Equal(m) || !slices.Equal(got.Merge.Bases, m.Bases) || !reflect.DeepEqual(got.Merge.Sides, m.Sides) {
			t.Fatalf("got %+v, %v\nwant %+v", got.Merge, err, m)
		}
	})
}

func TestMergeRefuses(t *testing.T) {
	w := newWorld(t)
	many := make([]cid.Cid, MaxSides+1)
	for i := range many {
		many[i] = rootOf(fmt.Sprint(i))
	}
	sides := func(n int) (out []MergeSide) {
		for _, c := range many[:n] {
			out = append(out, MergeSide{c, "w", 1})
		}
		return out
	}
	sealing := map[string]func(*Merge){
		"no side":             func(m *Merge) { m.Sides = nil },
		"one side":            func(m *Merge) { m.Sides = m.Sides[:1] },
		"18 sides":            func(m *Merge) { m.Sides = sides(MaxSides + 1) },
		"17 bases":            func(m *Merge) { m.Bases = many[:MaxBases+1] },
		"base undefined":      func(m *Merge) { m.Bases = []cid.Cid{cid.Undef} },
		"side undefined":      func(m *Merge) { m.Sides[0].Root = cid.Undef },
		"nameless writer":     func(m *Merge) { m.Sides[0].Writer = "" },
		"writer of 17":        func(m *Merge) { m.Sides[0].Writer = strings.Repeat("a", 17) },
		"writer with a slash": func(m *Merge) { m.Sides[1].Writer = "../x" },
		"writer in Greek":     func(m *Merge) { m.Sides[1].Writer = "αβγ" },
		"seq 0":               func(m *Merge) { m.Sides[1].Seq = 0 },
		"seq 2^64-1":          func(m *Merge) { m.Sides[1].Seq = math.MaxUint64 },
		"files 2^64-1":        func(m *Merge) { m.Files = math.MaxUint64 },
		"entries 2^53":        func(m *Merge) { m.Entries = MaxCounter + 1 },
		"bytes 2^53":          func(m *Merge) { m.Bytes = MaxCounter + 1 },
	}
	merged := w.head
	w.merge(t)(&merged)
	for name, change := range sealing {
		h := merged
		h.Merge = &Merge{Bases: slices.Clone(h.Merge.Bases), Sides: slices.Clone(h.Merge.Sides)}
		change(h.Merge)
		if _, err := SealHead(h, w.voter.key); !errors.Is(err, ErrMalformed) {
			t.Errorf("sealing, %s: %v, want ErrMalformed", name, err)
		}
	}
	opening := map[string]func(*recordpb.Head){
		"empty merge":      func(m *recordpb.Head) { m.Merge = &recordpb.Merge{} },
		"base is no CID":   func(m *recordpb.Head) { m.Merge.Bases[0] = []byte("x") },
		"root is no CID":   func(m *recordpb.Head) { m.Merge.Sides[0].Root = nil },
		"unknown field":    func(m *recordpb.Head) { m.Merge.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 1}) },
		"unknown in side":  func(m *recordpb.Head) { m.Merge.Sides[0].ProtoReflect().SetUnknown([]byte{0x98, 0x06, 1}) },
		"a side too many":  func(m *recordpb.Head) { m.Merge.Sides = slices.Repeat(m.Merge.Sides, 9) },
		"bases too many":   func(m *recordpb.Head) { m.Merge.Bases = slices.Repeat(m.Merge.Bases, 17) },
		"hostile writer":   func(m *recordpb.Head) { m.Merge.Sides[0].Writer = "a/b" },
		"total beyond int": func(m *recordpb.Head) { m.Merge.Bytes = 1 << 63 },
	}
	for name, change := range opening {
		m := must(merged.encode())(t)
		change(m)
		if _, _, err := OpenHead(must(seal(kindHead, m, w.voter.key))(t), w.config, w.configHash); !errors.Is(err, ErrMalformed) {
			t.Errorf("opening, %s: %v, want ErrMalformed", name, err)
		}
	}
}

// The largest merged head fits.
func TestFullMergeFits(t *testing.T) {
	w := newWorld(t)
	h := w.headWithVector(MaxVector)
	w.merge(t)(&h)
	h.Merge.Sides = slices.Repeat(h.Merge.Sides[:1], MaxSides)
	h.Merge.Bases = slices.Repeat(h.Merge.Bases, MaxBases)
	h.Revision = 2
	for i := range MaxParents {
		h.Parents = append(h.Parents, rootOf(fmt.Sprint(i)))
	}
	for i := range MaxAbandoned {
		h.Abandoned = append(h.Abandoned, rootOf(fmt.Sprint("abandoned ", i)))
	}
	h.Proposals = nil
	p := w.proposal
	p.Base, p.From, p.Note = h.Parents, rootOf("origin"), strings.Repeat("x", MaxNote)
	for i := range uint64(MaxProposals) {
		p.Seq = i + 1
		h.Proposals = append(h.Proposals, must(SealProposal(p, w.writer.key))(t))
	}
	b := must(SealHead(h, w.voter.key))(t)
	if _, _, err := OpenHead(b, w.config, w.configHash); err != nil {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	t.Logf("%d bytes, of which a merge of two without copies of proposals has %d", len(b), len(w.child(t, w.merge(t)))-len(w.child(t, func(*Head) {})))
}

func TestForgedMergeIsRefused(t *testing.T) {
	w := newWorld(t)
	both := [][]byte{w.head.Proposals[0], w.second(t)}
	p := w.proposal
	p.Seq, p.Root = 3, rootOf("two")
	again := must(SealProposal(p, w.writer.key))(t)
	borrowed := must(seal(kindProposal, must(p.encode())(t), w.voter.key))(t)
	tests := map[string]struct {
		change func(*Head)
		want   error
	}{
		"two proposals, no merge":       {func(h *Head) { h.Merge, h.Proposals = nil, both }, ErrForged},
		"two proposals, root of one":    {func(h *Head) { h.Merge, h.Proposals, h.Root = nil, both, rootOf("two") }, ErrForged},
		"two of one root, no merge":     {func(h *Head) { h.Merge, h.Root, h.Proposals = nil, rootOf("two"), [][]byte{both[1], again} }, ErrForged},
		"signed by another writer":      {func(h *Head) { h.Proposals = [][]byte{both[0], borrowed} }, ErrForged},
		"no merge, another's root":      {func(h *Head) { h.Merge = nil }, ErrForged},
		"no proposal":                   {func(h *Head) { h.Proposals = nil }, ErrMalformed},
		"17 proposals":                  {func(h *Head) { h.Proposals = slices.Repeat(both[:1], 17) }, ErrMalformed},
		"a proposal twice":              {func(h *Head) { h.Proposals = slices.Repeat(both[:1], 2) }, ErrMalformed},
		"garbage beside a good one":     {func(h *Head) { h.Proposals = [][]byte{both[0], []byte("garbage")} }, ErrMalformed},
		"proposal with a bad signature": {func(h *Head) { h.Proposals = [][]byte{both[0], flip(both[1])} }, ErrForged},
		"a side that nobody proposed":   {func(h *Head) { h.Merge.Sides[0].Root = rootOf("invented") }, ErrForged},
		"a side that is only a base":    {func(h *Head) { h.Merge.Sides[0].Root = rootOf("origin") }, ErrForged},
		"repeats another parent":        {func(h *Head) { h.Proposals = w.head.Proposals }, ErrForged},
		"both proposals":                {func(h *Head) { h.Proposals = both }, nil},
		"as it should be":               {func(*Head) {}, nil},
		"without a base":                {func(h *Head) { h.Merge.Bases = nil }, nil},
	}
	for name, test := range tests {
		h := w.head
		h.Revision, h.Parents, h.Vector = 2, []cid.Cid{w.headCid}, Vector{InstanceKey([]byte("voter--1")): 2}
		w.merge(t)(&h)
		test.change(&h)
		b, err := SealHead(h, w.voter.key)
		if err == nil {
			_, err = VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{w.bundle.Heads[0], b}})
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// A head that repeats a merge names the sides of its parent's parents, which nobody need have any more.
func TestRepeatedMerge(t *testing.T) {
	w := newWorld(t)
	merge := w.child(t, w.merge(t))
	_, o, err := openHead(merge)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Head)
		want   error
	}{
		"verbatim":             {func(*Head) {}, nil},
		"other totals":         {func(h *Head) { h.Merge.Files++ }, ErrForged},
		"other root":           {func(h *Head) { h.Root = rootOf("other") }, ErrForged},
		"other proposals":      {func(h *Head) { h.Proposals = w.head.Proposals }, ErrForged},
		"plain, with the root": {func(h *Head) { h.Merge = nil }, ErrForged},
	} {
		again := w.child(t, func(h *Head) {
			w.merge(t)(h)
			h.Epoch.N, h.Revision, h.Parents, h.Vector = 2, 3, []cid.Cid{o.id}, Vector{InstanceKey([]byte("voter--1")): 3}
			test.change(h)
		})
		_, err := VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{merge, again}})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// Only one of two parents is there: the other may have had the side.
	partial := w.child(t, func(h *Head) {
		w.merge(t)(h)
		h.Merge.Files++
		h.Revision, h.Parents, h.Vector = 3, []cid.Cid{o.id, rootOf("elsewhere")}, Vector{InstanceKey([]byte("voter--1")): 3}
	})
	if _, err := VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{merge, partial}}); err != nil {
		t.Errorf("with a parent that is not there: %v", err)
	}
}

// What a head abandons is named and covered, and does not count as a parent.
func TestAbandoned(t *testing.T) {
	w := newWorld(t)
	left := w.child(t, func(*Head) {})
	right := w.child(t, func(h *Head) {
		h.Vector = Vector{InstanceKey([]byte("voter--1")): 1, InstanceKey([]byte("voter--2")): 1}
		h.Epoch.Instance = []byte("voter--2")
	})
	_, l, err := openHead(left)
	_, r, err2 := openHead(right)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	all := Vector{InstanceKey([]byte("voter--1")): 3, InstanceKey([]byte("voter--2")): 1}
	for name, test := range map[string]struct {
		change func(*Head)
		want   error
	}{
		"the other of two":  {func(*Head) {}, nil},
		"not covered":       {func(h *Head) { h.Vector = Vector{InstanceKey([]byte("voter--1")): 3} }, ErrForged},
		"counts no parent":  {func(h *Head) { h.Abandoned = append(h.Abandoned, rootOf("gone")) }, nil},
		"all, from nothing": {func(h *Head) { h.Revision, h.Parents, h.Abandoned = 1, nil, []cid.Cid{l.id, r.id} }, nil},
		"revision of none":  {func(h *Head) { h.Parents, h.Abandoned = nil, []cid.Cid{l.id, r.id} }, ErrMalformed},
		"also a parent":     {func(h *Head) { h.Abandoned = []cid.Cid{l.id} }, ErrMalformed},
	} {
		h := w.head
		h.Revision, h.Parents, h.Abandoned, h.Vector = 3, []cid.Cid{l.id}, []cid.Cid{r.id}, all
		test.change(&h)
		b, err := SealHead(h, w.voter.key)
		if err == nil {
			_, err = VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, [][]byte{left, right, b}})
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if bytes.Equal(left, right) {
		t.Fatal("the sides are one head")
	}
}
