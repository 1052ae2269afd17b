package election

import (
	"testing"

	"pgregory.net/rapid"
)

// drawHeads makes a random history of a few stores: each head is on top of some before it.
func drawHeads(t *rapid.T) []*Head {
	var all []*Head
	seq := map[string]uint64{}
	for range rapid.IntRange(1, 12).Draw(t, "heads") {
		owner := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "owner")
		var on []*Head
		for _, x := range all {
			if x.Epoch.Owner == all[0].Epoch.Owner && string(x.Epoch.Owner) == owner || rapid.Bool().Draw(t, "on") {
				on = append(on, x)
			}
		}
		for _, x := range all { // one's own heads are always below
			if string(x.Epoch.Owner) == owner {
				on = append(on, x)
			}
		}
		seq[owner]++
		all = append(all, head(epoch(1, 1, owner), seq[owner], on...))
	}
	return all
}

func TestFrontierLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawHeads(t)
		order := rapid.Permutation(all).Draw(t, "order")
		var f, g Frontier
		for _, x := range all {
			f = f.Add(x)
		}
		for _, x := range order {
			before := g
			g = g.Add(x)
			if !g.Covers(x) || !g.CoversAll(before) {
				t.Fatal("a frontier never shrinks")
			}
		}
		if !f.Equal(g) {
			t.Fatal("the order of arrival matters")
		}
		for i, x := range f {
			for j, y := range f {
				if i != j && x.Covers(y) {
					t.Fatal("one covers another")
				}
			}
			if i > 0 && compareIDs(f[i-1], x) >= 0 {
				t.Fatal("not in order")
			}
		}
		down := f.Down()
		for _, x := range all { // the dumb way: a head is covered if the union of vectors covers its own
			if !down.Covers(x.Vector) || !f.Covers(x) {
				t.Fatal("lost one")
			}
			for _, y := range all {
				if x.Covers(y) != x.Vector.Covers(y.Vector) {
					t.Fatal("a number says more than a vector")
				}
			}
		}
	})
}
