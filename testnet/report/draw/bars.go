package draw

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// shownTransfers is how many transfers of one revision have a bar; all of them are in the table.
const shownTransfers = 20

// Bytes draws where the bytes of one revision came from, one bar for each node that fetched it: a bar is the whole
// revision, its parts lay on the node's disk, were made of patches or were received whole, and the line below it is what
// was received in all. It tells how many transfers are not shown.
func Bytes(r figures.Revision, width float64) (SVG, int) {
	left, right := columns(width)
	wide := width >= narrow
	transfers := r.Transfers[:min(len(r.Transfers), shownTransfers)]
	row := 30.0
	s := span{left, width - right - 150, 0}
	if !wide {
		row, s = 46, span{4, width - 4, 0}
	}
	c := &canvas{w: width, h: 4 + row*float64(len(transfers))}
	for i, x := range transfers {
		y := 2 + row*float64(i)
		text := figures.Bytes(float64(x.WireIn)) + " received, " + figures.Percent(figures.NotSent(x.Total, x.WireIn)) + " not sent"
		if wide {
			c.text("name", "end", left-8, y+16, Clip(x.Node, left-12), x.Node)
			c.text("number", "start", s.x1+10, y+16, text, "")
		} else {
			c.text("name", "start", 4, y+12, Clip(x.Node, width-measure(text)-20), x.Node)
			c.text("number", "end", width-4, y+12, text, "")
			y += 16
		}
		c.parts(x, s.x0, s.x1, y+3)
	}
	label := fmt.Sprintf("Where the bytes of revision %d of %s came from; the table below says the same", r.Number, r.Set)
	return c.svg(label), len(r.Transfers) - len(transfers)
}

// parts draws the bar of one transfer and the line of what was received below it.
func (c *canvas) parts(x trace.Transfer, x0, x1, y float64) {
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
		c.rect("part "+p.class, at, y, w, 16, fmt.Sprintf("%s: %s of %s", x.Node, text, figures.Bytes(float64(x.Total))))
		if measure(text)+10 < w {
			c.text("in "+p.class, "start", at+5, y+12, text, "")
		}
		at += w
	}
	if x.WireIn > 0 {
		w := max((x1-x0)*min(float64(x.WireIn)/total, 1), 1.5)
		c.rect("wire", x0, y+18, w, 3, fmt.Sprintf("%s: %s received in all", x.Node, figures.Bytes(float64(x.WireIn))))
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
	c.text("number", "start", last+6, y+12, figures.Seconds(g.Length()), "")
}
