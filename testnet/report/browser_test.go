package report_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/shoal-p2p/shoal/testnet/report"
)

// browser starts a headless Chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed, so the report is not looked at")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to have one as root
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	return ctx
}

// heard is what the page said and asked for while it was open.
type heard struct {
	mu       sync.Mutex // guards the rest
	said     []string
	requests []string
}

func (h *heard) listen(ctx context.Context) error {
	return chromedp.Listen(ctx, func(ev any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			h.said = append(h.said, fmt.Sprint(ev.Type))
		case *runtime.EventExceptionThrown:
			h.said = append(h.said, ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			h.said = append(h.said, ev.Entry.Text)
		case *page.EventJavascriptDialogOpening:
			h.said = append(h.said, "dialog "+ev.Message)
		case *network.EventRequestWillBeSent:
			h.requests = append(h.requests, ev.Request.URL)
		}
	})
}

func (h *heard) take() (said, requests []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	said, requests = h.said, h.requests
	h.said, h.requests = nil, nil
	return said, requests
}

// looked is what a page looks like.
type looked struct {
	Overflow float64  // pixels by which the page is wider than its window
	Pictures []string // the cards with a picture of some size
	Empty    []string // cards whose picture has none
	Overlaps []string // texts of one picture that touch
	Outside  []string // texts that stick out of their picture
	Scripts  int
	Ground   string // colour
	Moment   string // what the pointer is told in the middle of the lanes
}

const look = `(() => {
  for (const d of document.querySelectorAll("details")) d.open = true;
  const seen = {Overflow: document.documentElement.scrollWidth - innerWidth, Pictures: [], Empty: [], Overlaps: [], Outside: [], Moment: "",
    Scripts: document.scripts.length, Ground: getComputedStyle(document.body).backgroundColor};
  for (const pic of document.querySelectorAll("svg.pic")) {
    const frame = pic.getBoundingClientRect(), card = pic.closest("section").id;
    if (!pic.parentElement.offsetParent) continue;
    (frame.width > 250 && frame.height > 30 ? seen.Pictures : seen.Empty).push(card);
    const boxes = [...pic.querySelectorAll("text")].map(t => ({b: t.getBoundingClientRect(), s: t.firstChild ? t.firstChild.data : ""})).filter(t => t.s);
    for (const [i, t] of boxes.entries()) {
      if (t.b.left < frame.left - 1 || t.b.right > frame.right + 1 || t.b.top < frame.top - 2 || t.b.bottom > frame.bottom + 2) seen.Outside.push(card + ": " + t.s);
      for (const o of boxes.slice(i + 1))
        if (t.b.left < o.b.right - 1 && o.b.left < t.b.right - 1 && t.b.top < o.b.bottom - 4 && o.b.top < t.b.bottom - 4) seen.Overlaps.push(card + ": " + t.s + " | " + o.s);
    }
  }
  const lanes = [...document.querySelectorAll("#lanes svg.pic")].find(p => p.parentElement.offsetParent);
  if (lanes) {
    const f = lanes.getBoundingClientRect();
    lanes.dispatchEvent(new PointerEvent("pointermove", {clientX: f.left + f.width * 0.6, clientY: f.top + 5}));
    seen.Moment = document.querySelector(".moment").textContent;
    lanes.dispatchEvent(new PointerEvent("pointerleave"));
  }
  for (const d of document.querySelectorAll("details")) d.open = false;
  return seen;
})()`

// TestBrowser opens every report as people do: from the disk, on a screen and on a phone, by day and by night.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	ctx := browser(t)
	var h heard
	if err := h.listen(ctx); err != nil {
		t.Fatal(err)
	}
	dir := place(t)
	for name, tr := range all() {
		path, err := report.Write(filepath.Join(dir, name), tr)
		if err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1280, 800, 390} {
			grounds := map[string]bool{}
			for _, scheme := range []string{"light", "dark"} {
				if name == "many" && scheme == "dark" {
					continue // it is the size that matters, and it takes long
				}
				what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				seen := open(t, ctx, path, width, scheme)
				said, requests := h.take()
				judge(t, what, name, seen)
				grounds[seen.Ground] = true
				if len(said) > 0 {
					t.Errorf("%s: the console is not empty: %q", what, said)
				}
				for _, r := range requests {
					if !strings.HasPrefix(r, "file://") {
						t.Errorf("%s: the page asked for %s", what, r)
					}
				}
				if len(requests) != 1 {
					t.Errorf("%s: %d requests, want that of the file alone", what, len(requests))
				}
				shoot(t, ctx, dir, what)
			}
			if len(grounds) != 2 && name != "many" {
				t.Errorf("%s: light and dark look the same: %v", name, grounds)
			}
		}
	}
}

func judge(t *testing.T, what, name string, seen looked) {
	t.Helper()
	if seen.Overflow > 0 {
		t.Errorf("%s: the page is %v pixels wider than its window", what, seen.Overflow)
	}
	if seen.Scripts != 1 {
		t.Errorf("%s: %d scripts, want our own alone", what, seen.Scripts)
	}
	if len(seen.Empty) > 0 || (len(seen.Pictures) < 5 && name != "empty") {
		t.Errorf("%s: pictures %v, and %v are empty", what, seen.Pictures, seen.Empty)
	}
	if name != "empty" && !strings.Contains(seen.Moment, " s · sent ") {
		t.Errorf("%s: the pointer is told %q", what, seen.Moment)
	}
	if name == "many" { // a hundred thin lanes: names touch the ones above and below
		return
	}
	for _, o := range append(seen.Overlaps, seen.Outside...) {
		t.Errorf("%s: in each other's way or outside: %s", what, o)
	}
}

func open(t *testing.T, ctx context.Context, path string, width int64, scheme string) looked {
	t.Helper()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path)); err != nil {
		t.Fatal(err)
	}
	seen, err := chromedp.Run(ctx, chromedp.Evaluate[looked](look))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// shots is where pictures of the pages are kept for people to look at, if it is set.
const shots = "SHOAL_TEST_SHOTS"

func place(t *testing.T) string {
	if dir := os.Getenv(shots); dir != "" {
		return dir
	}
	return t.TempDir()
}

func shoot(t *testing.T, ctx context.Context, dir, what string) {
	t.Helper()
	if os.Getenv(shots) == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, what+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
