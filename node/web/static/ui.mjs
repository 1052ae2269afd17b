// Parts that every page is made of.
import { useEffect, useRef, useState, useId, useCallback } from "./vendor/hooks.mjs";
import { html, bytes, count, percent, seconds, cls, Name, Sentence } from "./base.mjs";
import { operation, complain, returns } from "./state.mjs";
import * as api from "./api.mjs";

/** A card with a heading; note is the small line below it. */
export const Card = ({ title, note, actions, children, wide, testid, class: extra }) => {
  const id = useId();
  return html`<section class=${cls("card", wide && "wide", extra)} aria-labelledby=${id} data-testid=${testid}>
    <header class="card-head"><div><h2 id=${id}>${title}</h2>${note && html`<p class="note">${note}</p>`}</div>
      ${actions && html`<div class="row">${actions}</div>`}</header>
    ${children}</section>`;
};

/** A picture and the same as a table: twin is {head, rows}. */
export function Picture({ label, twin, children }) {
  const [table, setTable] = useState(false);
  return html`<div class="picture">
    ${table ? html`<${Table} ...${twin} caption=${label} />` : children}
    <button type="button" class="quiet twin" aria-label=${`${label}: show as a ${table ? "picture" : "table"}`} onClick=${() => setTable(!table)}><span aria-hidden="true">${table ? "◔" : "▦"}</span> Show as a ${table ? "picture" : "table"}</button>
  </div>`;
}

// useOverflow tells whether the content of an element is wider than it.
function useOverflow() {
  const ref = useRef();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const e = ref.current;
    const o = new ResizeObserver(() => setOver(e.scrollWidth > e.clientWidth + 1));
    o.observe(e);
    o.observe(e.firstElementChild);
    return () => o.disconnect();
  }, []);
  return [ref, over];
}

/** rows are lists of cells, text or elements; the columns of text have words, and want room. One that is wider than
    its card says so, and can be scrolled with the keyboard; one that stacks is a list on a phone. */
export function Table({ head, rows, caption, empty = "nothing yet", text = [], testid, stacks }) {
  const [ref, over] = useOverflow();
  return html`<div class=${cls("scroll", over && "over")} ref=${ref} tabindex=${over ? 0 : undefined} role=${over ? "region" : undefined} aria-label=${over ? `${caption}, to be scrolled` : undefined}>
  <table data-testid=${testid} class=${stacks ? "stacks" : undefined}><caption class="sr">${caption}</caption>
    <thead><tr>${head.map((h) => (h === "" ? html`<td></td>` : html`<th scope="col">${h}</th>`))}</tr></thead>
    <tbody>${rows.length === 0 ? html`<tr><td class="note" colspan=${head.length}>${empty}</td></tr>`
    : rows.map((r) => html`<tr>${r.map((c, i) => (i === 0 ? html`<th scope="row">${c}</th>` : html`<td class=${text.includes(i) ? "text" : undefined}>${c}</td>`))}</tr>`)}</tbody>
  </table></div>${over && html`<p class="more note" aria-hidden="true">The table goes on to the right →</p>`}`;
}

/** A button that does something which may fail or take a while: it says so, and cannot be pressed twice. The
    primary one of a form is also pressed by Enter in its fields. why is what has to be done before it can be pressed. */
export function Act({ onAct, children, kind, testid, disabled, why, title }) {
  const [busy, setBusy] = useState(false);
  const id = useId();
  const act = async () => {
    setBusy(true);
    try { await onAct(); } catch (e) { complain(e); } finally { setBusy(false); }
  };
  return html`<button type=${kind === "primary" ? "submit" : "button"} class=${kind} disabled=${busy || disabled || Boolean(why)} aria-busy=${busy} aria-describedby=${why ? id : undefined} data-testid=${testid} title=${title} onClick=${act}>${children}</button>
    ${why && html`<span class="note why" id=${id}>${why}</span>`}`;
}

