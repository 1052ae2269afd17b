package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// asked is true in a page that has had an answer from an address that ends so.
func asked(path string) string {
	return fmt.Sprintf("performance.getEntriesByType('resource').some((e) => e.name.endsWith(%q))", path)
}

// lost is a snapshot with a shared set whose folder is not there.
func lost() string {
	return strings.Replace(snapshot, `"state":"complete"`, `"state":"shared","folder_gone":true,"alarms":["/d is gone: put it back"]`, 1)
}

// TestFolderGone: a folder that is not there cannot be published, and one that was moved is shared from where it is now. All
// that is said of copies is one and the same.
func TestFolderGone(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: lost()}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "folder-gone")
	p.open("set/bafyone")
	p.has("alarms", "The folder is back: verify")
	if n := read[int](p, `document.querySelectorAll('[data-testid=alarm-publish], [data-testid=publish]:not(:disabled)').length`); n != 0 {
		t.Error("the page offers to publish a folder that is not there")
	}
	p.wait(`document.querySelector('main').textContent.includes('Copiesnobody has all of it') && document.querySelector('[data-testid=strips]').textContent.includes('0 copies')`)
	p.shoot("set")
	p.click("alarm-moved")
	p.write("alarm-moved-path", "/elsewhere")
	p.click("alarm-moved-yes")
	p.wait(`!document.querySelector('dialog[open]')`)
	p.wait(asked("/api/v1/sets"))
	p.quiet()
}

// TestPrimarySince: who is primary is known from when the node saw it, not from when the page was opened.
func TestPrimarySince(t *testing.T) {
	ctx := browser(t)
	since := time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Second)
	first := strings.Replace(snapshot, `"backup":""`, fmt.Sprintf(`"backup":"","primary_since":%q`, since.Format(time.RFC3339)), 1)
	l, stop := cannedSite(t, &canned{first: first}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "since")
	p.open("failover")
	want := read[string](p, fmt.Sprintf(`import("/base.mjs").then((m) => m.moment(%d))`, since.UnixMilli()))
	p.wait(fmt.Sprintf(`document.querySelector('main').textContent.includes('seen by this node since ' + %q)`, want))
	p.has("changes", "the first that was seen")
	p.shoot("failover")
	p.quiet()
}

// TestStillAndStuck: where nothing moves the page says so in place of axes, and a set of which a part is lacking is not said
// to be fetched when nobody does.
func TestStillAndStuck(t *testing.T) {
	ctx := browser(t)
	first := strings.Replace(snapshot, `"state":"complete"`, `"state":"incomplete"`, 1)
	l, stop := cannedSite(t, &canned{first: strings.Replace(first, `"behind":2`, `"behind":0`, 1)}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "still")
	p.wait(`document.querySelector('main').textContent.includes('Nothing moved in the last 2 minutes.') && !document.querySelector('[data-testid=throughput]')`)
	p.has("headline", "one is incomplete, and not being fetched")
	tops := `[...document.querySelectorAll('.twin')].map((e) => Math.round(e.getBoundingClientRect().top))`
	p.wait(`((t) => t.length === 2 && t[0] === t[1])(` + tops + `)`)
	p.open("set/bafyone")
	p.click("go-on")
	p.wait(`document.querySelector('[data-testid=health]').textContent === 'incomplete'`)
	p.wait(asked("/api/v1/fetches"))
	p.do(chromedp.EmulateViewport(390, 900))
	p.shoot("phone")
	p.quiet()
}

// TestNewerElsewhere: what a peer has and this node has not can be got with a click.
func TestNewerElsewhere(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: strings.Replace(snapshot, `"behind":2`, `"behind":0`, 1)}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "newer")
	p.open("set/bafyone")
	p.click("newest")
	p.wait(`document.querySelector('[data-testid=newest]').ariaBusy !== 'true'`)
	p.wait(asked("/api/v1/fetches"))
	p.quiet()
}

// TestBackAgain: what could not be asked of a node that was away is asked when it is back, and the page does not go on to
// complain.
func TestBackAgain(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "back")
	got := read[[]string](p, `Promise.all([import("/state.mjs"), import("/ui.mjs"), import("/base.mjs"), import("/vendor/preact.mjs")]).then(async ([state, ui, base, preact]) => {
  const box = document.createElement("div"), said = [];
  let there = false;
  const ask = () => (there ? Promise.resolve("the answer") : Promise.reject(Object.assign(new Error("the node does not answer"), { code: "unreachable" })));
  const Asks = () => { const { data, error } = ui.useAnswer(ask, []); return base.html`+"`<p>${data ?? error?.message}</p>`"+`; };
  document.body.append(box);
  preact.render(base.html`+"`<${Asks} />`"+`, box);
  const until = async (what) => { while (!what()) await new Promise((go) => requestAnimationFrame(go)); };
  await until(() => box.textContent.includes("does not answer"));
  state.complain(Object.assign(new Error("the node does not answer"), { code: "unreachable" }));
  state.complain(new Error("something else"));
  said.push(box.textContent, String(state.notices.value.length));
  there = true;
  state.heardLink("lost", Date.now());
  state.heardLink("live");
  await until(() => box.textContent === "the answer");
  said.push(...state.notices.value.map((n) => n.title));
  box.remove();
  return said;
})`)
	if fmt.Sprint(got) != "[the node does not answer 2 something else]" {
		t.Errorf("%q", got)
	}
	p.quiet()
}
