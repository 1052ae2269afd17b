package draw

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Bar is where the bytes of one or several transfers came from.
type Bar struct {
	Label string
	trace.Transfer
}

// Bars are the bars of revisions: of each node for one revision, of all nodes together for each of several. Where they are
// too many, those of one revision are the sum and the ones that received the most.
func Bars(revisions []figures.Revision) (bars []Bar, hidden int) {
	const several, together = 8, 24 // bars that are looked at one by one, and at a glance
	if len(revisions) > 1 {
		for _, r := range revisions[:min(len(revisions), together)] {
			bars = append(bars, Bar{fmt.Sprintf("%s %d", r.Set, r.Number), r.Sum()})
		}
		return bars, len(revisions) - len(bars)
	}
	for _, r := range revisions {
		own := r.Transfers
		if len(own) > several {
			bars = append(bars, Bar{fmt.Sprintf("all %d nodes", len(own)), r.Sum()})
			own = own[:several-1]
		}
		for _, x := range own {
			bars = append(bars, Bar{x.Node, x})
		}
		hidden = len(r.Transfers) - len(own)
	}
	return bars, hidden
}

// Bytes draws where bytes came from: a bar is all bytes of what was fetched, its parts lay on the disk, were made of
// patches or were received whole, and the line below it is what was received in all.
func Bytes(bars []Bar, width float64) SVG {
	left, numbers := names(width), 242.0 // pixels; "999 kB received, 99.9 % not sent" has room in the second
	wide := width >= narrow
	row := 30.0
	s := span{left, width - numbers, 0}
	if !wide {
		row, s = 46, span{4, width - 4, 0}
	}
	c := &canvas{w: width, h: 4 + row*float64(len(bars))}
	for i, x := range bars {
		y := 2 + row*float64(i)
		text := figures.Bytes(float64(x.WireIn)) + " received"
		if saved := figures.NotSent(x.Total, x.WireIn); saved > 0 {
			text += ", " + figures.Percent(saved) + " not sent"
		}
		if wide {
			c.text("name", "end", left-8, y+16, Clip(x.Label, left-12), x.Label)
			c.text("number", "start", s.x1+10, y+16, text, "")
		} else {
			c.text("name", "start", 4, y+12, Clip(x.Label, width-measure(text)-20), x.Label)
			c.text("number", "end", width-4, y+12, text, "")
			y += 16
		}
		c.parts(x, s.x0, s.x1, y+3)
	}
	return c.svg("Where bytes came from; the table below says the same")
}

// parts draws the bar of one transfer and the line of what was received below it.
func (c *canvas) parts(x Bar, x0, x1, y float64) {
	total := float64(max(x.Total, x.Reused+x.Patched+x.Fetched, 1))
	c.rect("track", x0, y, x1-x0, 16, "")
	at := x0
	for _, p := range []struct {
		class, word string
		bytes       int64
	}{{"reused", "reused", x.Reused}, {"patched", "patched", x.Patched}, {"fetched", "fetched", x.Fetched}} {
		if p.bytes <= 0 {
			continue
		}
		w := max((x1-x0)*float64(p.bytes)/total, 1.5) // a sliver is seen still
		w = min(w, x1-at)
		text := p.word + " " + figures.Bytes(float64(p.bytes))
		c.rect("part "+p.class, at, y, w, 16, fmt.Sprintf("%s: %s of %s", x.Label, text, figures.Bytes(float64(x.Total))))
		if measure(text)+10 < w {
			c.text("in "+p.class, "start", at+5, y+12, text, "")
		}
		at += w
	}
	if x.WireIn > 0 {
		w := max((x1-x0)*min(float64(x.WireIn)/total, 1), 1.5)
		c.rect("wire", x0, y+18, w, 3, fmt.Sprintf("%s: %s received in all", x.Label, figures.Bytes(float64(x.WireIn))))
	}
}

// shownGaps is how many gaps have a bar; the longest ones do.
const shownGaps = 24

// Gaps draws how long it took until a set had a primary again, and until a publish was accepted again.
func Gaps(gaps []figures.Gap, width float64) (SVG, int) {
	kept := slices.Clone(gaps)
	if len(kept) > shownGaps {
		slices.SortStableFunc(kept, func(a, b figures.Gap) int { return cmp.Compare(b.Length(), a.Length()) })
		kept = kept[:shownGaps]
		slices.SortStableFunc(kept, func(a, b figures.Gap) int { return cmp.Compare(a.From, b.From) })
	}
	wide := width >= narrow
	row, s := 28.0, span{340, width - 70, 0}
	if !wide {
		row, s = 44, span{4, width - 66, 0}
	}
	for _, g := range kept {
		s.end = max(s.end, g.To-g.From, g.Primary-g.From, g.Accepted-g.From)
	}
	s.end = ceiling(s.end)
	c := &canvas{w: width}
	top := 4.0
	bottom := top + row*float64(len(kept)) + 2
	c.h = bottom + 24
	c.times(s, top, bottom)
	for i, g := range kept {
		y := top + row*float64(i)
		text := fmt.Sprintf("%s: %s %s", figures.Seconds(g.From), g.Was, marks()[g.Cause].Word)
		if g.Now != "" {
			text += " → " + g.Now
		}
		if wide {
			c.text("name", "end", s.x0-10, y+row/2+4, Clip(text, s.x0-14), g.Set+": "+GapSays(g))
		} else {
			c.text("name", "start", 4, y+13, Clip(text, width-8), g.Set+": "+GapSays(g))
			y += 16
		}
		c.gapBar(g, s, y+6)
	}
	return c.svg("How long sets had no primary; the table below says the same"), len(gaps) - len(kept)
}

// ceiling is the end of an axis that is a little longer than d, and round.
func ceiling(d time.Duration) time.Duration {
	top, _ := Round(max(d.Seconds(), 0.1))
	return time.Duration(top * float64(time.Second))
}

func (c *canvas) gapBar(g figures.Gap, s span, y float64) {
	length := func(at time.Duration) float64 { return s.x(at - g.From) }
	last := length(g.To)
	if g.Accepted != figures.Never && g.Accepted > g.To {
		last = length(g.Accepted)
		c.rect("after", length(g.To), y+4, last-length(g.To), 8, "until a publish was accepted: "+figures.Seconds(g.Accepted-g.From))
	}
	class := "without"
	if g.Open {
		class = "without open"
	}
	c.rect(class, s.x0, y, max(length(g.To)-s.x0, 2), 16, GapSays(g))
	text := figures.Seconds(g.Length())
	if middle := (s.x0 + length(g.To)) / 2; length(g.To)-s.x0 > measure(text)+8 && !g.Open {
		c.text("on", "middle", middle, y+12, text, "")
		text = ""
	}
	if g.Accepted != figures.Never && g.Accepted > g.To {
		text = figures.Seconds(g.Accepted - g.From)
	}
	c.text("number", "start", last+6, y+12, text, "")
}
