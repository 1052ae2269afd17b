package nodes

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/testnet/link"
)

func residents(names ...string) (all []resident) {
	for i, name := range names {
		all = append(all, resident{name: name, place: place{host: "127.0.0.1:" + string(rune('1'+i))}})
	}
	return all
}

func TestPlansOf(t *testing.T) {
	s := plainShape()
	slow, cut := link.Rule{Rate: 1000}, link.Rule{Cut: true}
	s.Rules[[2]string{"a", "b"}] = slow
	s.Rules[[2]string{"b", "a"}] = cut
	s.Rules[[2]string{"a", "later"}] = cut
	s.Rules[[2]string{"b", "c"}] = link.Rule{} // plain again
	s.Up["a"], s.Down["b"] = 10, 20
	s.Lies["b"], s.Full["c"] = true, true
	got := plansOf(7, "/net", s, residents("a", "b", "c"))
	peers := map[string]string{"127.0.0.1:1": "a", "127.0.0.1:2": "b", "127.0.0.1:3": "c"}
	none := map[string]link.Rule{}
	want := map[string]link.Plan{
		"a": {Peers: peers, Out: map[string]link.Rule{"b": slow, "later": cut}, In: map[string]link.Rule{"b": cut}, Up: 10},
		"b": {Peers: peers, Out: map[string]link.Rule{"a": cut}, In: map[string]link.Rule{"a": slow}, Down: 20, Lies: true},
		"c": {Peers: peers, Out: none, In: none, Full: true},
	}
	seeds := map[uint64]bool{}
	for name, p := range got {
		if p.Name != name || p.Net != "/net" {
			t.Errorf("%s is told that it is %q of %q", name, p.Name, p.Net)
		}
		p.Name, p.Net = "", ""
		seeds[p.Seed] = true
		p.Seed = 0
		if !reflect.DeepEqual(p, want[name]) {
			t.Errorf("%s goes by %+v, want %+v", name, p, want[name])
		}
	}
	if len(got) != 3 || len(seeds) != 3 {
		t.Errorf("%d plans with %d seeds", len(got), len(seeds))
	}
}

// Both ends of a link know the same of it, and the same shape and seed make the same plans.
func TestPlansAgree(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		s := plainShape()
		for range rapid.IntRange(0, 12).Draw(t, "rules") {
			pair := [2]string{rapid.SampledFrom(names).Draw(t, "from"), rapid.SampledFrom(names).Draw(t, "to")}
			s.Rules[pair] = link.Rule{Rate: rapid.Int64Range(0, 3).Draw(t, "rate"), Cut: rapid.Bool().Draw(t, "cut")}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		plans := plansOf(seed, "/net", s, residents(names...))
		for _, from := range names {
			for _, to := range names {
				want := s.Rules[[2]string{from, to}]
				if out, in := plans[from].Out[to], plans[to].In[from]; out != want || in != want {
					t.Fatalf("%s to %s: %v and %v, want %v", from, to, out, in, want)
				}
			}
		}
		if !reflect.DeepEqual(plans, plansOf(seed, "/net", s, residents(names...))) {
			t.Fatal("another time, other plans")
		}
	})
}
