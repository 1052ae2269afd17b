package judge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// history makes a chain of revisions by one store, the newest first, from revision `to` down to `from`.
func history(store string, from, to uint64) []api.Revision {
	var out []api.Revision
	for r := to; r >= from; r-- {
		rev := api.Revision{Revision: r, Root: fmt.Sprintf("root%d", r), Head: fmt.Sprintf("%s%d", store, r), Kept: "here", Vector: Vector{store: r}}
		if r > 1 {
			rev.Parents = []string{fmt.Sprintf("%s%d", store, r-1)}
		}
		out = append(out, rev)
	}
	return out
}

// merged is a revision of the tips of several chains, with what is before them.
func merged(chains ...[]api.Revision) []api.Revision {
	top := api.Revision{Root: "merged", Head: "merge", Kept: "here", Vector: Vector{"m": 1}}
	var all []api.Revision
	for _, c := range chains {
		top.Parents = append(top.Parents, c[0].Head)
		top.Revision = max(top.Revision, c[0].Revision+1)
		for k, n := range c[0].Vector {
			top.Vector[k] = max(top.Vector[k], n)
		}
		all = append(all, c...)
	}
	return append([]api.Revision{top}, all...)
}

// ack is that revision r of a chain by a store was called durable.
func ack(store string, r uint64, on ...string) Acked {
	return Acked{At: time.Duration(r) * time.Second, Set: "docs", Node: "origin", Revision: r, Root: fmt.Sprintf("root%d", r),
		Head: fmt.Sprintf("%s%d", store, r), Vector: Vector{store: r}, Durable: true, On: on}
}

func final(node string, h []api.Revision) Final {
	return Final{Node: node, Peer: "peer-" + node, Set: "docs", Keeps: true, Holds: true, Revision: h[0].Revision, Root: h[0].Root, History: h}
}

func strict(a Acked) Acked {
	a.Strict = true
	return a
}

// told is what violations say, each as "invariant: text".
func told(all []Violation) string {
	var b strings.Builder
	for _, v := range all {
		fmt.Fprintf(&b, "%s: %s\n", v.Invariant, v.Text)
	}
	return b.String()
}

