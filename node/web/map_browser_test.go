package web_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// mapOf draws the map of a swarm of n peers with names of some length, in a picture so wide, and lists what is wrong with
// the places of its names.
const mapOf = `Promise.all([import("/vendor/preact.mjs"), import("/ring.mjs"), import("/base.mjs"), import("/state.mjs")]).then(async ([preact, ring, base, state]) => {
  const [n, length, width] = [%d, %d, %d], roles = ["primary", "backup", "replica", "reader"];
  const nodes = [{ id: "self", self: true, role: roles[n %% 4] }];
  for (let i = 0; i < n; i++) nodes.push({ id: String(i).padEnd(length, "W"), role: roles[i %% 4], lost: i %% 3 === 2, relayed: i %% 3 === 1, rtt: 12.3, rate: 1e6 });
  state.names.value = new Map(nodes.map((p) => [p.id, p.id]));
  const box = document.createElement("div");
  box.style.width = width + "px";
  document.querySelector("main").append(box);
  const next = () => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  preact.render(base.html` + "`<${ring.Ring} nodes=${nodes} />`" + `, box);
  const svg = box.querySelector("svg");
  while (svg.viewBox.baseVal.width !== Math.max(240, Math.min(520, width))) await next();
  const frame = svg.getBoundingClientRect(), wrong = [];
  const texts = [...svg.querySelectorAll("text")], marks = [...svg.querySelectorAll(".mark")];
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  texts.forEach((t, i) => {
    const r = t.getBoundingClientRect();
    if (r.left < frame.left || r.right > frame.right || r.top < frame.top || r.bottom > frame.bottom) wrong.push(t.textContent + " leaves the picture");
    if (marks.some((m) => meet(r, m.getBoundingClientRect()))) wrong.push(t.textContent + " touches a mark");
    // lines of one name are closer to each other than names are
    if (texts.slice(i + 1).some((o) => o.parentNode !== t.parentNode && meet(r, o.getBoundingClientRect()))) wrong.push(t.textContent + " touches another name");
  });
  if (marks.length !== n + 1) wrong.push(marks.length + " marks");
  if (n <= 16 && texts.length < n + 1) wrong.push(texts.length + " names");
  preact.render(null, box);
  box.remove();
  return wrong;
})`

// TestMapOfTheSwarm: on the map no name is cut off at the edge, and none lies on a mark or on another name.
func TestMapOfTheSwarm(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "map")
	for _, c := range []struct {
		screen int64
		width  int // of the card
	}{{1280, 467}, {390, 330}, {310, 250}} {
		p.do(chromedp.EmulateViewport(c.screen, 900))
		for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 10, 16, 17, 40} {
			for _, length := range []int{7, 40} {
				for _, wrong := range read[[]string](p, fmt.Sprintf(mapOf, n, length, c.width)) {
					t.Errorf("%d peers, names of %d letters, %d pixels: %s", n, length, c.width, wrong)
				}
			}
		}
	}
	p.quiet()
}
