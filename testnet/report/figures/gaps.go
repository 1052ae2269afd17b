package figures

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Never is the moment of what did not happen.
const Never = time.Duration(-1)

// Gap is the time between the loss of a set's primary and the first sign that it is replaced.
type Gap struct {
	Set      string
	Cause    string        // kind of the event that took the primary away
	Was, Now string        // the primary before and after; Now is "" if there was none
	From     time.Duration // moment of the loss
	Primary  time.Duration // moment at which a primary was seen again, or Never
	Accepted time.Duration // moment at which a publish was accepted again, or Never
	Others   int           // nodes that were known as backup or replica when it began, and so could take over
	To       time.Duration // the earlier of both, or the end of the trace
	Open     bool          // neither came
}

// Length is how long the gap was.
func (g Gap) Length() time.Duration { return g.To - g.From }

// Alone tells that nobody was there who could have taken over, and nobody came: the set has lost its only voter, which is no
// failover.
func (g Gap) Alone() bool { return g.Open && g.Others == 0 }

// Gaps are the gaps of all sets in the order of their beginnings. The loss of a process always is one. A cut or a pause is
// one only if another node becomes primary before it ends, since most of them harm nobody.
func Gaps(t trace.Trace) []Gap {
	f := failovers{primary: map[string]string{}, roles: map[string]map[string]string{}, open: map[string]int{}, maybe: map[string]Gap{}}
	all := changes(t)
	i := 0
	for _, e := range t.Events {
		for ; i < len(all) && all[i].at <= e.At; i++ {
			f.change(all[i])
		}
		f.event(e)
	}
	for ; i < len(all); i++ {
		f.change(all[i])
	}
	end := End(t)
	for i := range f.gaps {
		f.gaps[i].close(end)
	}
	slices.SortStableFunc(f.gaps, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Set, b.Set)) })
	return f.gaps
}

func (g *Gap) close(end time.Duration) {
	switch {
	case g.Primary != Never && (g.Accepted == Never || g.Primary <= g.Accepted):
		g.To = g.Primary
	case g.Accepted != Never:
		g.To = g.Accepted
	default:
		g.To, g.Open = end, true
	}
}

// failovers is the state while gaps are looked for.
type failovers struct {
	primary map[string]string            // by set
	roles   map[string]map[string]string // by set and node
	open    map[string]int               // by set: index of the gap whose primary or publish is still missing
	maybe   map[string]Gap               // by set: begun by a cut or a pause, and nobody has taken over yet
	gaps    []Gap
}

func (f *failovers) change(c change) {
	if c.life == Down {
		f.lost(c)
		return
	}
	if c.life != Absent {
		return
	}
	if f.roles[c.set] == nil {
		f.roles[c.set] = map[string]string{}
	}
	f.roles[c.set][c.node] = c.role
	if c.role != "primary" {
		if f.primary[c.set] == c.node {
			delete(f.primary, c.set)
		}
		return
	}
	if g, ok := f.maybe[c.set]; ok && g.Was != c.node {
		f.begin(g)
	}
	f.primary[c.set] = c.node
	if i, ok := f.open[c.set]; ok && f.gaps[i].Primary == Never {
		f.gaps[i].Primary, f.gaps[i].Now = c.at, c.node
		f.settle(c.set)
	}
}

// lost begins the gaps of the sets whose primary has ended.
func (f *failovers) lost(c change) {
	for set, roles := range f.roles {
		if f.primary[set] == c.node {
			f.begin(f.gap(set, c.node, c.kind, c.at))
			delete(f.primary, set)
		}
		delete(roles, c.node)
	}
}

func (f *failovers) gap(set, was, cause string, at time.Duration) Gap {
	g := Gap{Set: set, Was: was, Cause: cause, From: at, Primary: Never, Accepted: Never}
	for node, role := range f.roles[set] {
		if node != was && (role == "backup" || role == "replica") {
			g.Others++
		}
	}
	return g
}

func (f *failovers) begin(g Gap) {
	delete(f.maybe, g.Set)
	f.gaps = append(f.gaps, g)
	f.open[g.Set] = len(f.gaps) - 1
}

func (f *failovers) settle(set string) {
	if g := f.gaps[f.open[set]]; g.Primary != Never && g.Accepted != Never {
		delete(f.open, set)
	}
}

func (f *failovers) event(e trace.Event) {
	switch e.Kind {
	case trace.Cut, trace.Paused:
		for set, node := range f.primary {
			if _, ok := f.maybe[set]; !ok && node == e.Node {
				f.maybe[set] = f.gap(set, node, e.Kind, e.At)
			}
		}
	case trace.Healed, trace.Resumed:
		for set, g := range f.maybe {
			if e.Node == "" || e.Node == g.Was {
				delete(f.maybe, set)
			}
		}
	case trace.Published:
		i, ok := f.open[e.Set]
		// What a cut-off primary calls its own revision is no sign that the set has one again, unless it is durable.
		if ok && f.gaps[i].Accepted == Never && (e.Node != f.gaps[i].Was || e.Durable) {
			f.gaps[i].Accepted = e.At
			f.settle(e.Set)
		}
	}
}
