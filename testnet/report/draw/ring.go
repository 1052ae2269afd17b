package draw

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// edge is the link between two nodes in one direction or in both.
type edge struct {
	from, to string
	both     bool
	rule     trace.Link
	text     string
}

// edges joins the two directions of links that are alike, in the order of the nodes.
func edges(links []trace.Link) []edge {
	back := map[[2]string]trace.Link{}
	for _, l := range links {
		back[[2]string{l.From, l.To}] = l
	}
	var all []edge
	for _, l := range links {
		other, ok := back[[2]string{l.To, l.From}]
		mirrored := other
		mirrored.From, mirrored.To = l.From, l.To
		both := ok && mirrored == l
		if both && l.From > l.To || l.From == l.To {
			continue // drawn from the other end, or nowhere
		}
		all = append(all, edge{l.From, l.To, both, l, RuleSays(l)})
	}
	return all
}

// plain is a link without a rule.
const plain = "plain"

// RuleSays is a link's rule in words: "20 ms ± 5 ms, 1 % lost, 1.3 MB/s".
func RuleSays(l trace.Link) string {
	if l.Cut {
		return "cut"
	}
	var said []string
	if l.Latency > 0 || l.Jitter > 0 {
		text := short(l.Latency)
		if l.Jitter > 0 {
			text += " ± " + short(l.Jitter)
		}
		said = append(said, text)
	}
	if l.Loss > 0 {
		said = append(said, figures.Percent(l.Loss)+" lost")
	}
	if l.Rate > 0 {
		said = append(said, figures.Bytes(float64(l.Rate))+"/s")
	}
	if len(said) == 0 {
		return plain
	}
	return strings.Join(said, ", ")
}

func short(d time.Duration) string {
	if d < time.Second {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)), ".0") + " ms"
	}
	return figures.Seconds(d)
}

// namedLinks is how many links carry their rule as a label; more would cover each other.
const namedLinks = 10

// ringHeight is in pixels; the picture beside it is as high.
const ringHeight = 400.0

// phone is the width in pixels below which names beside a ring have little room.
const phone = 450

// Ring draws the nodes in a ring as they were in the end, and the links that were not plain. A cut one is dashed.
func Ring(nodes []trace.Node, last map[string]figures.Segment, links []trace.Link, width float64) SVG {
	c := &canvas{w: width, h: ringHeight}
	rx, ry, size := c.w/2-120, c.h/2-54, 26.0 // names have room beside the ring, and a name and a role above it
	if width < phone {
		rx = c.w/2 - 78
	}
	around := len(nodes) > 24 || width < phone && len(nodes) > 17 // names go around the ring
	if around {
		side := min(c.w, 640)
		c.h, size = side, 14
		rx, ry = side/2-70, side/2-70
	}
	places := map[string]point{}
	angles := map[string]float64{}
	for i, n := range nodes {
		angle := 2*math.Pi*float64(i)/float64(max(len(nodes), 1)) - math.Pi/2
		angles[n.Name] = angle
		places[n.Name] = point{c.w/2 + rx*math.Cos(angle), c.h/2 + ry*math.Sin(angle)}
	}
	if len(nodes) == 1 {
		places[nodes[0].Name] = point{c.w / 2, c.h / 2}
	}
	c.element("ellipse", attr("class", "ring")+at("cx", c.w/2)+at("cy", c.h/2)+at("rx", rx)+at("ry", ry), "")
	all := edges(links)
	c.links(all, places)
	for _, n := range nodes {
		m := member{name: n.Name, Segment: last[n.Name], at: places[n.Name], angle: angles[n.Name]}
		c.node(m, size)
		switch {
		case around:
			c.around(m, size)
		case len(nodes) == 1:
			m.angle = math.Pi / 2
			fallthrough
		default:
			c.beside(m, size, width >= phone || len(nodes) <= 10)
		}
	}
	return c.svg(fmt.Sprintf("%d nodes in a ring and %d links that are not plain; the table below says the same", len(nodes), len(all)))
}

