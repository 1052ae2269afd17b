package play

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// recorder writes the trace and shows the judge what is observed, both in the order of time.
type recorder struct {
	now   func() time.Time
	began time.Time

	mu     sync.Mutex // guards what follows
	t      trace.Trace
	links  map[[2]string]trace.Link
	newest map[string]trace.Sample // of every node
	roles  map[[2]string]string    // by node and set: as seen last
	judge  *judge.Judge
	found  []judge.Violation
	seen   evidence
}

// evidence is what invariants were looked for in.
type evidence struct {
	durable  int             // publishes that were acknowledged so
	epochs   map[string]bool // by set, owner and epoch
	compared int             // states of nodes that were held against each other, the last time
	files    int             // that were held against what was published
	damaged  bool            // the script flipped bits
}

func newRecorder(now func() time.Time, seed uint64) *recorder {
	r := &recorder{now: now, began: now(), links: map[[2]string]trace.Link{}, newest: map[string]trace.Sample{}, roles: map[[2]string]string{}, seen: evidence{epochs: map[string]bool{}}, judge: judge.New()}
	r.t.Seed, r.t.Started = seed, r.began
	return r
}

// since is the time since the beginning.
func (r *recorder) since() time.Duration { return r.now().Sub(r.began) }

// event notes what happens now, and returns when that is.
func (r *recorder) event(e trace.Event) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(e)
}

// role notes what a node is in a set, if it was something else before.
func (r *recorder) role(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{e.Node, e.Set}
	if r.roles[key] != e.Text {
		r.roles[key] = e.Text
		r.add(e)
	}
}

// add needs mu to be held.
func (r *recorder) add(e trace.Event) time.Duration {
	e.At = r.since()
	r.seen.damaged = r.seen.damaged || e.Kind == trace.Damaged
	r.t.Events = append(r.t.Events, e)
	return e.At
}

func (r *recorder) sample(s trace.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.At = r.since()
	r.t.Samples = append(r.t.Samples, s)
	r.newest[s.Node] = s
}

func (r *recorder) transfer(t trace.Transfer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Transfers = append(r.t.Transfers, t)
}

func (r *recorder) check(c trace.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.At = r.since()
	r.t.Checks = append(r.t.Checks, c)
}

func (r *recorder) set(s trace.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Sets = append(r.t.Sets, s)
}

func (r *recorder) link(l trace.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[[2]string{l.From, l.To}] = l
}

// observe shows the judge something; at gets the moment.
func (r *recorder) observe(o func(at time.Duration) judge.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	see := o(r.since())
	switch see := see.(type) {
	case judge.Acked:
		if see.Durable {
			r.seen.durable++
		}
	case judge.Claim:
		r.seen.epochs[see.Set+see.Owner+see.Epoch] = true
	}
	r.broke(r.judge.Observe(see))
}

// again forgets what was counted for invariants that are looked at from the beginning each time.
func (r *recorder) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.compared, r.seen.files = 0, 0
}

// settle shows the judge what all nodes have when it is quiet.
func (r *recorder) settle(finals []judge.Final) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range finals {
		if f.Keeps {
			r.seen.compared++
		}
	}
	r.broke(r.judge.Settle(finals))
}

// violation notes what is seen to be broken without the judge.
func (r *recorder) violation(v judge.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.At = r.since()
	r.broke([]judge.Violation{v})
}

// broke needs mu to be held.
func (r *recorder) broke(found []judge.Violation) {
	for _, v := range found {
		r.found = append(r.found, v)
		r.add(trace.Event{Kind: trace.Violation, Node: v.Node, Set: v.Set, Text: v.Invariant + ": " + v.Text})
	}
}

// violations of an invariant so far.
func (r *recorder) violations(invariant string) []judge.Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []judge.Violation
	for _, v := range r.found {
		if v.Invariant == invariant {
			out = append(out, v)
		}
	}
	return out
}

// trace is a copy of all.
func (r *recorder) trace(net *nodes.Net) trace.Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.t
	t.Seconds = r.since().Seconds()
	for _, n := range net.Nodes() {
		t.Nodes = append(t.Nodes, trace.Node{Name: n.Name, PeerID: n.PeerID})
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.links), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		t.Links = append(t.Links, r.links[key])
	}
	t.Events, t.Samples = slices.Clone(t.Events), slices.Clone(t.Samples)
	t.Transfers, t.Checks, t.Sets = slices.Clone(t.Transfers), slices.Clone(t.Checks), slices.Clone(t.Sets)
	return t
}
