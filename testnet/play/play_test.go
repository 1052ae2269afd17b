package play

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
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
	if draw(bare(7).random(line(0), 0)) != draw(bare(7).random(line(0), 0)) {
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

// told are the statements of a script in the words a stage says that they begin with, and when, in fake time.
func told(t *testing.T, statements ...script.Statement) (lines []string, s *Stage, err error) {
	t.Helper()
	var mu sync.Mutex
	s = New(Options{Life: t.Context(), Net: &nodes.Net{}, Step: func(at time.Duration, text string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%v %s", at, text))
	}})
	for i := range statements {
		statements[i].Line = i + 1
	}
	err = s.Play(t.Context(), &script.Script{Statements: statements})
	return lines, s, err
}

func say(text string, when script.When) script.Statement {
	return script.Statement{Text: "say " + text, When: when, Do: script.Say{Text: text}}
}

func TestStatementsBeginAtTheirMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			say("now", script.When{}),
			say("after", script.When{After: 2 * time.Second}),
			script.Statement{Text: "wait", Do: script.Wait{For: 500 * time.Millisecond}},
			say("at", script.When{At: 4 * time.Second}),
			say("late", script.When{At: 3 * time.Second}),
			say("last", script.When{After: time.Second}),
		)
		if want := []string{"0s now", "2s after", "2s wait", "4s at", "4s late", "5s last"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		var kinds []string
		for _, e := range s.Trace().Events {
			kinds = append(kinds, e.Kind)
		}
		if want := []string{trace.Note, trace.Note, trace.Step, trace.Note, trace.Note, trace.Note}; !slices.Equal(kinds, want) {
			t.Errorf("events %q, want %q", kinds, want)
		}
	})
}

// rounds are the moments at which a statement that cannot work was carried out.
func rounds(s *Stage, text string) (at []time.Duration) {
	for _, e := range s.Trace().Events {
		if e.Kind == trace.Failed && strings.HasPrefix(e.Text, text+": ") {
			at = append(at, e.At)
		}
	}
	return at
}

func failing(text string, when script.When) script.Statement {
	return script.Statement{Text: text, When: when, Do: script.Publish{Set: "none"}}
}

func TestRepeatedStatementsGoOnBesideTheOthers(t *testing.T) {
	ms := time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			failing("thrice", script.When{Every: 300 * ms, Times: 3}),
			failing("a while", script.When{Every: 400 * ms, For: 1000 * ms}),
			say("beside", script.When{After: 700 * ms}),
		)
		if want := []string{"0s thrice", "0s a while", "700ms beside"}; err != nil || !sameLines(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		if at, want := rounds(s, "thrice"), []time.Duration{0, 300 * ms, 600 * ms}; !slices.Equal(at, want) {
			t.Errorf("three times at %v, want %v", at, want)
		}
		if at, want := rounds(s, "a while"), []time.Duration{0, 400 * ms, 800 * ms}; !slices.Equal(at, want) {
			t.Errorf("for a second at %v, want %v", at, want)
		}
		if took := s.Trace().Seconds; took != 1.2 { // what repeats for a while ends with the round that would be too late
			t.Errorf("it took %g s", took)
		}
	})
}

func sameLines(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestTheLastOfSomeRoundsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, err := told(t, failing("twice", script.When{Every: time.Hour, Times: 2}))
		if took := s.Trace().Seconds; err != nil || took != 3600 {
			t.Errorf("twice, an hour apart, took %g s (%v)", took, err)
		}
	})
}

func TestAWaitInVainEndsTheScriptAndWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			failing("forever", script.When{Every: time.Second, For: time.Hour}),
			script.Statement{Text: "wait in vain", Do: script.Wait{Until: script.There{Set: "none", What: "durable"}, Within: 1500 * time.Millisecond}},
			say("never", script.When{}),
		)
		if err == nil || !strings.Contains(err.Error(), "line 2: wait in vain: not within 1.5s: there is no set \"none\"") {
			t.Errorf("error %v", err)
		}
		if slices.Contains(got, "1.5s never") || len(rounds(s, "forever")) != 2 || s.Trace().Seconds != 1.5 {
			t.Errorf("%q, rounds at %v, took %g s", got, rounds(s, "forever"), s.Trace().Seconds)
		}
		if err := pass(t.Context(), 10*time.Second); err != nil || len(rounds(s, "forever")) != 2 {
			t.Errorf("afterwards rounds at %v (%v)", rounds(s, "forever"), err)
		}
	})
}

