// The files of a set: walk through folders, search, select, save.
import { useState } from "./vendor/hooks.mjs";
import { html, bytes, count, enc, Name } from "./base.mjs";
import { Card, Fault, Field, Table, useAnswer } from "./ui.mjs";
import { Found } from "./sets.mjs";
import * as api from "./api.mjs";

const shown = 1000;
const base = (path) => path.slice(path.lastIndexOf("/") + 1);

function Crumbs({ name, path, go }) {
  const parts = path ? path.split("/") : [];
  const step = (label, to) => html`<li><button type="button" class="link" aria-current=${to === path ? "location" : undefined} onClick=${() => go(to)}><${Name} text=${label} /></button></li>`;
  return html`<nav aria-label="Folder"><ol class="crumbs">${step(name, "")}${parts.map((p, i) => step(p, parts.slice(0, i + 1).join("/")))}</ol></nav>`;
}

// save lets the browser download one file after another; it asks the person before the second.
function save(set, paths) {
  for (const path of paths) {
    const a = document.createElement("a");
    a.href = api.contentURL(set, path);
    a.download = base(path);
    document.body.append(a);
    a.click();
    a.remove();
  }
}

const Line = ({ e, set, go }) => (e.kind === "dir"
  ? html`<button type="button" class="link" onClick=${() => go(e.path)} data-testid="folder"><${Name} text=${`${base(e.path)}/`} title=${e.path} /></button>`
  : e.kind === "file" ? html`<a href=${api.contentURL(set, e.path)} download=${base(e.path)} data-testid="file"><${Name} text=${base(e.path)} title=${e.path} /></a>`
    : html`<${Name} text=${base(e.path)} /> → <${Name} text=${e.target} />`);

export function Files({ s }) {
  const [path, setPath] = useState(""), [q, setQ] = useState(""), [picked, setPicked] = useState(new Set());
  const { data, error, loading } = useAnswer((signal) => api.all(`sets/${enc(s.set)}/files`, { path }, shown, signal), [s.set, s.root, path]);
  const go = (to) => { setPath(to); setQ(""); };
  const list = (data?.items ?? []).filter((e) => e.path !== path && base(e.path).toLowerCase().includes(q.toLowerCase()))
    .sort((a, b) => (b.kind === "dir") - (a.kind === "dir") || a.path.localeCompare(b.path));
  const toggle = (p) => { const next = new Set(picked); if (!next.delete(p)) next.add(p); setPicked(next); };
  const files = list.filter((e) => e.kind === "file");
  const all = files.length > 0 && files.every((e) => picked.has(e.path));
  const toggleAll = () => { const next = new Set(picked); for (const e of files) { if (all) next.delete(e.path); else next.add(e.path); } setPicked(next); };
  return html`<${Card} title="Files" wide testid="files" note="a click saves a file; it is verified while it is read"
    actions=${html`<button type="button" class="primary" disabled=${picked.size === 0} data-testid="save" onClick=${() => save(s.set, picked)}>Save ${picked.size ? count(picked.size, "file") : "selected"}</button>`}>
    <${Crumbs} name=${s.name} path=${path} go=${go} />
    <${Field} label="Search">${(id) => html`<input id=${id} type="search" value=${q} data-testid="file-search" onInput=${(e) => setQ(e.currentTarget.value)} />`}<//>
    <${Fault} error=${error} />
    <div class="files" aria-busy=${loading}><${Table} caption="Files" testid="file-table" empty=${loading ? "Reading …" : "nothing here"}
      head=${[html`<input type="checkbox" aria-label="Select all files shown" checked=${all} onChange=${toggleAll} />`, "name", "size", "changed", "fetched by others"]}
      rows=${list.map((e) => [e.kind === "file" ? html`<input type="checkbox" aria-label=${`Select ${e.path}`} checked=${picked.has(e.path)} onChange=${() => toggle(e.path)} />` : "",
    html`<${Line} e=${e} set=${s.set} go=${go} />`, e.kind === "dir" ? "" : bytes(e.size), e.mtime ? e.mtime.slice(0, 10) : "", e.downloads ? `${e.downloads} ×` : ""])} /></div>
    <${Found} q=${q} set=${s.set} />
    ${data?.more && html`<p class="note">The first ${shown} entries; the command line lists all.</p>`}<//>`;
}
