package replica

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// line makes heads for tests of what they include: each with one proposal of a writer's store.
type line struct {
	t *testing.T
}

func (l line) head(id string, store byte, seq uint64, vector record.Vector, parents ...entry) entry {
	l.t.Helper()
	f := newForge(l.t)
	instance := []byte{store, 0, 0, 0, 0, 0, 0, 1}
	p := record.Proposal{Set: f.set, Root: blockstore.Sum(cid.DagProtobuf, []byte(id)), Writer: idOf(f.node), Instance: instance, Seq: seq}
	sealed, err := record.SealProposal(p, f.node)
	if err != nil {
		l.t.Fatal(err)
	}
	h := record.Head{Vector: vector, Root: p.Root, Proposals: [][]byte{sealed}}
	for _, e := range parents {
		h.Parents = append(h.Parents, e.id)
	}
	return entry{Head: h, id: blockstore.Sum(cid.Raw, []byte(id))}
}

func TestASideThatAddsNothingIsNotMerged(t *testing.T) {
	l := line{t: t}
	base := l.head("base", 1, 1, record.Vector{"a": 1})
	// The same proposal was ordered on both sides of a partition; on one, more came after it.
	left := l.head("left", 2, 1, record.Vector{"a": 2}, base)
	right := l.head("right", 2, 1, record.Vector{"a": 1, "b": 1}, base)
	more := l.head("more", 2, 2, record.Vector{"a": 1, "b": 2}, right)
	other := l.head("other", 3, 1, record.Vector{"a": 1, "c": 1}, base)
	pool := []entry{base, left, right, more, other}
	shared := []entry{base}
	for name, c := range map[string]struct{ sides, want []entry }{
		"dominated":     {[]entry{left, more}, []entry{more}},
		"other order":   {[]entry{more, left}, []entry{more}},
		"equal":         {[]entry{left, right}, []entry{left}},
		"both have new": {[]entry{left, other}, []entry{left, other}},
		"three":         {[]entry{left, other, more}, []entry{other, more}},
	} {
		got := distinct(c.sides, shared, pool)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d sides are left, want %d", name, len(got), len(c.want))
			continue
		}
		for i := range got {
			if got[i].id != c.want[i].id {
				t.Errorf("%s: side %d is another one", name, i)
			}
		}
	}
}

func TestSupersedes(t *testing.T) {
	h := func(n uint64, v record.Vector) record.Head {
		return record.Head{Vector: v, Epoch: record.Epoch{ConfigVersion: 1, N: n}}
	}
	for name, c := range map[string]struct {
		new, old record.Head
		want     bool
	}{
		"includes":             {h(1, record.Vector{"a": 2}), h(1, record.Vector{"a": 1}), true},
		"is included":          {h(2, record.Vector{"a": 1}), h(1, record.Vector{"a": 2}), false},
		"the same":             {h(2, record.Vector{"a": 1}), h(1, record.Vector{"a": 1}), false},
		"fork of a later one":  {h(2, record.Vector{"b": 1}), h(1, record.Vector{"a": 1}), true},
		"fork of an older one": {h(1, record.Vector{"b": 1}), h(2, record.Vector{"a": 1}), false},
	} {
		if got := supersedes(c.new, c.old); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAncestryAndCommon(t *testing.T) {
	l := line{t: t}
	one := l.head("1", 1, 1, record.Vector{"a": 1})
	one.Revision = 1
	two := l.head("2", 1, 2, record.Vector{"a": 2}, one)
	two.Revision = 2
	fork := l.head("2b", 2, 1, record.Vector{"a": 1, "b": 1}, one)
	fork.Revision = 2
	merged := l.head("3", 1, 3, record.Vector{"a": 3, "b": 1}, two, fork)
	merged.Revision = 3
	stranger := l.head("x", 1, 9, record.Vector{"z": 1})
	stranger.Revision = 1
	all := []entry{stranger, one, fork, two}
	for i := range all {
		all[i].sealed = []byte(all[i].id.String())
	}
	past := ancestry(merged.Head, all)
	if len(past) != 3 || string(past[2]) != one.id.String() {
		t.Errorf("%d ancestors", len(past))
	}
	if got := common([]entry{two, fork}, all); len(got) != 1 || got[0].id != one.id {
		t.Errorf("%d common ancestors", len(got))
	}
	if got := common([]entry{two, stranger}, all); len(got) != 0 {
		t.Errorf("%d common ancestors of strangers", len(got))
	}
}

// A strict set's head passes over one that only a minority had: its vector covers it, and it was not made of it.
func TestPassedOver(t *testing.T) {
	l := line{t: t}
	one := l.head("1", 1, 1, record.Vector{"a": 1})
	hidden := l.head("2a", 1, 2, record.Vector{"a": 2}, one)
	after := l.head("3a", 1, 3, record.Vector{"a": 3}, hidden)
	two := l.head("2b", 2, 1, record.Vector{"a": 1, "b": 1}, one)
	three := l.head("3b", 2, 2, record.Vector{"a": 3, "b": 2}, two)
	three.Abandoned = []cid.Cid{after.id}
	four := l.head("4b", 2, 3, record.Vector{"a": 3, "b": 3}, three)
	all := []entry{one, hidden, after, two, three, four}
	for _, c := range []struct {
		name     string
		h, e     entry
		includes bool
	}{
		{"itself", four, four, true}, {"a parent", four, three, true}, {"the first", four, one, true}, {"before the other", three, two, true},
		{"abandoned", three, after, false}, {"under it", three, hidden, false}, {"later", four, after, false}, {"under it, later", four, hidden, false},
		{"the fork's own", after, hidden, true}, {"a fork", two, hidden, false},
	} {
		if got := c.h.includes(c.e, all); got != c.includes {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for _, e := range all {
		want := e.id == hidden.id || e.id == after.id
		if got := e.lost(all); got != want {
			t.Errorf("%s is lost: %v", e.id, got)
		}
	}
	if got := common([]entry{after, four}, all); len(got) != 1 || got[0].id != one.id {
		t.Errorf("%d common ancestors of both sides", len(got))
	}
	if !four.includes(hidden, []entry{four}) { // nobody remembers what was between
		t.Error("what is not known was taken for passed over")
	}
}
