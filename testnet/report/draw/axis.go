package draw

import (
	"fmt"
	"math"
	"time"
)

// span is a stretch of pixels that shows a stretch of time.
type span struct {
	x0, x1 float64
	end    time.Duration // shown at x1
}

func (s span) x(at time.Duration) float64 {
	if s.end <= 0 {
		return s.x0
	}
	return s.x0 + (s.x1-s.x0)*float64(min(max(at, 0), s.end))/float64(s.end)
}

// steps are lengths of time that people count in, in seconds. Longer ones are days times 1, 2 or 5.
var steps = [...]float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400}

// Moments are round moments from 0 to end, no more than count of them besides 0.
func Moments(end time.Duration, count int) []time.Duration {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if end.Seconds()/s <= float64(max(count, 1)) {
			step = s
			break
		}
	}
	for i := 0; end.Seconds()/step > float64(max(count, 1)); i++ {
		step *= []float64{2, 2.5, 2}[i%3]
	}
	var all []time.Duration
	for i := 0; ; i++ {
		at := time.Duration(math.Round(float64(i) * step * float64(time.Second)))
		if at > end {
			return all
		}
		all = append(all, at)
	}
}

// Clock writes a moment of an axis: "0.5 s", "12 s", "1:30", "2:00:00".
func Clock(at time.Duration) string {
	whole := int64(at / time.Second)
	switch {
	case at < time.Minute && at%time.Second != 0:
		return fmt.Sprintf("%.1f s", at.Seconds())
	case at < time.Minute:
		return fmt.Sprintf("%d s", whole)
	case at < time.Hour:
		return fmt.Sprintf("%d:%02d", whole/60, whole%60)
	default:
		return fmt.Sprintf("%d:%02d:%02d", whole/3600, whole/60%60, whole%60)
	}
}

// Round is the least round number that is not below v, one digit or a one and a half, and the step of a scale that ends
// there. Zero and what is no number become 1.
func Round(v float64) (top, step float64) {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1, 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []struct{ top, step float64 }{{1, 0.5}, {1.5, 0.5}, {2, 1}, {3, 1}, {4, 2}, {5, 2.5}, {6, 2}, {8, 4}} {
		if v <= n.top*unit {
			return n.top * unit, n.step * unit
		}
	}
	return 10 * unit, 5 * unit
}

// times draws the grid and the labels of a time axis, whose line is at y and whose grid begins at top.
func (c *canvas) times(s span, top, y float64) {
	for _, at := range Moments(s.end, int((s.x1-s.x0)/62)) { // a label of "1:23:45" with air is as wide
		x := s.x(at)
		c.line("grid", x, top, x, y+4)
		anchor := "middle"
		if x < 12 {
			anchor = "start"
		}
		if x+18 > c.w {
			anchor = "end"
		}
		c.text("dim", anchor, x, y+17, Clock(at), "")
	}
	c.line("axis", s.x0, y, s.x1, y)
}

// room is the ground that labels have taken so far, row by row.
type room struct{ taken [][][2]float64 }

// place finds the first row in which a label from x0 to x1 touches no other, and takes it.
func (r *room) place(x0, x1 float64) (row int, ok bool) {
	for row := range r.taken {
		free := true
		for _, t := range r.taken[row] {
			if x0 < t[1] && x1 > t[0] {
				free = false
				break
			}
		}
		if free {
			r.taken[row] = append(r.taken[row], [2]float64{x0, x1})
			return row, true
		}
	}
	return 0, false
}
