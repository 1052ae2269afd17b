package play

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// bare is a stage without a node.
func bare(seed uint64) *Stage {
	return New(Options{Life: context.Background(), Net: &nodes.Net{}, Seed: seed})
}

// withSet gives a bare stage a set of which revisions were acknowledged.
func withSet(s *Stage, name string, acks ...published) *set {
	x := &set{name: name, id: "id-of-" + name, author: "origin", size: 1000}
	for _, p := range acks {
		x.nth = append(x.nth, p)
		x.last = p
	}
	s.sets[name] = x
	return x
}

func revision(n uint64, took time.Duration, on ...string) published {
	var p published
	p.Revision, p.took, p.On, p.Durable = n, took, on, len(on) > 1
	return p
}

func named(names ...string) (all []*nodes.Node) {
	for _, name := range names {
		all = append(all, &nodes.Node{Name: name, PeerID: "peer-" + name})
	}
	return all
}

func TestPairs(t *testing.T) {
	all := named("a", "b", "c")
	for _, c := range []struct {
		from, to []*nodes.Node
		both     bool
		want     string
	}{
		{all[:1], all[1:2], false, "[[a b]]"},
		{all[:1], all[1:2], true, "[[a b] [b a]]"},
		{all[:1], all, false, "[[a b] [a c]]"},
		{all[:2], all[:2], false, "[[a b] [b a]]"},
		{all[:1], all[:1], true, "[]"},
		{nil, all, true, "[]"},
	} {
		if got := fmt.Sprint(pairs(c.from, c.to, c.both)); got != c.want {
			t.Errorf("%d nodes to %d, both %v: %s, want %s", len(c.from), len(c.to), c.both, got, c.want)
		}
	}
}

