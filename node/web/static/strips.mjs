// Who has which part of a revision: one row for all together, and one for each peer.
import { useRef } from "./vendor/hooks.mjs";
import { html, count, percent } from "./base.mjs";
import { peerName } from "./state.mjs";
import { Picture } from "./ui.mjs";

/** What each part is: "here", "flight" (it comes in), "elsewhere" or "nowhere". While the set is being fetched, parts
    come in of which there is some, and those that have grown since the look before. */
export function parts(a, before, busy) {
  const of = (self) => a.peers.filter((p) => Boolean(p.self) === self);
  const has = (p, i) => (p.state === "all" ? 100 : p.have?.[i] ?? 0);
  const mine = of(true)[0];
  return Array.from({ length: a.columns }, (_, i) => {
    const here = mine ? has(mine, i) : 0;
    if (busy && here > 0 && (here < 100 || before?.[i] < here)) return "flight";
    if (here >= 100) return "here";
    return of(false).some((p) => has(p, i) > 0) || here > 0 ? "elsewhere" : "nowhere";
  });
}

// runs joins neighbours that are the same: [what, from, length].
function runs(list) {
  const out = [];
  list.forEach((what, i) => { if (out.at(-1)?.[0] === what) out.at(-1)[2] += 1; else out.push([what, i, 1]); });
  return out;
}

const Strip = ({ label, cells, end, title, strong }) => html`<div class=${strong ? "strip strong" : "strip"}><span class="who" title=${title}>${label}</span>
  <svg viewBox=${`0 0 ${cells.length || 1} 10`} preserveAspectRatio="none" aria-hidden="true"><rect class="none" x="0" y="0" width=${cells.length || 1} height="10" />
    ${runs(cells).map(([what, x, n]) => what && html`<rect class=${what.split(" ")[0]} opacity=${what.split(" ")[1] ?? 1} x=${x} y="0" width=${n + 0.03} height="10" />`)}</svg>
  <span class="end">${end}</span></div>`;

// haveOf is what this node had of each part.
const haveOf = (a) => { const mine = a.peers.find((p) => p.self); return Array.from({ length: a.columns }, (_, i) => (mine?.state === "all" ? 100 : mine?.have?.[i] ?? 0)); };

const words = { all: "100 %", other: "another revision", unknown: "no answer" };

// shade is how strongly a part that is not whole is drawn, in a few steps.
const shade = (v) => (0.25 + 0.15 * Math.floor(v / 25)).toFixed(2);

// useParts are the parts of an answer, beside the answer before it about the same revision.
function useParts(a, busy) {
  const seen = useRef();
  if (seen.current?.a !== a) seen.current = { a, before: seen.current?.a.root === a.root ? haveOf(seen.current.a) : undefined };
  return parts(a, seen.current.before, busy);
}

export function Strips({ a, busy }) {
  const end = (p) => (p.state === "some" ? percent(p.leaves, a.leaves) : p.state === "other" && p.revision ? `revision ${p.revision}` : words[p.state] ?? p.state);
  const together = useParts(a, busy);
  const row = (p) => Array.from({ length: a.columns }, (_, i) => {
    const v = p.state === "all" ? 100 : p.have?.[i] ?? 0;
    if (p.self) return together[i] === "here" || together[i] === "flight" ? together[i] : v > 0 ? `here ${shade(v)}` : "";
    return v >= 100 ? "elsewhere" : v > 0 ? `elsewhere ${shade(v)}` : "";
  });
  const fewest = a.copies?.length ? Math.min(...a.copies) : 0;
  const kinds = [["here", "here"], ["flight", "coming in"], ["elsewhere", "elsewhere"], ["nowhere", "nowhere"]];
  const n = (what) => together.filter((t) => t === what).length;
  const twin = { head: ["peer", "has", "pieces"], rows: [...a.peers.map((p) => [html`<span title=${p.peer_id}>${peerName(p.peer_id)}</span>`, end(p), p.state === "all" ? a.leaves : p.leaves]),
    ...kinds.map(([what, label]) => [`parts ${label}`, percent(n(what), a.columns), `${n(what)} of ${a.columns} parts`]), ["copies of every part", `${fewest} at least`, ""]] };
  if (!a.leaves) return html`<p class="note">It is not known yet what the revision is made of.</p>`;
  return html`<${Picture} label="Who has how much" twin=${twin}><div class="strips" data-testid="strips" role="img" aria-label=${`${a.peers.length} peers; ${kinds.filter(([w]) => n(w)).map(([w, l]) => `${percent(n(w), a.columns)} ${l}`).join(", ")}; at least ${fewest} copies of every part`}>
    ${a.peers.length > 1 && html`<${Strip} label="together" cells=${together} title="all peers together" end=${count(fewest, "copy", "copies")} strong />`}
    ${a.peers.map((p) => html`<${Strip} key=${p.peer_id} label=${peerName(p.peer_id)} title=${p.peer_id} cells=${row(p)} end=${end(p)} />`)}
  </div><p class="legend">${kinds.map(([what, label]) => html`<span class=${`key ${what}`}>${label}</span>`)}</p><//>`;
}

/** The thin bar of a card: what is here, what is coming, and where the rest is. */
export function Thin({ a, busy }) {
  const list = useParts(a, busy);
  return html`<svg class="thin" viewBox=${`0 0 ${a.columns} 10`} preserveAspectRatio="none" role="img" aria-label=${`${percent(list.filter((t) => t === "here").length, a.columns)} of it is here`}>
    <rect class="none" x="0" y="0" width=${a.columns} height="10" />${runs(list).map(([what, x, n]) => html`<rect class=${what} x=${x} y="0" width=${n + 0.03} height="10" />`)}</svg>`;
}
