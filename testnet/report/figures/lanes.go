package figures

import (
	"maps"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Life is whether a node's process runs.
type Life int

// Lives of a node.
const (
	Absent Life = iota // not started yet
	Running
	Paused
	Down
)

// Lane is the life of one node, and what it was in one set.
type Lane struct {
	Node     string
	Segments []Segment
	Marks    []trace.Event // of this node, in the order of time
}

// Segment is a time in which nothing changed.
type Segment struct {
	From, To time.Duration
	Life     Life
	Role     string // "" = none that is known
}

// change is a node's role from a moment on; role "" = nobody knows.
type change struct {
	at              time.Duration
	node, set, role string
	life            Life   // if it is not Absent, the life of node has changed instead
	kind            string // of the event that tells of a life
}

// changes are the changes of roles and lives in the order of time. Events tell them. A sample tells a role only where no
// event did since the node's process started, so that a restarted node is nothing until something was heard of it.
func changes(t trace.Trace) []change {
	type seat struct{ node, set string }
	known, alive := map[seat]bool{}, map[string]Life{}
	var all []change
	live := func(at time.Duration, node, kind string) {
		alive[node] = lifeAfter(kind)
		all = append(all, change{at: at, node: node, life: alive[node], kind: kind})
	}
	event := func(e trace.Event) {
		switch e.Kind {
		case trace.Up, trace.Killed, trace.Stopped, trace.Crashed:
			for _, s := range t.Sets {
				delete(known, seat{e.Node, s.Name})
			}
			live(e.At, e.Node, e.Kind)
		case trace.Paused, trace.Resumed:
			live(e.At, e.Node, e.Kind)
		case trace.Role:
			if alive[e.Node] == Absent {
				live(e.At, e.Node, trace.Up)
			}
			known[seat{e.Node, e.Set}] = true
			all = append(all, change{at: e.At, node: e.Node, set: e.Set, role: e.Text})
		}
	}
	sample := func(s trace.Sample) {
		if alive[s.Node] == Absent {
			live(s.At, s.Node, trace.Up)
		}
		for _, state := range s.Sets {
			if seat := (seat{s.Node, state.Set}); alive[s.Node] == Running && !known[seat] && state.Role != "" {
				known[seat] = true
				all = append(all, change{at: s.At, node: s.Node, set: state.Set, role: state.Role})
			}
		}
	}
	inOrder(t, event, sample)
	return all
}

func lifeAfter(kind string) Life {
	switch kind {
	case trace.Up, trace.Resumed:
		return Running
	case trace.Paused:
		return Paused
	default:
		return Down
	}
}

// inOrder walks through the events and samples of a tidy trace, events first where both are of one moment.
func inOrder(t trace.Trace, event func(trace.Event), sample func(trace.Sample)) {
	i := 0
	for _, s := range t.Samples {
		for ; i < len(t.Events) && t.Events[i].At <= s.At; i++ {
			event(t.Events[i])
		}
		sample(s)
	}
	for ; i < len(t.Events); i++ {
		event(t.Events[i])
	}
}

// Lanes are the lives of all nodes and their roles in a set; set "" = the lives alone.
func Lanes(t trace.Trace, set string) []Lane {
	lanes, index := make([]Lane, len(t.Nodes)), map[string]int{}
	for i, n := range t.Nodes {
		lanes[i].Node = n.Name
		index[n.Name] = i
	}
	now := make([]Segment, len(lanes))
	turn := func(i int, at time.Duration, life Life, role string) {
		if now[i].Life == life && now[i].Role == role {
			return
		}
		lanes[i].add(now[i], at)
		now[i] = Segment{From: at, Life: life, Role: role}
	}
	for _, c := range changes(t) {
		i, ok := index[c.node]
		switch {
		case !ok:
		case c.life == Down:
			turn(i, c.at, Down, "")
		case c.kind == trace.Up:
			turn(i, c.at, Running, "") // a new process: what the old one was does not count
		case c.life != Absent:
			turn(i, c.at, c.life, now[i].Role)
		case c.set == set && now[i].Life != Down:
			turn(i, c.at, now[i].Life, c.role)
		}
	}
	for i := range lanes {
		lanes[i].add(now[i], End(t))
	}
	for _, e := range t.Events {
		if i, ok := index[e.Node]; ok && (e.Set == "" || e.Set == set || set == "") {
			lanes[i].Marks = append(lanes[i].Marks, e)
		}
	}
	return lanes
}

// add appends a segment that ends at a moment, unless there is nothing to show.
func (l *Lane) add(s Segment, end time.Duration) {
	if s.Life != Absent && end > s.From {
		s.To = end
		l.Segments = append(l.Segments, s)
	}
}

// Last are the roles and lives in the end, by node; set "" takes for each node the highest role it has in any set.
func Last(t trace.Trace, set string) map[string]Segment {
	rank := map[string]int{"reader": 1, "candidate": 2, "replica": 3, "backup": 4, "primary": 5}
	last := map[string]Segment{}
	roles := map[string]map[string]string{}
	for _, c := range changes(t) {
		s := last[c.node]
		switch {
		case c.life == Absent:
			if roles[c.node] == nil {
				roles[c.node] = map[string]string{}
			}
			roles[c.node][c.set] = c.role
		case c.life == Down || c.kind == trace.Up:
			delete(roles, c.node)
			s.Life = c.life
		default:
			s.Life = c.life
		}
		last[c.node] = s
	}
	for node, s := range last {
		for _, in := range slices.Sorted(maps.Keys(roles[node])) {
			role := roles[node][in]
			if (set == "" || set == in) && (s.Role == "" || rank[role] > rank[s.Role]) {
				s.Role = role
			}
		}
		last[node] = s
	}
	return last
}