// links draws all lines before any label.
func (c *canvas) links(all []edge, places map[string]point) {
	const crowd = 400 // more lines are one grey surface
	if len(all) > crowd {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, b edge) int { return cmp.Compare(rank(b.rule), rank(a.rule)) })
		all = all[:crowd]
	}
	middles := make([]point, len(all))
	for i, e := range all {
		a, b := places[e.from], places[e.to]
		bend := 0.0
		if !e.both {
			bend = 18 // so that the two directions lie beside each other
		}
		dx, dy := b.x-a.x, b.y-a.y
		length := max(math.Hypot(dx, dy), 1)
		mx, my := (a.x+b.x)/2-dy/length*bend, (a.y+b.y)/2+dx/length*bend
		class := "link"
		switch {
		case e.rule.Cut:
			class = "link cut"
		case e.text == plain:
			class = "link was"
		}
		arrow := " → "
		if e.both {
			arrow = " ↔ "
		}
		d := "M" + num(a.x) + " " + num(a.y) + "Q" + num(mx) + " " + num(my) + " " + num(b.x) + " " + num(b.y)
		c.path(class, d, e.from+arrow+e.to+": "+e.text)
		middles[i] = point{(a.x+b.x)/4 + mx/2, (a.y+b.y)/4 + my/2}
		if !e.both {
			c.head(e, middles[i], dx/length, dy/length)
		}
	}
	if len(all) > namedLinks {
		return
	}
	r := room{taken: make([][][2]float64, int(c.h/15)+1)}
	for i, e := range all {
		if e.text != plain {
			c.rule(&r, e.text, middles[i], e.rule.Cut)
		}
	}
}

func rank(l trace.Link) int {
	if l.Cut {
		return 1
	}
	return 0
}

// head is the arrow in the middle of a link that has one direction.
func (c *canvas) head(e edge, m point, dx, dy float64) {
	tip := point{m.x + 7*dx, m.y + 7*dy}
	class := "head"
	if e.rule.Cut {
		class = "head cut"
	}
	c.path(class, outline([]point{tip, {m.x - 4*dx - 5*dy, m.y - 4*dy + 5*dx}, {m.x - 4*dx + 5*dy, m.y - 4*dy - 5*dx}})+"Z", "")
}

// rule writes the label of a link in the free row nearest to its middle.
func (c *canvas) rule(r *room, text string, m point, cut bool) {
	w := measure(text)*0.95 + 8
	x0 := min(max(m.x-w/2, 2), c.w-w-2)
	for _, away := range []int{0, 1, -1, 2, -2, 3, -3} {
		row := int(m.y/15) + away
		if row < 0 || row >= len(r.taken) {
			continue
		}
		one := room{taken: r.taken[row : row+1]}
		if _, ok := one.place(x0, x0+w); !ok {
			continue
		}
		y := float64(row) * 15
		class := "small"
		if cut {
			class = "small bad"
		}
		c.rect("plate", x0, y, w, 15, "")
		c.text(class, "middle", x0+w/2, y+11, text, "")
		return
	}
}

// member is one node of the ring.
type member struct {
	name string
	figures.Segment
	at    point
	angle float64
}

// word is what a member is in the end.
func (m member) word() string {
	switch m.Life {
	case figures.Down, figures.Absent:
		return "down"
	case figures.Paused:
		return strings.TrimPrefix(m.Role+", paused", ", ")
	default:
		return m.Role
	}
}

// node draws the shape and the letter of a role.
func (c *canvas) node(m member, size float64) {
	shape, off := "node-"+Role(m.Role), m.Life == figures.Down || m.Life == figures.Absent
	if off {
		shape = "node-down"
	}
	c.sized(shape, m.at.x, m.at.y, size, strings.TrimSuffix(m.name+": "+m.word(), ": "))
	if l := Letter(m.Role); l != "" && !off && size > 20 {
		c.text("on", "middle", m.at.x, m.at.y+4.2, l, "")
	}
}

// around writes a name away from the middle of a ring of many, along the line to it.
func (c *canvas) around(m member, size float64) {
	far := size/2 + 6
	turn, anchor := m.angle*180/math.Pi, "start"
	if math.Cos(m.angle) < 0 {
		turn, anchor, far = turn+180, "end", -far
	}
	c.b.WriteString(`<g transform="translate(` + num(m.at.x) + ` ` + num(m.at.y) + `) rotate(` + num(turn) + `)">`)
	c.text("tiny", anchor, far, 3, Clip(m.name, 60), m.name)
	c.b.WriteString("</g>")
}

// beside writes a name outside the ring: below or above it at the poles, left or right elsewhere; and what the node is, if
// there is room for it.
func (c *canvas) beside(m member, size float64, roomy bool) {
	far := size/2 + 5
	x, y, anchor, width := m.at.x, m.at.y, "middle", 110.0
	switch {
	case math.Abs(math.Cos(m.angle)) < 0.1 && math.Sin(m.angle) > 0: // only the poles: two beside each other would touch
		y += far + 12
	case math.Abs(math.Cos(m.angle)) < 0.1:
		y -= far + 16
	case math.Cos(m.angle) > 0:
		x, anchor = x+far, "start"
		width = c.w - x - 2
	default:
		x, anchor = x-far, "end"
		width = x - 2
	}
	c.text("name", anchor, x, y, Clip(m.name, width), m.name)
	if roomy {
		c.text("dim", anchor, x, y+13, Clip(m.word(), width), "")
	}
}