func TestAcknowledged(t *testing.T) {
	a5 := ack("a", 5, "origin", "backup")
	other := history("b", 4, 6)
	withDropped := history("a", 6, 8)
	withDropped[0].Abandoned = []string{"a5"}
	pretended := history("b", 1, 5) // it counts what it does not include
	pretended[0].Vector = Vector{"b": 5, "a": 5}
	beside := history("b", 4, 6) // of b3 it has the name alone
	beside[0].Vector = Vector{"b": 6, "a": 5}
	minority := final("origin", history("a", 1, 4))
	minority.Stale = true
	partial := final("origin", history("a", 1, 5))
	partial.Holds = false
	reader := final("reader", history("a", 1, 2))
	reader.Keeps = false
	away := final("edge", history("a", 1, 4))
	away.Group = 1
	unnamed := a5
	unnamed.Head, unnamed.Vector = "", nil
	for name, c := range map[string]struct {
		see    []Observation
		finals []Final
		want   []string // parts of what is told, in order; none = nothing is
	}{
		"shown":                      {[]Observation{a5}, []Final{final("origin", history("a", 1, 5))}, nil},
		"before what is shown":       {[]Observation{a5}, []Final{final("origin", history("a", 1, 9))}, nil},
		"before all that is shown":   {[]Observation{a5}, []Final{final("origin", history("a", 30, 45))}, nil},
		"the last that is named":     {[]Observation{a5}, []Final{final("origin", history("a", 6, 21))}, nil},
		"not there":                  {[]Observation{a5}, []Final{final("origin", history("a", 1, 4))}, []string{"revision 5 of docs (head a5) was called durable on origin, backup at origin, at 5.000 s, and origin is at revision 4 (head a4), which does not include it"}},
		"of a lost fork":             {[]Observation{a5}, []Final{final("origin", other)}, []string{"which does not include it"}},
		"merged":                     {[]Observation{a5, ack("b", 6, "edge")}, []Final{final("origin", merged(history("a", 1, 5), other)), final("edge", merged(history("a", 1, 5), other))}, nil},
		"one side merged":            {[]Observation{a5, ack("c", 4, "origin")}, []Final{final("origin", merged(history("a", 1, 5), other))}, []string{"(head c4)"}},
		"counted, not included":      {[]Observation{a5}, []Final{final("origin", pretended)}, []string{"which does not include it"}},
		"counted, and shown too far": {[]Observation{ack("a", 3, "origin")}, []Final{final("origin", beside)}, []string{"(head a3)"}},
		"counted long ago":           {[]Observation{ack("a", 2, "origin")}, []Final{final("origin", beside)}, nil},
		"abandoned":                  {[]Observation{a5}, []Final{final("origin", withDropped)}, []string{"abandons it"}},
		"abandoned earlier":          {[]Observation{a5, Remembered{Set: "docs", Node: "edge", History: withDropped}}, []Final{final("origin", history("a", 30, 45))}, []string{"abandons it"}},
		"local only": {[]Observation{func() Acked { a := a5; a.Durable = false; return a }()},
			[]Final{final("origin", history("a", 1, 4))}, nil},
		"several": {[]Observation{ack("a", 4, "origin"), a5, ack("a", 6, "origin")}, []Final{final("origin", history("a", 1, 3))},
			[]string{"(head a4)", "nor does it include 2 that"}},
		"nobody is up that had it":    {[]Observation{a5}, []Final{final("edge", history("a", 1, 4))}, nil},
		"known by its id":             {[]Observation{ack("a", 5, "peer-edge")}, []Final{final("edge", history("a", 1, 4))}, []string{"edge is at revision 4"}},
		"who had it was damaged":      {[]Observation{ack("a", 5, "origin"), Damaged{At: 6 * time.Second, Node: "origin"}}, []Final{final("origin", history("a", 1, 4))}, nil},
		"damaged before":              {[]Observation{Damaged{At: time.Second, Node: "origin"}, a5}, []Final{final("origin", history("a", 1, 4))}, []string{"does not include it"}},
		"nobody knows who had it":     {[]Observation{ack("a", 5)}, []Final{final("edge", history("a", 1, 4))}, []string{"does not include it"}},
		"another follower lags":       {[]Observation{a5}, []Final{final("origin", history("a", 1, 5)), final("edge", history("a", 1, 4))}, []string{"edge is at revision 4", "different roots"}},
		"a reader need not be there":  {[]Observation{a5}, []Final{final("origin", history("a", 1, 5)), reader}, nil},
		"out of reach":                {[]Observation{a5}, []Final{final("origin", history("a", 1, 5)), away}, nil},
		"hidden from a minority":      {[]Observation{strict(a5)}, []Final{minority}, nil},
		"of ap it is not":             {[]Observation{a5}, []Final{minority}, []string{"does not include it"}},
		"nobody has all":              {[]Observation{a5}, []Final{partial}, []string{"none of origin has all of the revision it shows"}},
		"no history":                  {[]Observation{a5}, []Final{{Node: "origin", Set: "docs", Keeps: true, Holds: true, Revision: 5, Root: "root5"}}, []string{"shows no history that begins with"}},
		"without a head":              {[]Observation{unnamed}, nil, []string{"without its head or vector"}},
		"two durable forks in strict": {[]Observation{strict(a5), strict(ack("b", 5, "edge"))}, nil, []string{"neither includes the other"}},
		"two durable forks in ap":     {[]Observation{a5, ack("b", 5, "edge")}, nil, nil},
		"told in another order":       {[]Observation{strict(ack("a", 6, "origin")), strict(a5)}, []Final{final("origin", history("a", 1, 6))}, nil},
		"the newer one is out of reach": {[]Observation{ack("a", 4, "origin"), ack("a", 5, "edge")}, []Final{final("origin", history("a", 1, 3))},
			[]string{"(head a4)"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := New()
			var all []Violation
			for _, o := range c.see {
				all = append(all, j.Observe(o)...)
			}
			all = append(all, j.Settle(c.finals)...)
			expect(t, all, c.want)
		})
	}
}

