// The files of a set: walk through folders, search, and save what was ticked.
import { useState } from "./vendor/hooks.mjs";
import { html, bytes, enc, Name, whole } from "./base.mjs";
import { start } from "./state.mjs";
import { Ask, Card, Check, Fault, Field, Table, useAnswer, Work } from "./ui.mjs";
import { amount, base, extent, sum, Tick, toggle, wanted } from "./choose.mjs";
import { Cost } from "./cost.mjs";
import { Found } from "./sets.mjs";
import * as api from "./api.mjs";

const shown = 1000;

function Crumbs({ name, path, go }) {
  const parts = path ? path.split("/") : [];
  const step = (label, to) => html`<li><button type="button" class="link" aria-current=${to === path ? "location" : undefined} onClick=${() => go(to)}><${Name} text=${label} /></button></li>`;
  return html`<nav aria-label="Folder"><ol class="crumbs">${step(name, "")}${parts.map((p, i) => step(p, parts.slice(0, i + 1).join("/")))}</ol></nav>`;
}

const Line = ({ e, set, go }) => (e.kind === "dir"
  ? html`<button type="button" class="link" onClick=${() => go(e.path)} data-testid="folder"><${Name} text=${`${base(e.path)}/`} title=${e.path} /></button>`
  : e.kind === "file" ? html`<a href=${api.contentURL(set, e.path)} download=${base(e.path)} data-testid="file"><${Name} text=${base(e.path)} title=${e.path} /></a>`
    : html`<${Name} text=${base(e.path)} /> → <${Name} text=${e.target} />`);

// Save is what can be done with what was ticked: one file comes to the browser, more go to a folder on the node.
function Save({ s, chosen, folders, clear }) {
  const [dest, setDest] = useState(""), [force, setForce] = useState(false), [id, setID] = useState();
  const [only] = chosen;
  const single = chosen.size === 1 && [...folders.values()].flatMap((f) => f.entries).find((e) => e.path === only && e.kind === "file");
  const why = !dest.trim() ? "Name a folder first." : !whole(dest) ? "Write the whole path, from / on." : "";
  const save = async () => setID((await start("fetches", { ticket: s.set, dest: dest.trim(), force, only: wanted(chosen) })).id);
  return html`<div class="picked" data-testid="picked">${chosen.size === 0 ? html`<p class="note">A click on a name downloads that file. Tick files and folders to save several at once.</p>`
    : html`<p role="status"><strong>${chosen.has("") ? "All files" : amount(sum(chosen, folders))}</strong> chosen</p><div class="row">
      ${single && html`<a class="button primary" href=${api.contentURL(s.set, only)} download=${base(only)} data-testid="download">Download</a>`}
      <${Ask} label="Save into a folder …" yes="Save" testid="save" kind=${single ? undefined : "primary"} onYes=${save} why=${why} question="The files are written on the machine of the node. They are checked, and not kept up to date.">
        <${Field} label="Folder" help="the whole path of a folder that is not one of a set">${(fid, help) => html`<input id=${fid} aria-describedby=${help} data-testid="save-dest" value=${dest} placeholder="/home/me/some of it" onInput=${(e) => setDest(e.currentTarget.value)} autocomplete="off" spellcheck=${false} />`}<//>
        <${Check} id="save-force" label="Overwrite files that somebody else put there" value=${force} set=${setForce} /><//>
      <button type="button" class="quiet" onClick=${clear}>Clear</button></div>`}
    ${id && html`<${Work} id=${id} done=${Cost} onGone=${() => setID()} />`}</div>`;
}

export function Files({ s }) {
  const [path, setPath] = useState(""), [q, setQ] = useState(""), [chosen, choose] = useState(new Set()), [folders, setFolders] = useState(new Map());
  const { data, error, loading } = useAnswer(async (signal) => {
    const { items, more } = await api.all(`sets/${enc(s.set)}/files`, { path }, shown, signal);
    const entries = items.filter((e) => e.path !== path);
    setFolders((all) => new Map(all).set(path, { entries, truncated: more }));
    return { entries, more };
  }, [s.set, s.root, path]);
  const go = (to) => { setPath(to); setQ(""); };
  const list = (data?.entries ?? []).filter((e) => base(e.path).toLowerCase().includes(q.toLowerCase()))
    .sort((a, b) => (b.kind === "dir") - (a.kind === "dir") || a.path.localeCompare(b.path));
  const turn = (p) => choose(toggle(chosen, p, folders));
  return html`<${Card} title="Files" wide testid="files" note="every file is verified while it is read">
    <${Crumbs} name=${s.name} path=${path} go=${go} />
    <${Field} label="Search">${(id) => html`<input id=${id} type="search" value=${q} data-testid="file-search" onInput=${(e) => setQ(e.currentTarget.value)} />`}<//>
    <${Save} s=${s} chosen=${chosen} folders=${folders} clear=${() => choose(new Set())} />
    <${Fault} error=${error} />
    <div class="files" aria-busy=${loading}><${Table} caption="Files" testid="file-table" empty=${loading ? "Reading …" : "nothing here"}
      head=${[html`<${Tick} extent=${extent(chosen, path)} label=${`All of ${path || s.name}`} onToggle=${() => turn(path)} />`, "name", "size", "changed", "fetched by others"]}
      rows=${list.map((e) => [html`<${Tick} extent=${extent(chosen, e.path)} label=${`Choose ${base(e.path)}`} testid="tick" onToggle=${() => turn(e.path)} />`,
    html`<${Line} e=${e} set=${s.set} go=${go} />`, e.size > 0 || e.kind === "file" ? bytes(e.size) : "", e.mtime ? e.mtime.slice(0, 10) : "", e.downloads ? `${e.downloads} ×` : ""])} /></div>
    <${Found} q=${q} set=${s.set} />
    ${data?.more && html`<p class="note">The first ${shown} entries; the command line lists all.</p>`}<//>`;
}
