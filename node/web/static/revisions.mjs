// The revisions of a set, what changed between two of them, and a way back to an earlier one.
import { useState } from "./vendor/hooks.mjs";
import { html, ago, bytes, clock, count, enc, Name, whole } from "./base.mjs";
import { events, operations, peers, peerName, self, start } from "./state.mjs";
import { Act, Card, Fault, Field, Table, useAnswer, Work } from "./ui.mjs";
import * as api from "./api.mjs";

const shown = 50, shownChanges = 500;
const signs = { added: ["+", "good"], removed: ["−", "bad"], modified: ["~", "warn"], renamed: ["→", "warn"], attr: ["·", ""], retyped: ["≠", "warn"] };

/** A summary without what there is none of. */
export const tidy = (text) => (text ?? "").split(", ").filter((part) => !part.startsWith("0 ")).join(", ").replace(/(\d+) bytes new/, (_, n) => `${bytes(n)} new`) || "nothing changed";

function Changes({ set, a, b }) {
  const { data, error } = useAnswer((signal) => api.get(`sets/${enc(set)}/diff`, { a, b, limit: shownChanges }, signal), [set, a, b]);
  if (error) return html`<${Fault} error=${error} />`;
  if (!data) return html`<p class="note">Comparing …</p>`;
  return html`<h3>Revision ${data.a} to ${data.b}</h3><p class="note" data-testid="diff-summary">${tidy(data.summary)}</p>
    <ul class="changes" data-testid="diff">${data.changes.map((c) => html`<li><span class=${`sign ${signs[c.op]?.[1] ?? ""}`} title=${c.op}>${signs[c.op]?.[0] ?? c.op}</span>
      <span class="sr">${c.op}</span>${c.from && html`<${Name} text=${c.from} /> → `}<${Name} text=${c.path} />${c.bytes > 0 && html`<span class="note"> ${bytes(c.bytes)} new</span>`}</li>`)}</ul>
    ${data.next && html`<p class="note">The first ${shownChanges} changes.</p>`}`;
}

function Restore({ set, revision }) {
  const [dest, setDest] = useState(""), [id, setID] = useState();
  return html`<div class="restore"><${Field} label=${`Folder for revision ${revision}`} help="a new folder on the machine of the node">${(fid, help) => html`<input id=${fid} aria-describedby=${help} value=${dest} placeholder="/home/me/before" onInput=${(e) => setDest(e.currentTarget.value)} spellcheck=${false} />`}<//>
    <${Act} why=${!dest.trim() ? "Name a folder first." : !whole(dest) ? "Write the whole path, from / on." : ""} onAct=${async () => setID((await start(`sets/${enc(set)}/restore`, { rev: revision, dest: dest.trim() })).id)}>Restore<//>
    ${id && html`<${Work} id=${id} onGone=${() => setID()} done=${(r) => html`<p>${count(r.files, "file")} are in <${Name} text=${r.dest} />.</p>`} />`}</div>`;
}

const kept = { here: "all of it", partly: "a part", nodes: "its list of files", gone: "nothing" };

// Spark draws how the set grew: a column for each revision.
const Spark = ({ list }) => {
  const most = Math.max(1, ...list.map((r) => Number(r.bytes)));
  const old = [...list].reverse();
  return html`<svg class="spark" viewBox=${`0 0 ${Math.max(4, old.length) * 8} 32`} role="img" aria-label=${`Size of ${count(list.length, "revision")}: from ${bytes(old[0]?.bytes)} to ${bytes(old.at(-1)?.bytes)}`}>
    ${old.map((r, i) => { const h = Math.max(1, (30 * Number(r.bytes)) / most); return html`<rect x=${i * 8} y=${32 - h} width="6" height=${h}><title>revision ${r.revision}: ${bytes(r.bytes)}</title></rect>`; })}</svg>`;
};

// counted is how many revisions are compared with those before them: each costs the node a walk through two trees.
const counted = 8;

// Counts are the files that a revision brought, changed and took, as + ~ −.
function Counts({ set, a, b }) {
  const { data } = useAnswer((signal) => api.get(`sets/${enc(set)}/diff`, { a, b, limit: 1 }, signal), [set, a, b]);
  const n = (...words) => words.reduce((sum, w) => sum + Number(new RegExp(`(\\d+) ${w}`).exec(data.summary)?.[1] ?? 0), 0);
  if (!data?.summary) return "";
  const parts = [["+", "good", n("added"), "added"], ["~", "warn", n("modified", "renamed", "attributes", "retyped"), "changed"], ["−", "bad", n("removed"), "removed"]].filter(([, , k]) => k > 0);
  if (parts.length === 0) return "same files";
  return html`<span class="counts">${parts.map(([sign, tone, k, word]) => html`<span class=${`tone ${tone}`} title=${`${k} ${word}`}><span aria-hidden="true">${sign}</span>${k}<span class="sr"> ${word}</span></span>`)}</span>`;
}

