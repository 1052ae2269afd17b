package draw

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Mark is how a kind of event looks and is called.
type Mark struct {
	Glyph string // name of the page's symbol
	Word  string // "killed", after a node's name
	rank  int    // 0 = in the table only; 1 = on the lane where there is room; more = always on the lane, and the highest is named first
	class string // of the line through all lanes; "" = none
}

// MarkOf is the mark of an event.
func MarkOf(e trace.Event) Mark {
	if e.Kind == trace.Published && !e.Durable {
		return Mark{"local", "published, on one disk so far", 1, ""}
	}
	return marks()[e.Kind]
}

func marks() map[string]Mark {
	return map[string]Mark{
		trace.Violation: {"violation", "breaks an invariant", 9, "bad"},
		trace.Crashed:   {"crash", "crashed", 8, "bad"},
		trace.Killed:    {"kill", "killed", 7, "bad"},
		trace.Stopped:   {"stop", "stopped", 6, "bad"},
		trace.Cut:       {"cut", "cut off", 6, "bad"},
		trace.Paused:    {"pause", "paused", 5, "bad"},
		trace.Healed:    {"heal", "healed", 5, "good"},
		trace.Resumed:   {"resume", "resumed", 4, "good"},
		trace.Up:        {"up", "started again", 4, "good"},
		trace.Damaged:   {"damage", "disk damaged", 5, "bad"},
		trace.Full:      {"full", "disk full", 5, "bad"},
		trace.Freed:     {"freed", "disk free again", 4, "good"},
		trace.Lying:     {"lie", "serves wrong bytes", 5, "bad"},
		trace.Honest:    {"honest", "serves right bytes again", 4, "good"},
		trace.Failed:    {"failed", "failed", 4, ""},
		trace.Refused:   {"refused", "publish refused", 3, ""},
		trace.Linked:    {"link", "link changed", 2, "grid"},
		trace.Published: {"durable", "published, durable", 1, ""},
		trace.Complete:  {"complete", "complete", 1, ""},
		trace.Note:      {"note", "note", 2, "grid"},
	}
}

// Legend are the marks that so many lanes show of events, each once, the gravest first.
func Legend(events []trace.Event, lanes int) []Mark {
	seen := map[string]bool{}
	var all []Mark
	for _, e := range shown(events) {
		if m := MarkOf(e); m.rank >= least(lanes) && e.Node != "" && !seen[m.Glyph] {
			seen[m.Glyph] = true
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b Mark) int { return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.Glyph, b.Glyph)) })
	return all
}

// least is the lowest rank that so many lanes show: marks of what happens all the time would cover thin ones.
func least(lanes int) int {
	if lanes > 48 {
		return 2
	}
	return 1
}

// shown are the events without the first start of every node, which its lane shows by beginning.
func shown(events []trace.Event) []trace.Event {
	started := map[string]bool{}
	var rest []trace.Event
	for _, e := range events {
		first := e.Kind == trace.Up && !started[e.Node]
		started[e.Node] = started[e.Node] || e.Kind == trace.Up
		if !first {
			rest = append(rest, e)
		}
	}
	return rest
}

// spot is where marks of one glyph stand on a lane.
type spot struct {
	x      float64
	mark   Mark
	titles []string
	count  int
}

// spots finds places for the events of a lane so that marks are at least pitch apart. Grave ones come first and are moved
// aside a little where they meet; what happens all the time is counted in a mark of its kind nearby, or is left out, as is
// what ranks below the lowest.
func spots(events []trace.Event, s span, pitch float64, lowest int) []spot {
	events = shown(events)
	slices.SortStableFunc(events, func(a, b trace.Event) int { return cmp.Compare(MarkOf(b).rank, MarkOf(a).rank) })
	var all []spot
	near := func(x float64, d float64) *spot {
		for i := range all {
			if all[i].x > x-d && all[i].x < x+d {
				return &all[i]
			}
		}
		return nil
	}
	for _, e := range events {
		m, x := MarkOf(e), s.x(e.At)
		if m.rank < lowest {
			continue
		}
		other := near(x, pitch)
		for moved := 0; other != nil && other.mark.Glyph != m.Glyph && m.rank > 1 && moved < 3; moved++ {
			x = other.x + pitch
			other = near(x, pitch)
		}
		switch {
		case other == nil:
			all = append(all, spot{x, m, []string{Sentence(e)}, 1})
		case other.mark.Glyph == m.Glyph:
			other.count++
			if len(other.titles) < 5 { // a tooltip of more lines does not fit on the screen
				other.titles = append(other.titles, Sentence(e))
			}
		}
	}
	return all
}

