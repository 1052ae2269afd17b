package play

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// clock is a time that a test sets; it goes on by a millisecond whenever it is read.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Millisecond)
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestEventsAreInTheOrderOfTime(t *testing.T) {
	r := newRecorder((&clock{}).now, 9)
	const each, writers = 50, 4
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for range each {
				r.event(trace.Event{Kind: trace.Up, Node: fmt.Sprint(w)})
				r.observe(func(at time.Duration) judge.Observation {
					return judge.Ended{At: at, Node: fmt.Sprint(w)}
				})
				r.role(trace.Event{Kind: trace.Role, Node: fmt.Sprint(w), Set: "docs", Text: api.RoleReader})
			}
		})
	}
	group.Wait()
	got := r.trace(&nodes.Net{})
	if !slices.IsSortedFunc(got.Events, func(a, b trace.Event) int { return int(a.At - b.At) }) {
		t.Error("events are not in the order of time")
	}
	count := map[string]int{}
	for _, e := range got.Events {
		count[e.Kind]++
	}
	if count[trace.Up] != each*writers || count[trace.Role] != writers || count[trace.Violation] != len(r.violations(script.Crashes)) {
		t.Errorf("events %v", count)
	}
	if len(r.violations(script.Crashes)) < writers || len(r.violations(script.Files)) > 0 {
		t.Errorf("%d nodes ended by themselves, %d wrong bytes", len(r.violations(script.Crashes)), len(r.violations(script.Files)))
	}
	if got.Seed != 9 {
		t.Errorf("seed %d", got.Seed)
	}
}

