// Package draw makes SVG pictures of figures: one function for each picture, which is given its width and decides how
// much fits. A page shows a wide picture or a narrow one, as its window is, so that letters keep their size. Colours are
// classes of the page's style sheet; whatever has a colour also has a shape, a letter or a label. All text is escaped
// here and cleaned of what would reorder or hide other text.
package draw

import (
	"html"
	"math"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
)

// SVG is a picture as markup that can be put into a page as it is.
type SVG string

// letter is the height of text in pixels; the page's style sheet says the same.
const letter = 12.0

// canvas collects the elements of one picture.
type canvas struct {
	b    strings.Builder
	w, h float64
	data string // attributes for the page's script
}

// svg is the whole picture; label says to those who do not see it what it shows.
func (c *canvas) svg(label string) SVG {
	w, h := num(c.w), num(c.h)
	return SVG(`<svg class="pic" role="img" viewBox="0 0 ` + w + ` ` + h + `" width="` + w + `" height="` + h + `" ` + c.data + `aria-label="` +
		html.EscapeString(figures.Clean(label)) + `">` + c.b.String() + `</svg>`)
}

// follow lets the page's script draw the moment under the pointer, here and in all pictures of the same time.
func (c *canvas) follow(s span) {
	c.data += at("data-x0", s.x0) + at("data-x1", s.x1) + attr("data-end", strconv.FormatFloat(s.end.Seconds(), 'f', 3, 64))
}

// numbers gives the page's script a list of whole numbers.
func (c *canvas) numbers(name string, values []float64) {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	c.data += attr("data-"+name, strings.Join(words, " "))
}

// element writes a tag with attributes; numbers and classes only, never text from outside. The title is escaped.
func (c *canvas) element(tag, attributes, title string) {
	c.b.WriteString("<" + tag + " " + attributes)
	if title == "" {
		c.b.WriteString("/>")
		return
	}
	c.b.WriteString("><title>" + html.EscapeString(figures.Clean(title)) + "</title></" + tag + ">")
}

func (c *canvas) rect(class string, x, y, w, h float64, title string) {
	c.element("rect", attr("class", class)+at("x", x)+at("y", y)+at("width", max(w, 0))+at("height", max(h, 0)), title)
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.path(class, "M"+num(x1)+" "+num(y1)+"L"+num(x2)+" "+num(y2), "")
}

func (c *canvas) path(class, d, title string) {
	c.element("path", attr("class", class)+`d="`+d+`"`, title)
}

// sized is one of the page's symbols around a point, as wide and high as size.
func (c *canvas) sized(symbol string, x, y, size float64, title string) {
	c.element("use", `href="#g-`+symbol+`" `+at("x", x-size/2)+at("y", y-size/2)+at("width", size)+at("height", size), title)
}

// text writes at a baseline. The anchor is start, middle or end.
func (c *canvas) text(class, anchor string, x, y float64, s, title string) {
	if s == "" {
		return
	}
	c.b.WriteString(`<text ` + attr("class", class+" "+anchor) + at("x", x) + at("y", y) + `>` + html.EscapeString(figures.Clean(s)))
	if title != "" && title != s {
		c.b.WriteString("<title>" + html.EscapeString(figures.Clean(title)) + "</title>")
	}
	c.b.WriteString("</text>")
}

func attr(name, value string) string { return name + `="` + value + `" ` }

func at(name string, v float64) string { return attr(name, num(v)) }

// num writes a coordinate with a tenth of a pixel, which is finer than can be seen.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// Clip is a text that fits into a width: the middle of what is too long is left out, since names differ at their ends.
func Clip(s string, width float64) string {
	s = figures.Clean(s)
	if measure(s) <= width {
		return s
	}
	runes := []rune(s)
	for keep := len(runes) - 1; keep > 1; keep-- {
		short := string(runes[:(keep+1)/2]) + "…" + string(runes[len(runes)-keep/2:])
		if measure(short) <= width {
			return short
		}
	}
	return "…"
}

// measure guesses how wide a text is in pixels. Sans-serif letters are 0.55 of their height on average, wide ones as in
// East Asian scripts and pictograms are as wide as high.
func measure(s string) (w float64) {
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfrI.,:;'|! ()[]", r):
			w += 0.36 * letter
		case strings.ContainsRune("mwMW%@", r):
			w += 0.9 * letter
		case r >= 0x1100:
			w += letter
		default:
			w += 0.6 * letter
		}
	}
	return w
}
