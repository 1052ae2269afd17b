package web_test

import (
	"slices"
	"testing"
)

// againstModel presses boxes of a tree at random, and compares what is chosen with a list of files that is kept beside it.
const againstModel = `import("/choose.mjs").then(({ extent, sum, toggle }) => {
  const list = { "": ["a", "b", "c.txt"], a: ["a/x", "a/y.txt", "a/z.txt"], "a/x": ["a/x/1.txt", "a/x/2.txt"], b: ["b/1.txt"] };
  const dirs = Object.keys(list), all = [...dirs, ...Object.values(list).flat().filter((p) => p.endsWith(".txt"))];
  const folders = new Map(dirs.map((d) => [d, { entries: list[d].map((path) => ({ path, kind: path.endsWith(".txt") ? "file" : "dir", size: path.endsWith(".txt") ? 10 : 0 })) }]));
  const files = all.filter((p) => p.endsWith(".txt"));
  const under = (dir) => files.filter((f) => f === dir || dir === "" || f.startsWith(dir + "/"));
  let chosen = new Set([""]), model = new Set(files), seed = 7;
  const wrong = [];
  for (let i = 0; i < 2000; i++) {
    seed = (seed * 1664525 + 1013904223) % 4294967296;
    const p = all[Math.floor(seed / 4294967296 * all.length)];
    const on = under(p).every((f) => model.has(f));
    for (const f of under(p)) if (on) model.delete(f); else model.add(f);
    chosen = toggle(chosen, p, folders);
    for (const q of all) {
      const n = under(q).filter((f) => model.has(f)).length;
      const want = n === 0 ? "none" : n === under(q).length ? "all" : "some";
      if (extent(chosen, q) !== want) wrong.push(i + " " + p + ": " + q + " is " + extent(chosen, q) + ", not " + want);
    }
    const total = sum(chosen, folders);
    if (total.files !== model.size || total.bytes !== 10 * model.size || total.folders) wrong.push(i + " " + JSON.stringify(total) + " of " + model.size);
  }
  return wrong.slice(0, 5);
})`

// turned are the changes of the primary as they are told, and as a person reads them.
const turned = `import("/reigns.mjs").then(({ begun, turns, reigns }) => {
  const at = (s, from, to, reason, seconds) => ({ at: 1000 * s, from, to, reason, seconds });
  const told = [at(1, "", "a"), at(5, "a", ""), at(5, "a", "b", "handover", 0.003), at(9, "b", "a", "handover"), at(20, "a", ""), at(22, "", "a"), at(30, "a", ""), at(33, "a", "b", "lost", 3), at(40, "b", "")];
  const line = (t) => t.from + ">" + t.to + " " + t.why + (t.gap === undefined ? "" : " " + t.gap);
  return [...turns(told).map(line), ...[...reigns(told, 50000), ...reigns(begun([], "a", 5000), 9000), ...reigns(begun([at(2, "", "b"), at(7.2, "b", "a")], "a", 7000), 9000)].map((s) => s.peer + " " + s.role + " " + s.from / 1000 + "-" + s.to / 1000)];
})`

// TestRulesOfThePage: what is chosen of a tree is what was ticked, and a primary that hands over does so once.
func TestRulesOfThePage(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "rules")
	for _, wrong := range read[[]string](p, againstModel) {
		t.Error(wrong)
	}
	want := []string{
		">a the first that was seen", "a>b handed over 0.003", "b>a handed over 0", "a>a the same again 2", "a>b the one before was lost 3", "b> no other one is heard yet",
		"a primary 1-5", "a lost 5-5", "b primary 5-9", "a replica 5-9", "a primary 9-20", "b replica 9-33", "a lost 20-22", "a primary 22-30", "a lost 30-33", "b primary 33-40", "a lost 33-50", "b lost 40-50",
		"a primary 5-9", "b primary 2-7.2", "a primary 7.2-9", "b replica 7.2-9",
	}
	if got := read[[]string](p, turned); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	p.quiet()
}
