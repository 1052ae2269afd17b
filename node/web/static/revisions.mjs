// The revisions of a set, what changed between two of them, and a way back to an earlier one.
import { useState } from "./vendor/hooks.mjs";
import { html, ago, bytes, clock, count, enc, Name } from "./base.mjs";
import { start } from "./state.mjs";
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
    <${Act} disabled=${!dest.startsWith("/")} onAct=${async () => setID((await start(`sets/${enc(set)}/restore`, { rev: revision, dest })).id)}>Restore<//>
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

export function Revisions({ s }) {
  const { data, error } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/revisions`, { limit: shown }, signal), [s.set, s.revision, s.root]);
  const [pair, setPair] = useState(null), [back, setBack] = useState(0);
  const list = data?.items ?? [];
  const rows = list.map((r, i) => [html`${r.revision}${r.current ? " (here)" : ""}${r.fork ? " (fork)" : ""}`, html`<time datetime=${r.time} title=${`${r.time.slice(0, 10)} ${clock(r.time)}`}>${ago(r.time)}</time>`,
    `${count(Number(r.files), "file")}, ${bytes(r.bytes)}`, html`<${Name} text=${r.note ?? ""} />`, kept[r.kept] ?? r.kept,
    html`<div class="row tight">${i < list.length - 1 && html`<button type="button" class="quiet" data-testid="show-diff" onClick=${() => setPair([list[i + 1].revision, r.revision])}>What changed</button>`}
      ${!r.current && r.kept !== "gone" && html`<button type="button" class="quiet" onClick=${() => setBack(r.revision)}>Restore</button>`}</div>`]);
  const number = (e) => Number(e.currentTarget.value);
  const pick = (label, value, set) => html`<label>${label} <select value=${value} onChange=${set}>${list.map((r) => html`<option value=${r.revision}>${r.revision}</option>`)}</select></label>`;
  return html`<${Card} title="Revisions" note=${data && `${count(list.length, "revision")}${data.next ? " and more" : ""}, newest first`} actions=${list.length > 1 && html`<${Spark} list=${list} />`} wide testid="revisions"><${Fault} error=${error} />
    <${Table} caption="Revisions" text=${[3]} head=${["revision", "when", "content", "note", "on this node", ""]} rows=${rows} />
    ${list.length > 1 && html`<div class="row"><span>Compare</span>${pick("from", pair?.[0] ?? list[1].revision, (e) => setPair([number(e), pair?.[1] ?? list[0].revision]))}${pick("to", pair?.[1] ?? list[0].revision, (e) => setPair([pair?.[0] ?? list[1].revision, number(e)]))}</div>`}
    ${pair && html`<${Changes} set=${s.set} a=${pair[0]} b=${pair[1]} />`}
    ${back > 0 && html`<${Restore} key=${back} set=${s.set} revision=${back} />`}<//>`;
}
