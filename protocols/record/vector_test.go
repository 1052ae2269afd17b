package record

import (
	"maps"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"
)

func drawVector(t *rapid.T, label string) Vector {
	// Few instances and small numbers, so that vectors meet.
	return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.Uint64Range(1, 3), 0, 3).Draw(t, label)
}

func TestVectorLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := Vector(drawVector(t, "a")), Vector(drawVector(t, "b")), Vector(drawVector(t, "c"))
		ab := a.Merge(b)
		if !ab.Covers(a) || !ab.Covers(b) {
			t.Fatal("a merge covers both")
		}
		if ab.Compare(b.Merge(a)) != Equal || ab.Merge(c).Compare(a.Merge(b.Merge(c))) != Equal || a.Merge(a).Compare(a) != Equal {
			t.Fatal("merge commutes, associates, is idempotent")
		}
		if c.Covers(a) && c.Covers(b) && !c.Covers(ab) {
			t.Fatal("a merge is the least that covers both")
		}
		if a.Covers(b) && b.Covers(c) && !a.Covers(c) {
			t.Fatal("covering is transitive")
		}
		mirror := map[Order]Order{Equal: Equal, Before: After, After: Before, Concurrent: Concurrent}
		if b.Compare(a) != mirror[a.Compare(b)] {
			t.Fatal("compare mirrors")
		}
		if (a.Compare(b) == Equal) != maps.Equal(a, b) {
			t.Fatal("equal means equal")
		}
		before := maps.Clone(a)
		a.Merge(b)
		if !maps.Equal(a, before) {
			t.Fatal("merge leaves its receiver alone")
		}
	})
}

func TestEpochOrderIsTotal(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) Epoch {
		return Epoch{
			ConfigVersion: rapid.Uint64Range(1, 2).Draw(t, "cv"), N: rapid.Uint64Range(1, 2).Draw(t, "n"),
			Owner:    peer.ID(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "owner")),
			Instance: []byte(rapid.SampledFrom([]string{"p", "q"}).Draw(t, "instance")),
		}
	})
	same := func(a, b Epoch) bool {
		return a.ConfigVersion == b.ConfigVersion && a.N == b.N && a.Owner == b.Owner && string(a.Instance) == string(b.Instance)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := draw.Draw(t, "a"), draw.Draw(t, "b"), draw.Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != same(a, b) {
			t.Fatal("antisymmetric, and equal means equal")
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatal("transitive")
		}
	})
	// What comes first in the order weighs most.
	low := Epoch{ConfigVersion: 1, N: 9, Owner: "z", Instance: []byte("z")}
	if low.Compare(Epoch{ConfigVersion: 2, N: 1, Owner: "a", Instance: []byte("a")}) >= 0 {
		t.Error("a newer config wins over any number")
	}
	if (Epoch{N: 1, Owner: "z"}).Compare(Epoch{N: 2, Owner: "a"}) >= 0 {
		t.Error("a higher number wins over any owner")
	}
}
