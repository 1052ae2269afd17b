package draw

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// narrow is the width in pixels below which a picture is for a phone.
const narrow = 600

// names is how many pixels names have beside a picture.
func names(width float64) float64 {
	if width < narrow {
		return 84
	}
	return 132
}

// rows is the height of one of n rows: comfortable ones for a few, thin ones for a hundred.
func rows(n int) float64 {
	switch {
	case n <= 24:
		return 28
	case n <= 48:
		return 20
	default:
		return 13
	}
}

// Lanes draws one lane for each node: what it was in a set, when it was down or paused, what happened to it, and the time
// without a primary as a band across all.
func Lanes(lanes []figures.Lane, gaps []figures.Gap, events []trace.Event, end time.Duration, width float64) SVG {
	c := &canvas{w: width}
	s := span{names(width), width - 12, end}
	near := time.Duration(float64(end) * 4 / max(s.x1-s.x0, 1))
	labels, used := c.flagged(flags(events, gaps, near), s)
	row := rows(len(lanes))
	top := 6 + 15*float64(used)
	bottom := top + row*float64(len(lanes)) + 4
	c.h = bottom + 24
	c.times(s, top, bottom)
	c.follow(s)
	c.shade(gaps, s, top, bottom)
	marked := make([][]spot, len(lanes))
	for i, l := range lanes {
		marked[i] = spots(l.Marks, s, min(row, 20)*0.55, least(len(lanes)))
		c.lane(l, marked[i], s, top+row*float64(i), row)
	}
	for _, l := range labels {
		if x := s.x(l.at); l.text != "" || len(labels) <= 24 { // more lines than that are a curtain
			c.line("flag "+l.class, x, l.y+3, x, bottom)
		}
	}
	for _, l := range labels {
		if l.text != "" {
			c.text("small "+l.class, l.anchor, l.x, l.y, l.text, l.full)
		}
	}
	for i := range lanes {
		y := top + row*float64(i) + row/2
		for _, p := range marked[i] {
			title := p.title()
			if len(lanes) > 48 { // a tooltip for each of thousands makes a page of megabytes
				title = p.titles[0]
			}
			c.sized(p.mark.Glyph, p.x, y, min(row-2, 16), title)
		}
	}
	return c.svg(fmt.Sprintf("What %d nodes were from 0 to %s, one lane for each; the table below says the same", len(lanes), figures.Seconds(end)))
}

// shade draws the times without a primary as bands.
func (c *canvas) shade(gaps []figures.Gap, s span, top, bottom float64) {
	for _, g := range gaps {
		if !g.Alone() {
			c.rect("gap", s.x(g.From), top, max(s.x(g.To)-s.x(g.From), 2), bottom-top, GapSays(g))
		}
	}
}

// lane draws the segments of one node in a row.
func (c *canvas) lane(l figures.Lane, marked []spot, s span, y, row float64) {
	c.text("name", "end", s.x0-8, y+row/2+4, Clip(l.Node, s.x0-12), l.Node)
	for _, g := range l.Segments {
		x0, x1 := s.x(g.From), s.x(g.To)
		height := row * 0.66
		if g.Role == "reader" || g.Role == "" && g.Life != figures.Down { // shape tells them from voters, not the colour alone
			height = row * 0.44
		}
		class, word := looks(g)
		y0 := y + (row-height)/2
		title := fmt.Sprintf("%s %s from %s to %s", l.Node, word, figures.Seconds(g.From), figures.Seconds(g.To))
		c.rect("seg "+class, x0, y0, max(x1-x0-0.5, 1), height, title)
		if height < 11 || g.Life == figures.Down {
			continue
		}
		for _, text := range []string{word, Letter(g.Role)} {
			if x, ok := vacant(marked, x0+5, x1-2, measure(text)*0.92); ok && text != "" {
				c.text("in "+class, "start", x, y0+height/2+3.8, text, "")
				break
			}
		}
	}
}

// vacant finds the first place between x0 and x1 where w pixels are free of marks.
func vacant(marked []spot, x0, x1, w float64) (float64, bool) {
	const half = 9 // of a mark, and air
	x := x0
	for again := true; again; {
		again = false
		for _, p := range marked {
			if p.x+half > x && p.x-half < x+w {
				x, again = p.x+half+1, true
			}
		}
		if x+w > x1 {
			return 0, false
		}
	}
	return x, true
}

// looks is the class of a segment and what it says.
func looks(g figures.Segment) (class, word string) {
	class = "r-" + Role(g.Role)
	word = g.Role
	switch {
	case g.Life == figures.Down:
		return "down", "down"
	case word == "":
		word = "running"
	}
	if g.Life == figures.Paused {
		return class + " paused", word + ", paused"
	}
	return class, word
}

// Role is the class of a role; one that is not known has the class of none.
func Role(role string) string {
	switch role {
	case "primary", "backup", "replica", "candidate", "reader":
		return role
	}
	return "none"
}

// Letter stands for a role where its word has no room. Readers and nodes without a role have none.
func Letter(role string) string {
	switch role {
	case "primary", "backup", "candidate":
		return string(role[0] - 'a' + 'A')
	case "replica":
		return "R"
	}
	return ""
}

// label is a flag that has found its place.
type label struct {
	flag
	x, y         float64
	anchor, full string
}

// flagged gives labels places in rows above the lanes so that none touches another. What finds no room keeps its line and
// loses its text. It returns how many rows are used.
func (c *canvas) flagged(all []flag, s span) (placed []label, used int) {
	r := room{taken: make([][][2]float64, 5)} // more rows push the lanes off the screen
	if len(all) > 300 {                       // lines closer than 4 pixels hide the lanes
		all = all[:300]
	}
	widest := min(c.w*0.7, 380)
	for _, f := range all {
		l := label{flag: f, full: f.text}
		if f.short != "" && measure(f.text) > widest {
			l.text = f.short
		}
		l.text = Clip(l.text, widest)
		x, w := s.x(f.at), measure(l.text)*0.94
		x0 := x + 3
		l.anchor, l.x = "start", x0
		if x0+w > c.w-2 {
			x0 = x - 3 - w
			l.anchor, l.x = "end", x-3
		}
		if x0 < 0 {
			x0, l.anchor, l.x = 2, "start", 2
		}
		row, ok := r.place(min(x0, x)-2, max(x0+w, x)+6)
		if !ok {
			l.text = ""
			row = len(r.taken) - 1
		}
		l.y = float64(row)
		placed = append(placed, l)
		if ok {
			used = max(used, row+1)
		}
	}
	for i := range placed { // the gravest is nearest to the lanes
		placed[i].y = 2 + 15*math.Max(float64(used)-placed[i].y, 0.2)
	}
	return placed, used
}
