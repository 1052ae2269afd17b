//go:build unix

package testnet

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/process"
)

// browser starts a headless Chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds to start")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed, so the dashboard is not looked at")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to have one as root
	}
	ctx, stop := chromedp.NewExecAllocator(testContext(t), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	return ctx
}

// up runs `testnet up` until the test ends; the answer is the link to the first node's dashboard.
func up(t *testing.T, dir string, n int) (link string) {
	t.Helper()
	cmd := exec.Command(binary, "testnet", "up", "-n", fmt.Sprint(n), "--dir", dir)
	cmd.Env = append(process.WithoutShoal(os.Environ()), "SHOAL_HOME="+filepath.Join(dir, "no-home"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("testnet up: %v", err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			break
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "dashboard  "); ok {
			link = rest
		}
	}
	if link == "" {
		t.Fatal("no dashboard was shown")
	}
	return link
}

// listed is what `testnet ls` says of each node.
func listed(t *testing.T, dir string) map[string]control.Info {
	t.Helper()
	var all struct{ Nodes []control.Info }
	run(t, dir, "testnet", "ls", "--dir", dir, "--json").last(t, &all)
	out := map[string]control.Info{}
	for _, n := range all.Nodes {
		out[n.Name] = n
	}
	return out
}

// is fails the test unless a node is in a state, with how it ended.
func is(t *testing.T, dir, node, state string) {
	t.Helper()
	n := listed(t, dir)[node]
	if got := strings.TrimSpace(n.State + " " + n.Ended); got != state {
		t.Errorf("%s is %q, not %q", node, got, state)
	}
}

// looker is somebody in front of the page.
type looker struct {
	t   *testing.T
	ctx context.Context
}

func (l looker) do(steps ...chromedp.Action[chromedp.Void]) {
	l.t.Helper()
	if err := chromedp.Do(l.ctx, steps...); err != nil {
		l.fatal(err)
	}
}

func (l looker) fatal(err error) {
	l.t.Helper()
	l.shoot("failed")
	text, _ := chromedp.Run(l.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	l.t.Fatalf("%v\n%s", err, text)
}

func (l looker) wait(condition string) {
	l.t.Helper()
	for giveUp := time.Now().Add(patience / 4); ; { // a page that is being replaced takes what is asked of it along
		_, err := chromedp.Run(l.ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience/4)))
		if err == nil {
			return
		}
		if replaced := strings.Contains(err.Error(), "context with specified id") || strings.Contains(err.Error(), "navigated"); !replaced || time.Now().After(giveUp) {
			l.fatal(fmt.Errorf("wait for %s: %w", condition, err))
		}
	}
}

// row is the selector of something in the row of a node.
func row(node, id string) string { return fmt.Sprintf(`tr:has(#node-%s) [data-testid="%s"]`, node, id) }

// press presses a button of a node's row.
func (l looker) press(node, id string) {
	l.t.Helper()
	button := row(node, id) + ":not(:disabled)"
	l.wait(fmt.Sprintf("document.querySelector('%s')", button))
	l.do(chromedp.Click(chromedp.CSS(button)))
}

// sees waits until something in the row of a node has a text.
func (l looker) sees(node, id, text string) {
	l.t.Helper()
	l.wait(fmt.Sprintf("document.querySelector('%s')?.textContent.includes(%q)", row(node, id), text))
}

// shoot keeps a picture for people to look at, where SHOAL_TEST_SHOTS names a folder.
func (l looker) shoot(what string) {
	if dir := os.Getenv("SHOAL_TEST_SHOTS"); dir != "" {
		if png, err := chromedp.Run(l.ctx, chromedp.FullScreenshot(100)); err == nil {
			_ = os.WriteFile(filepath.Join(dir, "testnet-"+what+".png"), png, 0o644)
		}
	}
}

