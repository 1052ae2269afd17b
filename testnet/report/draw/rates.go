package draw

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
)

// bands is how many nodes have a colour of their own in a stack; more colours are not told apart.
const bands = 6

// band is one layer of the stack.
type band struct {
	class, name    string
	sent, received []float64
}

// Rates draws what was sent above a line and what was received below it, both stacked by node, the busiest nearest to
// the line and all but the busiest as one.
func Rates(r figures.Throughput, gaps []figures.Gap, end time.Duration, width float64) SVG {
	left := 76.0
	c := &canvas{w: width}
	s := span{left, width - 12, end}
	top, rest, others := r.Busiest(bands)
	var all []band
	for i, n := range top {
		all = append(all, band{fmt.Sprintf("s%d", i), n.Node, n.Sent, n.Received})
	}
	if others > 0 {
		all = append(all, band{"s-rest", fmt.Sprintf("%d others", others), rest.Sent, rest.Received})
	}
	y := c.swatches(all, append(append([]figures.Traffic{}, top...), rest), left)
	sum := figures.Sum(r.Nodes)
	most, when, what := peak(sum, r.Bin)
	scale, step := Round(most)
	head := y + 8
	half := (ringHeight - 26 - head) / 2 // as high as the ring beside it
	if width < narrow {
		half = 96
	}
	half = max(half, 96)
	middle := head + half
	c.h = middle + half + 26
	c.times(s, head, middle+half)
	c.follow(s)
	c.data += attr("data-bin", num(r.Bin.Seconds()))
	c.numbers("sent", sum.Sent)
	c.numbers("received", sum.Received)
	for v := 0.0; v <= scale*1.001; v += step {
		for _, side := range []float64{-1, 1} {
			yv := middle + side*half*v/scale
			c.line("grid", s.x0, yv, s.x1, yv)
			if v > 0 || side < 0 {
				c.text("dim", "end", s.x0-6, yv+4, figures.Bytes(v)+"/s", "")
			}
		}
	}
	c.shade(gaps, s, head, middle+half)
	c.stack(all, r.Bin, s, middle, -half/scale, func(b band) []float64 { return b.sent })
	c.stack(all, r.Bin, s, middle, half/scale, func(b band) []float64 { return b.received })
	c.line("axis", s.x0, middle, s.x1, middle)
	c.text("side", "end", s.x0-6, middle-half*0.17+4, "sent ↑", "") // between the labels of any scale
	c.text("side", "end", s.x0-6, middle+half*0.17+4, "received ↓", "")
	if most > 0 {
		c.text("dim", "end", s.x1, head-3, fmt.Sprintf("most: %s/s %s at %s", figures.Bytes(most), what, Clock(when.Round(time.Second/2))), "")
	}
	return c.svg("Bytes per second, sent above and received below the line, by node; the table below says the same")
}

func peak(sum figures.Traffic, bin time.Duration) (most float64, when time.Duration, what string) {
	for i := range sum.Sent {
		if sum.Sent[i] > most {
			most, when, what = sum.Sent[i], time.Duration(i)*bin+bin/2, "sent"
		}
		if sum.Received[i] > most {
			most, when, what = sum.Received[i], time.Duration(i)*bin+bin/2, "received"
		}
	}
	return most, when, what
}

// swatches writes which colour is whose, in as many rows as it takes, and returns where they end.
func (c *canvas) swatches(all []band, traffic []figures.Traffic, left float64) float64 {
	x, y := 4.0, 14.0
	for i, b := range all {
		text := Clip(b.name, 150) + "  "
		n := traffic[i]
		numbers := figures.Bytes(n.BytesSent) + " ↑ " + figures.Bytes(n.BytesReceived) + " ↓"
		w := 18 + measure(text) + measure(numbers) + 14
		if x > 4 && x+w > c.w {
			x, y = 4, y+19
		}
		c.rect("band "+b.class, x, y-10, 12, 12, "")
		c.text("name", "start", x+18, y, text, b.name)
		c.text("dim", "start", x+20+measure(text), y, numbers, "")
		x += w
	}
	return y + 10
}