// spelled are groups as text, in an order of their own.
func spelled(groups [][]*nodes.Node) string {
	var all []string
	for _, g := range groups {
		var names []string
		for _, n := range g {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		all = append(all, strings.Join(names, ""))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestWhoReachesWhom(t *testing.T) {
	for _, c := range []struct {
		names, cuts, want string
	}{
		{"", "", ""},
		{"ab", "", "ab"},
		{"ab", "a-b b-a", "a b"},
		{"ab", "a-b", "a b"}, // who is asked cannot answer
		{"ab", "b-a", "a b"},
		{"abc", "a-b b-a", "abc"}, // over c
		{"abc", "a-b a-c", "a bc"},
		{"abc", "b-a a-c", "a bc"},
		{"abcd", "a-c a-d b-c b-d", "ab cd"},
		{"abcd", "a-c a-d d-b", "abcd"}, // by b and c
		{"abcd", "a-b c-b d-b a-c", "acd b"},
		{"ab", "a-x x-b", "ab"}, // x does not run
	} {
		cuts := map[[2]string]bool{}
		for _, p := range strings.Fields(c.cuts) {
			cuts[[2]string{p[:1], p[2:]}] = true
		}
		if got := spelled(reachable(named(strings.Split(c.names, "")...), cuts)); got != c.want {
			t.Errorf("%s, cut %s: %q, want %q", c.names, c.cuts, got, c.want)
		}
	}
}

// Groups are what the links that are whole in both directions connect, computed here in another way.
func TestWhoReachesWhomIsTransitive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := strings.Split("abcdefg"[:rapid.IntRange(1, 7).Draw(t, "nodes")], "")
		cuts := map[[2]string]bool{}
		reach := map[[2]string]bool{}
		for _, a := range names {
			for _, b := range names {
				cuts[[2]string{a, b}] = rapid.IntRange(0, 9).Draw(t, a+b) < 4
			}
		}
		for _, a := range names {
			for _, b := range names {
				reach[[2]string{a, b}] = a == b || !cuts[[2]string{a, b}] && !cuts[[2]string{b, a}]
			}
		}
		for _, over := range names {
			for _, a := range names {
				for _, b := range names {
					if reach[[2]string{a, over}] && reach[[2]string{over, b}] {
						reach[[2]string{a, b}] = true
					}
				}
			}
		}
		want := map[string]bool{}
		for _, a := range names {
			group := ""
			for _, b := range names {
				if reach[[2]string{a, b}] {
					group += b
				}
			}
			want[group] = true
		}
		if got, want := spelled(reachable(named(names...), cuts)), strings.Join(slices.Sorted(maps.Keys(want)), " "); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestRandomStreamsOfStatements(t *testing.T) {
	draw := func(r *rand.Rand) [4]uint64 { return [4]uint64{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()} }
	line := func(n int) script.Statement { return script.Statement{Line: n} }
	a, b := bare(7), bare(7)
	first := draw(a.random(line(3), 2))
	draw(b.random(line(1), 0)) // what else goes on
	draw(b.random(line(0), 0))
	if draw(b.random(line(3), 2)) != first {
		t.Error("the same seed, line and round gave other numbers")
	}
	seen := map[[4]uint64]string{first: "line 3, round 2"}
	for what, r := range map[string]*rand.Rand{
		"line 2": a.random(line(2), 2), "round 1": a.random(line(3), 1), "round 3": a.random(line(3), 3), "another seed": bare(8).random(line(3), 2),
		"typed": a.random(line(0), 0), "typed next": a.random(line(0), 0), "typed last": a.random(line(0), 0),
	} {
		got := draw(r)
		if seen[got] != "" {
			t.Errorf("%s gives what %s does", what, seen[got])
		}
		seen[got] = what
	}
	// a network that is typed at in the same order does the same again
	begin := draw(bare(7).random(line(0), 0))
	if second := draw(bare(7).random(line(0), 0)); begin != second {
		t.Error("the first typed statements of one seed differ")
	}
}

func TestIs(t *testing.T) {
	roles := []string{api.RolePrimary, api.RoleBackup, api.RoleReplica, api.RoleCandidate, api.RoleReader, ""}
	for what, want := range map[string][]string{
		api.RolePrimary: {api.RolePrimary},
		api.RoleBackup:  {api.RoleBackup},
		api.RoleReplica: {api.RolePrimary, api.RoleBackup, api.RoleReplica},
		api.RoleReader:  {api.RoleReader},
	} {
		for _, role := range roles {
			if got := is(role, what); got != slices.Contains(want, role) {
				t.Errorf("is a %q a %q: %v", role, what, got)
			}
		}
	}
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		info api.SetInfo
		want bool
	}{
		{api.SetInfo{Revision: 1, State: "complete"}, true},
		{api.SetInfo{Revision: 1, State: "incomplete"}, false},
		{api.SetInfo{Revision: 1, State: "complete", Behind: 1}, false},
		{api.SetInfo{State: "complete"}, false},
	} {
		if got := whole(c.info); got != c.want {
			t.Errorf("%+v: %v", c.info, got)
		}
	}
}

func TestCovers(t *testing.T) {
	type vector = map[string]uint64
	for _, c := range []struct {
		v, o vector
		want bool
	}{
		{vector{"a": 2, "b": 1}, vector{"a": 2}, true},
		{vector{"a": 2, "b": 1}, vector{"a": 1, "b": 1}, true},
		{vector{"a": 2}, vector{"a": 3}, false},
		{vector{"a": 2}, vector{"a": 2, "b": 1}, false},
		{vector{"a": 2}, nil, false}, // nothing is known of it
		{nil, vector{"a": 1}, false},
	} {
		if got := covers(c.v, c.o); got != c.want {
			t.Errorf("%v covers %v: %v", c.v, c.o, got)
		}
	}
}

func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\nb\n": "b", "a\n\n": "a"} {
		if got := lastLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAcknowledgement(t *testing.T) {
	s := bare(1)
	unchanged := revision(3, time.Second)
	alone := revision(4, 1500*time.Millisecond, "x")
	alone.Changed = true
	both := revision(5, time.Second, "y", "x")
	both.Changed, both.Merged = true, true
	for want, p := range map[string]published{
		"nothing has changed since revision 3":                              unchanged,
		"revision 4 in 1.50 s, on x alone":                                  alone,
		"revision 5 in 1.00 s, durable on x, y, merged with what was newer": both,
	} {
		if got := s.acknowledgement(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
