// What of a set is wanted: paths that were chosen, and a tree to choose them from. A chosen folder is all below it.
import { useEffect, useRef, useState } from "./vendor/hooks.mjs";
import { html, bytes, count, Name } from "./base.mjs";
import { Fault } from "./ui.mjs";

export const base = (path) => path.slice(path.lastIndexOf("/") + 1);

// above are the folders that a path lies in, from the top of the set, which is "".
const above = (path) => (path === "" ? [] : ["", ...path.split("/").slice(0, -1).map((_, i, all) => all.slice(0, i + 1).join("/"))]);

const below = (path, folder) => folder === "" ? path !== "" : path.startsWith(`${folder}/`);

/** How much of a path was chosen: "all", "some" or "none". */
export function extent(chosen, path) {
  if (chosen.has(path) || above(path).some((p) => chosen.has(p))) return "all";
  for (const p of chosen) if (below(p, path)) return "some";
  return "none";
}

/** What is chosen after a path was taken in or out; folders are the lists of names that were read, by folder. */
export function toggle(chosen, path, folders) {
  const next = new Set(chosen);
  const children = (folder) => (folders.get(folder)?.entries ?? []).map((e) => e.path);
  if (extent(chosen, path) !== "all") {
    for (const p of chosen) if (below(p, path)) next.delete(p);
    next.add(path);
    for (const folder of above(path).reverse()) { // a folder whose every entry was chosen was chosen
      const list = children(folder);
      if (folders.get(folder)?.truncated || list.length === 0 || !list.every((p) => next.has(p))) break;
      for (const p of list) next.delete(p);
      next.add(folder);
    }
    return next;
  }
  if (next.delete(path)) return next;
  const way = above(path);
  const top = way.findLastIndex((p) => chosen.has(p)); // it is chosen by this one: all beside the way down stays
  next.delete(way[top]);
  for (const folder of way.slice(top)) for (const p of children(folder)) if (p !== path && !way.includes(p)) next.add(p);
  return next;
}

/** What was chosen, for a request; undefined is everything. */
export const wanted = (chosen) => (chosen.has("") ? undefined : [...chosen]);

/** How much was chosen: bytes, files, and folders of which it is not known how many files are in them. */
export function sum(chosen, folders) {
  const total = { bytes: 0, files: 0, folders: 0 };
  const entries = new Map([...folders.values()].flatMap((f) => f.entries.map((e) => [e.path, e])));
  const add = (path) => {
    const e = entries.get(path), list = folders.get(path);
    if (list && !list.truncated) {
      for (const child of list.entries) add(child.path);
      return;
    }
    const dir = path === "" || e?.kind === "dir";
    total.bytes += e?.size ?? 0;
    total.files += dir ? e?.files ?? 0 : 1;
    if (dir && !e?.files) total.folders += 1;
  };
  for (const path of chosen) add(path);
  return total;
}

/** A sum in words: "3 files and 1 folder, about 2.00 MB". */
export function amount({ bytes: n, files, folders }) {
  const what = [files > 0 && count(files, "file"), folders > 0 && count(folders, "folder")].filter(Boolean).join(" and ");
  return what ? `${what}, ${folders > 0 ? "about " : ""}${bytes(n)}` : "nothing"; // what lists a folder adds a little to it
}

/** A box that is neither on nor off if only a part was chosen. */
export function Tick({ extent: how, label, onToggle, testid }) {
  const ref = useRef();
  useEffect(() => { ref.current.indeterminate = how === "some"; }, [how]);
  return html`<input type="checkbox" ref=${ref} checked=${how === "all"} aria-label=${label} data-testid=${testid} onChange=${onToggle} />`;
}

function Branch({ e, label, folders, read, chosen, choose, open }) {
  const [opened, setOpened] = useState(open), [error, setError] = useState();
  const list = folders.get(e.path);
  const turn = () => {
    setOpened(!opened);
    if (!opened && !list) read(e.path).then(() => setError(), setError);
  };
  const dir = e.kind === "dir", name = label ?? base(e.path);
  return html`<li>
    <div class="leaf">${dir ? html`<button type="button" class="fold" aria-expanded=${opened} aria-label=${`Folder ${name}`} onClick=${turn} data-testid="unfold">${opened ? "▾" : "▸"}</button>` : html`<span class="fold"></span>`}
      <label><${Tick} extent=${extent(chosen, e.path)} label=${name} testid="tree-tick" onToggle=${() => choose(toggle(chosen, e.path, folders))} /><span><${Name} text=${dir ? `${name}/` : name} title=${e.path} />${e.kind === "symlink" && html` → <${Name} text=${e.target} />`}</span></label>
      <span class="note">${e.size > 0 ? `${dir ? "about " : ""}${bytes(e.size)}` : ""}</span></div>
    ${opened && dir && html`<${Fault} error=${error} />${list
      ? html`<ul>${list.entries.map((c) => html`<${Branch} key=${c.path} e=${c} ...${{ folders, read, chosen, choose }} />`)}${list.truncated && html`<li class="note">There are more than can be shown; the folder as a whole has them all.</li>`}${list.entries.length === 0 && html`<li class="note">empty</li>`}</ul>`
      : !error && html`<p class="note" role="status">Reading …</p>`}`}</li>`;
}

/** The tree of a set. folders are what was read; read(path) reads one more. */
export const Tree = ({ name, folders, read, chosen, choose }) => html`<ul class="tree" aria-label=${`Files of ${name}`} data-testid="tree">
  <${Branch} e=${{ path: "", kind: "dir" }} label=${name} open=${true} ...${{ folders, read, chosen, choose }} /></ul>`;
