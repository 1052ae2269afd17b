package draw

import (
	"fmt"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
)

// Curves draws how complete each node was over time, one row for each, from 0 % at the bottom of a row to 100 % at its top.
func Curves(curves []figures.Curve, gaps []figures.Gap, end time.Duration, width float64) SVG {
	c := &canvas{w: width}
	s := span{names(width), width - 12, end}
	row := rows(len(curves))
	if len(curves) <= 8 {
		row = 38 // so that a rise has a shape
	}
	top := 4.0
	bottom := top + row*float64(len(curves)) + 4
	c.h = bottom + 24
	c.times(s, top, bottom)
	c.follow(s)
	c.shade(gaps, s, top, bottom)
	for i, curve := range curves {
		c.curve(curve, s, top+row*float64(i), row)
	}
	return c.svg(fmt.Sprintf("How complete %d nodes were from 0 to %s; the table below says the same", len(curves), figures.Seconds(end)))
}

func (c *canvas) curve(curve figures.Curve, s span, y, row float64) {
	floor, height := y+row-2, row-6
	c.text("name", "end", s.x0-8, y+row/2+4, Clip(curve.Node, s.x0-12), curve.Node)
	c.line("grid", s.x0, floor, s.x1, floor)
	var run []point
	flush := func() {
		if len(run) > 0 {
			run = thin(run)
			line := outline(run)
			base := []point{{run[len(run)-1].x, floor}, {run[0].x, floor}}
			c.path("fill", line+"L"+outline(base)[1:]+"Z", "")
			c.path("curve", line, curve.Node)
		}
		run = nil
	}
	for _, p := range curve.Points {
		if p.Anew {
			flush()
		}
		run = append(run, point{s.x(p.At), floor - height*p.Part})
	}
	flush()
	c.ticks(curve, s, floor, height)
	text := finish(curve, c.w < narrow)
	c.text("number", "end", clearOf(curve, s, measure(text)), y+row/2+5, text, "")
}

// clearOf is where a text of width w ends that no tick crosses: at the right end, or before the first tick.
func clearOf(curve figures.Curve, s span, w float64) float64 {
	right := s.x1 - 6
	if len(curve.Whole) == 0 || s.x(curve.Whole[len(curve.Whole)-1]) < right-w-2 {
		return right
	}
	if first := s.x(curve.Whole[0]) - 6; first-w > s.x0 {
		return first
	}
	return right
}

// ticks mark when a revision was complete, as long as they can be told apart.
func (c *canvas) ticks(curve figures.Curve, s span, floor, height float64) {
	last := -10.0
	for i, at := range curve.Whole {
		x := s.x(at)
		if x-last < 3 {
			continue
		}
		last = x
		title := ""
		if len(curve.Whole) <= 20 { // more of them are a pattern that nobody reads one by one
			title = fmt.Sprintf("%s complete at %s (%d of %d)", curve.Node, figures.Seconds(at), i+1, len(curve.Whole))
		}
		c.rect("whole", x-1, floor-height, 2, height, title)
	}
}

// finish says when a node was complete for the first time, or how far it came.
func finish(curve figures.Curve, brief bool) string {
	if len(curve.Whole) == 0 {
		return figures.Percent(curve.Points[len(curve.Points)-1].Part) + " in the end"
	}
	text := figures.Seconds(curve.Whole[0])
	if !brief {
		text = "complete at " + text
	}
	return text
}
