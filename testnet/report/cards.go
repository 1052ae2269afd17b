package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/draw"
	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Limits of what is drawn, so that no trace makes a page that cannot be opened. The JSON has all.
const (
	shownSets      = 4
	shownRevisions = 3   // node by node
	shownRows      = 500 // of a table
)

// cards are the pictures of which the trace has something to show, in the order in which questions come up.
func cards(t trace.Trace) []card {
	gaps := figures.Gaps(t)
	var all []card
	for _, c := range []card{lanesCard(t, gaps), failoverCard(gaps), curvesCard(t, gaps), bytesCard(t), ratesCard(t, gaps), ringCard(t)} {
		if len(c.Parts) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// setNames are the sets that are shown by themselves. A trace without any has one picture of its nodes' lives.
func setNames(t trace.Trace) []string {
	var names []string
	for _, s := range t.Sets[:min(len(t.Sets), shownSets)] {
		names = append(names, s.Name)
	}
	return names
}

// only are the gaps of one set.
func only(gaps []figures.Gap, set string) (own []figures.Gap) {
	for _, g := range gaps {
		if g.Set == set {
			own = append(own, g)
		}
	}
	return own
}

func lanesCard(t trace.Trace, gaps []figures.Gap) card {
	c := card{ID: "lanes", Title: "Who was what, and when", About: "one lane for each node; shaded: no primary"}
	c.Table = table{Title: "The lanes as a table", Head: []string{"set", "node", "what", "from", "to"}}
	if len(t.Nodes) == 0 {
		return c
	}
	sets := setNames(t)
	if len(sets) == 0 {
		sets = []string{""}
	}
	end := figures.End(t)
	roles := map[string]bool{}
	for _, set := range sets {
		lanes, own := figures.Lanes(t, set), only(gaps, set)
		title := ""
		if len(sets) > 1 {
			title = "set " + set
		}
		c.Parts = append(c.Parts, picture(title, wide, func(width float64) draw.SVG { return draw.Lanes(lanes, own, t.Events, end, width) }))
		for _, l := range lanes {
			for _, s := range l.Segments {
				word := segmentWord(s)
				roles[word] = true
				c.Table.limited(set, l.Node, word, figures.Seconds(s.From), figures.Seconds(s.To))
			}
		}
	}
	c.Legend = laneLegend(roles, draw.Legend(t.Events, len(t.Nodes)))
	return c
}

func segmentWord(s figures.Segment) string {
	switch {
	case s.Life == figures.Down:
		return "down"
	case s.Life == figures.Paused:
		return "paused"
	default:
		return draw.Role(s.Role)
	}
}

func laneLegend(roles map[string]bool, marks []draw.Mark) []swatch {
	var all []swatch
	for _, r := range []string{"primary", "backup", "replica", "candidate", "reader", "none"} {
		word := strings.TrimSpace(draw.Letter(r) + " " + r)
		if r == "none" {
			word = "running, no role"
		}
		if roles[r] {
			all = append(all, swatch{Class: "r-" + r, Word: word})
		}
	}
	if roles["paused"] {
		all = append(all, swatch{Class: "r-none paused", Word: "paused"})
	}
	if roles["down"] {
		all = append(all, swatch{Class: "down", Word: "down"})
	}
	for _, m := range marks {
		all = append(all, swatch{Glyph: m.Glyph, Word: m.Word})
	}
	return all
}

func failoverCard(gaps []figures.Gap) card {
	c := card{ID: "failover", Title: "Failover", About: "from the loss of a primary until another is seen or a publish is accepted"}
	c.Table = table{Title: "The gaps as a table", Head: []string{"set", "lost", "how", "at", "next primary", "after", "next publish accepted after"}}
	failed := func(g figures.Gap) bool { return !g.Alone() }
	if !slices.ContainsFunc(gaps, failed) {
		return c // a set that lost its only voter is told by its lanes
	}
	since := func(g figures.Gap, at time.Duration) string {
		if at == figures.Never {
			return "never"
		}
		return figures.Seconds(at - g.From)
	}
	for _, g := range gaps {
		c.Table.limited(g.Set, g.Was, g.Cause, figures.Seconds(g.From), g.Now, since(g, g.Primary), since(g, g.Accepted))
	}
	hidden := 0
	p := picture("", wide, func(width float64) (pic draw.SVG) {
		pic, hidden = draw.Gaps(gaps, width)
		return pic
	})
	if hidden > 0 {
		p.After = fmt.Sprintf("The longest of %d; the table has all.", len(gaps))
	}
	c.Parts = []part{p}
	c.Legend = []swatch{{Class: "without", Word: "no primary"}, {Class: "after", Word: "until a publish was accepted"}}
	return c
}

func curvesCard(t trace.Trace, gaps []figures.Gap) card {
	c := card{ID: "curves", Title: "How complete each node was", About: "0 to 100 % of the newest revision it knew; a green line: complete"}
	c.Table = table{Title: "The curves as a table", Head: []string{"set", "node", "first complete at", "revisions", "in the end"}}
	end := figures.End(t)
	for _, set := range setNames(t) {
		curves, own := figures.Curves(t, set), only(gaps, set)
		if len(curves) == 0 {
			continue
		}
		title := ""
		if len(t.Sets) > 1 {
			title = "set " + set
		}
		c.Parts = append(c.Parts, picture(title, wide, func(width float64) draw.SVG { return draw.Curves(curves, own, end, width) }))
		for _, curve := range curves {
			first, last := "never", "0 %"
			if len(curve.Whole) > 0 {
				first = figures.Seconds(curve.Whole[0])
			}
			if n := len(curve.Points); n > 0 {
				last = figures.Percent(curve.Points[n-1].Part)
			}
			c.Table.limited(set, curve.Node, first, fmt.Sprint(len(curve.Whole)), last)
		}
	}
	return c
}

func bytesCard(t trace.Trace) card {
	c := card{ID: "bytes", Title: "What had to be sent", About: "a bar is all that was to be had; the line below it is what was received in all"}
	c.Table = table{Title: "The transfers as a table", Head: []string{"set", "revision", "node", "total", "reused",
		"patched", "fetched", "received", "sent", "sources", "took"}}
	revisions := figures.Revisions(t)
	for _, r := range revisions {
		for _, x := range r.Transfers {
			n := func(v int64) string { return figures.Bytes(float64(v)) }
			c.Table.limited(r.Set, fmt.Sprint(r.Number), x.Node, n(x.Total), n(x.Reused), n(x.Patched), n(x.Fetched), n(x.WireIn), n(x.WireOut),
				fmt.Sprint(x.Sources), figures.Seconds(x.Ended-x.Began))
		}
	}
	if len(revisions) > shownRevisions {
		c.add("all nodes together, by revision", revisions)
	} else {
		for _, r := range revisions {
			c.add(revisionTitle(r), []figures.Revision{r})
		}
	}
	c.Legend = []swatch{{Class: "reused", Word: "reused from the node's disk"}, {Class: "patched", Word: "made of patches"},
		{Class: "fetched", Word: "received whole"}, {Class: "wire", Word: "all bytes received"}}
	return c
}

// add appends the bars of revisions.
func (c *card) add(title string, revisions []figures.Revision) {
	bars, hidden := draw.Bars(revisions)
	p := picture(title, wide, func(width float64) draw.SVG { return draw.Bytes(bars, width) })
	if hidden > 0 {
		p.After = fmt.Sprintf("%d more are in the table.", hidden)
	}
	c.Parts = append(c.Parts, p)
}

func revisionTitle(r figures.Revision) string {
	nodes := fmt.Sprintf("%d nodes", len(r.Transfers))
	if len(r.Transfers) == 1 {
		nodes = "1 node"
	}
	text := fmt.Sprintf("%s, revision %d: %s for %s, %s received", r.Set, r.Number, figures.Bytes(float64(r.Total)), nodes, figures.Bytes(float64(r.WireIn)))
	if r.Update() && r.NotSent() > 0 {
		text += ", " + figures.Percent(r.NotSent()) + " not sent thanks to delta"
	}
	return text
}

func ratesCard(t trace.Trace, gaps []figures.Gap) card {
	c := card{ID: "rates", Title: "Throughput", Class: "left"}
	c.Table = table{Title: "The throughput as a table", Head: []string{"node", "sent", "received", "sent, most", "received, most"}}
	rates := figures.Rates(t, figures.BinFor(t, 240)) // about four pixels of the widest picture for each
	c.About = "bytes per second, each point over " + figures.Seconds(rates.Bin)
	moved := 0.0
	for _, n := range append(append([]figures.Traffic{}, rates.Nodes...), figures.Sum(rates.Nodes)) {
		name := n.Node
		if name == "" {
			name = "all"
			moved = n.BytesSent + n.BytesReceived
		}
		c.Table.limited(name, figures.Bytes(n.BytesSent), figures.Bytes(n.BytesReceived), most(n.Sent), most(n.Received))
	}
	if moved == 0 {
		return c
	}
	end := figures.End(t)
	c.Parts = []part{picture("", left, func(width float64) draw.SVG { return draw.Rates(rates, gaps, end, width) })}
	return c
}

func most(rates []float64) string {
	top := 0.0
	for _, v := range rates {
		top = max(top, v)
	}
	return figures.Bytes(top) + "/s"
}

func ringCard(t trace.Trace) card {
	c := card{ID: "ring", Title: "Topology", About: "roles in the end; lines: links that had a rule, as they were last", Class: "right"}
	c.Table = table{Title: "The nodes and links as a table", Head: []string{"node", "to", "what"}}
	if len(t.Nodes) == 0 {
		return c
	}
	last := figures.Last(t, "")
	for _, n := range t.Nodes {
		word := segmentWord(last[n.Name])
		if word == "none" {
			word = "running, no role"
		}
		c.Table.limited(n.Name, "", word)
	}
	for _, l := range t.Links {
		c.Table.limited(l.From, l.To, draw.RuleSays(l))
	}
	c.Parts = []part{picture("", right, func(width float64) draw.SVG { return draw.Ring(t.Nodes, last, t.Links, width) })}
	return c
}

// limited adds a row, or counts it where the table is full.
func (b *table) limited(cells ...string) {
	if len(b.Rows) < shownRows {
		b.add(cells...)
		return
	}
	b.Hidden = "the rest is in report.json"
}