/** A question before something that cannot be taken back, or that needs to know more: children are fields, and why is
    what they still lack. */
export function Ask({ label, question, yes, onYes, kind, testid, disabled, why, danger, children }) {
  const ref = useRef();
  const name = useId();
  const close = () => ref.current.close();
  const submit = async (e) => {
    e.preventDefault();
    close();
    try { await onYes(); } catch (error) { complain(error); }
  };
  return html`<button type="button" class=${kind} data-testid=${testid} disabled=${disabled} aria-haspopup="dialog" onClick=${() => ref.current.showModal()}>${label}</button>
    <dialog ref=${ref} aria-labelledby=${name} onClick=${(e) => e.target === ref.current && close()}>
      <form onSubmit=${submit}><h2 id=${name}>${yes ?? label}</h2><p>${question}</p>${children}
        ${why && html`<p class="note why">${why}</p>`}
        <div class="row end"><button type="button" onClick=${close}>Cancel</button>
          <button type="submit" class=${danger ? "danger" : "primary"} disabled=${Boolean(why)} data-testid=${testid && `${testid}-yes`}>${yes ?? label}</button></div></form>
    </dialog>`;
}

/** A box with its label beside it. */
export const Check = ({ id, label, help, value, set, testid = id }) => html`<div class="check"><input type="checkbox" id=${id} data-testid=${testid} checked=${value} onChange=${(e) => set(e.currentTarget.checked)} /><label for=${id}>${label}${help && html`<span class="note"> ${help}</span>`}</label></div>`;

export const Field = ({ label, help, children }) => {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>${children(id, help ? `${id}-help` : undefined)}${help && html`<p class="note" id=${`${id}-help`}>${help}</p>`}</div>`;
};

export const Fault = ({ error }) => error && html`<div class="fault" role="alert"><strong>${error.message}</strong>
  ${error.detail && html`<p><${Name} text=${error.detail} /></p>`}${error.hint && html`<p class="note"><${Sentence} text=${error.hint} /></p>`}</div>`;

/** What a promise answers, asked again whenever a key changes or the node is back. It keeps the answer before until the
    next is there. */
export function useAnswer(ask, keys) {
  const [state, setState] = useState({});
  const again = useCallback(() => {
    const stop = new AbortController();
    setState((s) => ({ ...s, loading: true }));
    ask(stop.signal).then((data) => !stop.signal.aborted && setState({ data }), (error) => error.name !== "AbortError" && !stop.signal.aborted && setState((s) => ({ data: s.data, error })));
    return () => stop.abort();
  }, [...keys, returns.value]);
  useEffect(again, [again]);
  return { ...state, again };
}

/** Text that can be copied with a press. */
export function Copy({ text, label = "Copy", testid }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea"); // where the clipboard is not for pages
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" onClick=${copy} data-testid=${testid}>${done ? "Copied" : label}</button><span class="sr" role="status">${done ? "Copied" : ""}</span>`;
}

export const Ticket = ({ ticket }) => {
  const { data } = useAnswer(() => api.qr(ticket), [ticket]);
  return html`<div class="ticket">
    ${data && html`<svg class="qr" viewBox=${`-4 -4 ${data.size + 8} ${data.size + 8}`} role="img" aria-label="The ticket as a QR code" shape-rendering="crispEdges">
      <rect x="-4" y="-4" width=${data.size + 8} height=${data.size + 8} fill="#fff" /><path d=${data.path} fill="#000" /></svg>`}
    <div class="grow"><code class="long" data-testid="ticket">${ticket}</code>
      <div class="row"><${Copy} text=${ticket} label="Copy ticket" testid="copy-ticket" /><${Copy} text=${`node get ${ticket}`} label="Copy command" /></div></div></div>`;
};

const phases = { scan: "Reading files", find: "Looking for peers", list: "Listing what there is", fetch: "Fetching", check: "Checking", finish: "Finishing", drill: "Rehearsing" };