func TestAScriptEndsWithItsContext(t *testing.T) {
	for name, last := range map[string]script.Statement{
		"in a statement":    {Text: "wait", Do: script.Wait{For: time.Hour}},
		"before a moment":   say("late", script.When{At: time.Hour}),
		"after the last of": say("now", script.When{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
				defer cancel()
				s := bare(1)
				sc := &script.Script{Statements: []script.Statement{failing("forever", script.When{Every: time.Second, For: time.Hour}), last}}
				if err := s.Play(ctx, sc); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if took := s.Trace().Seconds; took != 3.5 {
					t.Errorf("it took %g s", took)
				}
			})
		})
	}
}

func TestCloseEndsWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		if err := s.Do(t.Context(), failing("forever", script.When{Every: time.Second, For: time.Hour})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Close() // a goroutine that stays fails the test
		if at := rounds(s, "forever"); len(at) != 1 {
			t.Errorf("rounds at %v", at)
		}
	})
}

func TestExpectLooksAsLongAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		x := withSet(s, "docs", revision(1, 0, "origin"))
		time.AfterFunc(990*time.Millisecond, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.last.Durable = true
		})
		durable := script.There{Set: "docs", What: "durable"}
		for _, e := range []script.Expect{{What: durable}, {What: durable, Within: 500 * time.Millisecond}, {What: durable, Within: time.Hour}, {What: durable}} {
			if err := s.Do(t.Context(), script.Statement{Line: 3, Text: "expect", Do: e}); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, c := range s.Trace().Checks {
			got = append(got, fmt.Sprintf("%v %.2f %d %s", c.OK, c.Seconds, c.Line, c.Detail))
		}
		want := []string{
			"false 0.00 0 revision 1 is on origin alone",
			"false 0.50 0 revision 1 is on origin alone",
			"true 0.50 0 after 0.50 s",
			"true 0.00 0 ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("checks\n%q, want\n%q", got, want)
		}
	})
}

func TestExpectThatIsEndedIsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Do(ctx, script.Statement{Text: "expect", Do: script.Expect{What: script.There{Set: "none", What: "durable"}, Within: time.Hour}})
		if !errors.Is(err, context.DeadlineExceeded) || len(s.Trace().Checks) > 0 {
			t.Errorf("error %v, checks %v", err, s.Trace().Checks)
		}
	})
}

func TestTransfersThatDoNotEndAreFailedChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		j, life := s.job("get", "edge", "docs"), s.life()
		s.background.Go(func() {
			<-life.Done()
			j.end()
		})
		s.job("get", "fast", "docs").end()
		if err := s.Play(t.Context(), &script.Script{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tr := s.Trace()
		if len(tr.Checks) != 1 || tr.Checks[0].OK || tr.Checks[0].Name != "get of docs at edge ends" || tr.Seconds != waitPatience.Seconds() {
			t.Errorf("after %g s: %+v", tr.Seconds, tr.Checks)
		}
		if s.life().Err() != nil {
			t.Error("a stage whose script has ended begins nothing more")
		}
	})
}

// Somebody may type a statement just when a script is about to end.
func TestMoreMayBeginWhileSomebodyWaits(t *testing.T) {
	var c crew
	var ran atomic.Int64
	const times = 100_000 // a sync.WaitGroup panics before the thousandth
	var group sync.WaitGroup
	group.Go(func() {
		for ran.Load() < times {
			c.Wait()
		}
	})
	for range times {
		c.Go(func() { ran.Add(1) })
	}
	group.Wait()
	c.Wait()
	if n := ran.Load(); n != times || c.n != 0 {
		t.Errorf("%d of %d ran when nobody was to be waited for any more", n, times)
	}
}

func TestACrewIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crew
		began := time.Now()
		c.Wait() // for nobody
		for _, d := range []time.Duration{2, 5, 3} {
			c.Go(func() { _ = pass(t.Context(), d*time.Second) })
		}
		c.Wait()
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("waited for %v", d)
		}
		c.Go(func() { _ = pass(t.Context(), time.Second) })
		c.Wait()
		if d := time.Since(began); d != 6*time.Second {
			t.Errorf("waited for %v", d)
		}
	})
}