// wired is what a revision cost when it came here, as far as it was seen; to look at it again costs less.
const wired = (set, revision) => [...events.value.filter((e) => e.kind === "complete"), ...operations.value.filter((o) => o.state === "done")].map((x) => x.result)
  .filter((r) => r?.set === set && r.revision === revision && r.changed && r.wire_in > 0 && !r.plan && !r.only).sort((a, b) => b.wire_in - a.wire_in)[0];

// said is the note of a revision; of one that only a new primary made, in words.
function Said({ note }) {
  const by = /^no change: confirmed by the new primary …(\S+)$/.exec(note ?? "")?.[1];
  if (!by) return html`<${Name} text=${note ?? ""} />`;
  const id = [self.value, ...peers.value.map((p) => p.peer_id)].find((p) => p.endsWith(by));
  return html`<span class="note">no change: confirmed by the new primary, ${id ? peerName(id) : `…${by}`}</span>`;
}

export function Revisions({ s }) {
  const { data, error } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/revisions`, { limit: shown }, signal), [s.set, s.revision, s.root]);
  const [pair, setPair] = useState(null), [back, setBack] = useState(0);
  const list = data?.items ?? [];
  const cost = (r) => { const c = wired(s.set, r.revision); return c ? `${bytes(c.wire_in)} of ${bytes(c.bytes_total)}` : ""; };
  const costs = list.some((r) => cost(r));
  const there = (i) => list[i] && list[i].kept !== "gone";
  const compared = (i) => (i < counted && there(i) && there(i + 1) && list[i].revision !== list[i + 1].revision ? html`<${Counts} set=${s.set} a=${list[i + 1].revision} b=${list[i].revision} />` : "");
  const row = (r, i) => [html`${r.revision}${r.current ? html` <span class="note">here</span>` : ""}${r.fork ? html` <span class="tone warn">fork</span>` : ""}`, html`<time datetime=${r.time} title=${`${r.time.slice(0, 10)} ${clock(r.time)}`}>${ago(r.time)}</time>`,
    compared(i), `${count(Number(r.files), "file")}, ${bytes(r.bytes)}`, ...(costs ? [cost(r)] : []), html`<${Said} note=${r.note} />`, kept[r.kept] ?? r.kept,
    html`<div class="row tight">${there(i) && there(i + 1) && html`<button type="button" class="quiet" data-testid="show-diff" onClick=${() => setPair([list[i + 1].revision, r.revision])}>What changed</button>`}
      ${!r.current && r.kept !== "gone" && html`<button type="button" class="quiet" onClick=${() => setBack(r.revision)}>Restore</button>`}</div>`];
  const number = (e) => Number(e.currentTarget.value);
  const pick = (label, value, set) => html`<label>${label} <select value=${value} onChange=${set}>${list.map((r) => html`<option value=${r.revision}>${r.revision}</option>`)}</select></label>`;
  return html`<${Card} title="Revisions" note=${data && `${count(list.length, "revision")}${data.next ? " and more" : ""}, newest first`} actions=${list.length > 1 && html`<${Spark} list=${list} />`} wide testid="revisions"><${Fault} error=${error} />
    <${Table} caption="Revisions" text=${[costs ? 5 : 4]} head=${["revision", "when", "changed", "content", ...(costs ? ["over the wire"] : []), "note", "on this node", ""]} rows=${list.map(row)} />
    ${list.length > 1 && html`<div class="row"><span>Compare</span>${pick("from", pair?.[0] ?? list[1].revision, (e) => setPair([number(e), pair?.[1] ?? list[0].revision]))}${pick("to", pair?.[1] ?? list[0].revision, (e) => setPair([pair?.[0] ?? list[1].revision, number(e)]))}</div>`}
    ${pair && html`<${Changes} set=${s.set} a=${pair[0]} b=${pair[1]} />`}
    ${back > 0 && html`<${Restore} key=${back} set=${s.set} revision=${back} />`}<//>`;
}
