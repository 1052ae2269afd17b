package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/testnet/report/draw"
	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

//go:embed page.gohtml
var markup string

//go:embed style.css
var style string

//go:embed glyphs.svg
var glyphs string

//go:embed script.js
var script string

// Widths in pixels for which pictures are drawn: that of a card on a screen of 1280 pixels, of the two cards that stand
// side by side there, and of a phone of 390 pixels.
const (
	wide  = 1206.0
	left  = 664.0
	right = 500.0
	phone = 344.0
)

// page is what the template shows.
type page struct {
	Policy, Title, Headline string
	Verdict, Class          string
	About, Meta             string
	Checks, Held            []check // the ones to read, and further ones that held
	Cards                   []card
	Events                  table
	Style                   template.CSS
	Script                  template.JS
	Glyphs                  template.HTML
}

type check struct {
	Name, Detail, Where string
	OK                  bool
}

// card is one picture with its words and its twin.
type card struct {
	ID, Title, About, Class string
	Legend                  []swatch
	Parts                   []part
	Table                   table
}

// part is a picture in both widths, with a line above it if there is more than one.
type part struct {
	Title       string
	Wide, Phone template.HTML
	After       string
}

// swatch explains a colour, a shape or a mark.
type swatch struct{ Class, Glyph, Word string }

// table is the twin of a picture. Cells that end with a unit are set to the right by the style of their column.
type table struct {
	Title  string
	Head   []string
	Rows   [][]string
	Hidden string // what was left out
}

// HTML writes the trace as one file that can be opened from a disk.
func HTML(w io.Writer, t trace.Trace) error {
	tmpl, err := template.New("page").Parse(markup)
	if err != nil {
		return fmt.Errorf("write report as HTML: %w", err)
	}
	if err := tmpl.Execute(w, newPage(figures.Tidy(t))); err != nil {
		return fmt.Errorf("write report as HTML: %w", err)
	}
	return nil
}

func newPage(t trace.Trace) page {
	_, verdict := figures.Held(t)
	sum := sha256.Sum256([]byte(script))
	p := page{
		// Nothing but the one script below runs, and nothing is loaded, whatever a name in the trace says.
		Policy:   "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		Title:    figures.Clean(cmp.Or(name(t), "test network")),
		Headline: figures.Headline(t),
		Verdict:  map[figures.Verdict]string{figures.Passed: "PASS", figures.Failed: "FAIL", figures.Nothing: "DONE"}[verdict],
		Class:    map[figures.Verdict]string{figures.Passed: "pass", figures.Failed: "fail", figures.Nothing: "none"}[verdict],
		About:    figures.Clean(t.About),
		Meta:     meta(t),
		Events:   eventTable(t),
		Style:    template.CSS(style),
		Script:   template.JS(script),
		Glyphs:   template.HTML(glyphs),
	}
	p.Checks, p.Held = split(checks(t))
	p.Cards = cards(t)
	return p
}

func meta(t trace.Trace) string {
	said := []string{"started " + started(t.Started), fmt.Sprintf("seed %d", t.Seed)}
	if t.Version != "" {
		said = append(said, "version "+figures.Clean(t.Version))
	}
	for _, s := range t.Sets[:min(len(t.Sets), 5)] {
		if s.Bytes > 0 {
			said = append(said, fmt.Sprintf("%s: %s in %s files", draw.Clip(s.Name, 200), figures.Bytes(float64(s.Bytes)), humanize.Comma(int64(s.Files))))
		}
	}
	return strings.Join(said, " · ")
}

// checks are the failed ones first, and those that are always on last.
func checks(t trace.Trace) []check {
	var all []check
	for _, c := range t.Checks {
		where := "always on"
		if c.Line > 0 {
			where = fmt.Sprintf("line %d", c.Line)
		}
		if c.At > 0 {
			where += " · at " + figures.Seconds(c.At)
		}
		if d := figures.Moment(c.Seconds); d > 0 {
			where += " · waited " + figures.Seconds(d)
		}
		all = append(all, check{figures.Clean(c.Name), figures.Clean(c.Detail), where, c.OK})
	}
	for _, e := range violations(t) {
		all = append(all, check{"invariant", figures.Clean(draw.Says(e)), "at " + figures.Seconds(e.At), false})
	}
	slices.SortStableFunc(all, func(a, b check) int {
		if a.OK == b.OK {
			return 0
		}
		if b.OK {
			return -1
		}
		return 1
	})
	return all
}

// split leaves a screen full of checks, and all that did not hold, to be read at once.
func split(all []check) (read, held []check) {
	const screen = 14
	n := len(all)
	for n > screen && all[n-1].OK {
		n--
	}
	if len(all)-n < 3 { // not worth a click
		n = len(all)
	}
	return all[:n], all[n:]
}

// shownEvents is how many events the page lists, so that a run of an hour can be opened still; the JSON has all.
const shownEvents = 1000

func eventTable(t trace.Trace) table {
	b := table{Title: fmt.Sprintf("All %s events", humanize.Comma(int64(len(t.Events)))), Head: []string{"when", "node", "what", "set", "revision"}}
	for _, e := range t.Events[:min(len(t.Events), shownEvents)] {
		word := cmp.Or(draw.MarkOf(e).Word, e.Kind)
		if e.Kind == trace.Published && e.Durable {
			word = "published, durable"
		}
		if e.Text != "" {
			word += ": " + e.Text
		}
		if e.Epoch != "" {
			word += " (epoch " + e.Epoch + ")"
		}
		revision := ""
		if e.Revision > 0 {
			revision = fmt.Sprint(e.Revision)
		}
		b.add(figures.Seconds(e.At), e.Node, word, e.Set, revision)
	}
	if more := len(t.Events) - len(b.Rows); more > 0 {
		b.Hidden = fmt.Sprintf("%d more are in report.json", more)
	}
	return b
}

func (b *table) add(cells ...string) {
	for i := range cells {
		cells[i] = figures.Clean(cells[i])
	}
	b.Rows = append(b.Rows, cells)
}

// picture draws both widths of a picture.
func picture(title string, screen float64, pic func(width float64) draw.SVG) part {
	return part{Title: figures.Clean(title), Wide: template.HTML(pic(screen)), Phone: template.HTML(pic(phone))}
}
