package web_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// controls are the roles of what a person can do something with.
var controls = []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "listbox", "spinbutton", "switch", "tab", "menuitem", "progressbar", "dialog"}

// textOf is the text of a value of the accessibility tree.
func textOf(v *accessibility.Value) string {
	var text string
	if v != nil {
		_ = json.Unmarshal(v.Value, &text) // what is no text has none
	}
	return text
}

// named looks through the accessibility tree of a page, as a screen reader does, for controls without a name.
func named(p *person, page string) {
	p.t.Helper()
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.fatal(err)
	}
	seen := 0
	for _, n := range tree.Nodes {
		role := textOf(n.Role)
		if n.Ignored || !slices.Contains(controls, role) {
			continue
		}
		seen++
		if textOf(n.Name) == "" {
			p.t.Errorf("%q: a %s has no name", page, role)
		}
	}
	if seen < 10 {
		p.t.Errorf("%q: only %d controls in the tree", page, seen)
	}
}

// step is where the keyboard is.
type step struct {
	At      string // "" = outside of the page
	Visible bool   // its outline is drawn
	Inside  bool   // it is on the screen
}

const where = `(() => {
  const e = document.activeElement;
  if (!e || e === document.body) return {At: "", Visible: true, Inside: true};
  const s = getComputedStyle(e), r = e.getBoundingClientRect();
  return {At: e.outerHTML.slice(0, 100), Visible: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, Inside: r.width > 0 && r.height > 0 && r.bottom > 0 && r.top < innerHeight};
})()`

// tabbed goes through a page with the Tab key: every stop can be seen, and there is a way through.
func tabbed(p *person, page string) {
	p.t.Helper()
	read[bool](p, `(document.querySelector(".skip").focus(), true)`) // the first stop
	stops := 0
	for ; stops < 400; stops++ {
		p.do(chromedp.KeyEvent("\t"))
		at := read[step](p, where)
		if at.At == "" {
			break
		}
		if !at.Visible || !at.Inside {
			p.t.Errorf("%q: one cannot see that the keyboard is at %+v", page, at)
		}
	}
	if stops < 10 || stops == 400 {
		p.t.Errorf("%q: %d stops of the Tab key", page, stops)
	}
}

// TestAccess: every page can be used by keyboard, and says to a screen reader what is on it.
func TestAccess(t *testing.T) {
	ctx := browser(t)
	a := live(t, 0)
	p := visit(t, ctx, a, "access")
	_, set := shareFolder(p, newFolder(t))
	for _, page := range []string{"sets", "", "set/" + set, "share", "get", "peers", "failover", "activity", "settings", "doctor", "api", "nonsense"} {
		p.open(page)
		p.wait(`document.activeElement.id === "main"`) // a page is read from its beginning
		if page == "set/"+set {
			p.wait(`document.querySelectorAll('[data-testid=file]').length > 8`)
		}
		named(p, page)
		tabbed(p, page)
	}
	p.quiet()
}
