package web_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestNodeGone: a page whose node has gone says so where one looks first, and goes on when the node is back.
func TestNodeGone(t *testing.T) {
	ctx := browser(t)
	c := canned{first: snapshot, token: filepath.Join(t.TempDir(), "token")}
	l, stop := cannedSite(t, &c, "127.0.0.1:0")
	p := visit(t, ctx, l, "gone")
	p.has("headline", "one is 2 revisions behind")
	p.quiet()
	address := l.site.URL()[len("http://"):]
	stop()
	p.wait(`/^No connection to this node since [0-2][0-9]:[0-5][0-9]$/.test(document.querySelector('[data-testid=headline]').textContent)`)
	p.has("absent", "goes on by itself")
	p.wait(`document.querySelector('main.stale')`)
	p.has("state", "no connection")
	p.shoot("swarm")
	p.open("peers")
	p.has("absent", "No connection to this node since")
	p.shoot("peers")
	p.open("")
	_, stop = cannedSite(t, &c, address)
	defer stop()
	p.has("headline", "one is 2 revisions behind")
	p.has("state", "live")
	p.wait(`!document.querySelector('main.stale') && !document.querySelector('[data-testid=absent]')`)
}

// remembered is a snapshot with what the node remembers of the last minutes: 1 MB/s received.
func remembered() string {
	samples := make([]string, 0, 30)
	for i := range 30 {
		samples = append(samples, fmt.Sprintf(`{"t":%d,"in":2000000,"out":4000,"saved":0}`, 1_767_323_000+2*i))
	}
	return strings.Replace(snapshot, `"operations":[]`, `"operations":[],"samples":[`+strings.Join(samples, ",")+`]`, 1)
}

// TestRemembered: the chart begins with what was before the page was opened.
func TestRemembered(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: remembered()}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "remembered")
	read[bool](p, `([...document.querySelectorAll('button')].find(b => b.ariaLabel?.startsWith('Throughput')).click(), true)`)
	p.wait(`[...document.querySelectorAll('table td')].filter(e => e.textContent === '1.00 MB/s').length > 20`)
	p.quiet()
}

// ailing is a snapshot with a set that somebody has to look at.
func ailing() string {
	return strings.Replace(snapshot, `"behind":2`, `"behind":0,"replicating":true,"alarms":["3 files of it are not here any more: put them back, or `+"`share /d`"+`"]`, 1)
}

// TestAlarms: what somebody has to look at stands in the headline, in the card and on the set's page, with what to do. A set
// that is held for others can be given up.
func TestAlarms(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: ailing()}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "ailing")
	p.has("headline", "one: 3 files of it are not here any more")
	p.has("set-card", "3 files of it are not here any more")
	p.has("ill", "1 set to look at")
	p.shoot("swarm")
	p.open("set/bafyone")
	p.has("alarms", "put them back")
	p.has("alarms", "Look into it")
	p.shoot("set")
	p.click("unhold")
	p.click("unhold-yes")
	p.has("left", "not held any more")
	if posted := p.asked("/sets/bafyone/unfollow"); !posted {
		t.Error("the set is held still")
	}
	p.quiet()
}

// heldTimers keeps what a page wants to do after some ten seconds, for the test to do it; those of the test are longer.
const heldTimers = `(() => {
  const later = setTimeout;
  globalThis.held = [];
  globalThis.setTimeout = (act, ms, ...more) => (ms > 10000 && ms < 30000 ? held.push({ act, ms }) : later(act, ms, ...more));
  return true;
})()`

// TestLostVisitor: an address that is no page says so, and what was said of one page does not follow to the next.
func TestLostVisitor(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "lost")
	p.open("nonsense/<b>here")
	p.wait(`document.querySelector('main h1').textContent === 'There is no such page' && document.querySelector('main').textContent.includes('#/nonsense')`)
	p.open("set/bafynone")
	p.wait(`document.querySelector('main').textContent.includes('does not know “bafynone”')`)
	p.open("settings")
	p.wait(`document.querySelector('[data-testid=limit-save]')`)
	p.write("limit-up", "fast")
	p.click("limit-save")
	p.wait(`document.querySelector('.notices').textContent.includes('this is no rate')`)
	p.do(chromedp.EmulateViewport(390, 900))
	if at := read[string](p, `getComputedStyle(document.querySelector('.notices')).position`); at != "static" {
		t.Errorf("on a phone a notice is %s, and covers the page", at)
	}
	p.wait(`(() => { const r = document.querySelector('nav [aria-current]').getBoundingClientRect(); return r.left > 0 && r.right < innerWidth; })()`)
	p.shoot("notice")
	p.do(chromedp.EmulateViewport(1280, 900))
	p.open("peers")
	p.wait(`document.querySelector('.notices').textContent === ''`)
	p.open("settings")
	p.click("limit-save") // of the page as it is again: no notice
	p.write("limit-down", "slow")
	read[bool](p, heldTimers)
	p.click("limit-save")
	p.wait(`document.querySelector('.notices').textContent.includes('this is no rate')`)
	p.wait(`held.length === 1`)
	read[bool](p, `(held[0].act(), true)`) // the time has passed
	p.wait(`document.querySelector('.notices').textContent === ''`)
	p.open("get")
	p.has("get-why", "Paste a ticket first")
	p.write("get-ticket", "shoal1x")
	p.has("get-why", "Name the folder")
	p.write("get-dest", "photos")
	p.has("get-why", "whole path")
	p.open("set/bafyone")
	p.click("forget")
	p.wait(`document.querySelector('dialog[open]')`)
	p.do(chromedp.KeyEvent("\x1b"))
	p.wait(`!document.querySelector('dialog[open]')`)
	p.quiet()
}