// The page of a test network: nodes die and live by a click, and a second terminal sees it.
func TestDashboardOfNetwork(t *testing.T) {
	ctx := browser(t)
	dir := t.TempDir()
	l := looker{t, ctx}
	l.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(up(t, dir, 3)))
	l.wait(`document.querySelector('nav a[href="#/testnet"]')`)
	l.do(chromedp.Click(chromedp.CSS(`nav a[href="#/testnet"]`)))
	if o := run(t, dir, "testnet", "do", "--dir", dir, "share docs at node-1 size 1MiB"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	l.sees("node-1", "node-sets", "docs 1 primary")
	l.shoot("1-up")

	l.press("node-2", "node-kill")
	l.sees("node-2", "node-state", "killed")
	is(t, dir, "node-2", "down killed")
	l.shoot("2-killed")
	l.press("node-2", "node-restart")
	l.sees("node-2", "node-state", "up")
	is(t, dir, "node-2", "running")
	l.press("node-2", "node-pause")
	l.sees("node-2", "node-state", "paused")
	is(t, dir, "node-2", "paused")
	l.press("node-2", "node-resume")
	l.sees("node-2", "node-state", "up")

	l.press("node-3", "node-slow")
	l.sees("node-3", "node-harm", "latency 100ms to all")
	l.press("node-3", "node-cut")
	l.sees("node-3", "node-harm", "cut")
	l.shoot("3-slow")
	l.do(chromedp.EmulateViewport(390, 844))
	if wider, err := chromedp.Run(ctx, chromedp.Evaluate[float64]("document.documentElement.scrollWidth - innerWidth")); err != nil || wider > 0 {
		t.Errorf("on a phone the page is %v pixels wider than its window: %v", wider, err)
	}
	hidden, err := chromedp.Run(ctx, chromedp.Evaluate[int]("[...document.querySelectorAll('[data-testid=nodes] button')].filter(b => b.getBoundingClientRect().right > innerWidth).length"))
	if err != nil || hidden > 0 {
		t.Errorf("on a phone %d buttons lie outside of the window: %v", hidden, err)
	}
	l.shoot("3-phone")
	l.do(chromedp.EmulateViewport(1280, 900))
	l.press("node-3", "node-heal")
	l.wait(fmt.Sprintf("!document.querySelector('%s')", row("node-3", "node-harm")))

	opensAnother(l, dir)
	ownNode(l, dir)
}

// opensAnother opens the dashboard of another node in a tab of its own, signed in.
func opensAnother(l looker, dir string) {
	l.t.Helper()
	site := listed(l.t, dir)["node-2"].Site + "/"
	opened := chromedp.WaitNewTarget(l.ctx, func(i *target.Info) bool { return i.URL == site })
	l.press("node-2", "node-open")
	select {
	case id := <-opened:
		ctx, end := chromedp.NewContext(l.ctx, chromedp.WithTargetID(id))
		defer end()
		other := looker{l.t, ctx}
		other.wait(`document.querySelector('[data-testid=state]')?.textContent.includes("live")`)
	case <-l.ctx.Done():
		l.fatal(l.ctx.Err())
	}
}

// ownNode does it all to the node that shows the page: it says what follows, and nothing happens before that.
func ownNode(l looker, dir string) {
	l.t.Helper()
	dialog := row("node-1", "node-kill") + " + dialog[open]"
	l.press("node-1", "node-kill")
	l.wait(fmt.Sprintf("document.querySelector('%s')?.textContent.includes('node-1 is the node that shows you this page')", dialog))
	l.shoot("4-own")
	is(l.t, dir, "node-1", "running")
	l.press("node-1", "node-kill-yes")
	l.wait(`document.querySelector('[data-testid=state]').textContent.includes("no connection")`)
	is(l.t, dir, "node-1", "down killed")
	l.shoot("5-gone")

	if o := run(l.t, dir, "testnet", "restart", "--dir", dir, "node-1"); o.code != 0 {
		l.t.Fatal(o.stderr)
	}
	l.wait(`document.querySelector('[data-testid=state]').textContent.includes("live")`) // it is at its place again, and knows who looks
	l.sees("node-1", "node-state", "up")
	before := listed(l.t, dir)["node-1"].PID
	l.press("node-1", "node-restart")
	for now := before; now == before || now == 0; { // another process, the next time it is looked at
		now = listed(l.t, dir)["node-1"].PID
	}
	l.sees("node-1", "node-state", "up")
	is(l.t, dir, "node-1", "running")
}