func (p spot) title() string {
	text := strings.Join(p.titles, " · ")
	if more := p.count - len(p.titles); more > 0 {
		text += fmt.Sprintf(" · and %d more", more)
	}
	return text
}

// Sentence is an event in words: "12.3 s: origin killed".
func Sentence(e trace.Event) string {
	return figures.Seconds(e.At) + ": " + Says(e)
}

// Says is an event in words without its moment.
func Says(e trace.Event) string {
	var b strings.Builder
	if e.Node != "" {
		b.WriteString(e.Node + " ")
	}
	switch m := MarkOf(e); e.Kind {
	case trace.Role:
		return b.String() + "is " + cmp.Or(e.Text, "nothing") + " of " + e.Set
	case trace.Published, trace.Complete:
		return fmt.Sprintf("%s%s revision %d %s", b.String(), map[bool]string{true: "published", false: "holds"}[e.Kind == trace.Published], e.Revision,
			strings.TrimSpace("of "+e.Set+" "+map[bool]string{true: "(durable)"}[e.Durable]))
	case trace.Note, trace.Step:
		return b.String() + e.Text
	default:
		b.WriteString(cmp.Or(m.Word, e.Kind))
	}
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	return b.String()
}

// flag is a label above the lanes with a line through them.
type flag struct {
	at          time.Duration
	rank        int
	class, text string
	short       string // where the text is too long; "" = the text with its middle left out
}

// flags are the labels of a net's history: gaps first, then what happened to nodes and links. Events of one kind that are
// no further apart than near become one label.
func flags(events []trace.Event, gaps []figures.Gap, near time.Duration) []flag {
	var all []flag
	told := map[string]bool{} // by node and moment: a gap's label names its cause
	for _, g := range gaps {
		told[fmt.Sprint(g.Was, g.From)] = true
		all = append(all, flag{g.From, 10, "bad", GapSays(g), g.Was + " " + marks()[g.Cause].Word + ", " + figures.Seconds(g.Length())})
	}
	nodes := map[int][]string{} // by index in all
	latest := map[string]int{}  // by kind: index in all
	for _, e := range shown(events) {
		m := MarkOf(e)
		if m.class == "" || told[fmt.Sprint(e.Node, e.At)] {
			continue
		}
		if i, ok := latest[e.Kind]; ok && e.At-all[i].at <= near && e.Node != "" && len(nodes[i]) > 0 {
			nodes[i] = append(nodes[i], e.Node)
			all[i].text = several(nodes[i]) + " " + m.Word
			continue
		}
		latest[e.Kind] = len(all)
		text := m.Word
		switch {
		case e.Node != "":
			nodes[len(all)] = []string{e.Node}
			text = e.Node + " " + m.Word
		case e.Text != "" && e.Kind != trace.Healed:
			text = e.Text
		}
		all = append(all, flag{at: e.At, rank: m.rank, class: m.class, text: text})
	}
	slices.SortStableFunc(all, func(a, b flag) int { return cmp.Compare(b.rank, a.rank) })
	return all
}

func several(nodes []string) string {
	nodes = slices.Compact(slices.Sorted(slices.Values(nodes)))
	if len(nodes) <= 2 {
		return strings.Join(nodes, " and ")
	}
	return fmt.Sprintf("%s and %d others", nodes[0], len(nodes)-1)
}

// GapSays is a gap in words: "origin killed, backup-1 primary after 0.4 s".
func GapSays(g figures.Gap) string {
	text := g.Was + " " + marks()[g.Cause].Word + ", "
	switch {
	case g.Open && g.Others == 0:
		return text + "nobody to take over"
	case g.Open:
		return text + "no primary since"
	case g.Primary == g.To:
		return text + g.Now + " primary after " + figures.Seconds(g.Length())
	default:
		return text + "publish accepted after " + figures.Seconds(g.Length())
	}
}
