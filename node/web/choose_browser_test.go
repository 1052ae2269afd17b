package web_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// tick presses the box of a path in the tree, by its name as it is shown.
func tick(p *person, name string) {
	p.t.Helper()
	box := fmt.Sprintf(`[...document.querySelectorAll('[data-testid=tree-tick]')].find(e => e.ariaLabel === %q)`, name)
	p.wait(box)
	read[bool](p, "("+box+".click(), true)")
}

// filesIn lists what lies below a folder.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestChoose: a person looks into a set that is elsewhere, takes a folder and a file of it, and later saves others from the
// set's page.
func TestChoose(t *testing.T) {
	ctx := browser(t)
	a := live(t, 0)
	st, err := a.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := live(t, 0, st.Listen...)
	alice := visit(t, ctx, a, "choose-a")
	folder := newFolder(t)
	if err := os.MkdirAll(filepath.Join(folder, "inner/more"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"inner/other.txt", "inner/more/last.txt", "[odd] *.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("1234567890"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ticket, set := shareFolder(alice, folder)
	bobCtx, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	defer cancel()
	bob := visit(t, bobCtx, b, "choose-b")
	dest := filepath.Join(t.TempDir(), "part")
	bob.open("get")
	bob.write("get-ticket", ticket)
	bob.click("choose")
	tick(bob, "photos") // nothing
	bob.has("get-why", "Name the folder")
	bob.write("get-dest", dest)
	bob.has("get-why", "Choose at least one file")
	read[bool](bob, `([...document.querySelectorAll('[data-testid=unfold]')].find(e => e.ariaLabel === 'Folder inner').click(), true)`)
	tick(bob, "inner")
	tick(bob, "other.txt") // without this one
	tick(bob, "data-1.bin")
	tick(bob, "[odd] *.txt")
	bob.wait(`[...document.querySelectorAll('[data-testid=tree-tick]')].find(e => e.ariaLabel === 'inner').indeterminate`)
	bob.has("chosen", "2.00 MB")
	bob.shoot("tree")
	bob.click("get")
	bob.has("got", "There are 4 files, revision 1")
	bob.shoot("got")
	if got, want := filesIn(t, dest), []string{"[odd] *.txt", "data-1.bin", "inner/deep.txt", "inner/more/last.txt"}; !slices.Equal(got, want) {
		t.Errorf("%q is there, want %q", got, want)
	}
	saveFromPage(alice, set)
	alice.quiet()
	bob.quiet()
}

// saveFromPage takes a folder and a file from the page of a set.
func saveFromPage(p *person, set string) {
	p.t.Helper()
	p.open("set/" + set)
	pick := func(name string) {
		box := fmt.Sprintf(`[...document.querySelectorAll('[data-testid=tick]')].find(e => e.ariaLabel === 'Choose ' + %q)`, name)
		p.wait(box)
		read[bool](p, "("+box+".click(), true)")
	}
	pick("data-2.bin")
	p.wait(`document.querySelector('[data-testid=download]').href.endsWith('data-2.bin')`)
	pick("inner")
	p.wait(`!document.querySelector('[data-testid=download]')`)
	p.has("picked", "4 files, 2.00 MB")
	p.shoot("picked")
	p.click("save")
	dest := filepath.Join(p.t.TempDir(), "saved")
	p.write("save-dest", "saved")
	p.wait(`document.querySelector('dialog[open]').textContent.includes('whole path')`)
	p.write("save-dest", dest)
	p.click("save-yes")
	p.has("got", "There are 4 files")
	if got, want := filesIn(p.t, dest), []string{"data-2.bin", "inner/deep.txt", "inner/more/last.txt", "inner/other.txt"}; !slices.Equal(got, want) {
		p.t.Errorf("%q is there, want %q", got, want)
	}
}
