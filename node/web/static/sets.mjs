// All file sets, and a search in them.
import { useState } from "./vendor/hooks.mjs";
import { html, bytes, count, Name } from "./base.mjs";
import { sets } from "./state.mjs";
import { Card, Field, Fault, Table, useAnswer, useStill } from "./ui.mjs";
import * as api from "./api.mjs";
import { SetCard } from "./swarm.mjs";

const shown = 200;

/** Found are files whose name has q in it, in all sets or in one. Nothing is asked before there are two letters. */
export function Found({ q, set }) {
  const still = useStill(q.trim());
  const { data, error } = useAnswer((signal) => (still.length < 2 ? Promise.resolve(null) : api.get("search", { q: still, set, limit: shown }, signal)), [still, set]);
  if (still.length < 2) return null;
  const files = (data?.items ?? []).filter((f) => f.path);
  const link = (f) => (f.kind === "file" ? html`<a href=${api.contentURL(f.set, f.path)} download data-testid="found"><${Name} text=${f.path} /></a>` : html`<${Name} text=${f.path} />`);
  const row = (f) => [link(f), ...(set ? [] : [html`<a href=${`#/set/${f.set}`}><${Name} text=${f.name} /></a>`]), bytes(f.size), f.downloads ? `${f.downloads} ×` : ""];
  return html`<h3>${set ? "In all folders" : "Files"}</h3><${Fault} error=${error} />
    <${Table} caption="Files that were found" head=${["file", ...(set ? [] : ["set"]), "size", "fetched by others"]} empty=${data ? "no file has such a name" : "Searching …"} rows=${files.map(row)} />
    ${data?.next && html`<p class="note">The first ${shown}: a longer word finds fewer.</p>`}
    ${data?.unsearched > 0 && html`<p class="note">The files of ${count(data.unsearched, "set")} are not known here yet.</p>`}`;
}

export function SetsPage() {
  const [q, setQ] = useState("");
  const match = sets.value.filter((s) => s.name.toLowerCase().includes(q.toLowerCase()) || s.set.startsWith(q));
  return html`<h1>File sets</h1><div class="grid">
    <${Card} title=${count(match.length, "set")} wide actions=${html`<a class="button" href="#/share">Share a folder</a><a class="button" href="#/get">Get with a ticket</a>`}>
      <${Field} label="Search sets and files">${(id) => html`<input id=${id} type="search" value=${q} onInput=${(e) => setQ(e.currentTarget.value)} data-testid="search" />`}<//>
      <ul class="sets">${match.slice(0, shown).map((s) => html`<${SetCard} key=${s.set} s=${s} />`)}</ul>
      ${match.length === 0 && html`<p class="note">No set has such a name.</p>`}
      <${Found} q=${q} /><//></div>`;
}
