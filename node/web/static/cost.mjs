// What a get costs, or would cost, in words for people.
import { html, bytes, count, Name, percent, seconds } from "./base.mjs";
import { spared } from "./state.mjs";
import { Table } from "./ui.mjs";
import { Delta } from "./charts.mjs";

// unquote reads a name as the node quotes it; what is no such text stays as it is.
function unquote(text) {
  try { return JSON.parse(text); } catch { return text.slice(1, -1); }
}

// A quoted name, as Go writes it.
const quoted = '("(?:[^"\\\\]|\\\\.)*")';
const forms = [
  [`^build ${quoted}: (\\d+) bytes reused, (\\d+) patched, (\\d+) fetched$`, (m) => ({ what: "write", path: unquote(m[1]), here: Number(m[2]), patched: Number(m[3]), fetched: Number(m[4]) })],
  [`^move ${quoted} from ${quoted}(?: and set attributes)?$`, (m) => ({ what: "move", path: unquote(m[1]), from: unquote(m[2]) })],
  [`^keep ${quoted} and set attributes$`, (m) => ({ what: "set time or mode", path: unquote(m[1]) })],
  [`^remove ${quoted}$`, (m) => ({ what: "remove", path: unquote(m[1]) })],
].map(([form, make]) => [new RegExp(form), make]);

/** A step of a plan, from its line; undefined for the totals at its end, and for what this page does not know. */
export function step(line) {
  for (const [form, make] of forms) {
    const m = form.exec(line);
    if (m) return make(m);
  }
  return undefined;
}

const shown = 200;
const kept = (r) => Math.max(0, r.bytes_total - r.bytes_fetched);

function Steps({ lines }) {
  const steps = lines.map(step).filter(Boolean);
  if (steps.length === 0) return null;
  const size = (n) => (n > 0 ? bytes(n) : "");
  return html`<details class="plan"><summary>File by file</summary><${Table} caption="File by file" text=${[1]} head=${["what", "file", "from this disk", "to fetch"]}
    rows=${steps.slice(0, shown).map((s) => [s.what, html`<${Name} text=${s.path} />${s.from && html` <span class="note">from <${Name} text=${s.from} /></span>`}`, s.what === "move" ? "all of it" : size((s.here ?? 0) + (s.patched ?? 0)), s.what === "write" ? size(s.fetched) || "nothing" : ""])} />
    ${steps.length > shown && html`<p class="note">The first ${shown} of ${steps.length}.</p>`}</details>`;
}

const Planned = (r) => html`<div data-testid="got"><p>It would write <strong>${count(r.files, "file")}</strong> (${bytes(r.bytes_total)}, revision ${r.revision}) into <${Name} text=${r.dest} />.</p>
  <ul class="explain"><li>${r.bytes_fetched > 0 ? html`<strong>${bytes(r.bytes_fetched)}</strong> would be fetched${r.wire_estimate > 0 ? `, about ${bytes(r.wire_estimate)} over the wire` : ""}.` : "Nothing has to be fetched."}</li>
    ${kept(r) > 0 && html`<li data-testid="savings"><strong>${bytes(kept(r))}</strong> (${percent(kept(r), r.bytes_total)}) are on this disk already${r.bytes_patched > 0 ? ", or can be made of what is" : ""}.</li>`}
    ${r.files_moved > 0 && html`<li>${count(r.files_moved, "file")} would only be moved.</li>`}${r.files_removed > 0 && html`<li>${count(r.files_removed, "file")} of the revision before would be removed.</li>`}</ul>
  <p class="note">Nothing was written yet.</p><${Steps} lines=${r.lines ?? []} /></div>`;

const Done = (r) => html`<div data-testid="got"><p>There are ${count(r.files, "file")}, revision ${r.revision}, in <${Name} text=${r.dest} />. ${r.changed ? `${seconds(r.seconds)} from ${count(r.sources, "peer")}.` : "They were all there already."}</p>
  <${Delta} r=${r} />
  ${spared(r) > 0 && html`<p data-testid="savings"><strong>${bytes(spared(r))}</strong> of ${bytes(r.bytes_total)} (${percent(spared(r), r.bytes_total)}) did not have to be sent${r.wire_in ? html`; <strong>${bytes(r.wire_in)}</strong> came over the wire` : ""}.</p>`}
  ${r.conflicts?.length > 0 && html`<p>Your edits were kept as copies: ${r.conflicts.map((c) => html`<${Name} text=${c.copy} /> `)}</p>`}
  ${r.only?.length > 0 ? html`<p class="note">A part of the set: it is not kept up to date, and not served to others.</p>` : html`<p><a href=${`#/set/${r.set}`}>Look at the set</a></p>`}</div>`;

/** What a get did, or with plan would do. */
export const Cost = (r) => (r.plan ? Planned(r) : Done(r));
