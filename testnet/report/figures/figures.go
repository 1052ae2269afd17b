// Package figures is what a trace says in numbers: who was what and when, how long a set had no primary, how fast bytes
// went, how complete every node was, and what an update did not have to send. Pictures and tables are made of these. It
// takes any trace, also one that contradicts itself; Tidy is to be called first.
package figures

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Tidy returns the trace as the other functions want it: events and samples in the order of time, no moment before the
// beginning or after the end, every node and set that is mentioned in the lists of nodes and sets, parts from 0 to 1 and
// no negative bytes. It changes nothing of t.
func Tidy(t trace.Trace) trace.Trace {
	t.Events, t.Samples, t.Transfers = slices.Clone(t.Events), slices.Clone(t.Samples), slices.Clone(t.Transfers)
	last := Moment(t.Seconds)
	for i := range t.Events {
		e := &t.Events[i]
		e.At = bounded(e.At)
		last = max(last, e.At)
	}
	for i := range t.Samples {
		s := &t.Samples[i]
		s.At, s.WireIn, s.WireOut = bounded(s.At), bytes(s.WireIn), bytes(s.WireOut)
		s.Sets = slices.Clone(s.Sets)
		for j := range s.Sets {
			s.Sets[j].Part = Part(s.Sets[j].Part)
		}
		last = max(last, s.At)
	}
	for i := range t.Transfers {
		x := &t.Transfers[i]
		for _, n := range []*int64{&x.Total, &x.Reused, &x.Patched, &x.Fetched, &x.WireIn, &x.WireOut} {
			*n = bytes(*n)
		}
		x.Began = bounded(x.Began)
		x.Ended = max(bounded(x.Ended), x.Began)
		last = max(last, x.Ended)
	}
	slices.SortStableFunc(t.Events, func(a, b trace.Event) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Samples, func(a, b trace.Sample) int { return cmp.Compare(a.At, b.At) })
	t.Seconds = (last + exact - 1).Truncate(exact).Seconds() // no moment is after it
	return complete(t)
}

// complete adds the nodes and sets that are mentioned and not listed, in the order of their names.
func complete(t trace.Trace) trace.Trace {
	nodes, sets := map[string]bool{}, map[string]bool{}
	for _, e := range t.Events {
		nodes[e.Node], sets[e.Set] = true, true
	}
	for _, s := range t.Samples {
		nodes[s.Node] = true
		for _, state := range s.Sets {
			sets[state.Set] = true
		}
	}
	for _, x := range t.Transfers {
		nodes[x.Node], sets[x.Set] = true, true
	}
	for _, l := range t.Links {
		nodes[l.From], nodes[l.To] = true, true
	}
	delete(nodes, "")
	delete(sets, "")
	t.Nodes, t.Sets = slices.Clone(t.Nodes), slices.Clone(t.Sets)
	for _, n := range t.Nodes {
		delete(nodes, n.Name)
	}
	for _, s := range t.Sets {
		delete(sets, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		t.Nodes = append(t.Nodes, trace.Node{Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		t.Sets = append(t.Sets, trace.Set{Name: name})
	}
	return t
}

// What a trace may hold. Sums of thousands of such numbers do not overflow.
const (
	longest = 365 * 24 * time.Hour
	// exact is as exactly as a number of seconds is read: finer steps of a year are lost in it.
	exact = time.Microsecond
	most  = int64(1) << 50 // bytes
)

func bounded(at time.Duration) time.Duration { return min(max(at, 0), longest) }

func bytes(n int64) int64 { return min(max(n, 0), most) }

// Moment is seconds as a duration; what is no number of seconds, negative or beyond a year is 0.
func Moment(seconds float64) time.Duration {
	if !(seconds > 0 && seconds <= longest.Seconds()) {
		return 0
	}
	return time.Duration(math.Round(seconds*float64(time.Second/exact))) * exact
}

// End is the last moment of a tidy trace.
func End(t trace.Trace) time.Duration {
	last := Moment(t.Seconds)
	for _, e := range t.Events[max(0, len(t.Events)-1):] {
		last = max(last, e.At)
	}
	for _, s := range t.Samples[max(0, len(t.Samples)-1):] {
		last = max(last, s.At)
	}
	for _, x := range t.Transfers {
		last = max(last, x.Ended)
	}
	return last
}

// Part is p bounded to 0 to 1; what is no number is 0.
func Part(p float64) float64 {
	if math.IsNaN(p) {
		return 0
	}
	return min(max(p, 0), 1)
}