// expect holds violations against parts of what they should say; each want is in one or more of them, and all have one.
func expect(t *testing.T, all []Violation, want []string) {
	t.Helper()
	text := told(all)
	if len(want) == 0 && text != "" {
		t.Errorf("unexpected:\n%s", text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not told; this is:\n%s", w, text)
		}
	}
}

func TestPrimaries(t *testing.T) {
	claim := func(node, number, owner, primary string, leads bool) Claim {
		return Claim{At: time.Second, Node: node, Set: "docs", Epoch: number, Owner: owner, Primary: primary, Leads: leads}
	}
	for name, c := range map[string]struct {
		see  []Observation
		want []string
	}{
		"one":                      {[]Observation{claim("a", "1.1", "A", "A", true), claim("b", "1.1", "A", "A", false), claim("a", "1.1", "A", "A", true)}, nil},
		"a stale one":              {[]Observation{claim("a", "1.1", "A", "A", true), claim("b", "1.2", "B", "B", true), claim("a", "1.1", "A", "A", true)}, nil},
		"none is known":            {[]Observation{claim("a", "1.1", "A", "A", true), claim("b", "1.1", "A", "", false), claim("c", "", "", "C", true)}, nil},
		"one number, two epochs":   {[]Observation{claim("a", "1.2", "A", "A", true), claim("b", "1.2", "B", "B", true)}, nil},
		"it took over an epoch":    {[]Observation{claim("a", "1.1", "A", "A", true), claim("b", "1.1", "A", "B", true)}, []string{"b names B as primary in epoch 1.1, which A made"}},
		"owners are not told":      {[]Observation{claim("a", "1.1", "", "A", true), claim("b", "1.1", "", "B", false)}, []string{"b names B as primary in epoch 1.1, and a named A in the same epoch at 1.000 s"}},
		"two homes of one node":    {[]Observation{claim("a", "1.1", "A", "A", true), claim("b", "1.1", "A", "A", true)}, []string{"b says that it is primary in epoch 1.1 of A, and so did a"}},
		"told once for each":       {[]Observation{claim("b", "1.1", "A", "B", true), claim("b", "1.1", "A", "B", true)}, []string{"which A made"}},
		"another set, same number": {[]Observation{claim("a", "1.1", "", "A", true), Claim{Node: "b", Set: "other", Epoch: "1.1", Primary: "B"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			j := New()
			var all []Violation
			for _, o := range c.see {
				all = append(all, j.Observe(o)...)
			}
			expect(t, all, c.want)
			if len(c.want) > 0 && (len(all) != 1 || all[0].Invariant != script.Primaries || all[0].Node == "" || all[0].Set != "docs") {
				t.Errorf("not one violation of %s: %+v", script.Primaries, all)
			}
		})
	}
}

func TestAgree(t *testing.T) {
	at := func(node string, r uint64) Final { return final(node, history("a", 1, r)) }
	change := func(f Final, edit func(*Final)) Final { edit(&f); return f }
	stale := func(f *Final) { f.Stale = true }
	for name, c := range map[string]struct {
		finals []Final
		want   []string
	}{
		"all":                   {[]Final{at("a", 5), at("b", 5)}, nil},
		"one is behind":         {[]Final{at("a", 5), at("b", 4), at("c", 5)}, []string{"a, c: revision 5, root root5; b: revision 4, root root4"}},
		"one has nothing":       {[]Final{at("a", 5), {Node: "b", Set: "docs", Keeps: true}}, []string{"b: nothing"}},
		"who once got it":       {[]Final{at("a", 5), change(at("b", 4), func(f *Final) { f.Keeps = false })}, nil},
		"two sides":             {[]Final{at("a", 5), at("b", 5), change(at("c", 4), func(f *Final) { f.Group = 1 })}, nil},
		"within the other side": {[]Final{at("a", 5), change(at("b", 3), func(f *Final) { f.Group = 1 }), change(at("c", 4), func(f *Final) { f.Group = 1 })}, []string{"c: revision 4"}},
		"a minority that knows": {[]Final{change(at("a", 5), stale), change(at("b", 4), stale)}, nil},
		"stale among others":    {[]Final{at("a", 5), change(at("b", 4), stale)}, []string{"b: revision 4"}},
		"one root, two numbers": {[]Final{at("a", 5), change(at("b", 5), func(f *Final) { f.Revision = 6 })}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			all := New().Settle(c.finals)
			expect(t, all, c.want)
			if len(c.want) > 0 && (len(all) != 1 || all[0].Invariant != script.Agree || all[0].Set != "docs") {
				t.Errorf("not one violation of %s: %+v", script.Agree, all)
			}
		})
	}
}