func TestRolesAreNotedWhenTheyChange(t *testing.T) {
	r := newRecorder((&clock{}).now, 0)
	for _, role := range []string{api.RoleReader, api.RoleReader, api.RoleReplica, api.RoleReplica, api.RoleReader} {
		r.role(trace.Event{Kind: trace.Role, Node: "a", Set: "docs", Text: role})
	}
	r.role(trace.Event{Kind: trace.Role, Node: "b", Set: "docs", Text: api.RoleReader})
	r.role(trace.Event{Kind: trace.Role, Node: "a", Set: "other", Text: api.RoleReader})
	var got []string
	for _, e := range r.trace(&nodes.Net{}).Events {
		got = append(got, e.Node+" "+e.Set+" "+e.Text)
	}
	if want := []string{"a docs reader", "a docs replica", "a docs reader", "b docs reader", "a other reader"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestATraceIsACopyWithTheLinksInOrder(t *testing.T) {
	r := newRecorder((&clock{}).now, 0)
	r.event(trace.Event{Text: "first"})
	r.sample(trace.Sample{Node: "a", WireIn: 1})
	r.link(trace.Link{From: "b", To: "a"})
	r.link(trace.Link{From: "a", To: "c"})
	r.link(trace.Link{From: "a", To: "b", Cut: true})
	r.link(trace.Link{From: "a", To: "b"})
	got := r.trace(&nodes.Net{})
	got.Events[0].Text, got.Samples[0].WireIn = "changed", 2
	again := r.trace(&nodes.Net{})
	if again.Events[0].Text != "first" || again.Samples[0].WireIn != 1 {
		t.Error("what a trace's reader changes is changed for all")
	}
	if want := []trace.Link{{From: "a", To: "b"}, {From: "a", To: "c"}, {From: "b", To: "a"}}; !slices.Equal(got.Links, want) {
		t.Errorf("links %v, want %v", got.Links, want)
	}
	if again.Seconds <= got.Seconds {
		t.Errorf("seconds %v, then %v", got.Seconds, again.Seconds)
	}
}

func TestVerdictsTellWhatTheyRestOn(t *testing.T) {
	s := bare(1)
	s.rec.observe(func(at time.Duration) judge.Observation {
		return judge.Acked{At: at, Set: "docs", Node: "a", Revision: 1, Head: "h", Vector: judge.Vector{"a": 1}, Durable: true, On: []string{"a", "b"}}
	})
	s.rec.observe(func(at time.Duration) judge.Observation {
		return judge.Acked{At: at, Set: "docs", Node: "a", Revision: 2, Head: "i", Vector: judge.Vector{"a": 2}, On: []string{"a"}}
	})
	for _, owner := range []string{"x", "x", "y"} {
		s.rec.observe(func(at time.Duration) judge.Observation {
			return judge.Claim{At: at, Node: "a", Set: "docs", Epoch: "1.1", Owner: owner}
		})
	}
	s.rec.sample(trace.Sample{Node: "a"})
	s.rec.seen.files, s.rec.seen.compared = 5, 6
	for node := range 5 {
		s.rec.observe(func(at time.Duration) judge.Observation {
			return judge.OnDisk{At: at, Node: fmt.Sprintf("n%d", node), Set: "docs", Path: "p", Detail: "wrong"}
		})
	}
	for i, name := range all() { // without a node, whether one has ended says nothing
		s.verdict(i, name, 0)
	}
	var got []string
	for _, c := range s.Trace().Checks {
		got = append(got, fmt.Sprintf("%v %s: %s", c.OK, c.Name, c.Detail))
	}
	want := []string{
		"true what was acknowledged is there: 1 durable revision",
		"true one primary per epoch: 2 epochs",
		"true who keeps a set has the same root: 6 copies",
		"false no wrong byte on any disk: n0 docs p at n0: wrong; n1 docs p at n1: wrong; n2 docs p at n2: wrong; and 2 more",
	}
	if !slices.Equal(got, want) {
		t.Errorf("checks\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTimesThatStatementsTook(t *testing.T) {
	c := &clock{}
	s := New(Options{Life: t.Context(), Net: &nodes.Net{}, Now: c.now})
	withSet(s, "docs", revision(1, 3*time.Second, "a", "b"))
	s.job("get", "a", "docs").complete(time.Second)
	s.job("get", "b", "docs").complete(4 * time.Second)
	s.job("follow", "a", "docs").complete(6 * time.Second)
	s.job("follow", "a", "slow")
	s.job("get", "a", "broken").err = errors.New("no peer has it")
	sec := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for _, w := range []struct {
		took script.Took
		want string // "" = it holds
	}{
		{script.Took{What: "publish", Set: "docs", Most: sec(3)}, ""},
		{script.Took{What: "publish", Set: "docs", Most: sec(2)}, "3.00 s of 2s"},
		{script.Took{What: "publish", Set: "none", Most: sec(2)}, `there is no set "none"`},
		{script.Took{What: "get", Set: "docs", Most: sec(4)}, ""},
		{script.Took{What: "get", Set: "docs", Most: sec(3)}, "4.00 s of 3s"},
		{script.Took{What: "follow", Set: "docs", Most: sec(6)}, ""},
		{script.Took{What: "follow", Set: "docs", Most: sec(5)}, "6.00 s of 5s"},
		{script.Took{What: "follow", Set: "slow", Most: sec(5)}, "a is not complete"},
		{script.Took{What: "get", Set: "broken", Most: sec(5)}, "a is not complete\nno peer has it; it is not tried again"},
		{script.Took{What: "get", Set: "slow", Most: sec(5)}, "nobody was asked to get slow"},
		{script.Took{What: "get", Set: "docs", At: script.Who{Names: []string{"x"}}, Most: sec(5)}, `there is no node "x"`},
		{script.Took{What: "failover", Set: "docs", Most: sec(2)}, "no primary of docs has failed where another node could take over"},
	} {
		got := ""
		if err := s.holds(t.Context(), w.took); err != nil {
			got = err.Error()
		}
		if got != w.want {
			t.Errorf("%s of %s at most %v: %q, want %q", w.took.What, w.took.Set, w.took.Most, got, w.want)
		}
	}
	if got := s.measured(t.Context(), script.Took{What: "get", Set: "docs", Most: sec(9)}); got != "4.00 s of 9s" {
		t.Errorf("measured %q", got)
	}
}

// The times of a failover are those between what happened to a primary and the next one that was seen.
func TestFailoverIsMeasured(t *testing.T) {
	c := &clock{}
	s := New(Options{Life: t.Context(), Net: &nodes.Net{}, Now: c.now})
	withSet(s, "docs")
	roles := func(a, b string) {
		for node, role := range map[string]string{"a": a, "b": b} {
			if role != "" {
				s.rec.role(trace.Event{Kind: trace.Role, Node: node, Set: "docs", Text: role})
				s.rec.sample(trace.Sample{Node: node, Sets: []trace.SetState{{Set: "docs", Revision: 1, Role: role, Part: 1}}})
			}
		}
	}
	for _, node := range []string{"a", "b"} {
		s.rec.event(trace.Event{Kind: trace.Up, Node: node})
	}
	roles(api.RolePrimary, api.RoleBackup)
	c.pass(time.Second)
	s.rec.event(trace.Event{Kind: trace.Killed, Node: "a"})
	c.pass(time.Second)
	if _, err := s.longestGap("docs"); err == nil || !strings.Contains(err.Error(), "nobody is primary") {
		t.Errorf("nobody took over: %v", err)
	}
	c.pass(time.Second)
	roles("", api.RolePrimary)
	gap, err := s.longestGap("docs")
	if err != nil || gap < 2*time.Second || gap > 2100*time.Millisecond {
		t.Errorf("a gap of %v (%v), want 2 s", gap, err)
	}
	if _, err := s.longestGap("other"); err == nil {
		t.Error("a set without a primary has a failover")
	}
}

func TestRevisionsOfASet(t *testing.T) {
	s := bare(1)
	x := withSet(s, "docs", revision(2, 0, "a"), revision(5, 0, "a", "b"))
	for nth, want := range map[uint64]uint64{0: 5, 1: 2, 2: 5} {
		if got, err := x.revision(nth); err != nil || got.Revision != want {
			t.Errorf("%d: revision %d (%v), want %d", nth, got.Revision, err, want)
		}
	}
	if _, err := x.revision(3); err == nil {
		t.Error("there is a third revision of two")
	}
	if got := x.latest(); got.Revision != 5 {
		t.Errorf("the newest is %d", got.Revision)
	}
	if name, ok := s.setName("id-of-docs"); name != "docs" || !ok {
		t.Errorf("set %q", name)
	}
	if _, ok := s.setName("another"); ok {
		t.Error("a set of nobody has a name")
	}
}

func TestConditionsOfWhatIsNotThere(t *testing.T) {
	s := bare(1)
	withSet(s, "docs", revision(1, 0, "a"))
	nobody := script.Who{Names: []string{"x"}}
	primary := script.Who{Role: "primary", Set: "docs"}
	for want, c := range map[string]script.Condition{
		`there is no node "x"`:                           script.Has{Who: nobody, Set: "docs"},
		"no node is primary of docs now":                 script.Has{Who: primary, Set: "docs"},
		`there is no set "none"`:                         script.Has{Who: nobody, Set: "none"},
		"1 revisions of docs were published so far":      script.Has{Who: nobody, Set: "docs", Revision: 2},
		"revision 1 is on a alone":                       script.There{Set: "docs", What: "durable"},
		"no node that is up is primary":                  script.There{Set: "docs", What: "primary"},
		"no node that is up is primary and has a backup": script.There{Set: "docs", What: "backup"},
	} {
		if err := s.holds(t.Context(), c); err == nil || err.Error() != want {
			t.Errorf("%T: %v, want %s", c, err, want)
		}
	}
	for _, c := range []script.Condition{
		script.Is{Who: nobody, What: "up"}, script.Is{Who: nobody, What: "primary", Set: "docs"}, script.Is{What: "primary", Set: "none"},
		script.Moved{Who: nobody, Bytes: 1}, script.Moved{Set: "none", Times: 1}, script.Refuses{Set: "none"}, script.Refuses{Who: nobody, Set: "docs"},
		script.There{Set: "none", What: "agrees"}, nil,
	} {
		if err := s.holds(t.Context(), c); err == nil {
			t.Errorf("%#v holds", c)
		}
	}
}

func TestStatementsAboutWhatIsNotThere(t *testing.T) {
	s := bare(1)
	withSet(s, "docs", revision(1, 0, "a"))
	x := script.Who{Names: []string{"x"}}
	for _, do := range []script.Action{
		script.Share{Set: "new", At: x}, script.Share{Set: "new", At: script.Who{Role: "all"}},
		script.Publish{Set: "none"}, script.Publish{Set: "docs", At: x}, script.Edit{Set: "none"}, script.Edit{Set: "docs", At: x},
		script.Get{Set: "none"}, script.Get{Set: "docs", At: x}, script.Follow{Set: "none"}, script.Replicate{Set: "docs", At: x},
		script.Grant{Set: "none"}, script.Grant{Set: "docs", To: x}, script.Process{Do: script.Kill, Who: x},
		script.Process{Do: script.Kill, Who: script.Who{Role: "primary", Set: "docs"}}, script.Process{Do: script.Kill, Who: script.Who{Role: "primary", Set: "none"}},
		script.Link{From: x, To: x}, script.Limit{Who: x}, script.Cut{From: x, To: x}, script.Partition{Groups: []script.Who{x, x}},
		script.Heal{From: x, To: x}, script.Corrupt{Who: x}, script.Disk{Who: x}, script.Lie{Who: x}, nil,
	} {
		if err := s.Do(t.Context(), script.Statement{Text: "it", Do: do}); err == nil || !strings.HasPrefix(err.Error(), "it: ") {
			t.Errorf("%#v: %v", do, err)
		}
	}
}

func TestJobsOfAGetThatFailed(t *testing.T) {
	s := bare(1)
	var none *job
	if none.pending() || none.failure() != nil {
		t.Error("what nobody was asked for is pending or has failed")
	}
	s.job("follow", "a", "docs").complete(time.Second)
	j := s.job("get", "a", "docs")
	if s.newest("a", "docs") != j || s.newest("b", "docs") != nil || s.newest("a", "other") != nil {
		t.Error("the newest job is another one")
	}
	if !j.pending() || j.failure() != nil {
		t.Error("a get that goes on is not pending")
	}
	j.reach(&api.Progress{Phase: "fetch", BytesDone: 1, BytesTotal: 4})
	j.reach(&api.Progress{Phase: "hash", BytesDone: 4, BytesTotal: 4})
	j.reach(&api.Progress{Phase: "fetch"})
	j.reach(nil)
	if part, took := j.state(); part != 0.25 || took != 0 {
		t.Errorf("a fourth is there: %v, %v", part, took)
	}
	j.err = errors.New("no peer has it")
	j.end()
	if j.pending() || !errors.Is(j.failure(), errGivenUp) {
		t.Errorf("a get that failed: %v", j.failure())
	}
	j = s.job("get", "a", "docs")
	j.complete(2 * time.Second)
	j.complete(9 * time.Second) // the first time counts
	j.end()
	if part, took := j.state(); part != 1 || took != 2*time.Second || j.pending() {
		t.Errorf("a get that has ended: %v, %v", part, took)
	}
}
