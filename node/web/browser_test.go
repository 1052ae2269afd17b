package web_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/rest"
	"github.com/shoal-p2p/shoal/node/web"
)

// patience is the upper bound of everything the browser waits for.
const patience = 60 * time.Second

// shots names a folder where pictures of the pages are kept for people to look at, if it is set.
const shots = "SHOAL_TEST_SHOTS"

// living is a node with its dashboard.
type living struct {
	*node.Node
	home string
	site *web.Server
	api  *rest.API
}

// live runs a node and its dashboard until the test ends.
func live(t *testing.T, down int64, bootstrap ...string) *living {
	t.Helper()
	home := t.TempDir()
	n, err := node.New(node.Config{Home: home, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap, Reserve: 1, Version: "v1.0-test",
		Transfer: node.TransferConfig{Down: down}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	group.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatal("the node does not get ready")
	}
	l, err := web.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := rest.New(n, rest.Options{Version: "v1.0-test", Ready: n.Ready(),
		Moved: func() (m rest.Moved) { m.In, m.Out, m.Saved = n.Moved(); return m }})
	s, err := web.New(web.Options{API: a.Handler(), Version: "v1.0-test", Listen: l.Addr().String(), TokenFile: filepath.Join(home, "api.token"), Ready: n.Ready()})
	if err != nil {
		t.Fatal(err)
	}
	group.Go(func() {
		if err := s.Run(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		a.Close()
		cancel()
		group.Wait()
	})
	return &living{Node: n, home: home, site: s, api: a}
}

// hostile are names that a set of somebody else may have.
var hostile = []string{`<img src=x onerror=alert(1)>`, `<script>alert(2)<.script>`, "a\u202egpj.exe", `"onmouseover="alert(3)`, "{{7*7}}${alert(4)}", "%3Cb%3E", "tab\there"}

func fill(t *testing.T, dir string, seed byte, size int) {
	t.Helper()
	b := make([]byte, size)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223 // bytes that do not compress and do not repeat
		b[i] = byte(x >> 24)
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("data-%d.bin", seed)), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// newFolder has four files of 2 MB, a folder, and names that want to be more than that.
func newFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "photos")
	if err := os.MkdirAll(filepath.Join(dir, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		fill(t, dir, byte(i), 2_000_000)
	}
	for _, name := range append(hostile, "inner/deep.txt") {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDashboard is what a stranger with nothing but a browser does: share, get, update, rehearse.
func TestDashboard(t *testing.T) {
	ctx := browser(t)
	a := live(t, 0)
	st, err := a.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := live(t, 4_000_000, st.Listen...) // slow enough to be watched
	alice := visit(t, ctx, a, "alice")
	bobCtx, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	defer cancel()
	bob := visit(t, bobCtx, b, "bob")
	if u := read[string](bob, "location.href"); strings.Contains(u, "code") {
		t.Errorf("the code stays in the address: %s", u)
	}
	alice.shoot("0-first")

	folder := newFolder(t)
	ticket, set := shareFolder(alice, folder)
	dest := filepath.Join(t.TempDir(), "copy")
	getFirst(bob, ticket, dest)
	getUpdate(alice, bob, set, ticket, folder, dest)
	names(alice, set)
	rehearse(alice, bob, set, ticket)
	limit(alice)
	byKeyboard(alice)
	for _, p := range []*person{alice, bob} {
		looks(p, "", "sets", "set/"+set, "share", "get", "peers", "failover", "activity", "settings", "doctor", "api")
		p.quiet()
	}
}

func shareFolder(p *person, folder string) (ticket, set string) {
	p.open("share")
	p.write("share-path", folder)
	p.click("share-watch")
	p.shoot("1-share")
	read[bool](p, `(document.querySelector('[data-testid=share-path]').focus(), true)`)
	p.do(chromedp.KeyEvent("\r"))
	p.has("shared", "is shared: revision 1")
	p.wait(`document.querySelector('[data-testid=shared] svg.qr path')`)
	p.shoot("2-shared")
	return strings.TrimSpace(p.text("ticket")), read[string](p, `document.querySelector('[data-testid=shared] a').getAttribute('href').slice(6)`)
}

func getFirst(p *person, ticket, dest string) {
	p.open("get")
	p.write("get-ticket", ticket)
	p.write("get-dest", dest)
	p.click("plan")
	p.has("got", "It would write")
	p.has("got", "8.00 MB would be fetched")
	if plan := p.text("got"); strings.Contains(plan, "000000") || strings.Contains(plan, "patched") || !strings.Contains(plan, "data-0.bin") {
		p.t.Errorf("the plan is not for people: %s", plan)
	}
	p.shoot("3-plan")
	p.click("get")
	p.wait(`/[1-9][0-9]* %/.test(document.querySelector('[data-testid=progress-text]')?.textContent) && document.querySelector('progress')?.value > 0 && document.querySelector('progress').value < 1`)
	p.shoot("4-getting")
	p.open("")
	p.wait(`/[1-9].*MB.s received/.test(document.querySelector('[data-testid=rates]')?.textContent)`) // the chart moves while it is fetched
	p.wait(`document.querySelector('[data-testid=throughput] canvas')`)
	p.shoot("5-live")
	p.open("get")
	p.has("got", "There are 12 files, revision 1")
	p.shoot("6-got")
	if got, err := os.ReadFile(filepath.Join(dest, "inner/deep.txt")); err != nil || string(got) != "inner/deep.txt" {
		p.t.Errorf("%q %v", got, err)
	}
}

func getUpdate(alice, bob *person, set, ticket, folder, dest string) {
	fill(alice.t, folder, 9, 300_000)
	if err := os.Remove(filepath.Join(folder, "data-3.bin")); err != nil {
		alice.t.Fatal(err)
	}
	alice.open("set/" + set)
	alice.click("publish")
	alice.has("done", "Revision 2 is published")
	alice.click("show-diff")
	alice.has("diff", "data-9.bin")
	alice.has("diff", "data-3.bin")
	alice.shoot("7-published")
	bob.open("get")
	bob.click("get")
	bob.has("got", "revision 2")
	savings := bob.text("savings")
	if !strings.Contains(savings, "6.00 MB of 6.30 MB (95 %)") {
		bob.t.Errorf("savings: %s", savings)
	}
	bob.shoot("8-updated")
	bob.open("set/" + set)
	bob.wait(`document.querySelector('[data-testid=delta] .reused')`)
	bob.wait(`document.querySelectorAll('[data-testid=strips] .strip').length === 3`)
	bob.open("")
	bob.has("saved", "6.00 MB")
}

// names looks for what a hostile name could have become.
func names(p *person, set string) {
	p.open("set/" + set)
	p.wait(`document.querySelectorAll('[data-testid=file]').length > 8`)
	shown := read[[]string](p, `[...document.querySelectorAll('[data-testid=file]')].map(e => e.textContent)`)
	for _, want := range hostile {
		want = strings.NewReplacer("\u202e", `\u202e`, "\t", `\u0009`).Replace(want)
		found := false
		for _, s := range shown {
			found = found || s == want
		}
		if !found {
			p.t.Errorf("%q is not among %q", want, shown)
		}
	}
	if n := read[int](p, `document.querySelectorAll('main img, main script, [onerror], [onmouseover]').length`); n != 0 {
		p.t.Errorf("%d elements were made of names", n)
	}
	link := read[string](p, `[...document.querySelectorAll('[data-testid=file]')].find(e => e.textContent.includes('onerror')).href`)
	if u, err := url.Parse(link); err != nil || u.Query().Get("path") != hostile[0] {
		p.t.Errorf("%s: %v", link, err)
	}
	body := read[string](p, fmt.Sprintf(`fetch(%q).then(r => r.text().then(t => r.status + " " + r.headers.get("content-disposition") + " " + t))`, link))
	if !strings.HasPrefix(body, "200 attachment") || !strings.HasSuffix(body, hostile[0]) {
		p.t.Errorf("the file answers %q", body)
	}
	p.write("file-search", "deep")
	p.wait(`document.querySelectorAll('[data-testid=file]').length === 0`)
	p.has("found", "inner/deep.txt") // in another folder
	p.write("file-search", "inner")
	p.click("folder")
	p.wait(`document.querySelector('[data-testid=file]')?.textContent === 'deep.txt'`)
}

// rehearse makes the second node a replica and hands the role of the primary over and back.
func rehearse(alice, bob *person, set, ticket string) {
	bob.open("get")
	bob.write("get-ticket", ticket)
	bob.write("get-dest", "")
	bob.click("get-replicate")
	bob.click("get")
	member := bob.text("member")
	bob.open("activity")
	bob.has("operations", "begun, goes on")
	alice.open("set/" + set)
	alice.wait(`document.querySelector('[data-testid=members] details')`)
	read[bool](alice, `document.querySelector('[data-testid=members] details').open = true`)
	alice.write("grant-peer", member)
	alice.do(chromedp.SetValue(chromedp.CSS(mark("grant-right")), "replica"))
	read[bool](alice, `document.querySelector('[data-testid=grant-right]').dispatchEvent(new Event("change", {bubbles: true}))`)
	alice.click("grant")
	alice.has("members", "replica")
	alice.open("failover")
	alice.click("drill")
	alice.click("drill-yes")
	alice.has("drill-result", "Passed")
	alice.shoot("9-drill")
	if n := read[int](alice, `document.querySelectorAll('[data-testid=lanes] .span').length`); n < 2 {
		alice.t.Errorf("%d spans in the lanes", n)
	}
	again(alice)
}

// again loads the page anew: what happened before it was opened is there still, and nobody is primary and then nobody
// without a reason.
func again(p *person) {
	p.t.Helper()
	before := read[string](p, `document.querySelector('[data-testid=changes]').textContent`)
	p.do(chromedp.Reload())
	p.wait(`document.querySelectorAll('[data-testid=changes] tbody tr').length >= 2`)
	p.wait(`document.querySelectorAll('[data-testid=lanes] .span.primary').length >= 3`)
	if after := p.text("changes"); after != before || strings.Contains(after, "nobody") {
		p.t.Errorf("changes of the primary: %q, before %q", after, before)
	}
}

// limit sets what the node may send, and takes it back.
func limit(p *person) {
	p.open("settings")
	p.write("limit-up", "2.5 MB/s")
	p.click("limit-save")
	p.has("limit-now", "2.50 MB/s out, no limit in")
	p.write("limit-up", "")
	p.click("limit-save")
	p.has("limit-now", "no limit out")
}

// byKeyboard goes from the address bar to a page and back without a pointer.
func byKeyboard(p *person) {
	p.open("")
	read[bool](p, `(document.activeElement.blur(), true)`)
	for range 40 {
		p.do(chromedp.KeyEvent("\t"))
		if read[bool](p, `document.activeElement.getAttribute("href") === "#/share"`) {
			break
		}
	}
	if !read[bool](p, `getComputedStyle(document.activeElement).outlineStyle !== "none"`) {
		p.t.Error("one cannot see where the keyboard is")
	}
	p.do(chromedp.KeyEvent("\r"))
	p.wait(`document.querySelector('[data-testid=share-path]')`)
	p.wait(`document.activeElement.id === "main"`) // and does not stay on what is gone
}

// look measures a page: its width, and controls that have no name or are too small for a finger.
const look = `(() => {
  const seen = {Overflow: document.documentElement.scrollWidth - innerWidth, Nameless: [], Ground: getComputedStyle(document.body).backgroundColor};
  for (const e of document.querySelectorAll("button, input, select, textarea, a[href]")) {
    if (!e.offsetParent) continue;
    const name = e.getAttribute("aria-label") || e.textContent.trim() || [...(e.labels ?? [])].map(l => l.textContent).join("");
    if (!name) seen.Nameless.push(e.outerHTML.slice(0, 120));
  }
  return seen;
})()`

type looked struct {
	Overflow float64
	Nameless []string
	Ground   string
}

// looks opens pages on a screen and on a phone, by day and by night.
func looks(p *person, pages ...string) {
	for _, to := range pages {
		name, _, _ := strings.Cut(to, "/")
		if name == "" {
			name = "swarm"
		}
		p.open(to)
		for _, width := range []int64{1280, 390} {
			p.do(chromedp.EmulateViewport(width, 900))
			grounds := map[string]bool{}
			for _, scheme := range []string{"light", "dark"} {
				_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				if err != nil {
					p.t.Fatal(err)
				}
				read[int](p, `new Promise(go => requestAnimationFrame(() => requestAnimationFrame(() => go(1))))`)
				seen := read[looked](p, look)
				what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				grounds[seen.Ground] = true
				if seen.Overflow > 0 {
					p.t.Errorf("%s: the page is %v pixels wider than its window", what, seen.Overflow)
				}
				for _, n := range seen.Nameless {
					p.t.Errorf("%s: a control without a name: %s", what, n)
				}
				p.shoot(what)
			}
			if len(grounds) != 2 {
				p.t.Errorf("%s: light and dark look the same", name)
			}
		}
		p.do(chromedp.EmulateViewport(1280, 900))
	}
}