func TestFilesAndCrashes(t *testing.T) {
	j := New()
	if all := j.Observe(Ended{At: time.Second, Node: "a", Expected: true}); len(all) > 0 {
		t.Errorf("unexpected: %+v", all)
	}
	all := j.Observe(Ended{At: 2 * time.Second, Node: "a", Detail: "panic: boom"})
	if len(all) != 1 || all[0] != (Violation{2 * time.Second, script.Crashes, "a", "", "a ended, and nobody had asked it to: panic: boom"}) {
		t.Errorf("%+v", all)
	}
	all = j.Observe(Lost{At: 3 * time.Second, Node: "b", Set: "docs", Path: "x/y", Detail: "it is nowhere"})
	if len(all) != 1 || all[0] != (Violation{3 * time.Second, script.Acknowledged, "b", "docs", "x/y at b: it is nowhere"}) {
		t.Errorf("%+v", all)
	}
	all = j.Observe(OnDisk{At: 3 * time.Second, Node: "b", Set: "docs", Path: "x/y", Detail: "it is not there"})
	if len(all) != 1 || all[0] != (Violation{3 * time.Second, script.Files, "b", "docs", "x/y at b: it is not there"}) {
		t.Errorf("%+v", all)
	}
}

// What a node says wrongly four times a second for an hour is told some times, and then how often.
func TestManyAreCounted(t *testing.T) {
	j := New()
	const many = 10_000
	n := 0
	for i := range many {
		n += len(j.Observe(OnDisk{At: time.Duration(i), Node: "a", Set: "docs", Path: fmt.Sprint(i)}))
		n += len(j.Observe(Claim{At: time.Duration(i), Node: "a", Set: "docs", Epoch: fmt.Sprint("1.", i), Owner: "A", Primary: "B", Leads: true}))
	}
	if n != 2*maxTold {
		t.Errorf("%d told, not %d", n, 2*maxTold)
	}
	text := told(j.Settle(nil))
	if want := fmt.Sprintf("and %d more", many-maxTold); strings.Count(text, want) != 2 {
		t.Errorf("%q is not told twice:\n%s", want, text)
	}
	if again := j.Settle(nil); len(again) > 0 {
		t.Errorf("told again: %+v", again)
	}
	if s := j.sets["docs"]; len(s.epochs) != maxEpochs || len(s.reigns) != maxEpochs {
		t.Errorf("%d and %d epochs are remembered, not %d", len(s.epochs), len(s.reigns), maxEpochs)
	}
}

// What is remembered of acknowledged heads is bounded, and the last of a chain stands for all before it.
func TestAcknowledgedIsBounded(t *testing.T) {
	j := New()
	const last = 5000
	for r := uint64(1); r <= last; r++ {
		if all := j.Observe(ack("a", r, "origin", "backup")); len(all) > 0 {
			t.Fatal(told(all))
		}
	}
	s := j.sets["docs"]
	if len(s.due) != 1 || len(s.recent) != maxRecent || len(s.order) != maxRecent {
		t.Errorf("%d due, %d and %d recent", len(s.due), len(s.recent), len(s.order))
	}
	expect(t, j.Settle([]Final{final("origin", history("a", last-15, last))}), nil)
	expect(t, j.Settle([]Final{final("origin", history("a", 1, 15))}), []string{"nor does it include 1023 that"})
}