// stack draws the layers of one side. A name is written into its layer where that is high enough.
func (c *canvas) stack(all []band, bin time.Duration, s span, base, unit float64, of func(band) []float64) {
	if len(all) == 0 {
		return
	}
	n := len(of(all[0]))
	below := make([]float64, n)
	for _, b := range all {
		above := make([]float64, n)
		for i, v := range of(b) {
			above[i] = below[i] + v
		}
		c.path("band "+b.class, area(below, above, bin, s, base, unit), b.name)
		c.inside(b.name, below, above, bin, s, base, unit)
		below = above
	}
}

// area is the outline of a layer: steps where a bin is wide enough to be seen, a line through their middles elsewhere.
func area(below, above []float64, bin time.Duration, s span, base, unit float64) string {
	const seen = 5 // pixels
	edges := []time.Duration{bin / 2}
	if s.x(bin)-s.x0 >= seen {
		edges = []time.Duration{0, bin}
	}
	var forth, back []point
	for i := range above {
		for _, edge := range edges {
			x := s.x(time.Duration(i)*bin + edge)
			forth = append(forth, point{x, base + unit*above[i]})
			back = append(back, point{x, base + unit*below[i]})
		}
	}
	forth, back = thin(forth), thin(back)
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return outline(append(forth, back...)) + "Z"
}

// inside writes a name into the place of a layer that is high enough for the longest.
func (c *canvas) inside(name string, below, above []float64, bin time.Duration, s span, base, unit float64) {
	name = Clip(name, 110)
	pixels := (s.x1 - s.x0) * float64(bin) / float64(max(s.end, 1)) // of a bin
	if pixels <= 0 {
		return
	}
	need := int(math.Ceil((measure(name) + 8) / pixels))
	best, where, middle := 0.0, -1, 0.0
	for i := 0; i+need <= len(above); i++ {
		low, high := 0.0, -1.0
		for j := i; j < i+need; j++ {
			low = max(low, below[j])
			if high < 0 || above[j] < high {
				high = above[j]
			}
		}
		if high-low > best {
			best, where, middle = high-low, i, (high+low)/2
		}
	}
	if where < 0 || best*max(unit, -unit) < letter+3 {
		return
	}
	x := s.x(time.Duration(where)*bin + time.Duration(need)*bin/2)
	c.text("in", "middle", x, base+unit*middle+4, name, "")
}

type point struct{ x, y float64 }

// thin leaves out the points that lie on the line between their neighbours within half a pixel, and all but the highest,
// the lowest, the first and the last within one pixel of width. The same points always remain.
func thin(points []point) []point {
	points = columnar(points)
	kept := points[:0:0]
	for i, p := range points {
		if i > 0 && i < len(points)-1 {
			a, b := kept[len(kept)-1], points[i+1]
			if b.x > a.x && p.y-0.5 < a.y+(b.y-a.y)*(p.x-a.x)/(b.x-a.x) && p.y+0.5 > a.y+(b.y-a.y)*(p.x-a.x)/(b.x-a.x) && flat(a, p, b) {
				continue
			}
		}
		kept = append(kept, p)
	}
	return kept
}

// flat tells whether three points go up or down only a little; leaving out many points of a slow rise would add up.
func flat(a, p, b point) bool { return max(a.y, p.y, b.y)-min(a.y, p.y, b.y) < 0.5 }

// columnar keeps of each pixel of width the first, lowest, highest and last point.
func columnar(points []point) []point {
	var kept []point
	for i := 0; i < len(points); {
		j, low, high := i, i, i
		for ; j < len(points) && int(points[j].x) == int(points[i].x); j++ {
			if points[j].y < points[low].y {
				low = j
			}
			if points[j].y > points[high].y {
				high = j
			}
		}
		last := -1
		for _, k := range []int{i, min(low, high), max(low, high), j - 1} {
			if k > last {
				kept = append(kept, points[k])
				last = k
			}
		}
		i = j
	}
	return kept
}

func outline(points []point) string {
	var b strings.Builder
	for i, p := range points {
		if i == 0 {
			b.WriteString("M")
		} else {
			b.WriteString("L")
		}
		b.WriteString(num(p.x) + " " + num(p.y))
	}
	return b.String()
}
