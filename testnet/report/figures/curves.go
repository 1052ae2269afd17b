package figures

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Curve is how complete one node's folder of a set was over time.
type Curve struct {
	Node   string
	Points []Point         // in the order of time
	Whole  []time.Duration // when it became complete, once for each revision
}

// Point is one moment of a curve. The line from the point before it is not drawn if Anew.
type Point struct {
	At   time.Duration
	Part float64 // 0 to 1
	Anew bool    // the node was down in between
}

// Curves are those of the nodes that fetched something of a set, whoever was complete first at the top, whoever never was
// at the bottom. The author, who always has all, is not among them.
func Curves(t trace.Trace, set string) []Curve {
	points, whole, down := map[string][]Point{}, map[string][]time.Duration{}, map[string]bool{}
	add := func(node string, at time.Duration, part float64) {
		points[node] = append(points[node], Point{at, part, down[node]})
		delete(down, node)
	}
	inOrder(t, func(e trace.Event) {
		switch {
		case e.Kind == trace.Complete && e.Set == set:
			add(e.Node, e.At, 1)
			whole[e.Node] = append(whole[e.Node], e.At)
		case e.Kind == trace.Killed || e.Kind == trace.Stopped || e.Kind == trace.Crashed:
			down[e.Node] = true
		}
	}, func(s trace.Sample) {
		for _, state := range s.Sets {
			if state.Set == set {
				add(s.Node, s.At, state.Part)
			}
		}
	})
	unseen(t, set, points, whole)
	var curves []Curve
	for _, n := range t.Nodes {
		c := Curve{Node: n.Name, Points: points[n.Name], Whole: whole[n.Name]}
		fetched := len(c.Whole) > 0 || slices.ContainsFunc(c.Points, func(p Point) bool { return p.Part < 1 })
		if fetched {
			curves = append(curves, c)
		}
	}
	slices.SortStableFunc(curves, func(a, b Curve) int {
		if len(a.Whole) == 0 || len(b.Whole) == 0 {
			return cmp.Compare(len(b.Whole), len(a.Whole))
		}
		return cmp.Compare(a.Whole[0], b.Whole[0])
	})
	return curves
}

// unseen adds the transfers that no sample saw: they were over before the next was taken.
func unseen(t trace.Trace, set string, points map[string][]Point, whole map[string][]time.Duration) {
	for _, x := range t.Transfers {
		if x.Set != set {
			continue
		}
		near := func(at time.Duration) bool { return at >= x.Began && at <= x.Ended+time.Second }
		if !slices.ContainsFunc(whole[x.Node], near) { // no event told of it
			whole[x.Node] = append(whole[x.Node], x.Ended)
		}
		p := points[x.Node]
		during := func(p Point) bool { return p.At >= x.Began && p.At < x.Ended && p.Part < 1 }
		if slices.ContainsFunc(p, during) {
			continue
		}
		part := 0.0
		if x.Total > 0 {
			part = Part(float64(x.Reused) / float64(x.Total))
		}
		points[x.Node] = append(p, Point{At: x.Began, Part: part}, Point{At: x.Ended, Part: 1})
	}
	for node := range points {
		slices.SortStableFunc(points[node], func(a, b Point) int { return cmp.Compare(a.At, b.At) })
		slices.Sort(whole[node])
	}
}

// Revision is what one revision cost all nodes that fetched it.
type Revision struct {
	Set                                     string
	Number                                  uint64
	Total, Reused, Patched, Fetched, WireIn int64            // bytes of all transfers together
	Transfers                               []trace.Transfer // the ones that received the most first
}

// Sum is all transfers of the revision as one.
func (r Revision) Sum() trace.Transfer {
	x := trace.Transfer{Set: r.Set, Revision: r.Number, Total: r.Total, Reused: r.Reused, Patched: r.Patched, Fetched: r.Fetched, WireIn: r.WireIn}
	for i, t := range r.Transfers {
		x.Ended = max(x.Ended, t.Ended)
		if i == 0 || t.Began < x.Began {
			x.Began = t.Began
		}
	}
	return x
}

// NotSent is the part of the revision's bytes that did not have to be received, 0 to 1.
func (r Revision) NotSent() float64 { return NotSent(r.Total, r.WireIn) }

// Update tells whether something of the revision lay on the disks of those who fetched it.
func (r Revision) Update() bool { return r.Number > 1 && r.Reused+r.Patched > 0 }

// NotSent is the part of total that did not have to be received, 0 to 1.
func NotSent(total, wire int64) float64 {
	if total <= 0 {
		return 0
	}
	return Part(1 - float64(wire)/float64(total))
}

// Revisions are the revisions that were fetched, by set and number.
func Revisions(t trace.Trace) []Revision {
	type id struct {
		set    string
		number uint64
	}
	index := map[id]int{}
	var all []Revision
	for _, x := range t.Transfers {
		k := id{x.Set, x.Revision}
		i, ok := index[k]
		if !ok {
			i = len(all)
			index[k] = i
			all = append(all, Revision{Set: x.Set, Number: x.Revision})
		}
		r := &all[i]
		r.Total += x.Total
		r.Reused += x.Reused
		r.Patched += x.Patched
		r.Fetched += x.Fetched
		r.WireIn += x.WireIn
		r.Transfers = append(r.Transfers, x)
	}
	for _, r := range all {
		slices.SortStableFunc(r.Transfers, func(a, b trace.Transfer) int { return cmp.Compare(b.WireIn, a.WireIn) })
	}
	slices.SortStableFunc(all, func(a, b Revision) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Number, b.Number))
	})
	return all
}