// What was on other disks stays due beside what came after it: those of the newer one may all be gone.
func TestDueByPlace(t *testing.T) {
	for name, c := range map[string]struct {
		acks []Acked
		want int
	}{
		"the same disks": {[]Acked{ack("a", 1, "x", "y"), ack("a", 2, "y", "x")}, 1},
		"one more":       {[]Acked{ack("a", 1, "x", "y"), ack("a", 2, "x", "y", "z")}, 1},
		"another":        {[]Acked{ack("a", 1, "x", "y"), ack("a", 2, "y", "z")}, 2},
		"not known":      {[]Acked{ack("a", 1), ack("a", 2, "x")}, 2},
		"known before":   {[]Acked{ack("a", 1, "x"), ack("a", 2)}, 2},
		"told later":     {[]Acked{ack("a", 2, "x"), ack("a", 1, "x")}, 1},
		"a fork":         {[]Acked{ack("a", 1, "x"), ack("b", 1, "x")}, 2},
	} {
		j := New()
		for _, a := range c.acks {
			j.Observe(a)
		}
		if got := len(j.sets["docs"].due); got != c.want {
			t.Errorf("%s: %d are due, not %d", name, got, c.want)
		}
	}
}

// A history of a random graph, cut to its newest revisions, never excludes a head that the graph includes; and one that
// it does not include is always noticed by the vector, if that is honest, or, if it is among the newest, by the path.
func TestAncestryAgainstGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		revs, below := graph(t)
		top := revs[len(revs)-1]
		var shown []api.Revision
		kept := rapid.IntRange(1, len(revs)).Draw(t, "kept")
		for i := len(revs) - 1; i >= 0 && len(shown) < kept; i-- {
			if below[top.Head][revs[i].Head] {
				shown = append(shown, revs[i])
			}
		}
		f := final("origin", shown)
		for _, r := range revs {
			a := Acked{Set: "docs", Node: "x", Revision: r.Revision, Head: r.Head, Vector: r.Vector, Durable: true}
			j := New()
			j.Observe(a)
			included := below[top.Head][r.Head]
			if got := len(j.Settle([]Final{f})) == 0; got != included {
				t.Fatalf("%s in %s: included %v, found %v\nshown %+v", r.Head, top.Head, included, got, shown)
			}
			if t := trace(shown); included && t.excludes(a) {
				panic(fmt.Sprintf("%s is excluded from %s", r.Head, top.Head))
			}
		}
	})
}

// graph makes heads by three stores, each on top of one or two tips, and says what is below each, itself included.
func graph(t *rapid.T) (revs []api.Revision, below map[string]map[string]bool) {
	below = map[string]map[string]bool{}
	seq := map[string]uint64{}
	for i := range rapid.IntRange(1, 25).Draw(t, "heads") {
		store := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "store")
		seq[store]++
		r := api.Revision{Revision: 1, Head: fmt.Sprintf("%s%d", store, seq[store]), Root: fmt.Sprintf("root%d", i), Vector: Vector{}, Kept: "here"}
		below[r.Head] = map[string]bool{r.Head: true}
		parents := map[int]bool{}
		for p := i - 1; p >= 0; p-- { // a store's head includes its last one
			if strings.HasPrefix(revs[p].Head, store) {
				parents[p] = true
				break
			}
		}
		if i > 0 {
			parents[rapid.IntRange(0, i-1).Draw(t, "parent")] = true
		}
		for p := range parents {
			r.Parents = append(r.Parents, revs[p].Head)
			r.Revision = max(r.Revision, revs[p].Revision+1)
			for k, n := range revs[p].Vector {
				r.Vector[k] = max(r.Vector[k], n)
			}
			for h := range below[revs[p].Head] {
				below[r.Head][h] = true
			}
		}
		r.Vector[store] = seq[store]
		revs = append(revs, r)
	}
	return revs, below
}

// Twenty nodes that are asked four times a second are no load.
func BenchmarkObserve(b *testing.B) {
	j := New()
	for i := 0; b.Loop(); i++ {
		j.Observe(Claim{At: time.Duration(i), Node: fmt.Sprint("node-", i%20), Set: "docs", Epoch: fmt.Sprint("1.", i/1000), Owner: "A", Primary: "A"})
	}
}