const outcomes = { ok: ["✓", "good"], warn: ["▲", "warn"], fail: ["✗", "bad"], skipped: ["–", ""] };

/** Things that were looked at, each with what was found and what to do. */
export const Steps = ({ steps }) => html`<ul class="steps" data-testid="steps">${steps.map((s) => {
  const [sign, tone] = outcomes[s.state ?? (s.ok ? "ok" : "fail")] ?? ["?", ""];
  return html`<li><span class=${`sign ${tone}`} aria-hidden="true">${sign}</span><span><strong>${s.name}</strong> <span class="sr">${s.state ?? (s.ok ? "ok" : "fail")}</span><${Name} text=${s.detail} /></span>
    ${s.hint && html`<span class="note"><${Sentence} text=${s.hint} /></span>`}</li>`;
})}</ul>`;

/** A value that has stood still for a moment. */
export function useStill(value) {
  const [still, setStill] = useState(value);
  useEffect(() => { const t = setTimeout(() => setStill(value), 250); return () => clearTimeout(t); }, [value]);
  return still;
}

// Heard says how far something is, each quarter once: a voice is not interrupted by every per cent.
const Heard = ({ label, p }) => html`<p class="sr" role="status">${p?.bytes_total ? `${label}: ${["begun", "a quarter", "half", "three quarters", "all there"][Math.min(4, Math.floor((4 * p.bytes_done) / p.bytes_total))]}` : ""}</p>`;

/** A bar of progress with amounts beside the share. */
export const Bar = ({ p, label }) => {
  const share = p?.bytes_total ? Math.min(1, p.bytes_done / p.bytes_total) : undefined;
  return html`<div class="progress"><progress max="1" value=${share} aria-label=${label}></progress><${Heard} label=${label} p=${p} />
    <p class="note" data-testid="progress-text">${phases[p?.phase] ?? "Starting"}${p?.bytes_total ? ` · ${percent(p.bytes_done, p.bytes_total)} · ${bytes(p.bytes_done)} of ${bytes(p.bytes_total)}` : p?.bytes_done ? ` · ${bytes(p.bytes_done)}` : ""}
      ${p?.files ? ` · ${count(p.files, "file")}` : ""}${p?.sources ? ` · from ${count(p.sources, "peer")}` : ""}${p?.message ? html` · <${Name} text=${p.message} />` : ""}</p></div>`;
};

export const kinds = { share: "Share", get: "Get", follow: "Follow", "follow-set": "Follow", publish: "Publish", verify: "Verify", restore: "Restore", failover: "Failover drill", gc: "Free space", why: "Why", peek: "Look into" };

/** How an operation goes, with its end. done draws the result. */
export function Work({ id, done, onGone }) {
  const [large, setLarge] = useState();
  const op = operation(id);
  const missing = op?.state === "done" && op.result === undefined && large?.id !== id; // the stream leaves large results out
  useEffect(() => { if (missing) api.get(`operations/${id}`).then(setLarge, complain); }, [missing]);
  if (!op) return null;
  const result = op.result ?? (large?.id === id ? large.result : undefined);
  return html`<div class="work" data-testid="work" data-state=${op.state}>
    ${op.state === "running" && html`<${Bar} p=${op.progress} label=${kinds[op.kind] ?? op.kind} />
      <${Act} onAct=${() => api.del(`operations/${id}`)} testid="cancel">Cancel<//>`}
    ${op.state === "failed" && html`<${Fault} error=${{ message: op.error?.title ?? "it failed", ...op.error }} />`}
    ${op.state === "cancelled" && html`<p class="note">It was cancelled. The same request goes on where it was.</p>`}
    ${op.state === "done" && result && done?.(result)}
    ${op.state !== "running" && onGone && html`<button type="button" class="quiet" onClick=${onGone}>Dismiss</button>`}
  </div>`;
}

export const Taken = ({ began, ended }) => { const s = (Date.parse(ended) - Date.parse(began)) / 1000; return s >= 0 ? seconds(s) : ""; };
