// One file set: how it is, its ticket, who has it, its revisions and its files.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, bytes, count, enc, Name, Sentence, whole } from "./base.mjs";
import { events, operations, peerName, sets, start, tick } from "./state.mjs";
import { coming, health } from "./words.mjs";
import { Cost } from "./cost.mjs";
import { Act, Ask, Card, Fault, Field, Steps, Ticket, useAnswer, Work } from "./ui.mjs";
import { Delta, Role } from "./charts.mjs";
import { Strips } from "./strips.mjs";
import { Members } from "./members.mjs";
import { Files } from "./files.mjs";
import { Revisions, tidy } from "./revisions.mjs";
import * as api from "./api.mjs";

/** The newest get or follow of a set that has a result: what its last update cost. */
export function lastCost(set) {
  const of = (r) => r && r.set === set && r.changed && r.bytes_total !== undefined && !r.plan && !r.only; // not one that found everything there
  const event = events.value.find((e) => e.kind === "complete" && of(e.result));
  const op = operations.value.find((o) => o.state === "done" && ["get", "follow", "follow-set"].includes(o.kind) && of(o.result));
  if (!event || !op) return (event ?? op)?.result;
  return Date.parse(event.time) >= Date.parse(op.ended) ? event.result : op.result;
}

const Checked = (r) => html`<p data-testid="done">${r.damaged !== undefined
  ? `${count(r.blocks, "block")} read, ${bytes(r.bytes)}: ${r.damaged ? `${r.damaged} damaged, ${r.healed} healed` : "every one is right"}.`
  : r.changed === undefined ? `It is shared from there now: revision ${r.revision}, ${count(r.files, "file")}.`
  : r.changed ? `Revision ${r.revision} is published${r.durable ? " and durable" : ""}: ${tidy(r.summary)}.` : `Nothing changed since revision ${r.revision}.`}</p>`;

function Rename({ s }) {
  const [name, setName] = useState(s.name);
  const why = !name.trim() ? "A set has a name." : name.trim() === s.name ? "Write another name." : "";
  return html`<${Ask} label="Rename" testid="rename" why=${why} question="Everybody who has the set sees the new name. Folders keep theirs." onYes=${() => api.post(`sets/${enc(s.set)}/rename`, { name: name.trim() })}>
    <${Field} label="Name">${(id) => html`<input id=${id} value=${name} data-testid="rename-name" onInput=${(e) => setName(e.currentTarget.value)} autocomplete="off" />`}<//><//>`;
}

// Left says what remains of a set that is not held for others any more.
const Left = ({ r }) => html`<div class="work" role="status" data-testid="left"><p>It is not held any more. What is here goes on being served until the set is forgotten${r.to ? html`; ${peerName(r.to)} is primary now` : ""}.</p>
  ${r.member && html`<p>This node still votes on its revisions. Where the owner key is, take that from it:</p><p><code class="long">${`node revoke ${r.set} ${r.member} replica`}</code></p>`}</div>`;

// newer is the newest revision that is known to be somewhere and is not here; 0 = there is none.
const newer = (s, have) => Math.max(s.behind > 0 ? s.revision + 1 : 0, ...(have?.peers ?? []).filter((p) => p.state === "other" && p.revision > s.revision).map((p) => p.revision));

function Verbs({ s, have }) {
  const at = `sets/${enc(s.set)}`;
  const [id, setID] = useState(), [left, setLeft] = useState();
  const run = (path, body) => async () => setID((await start(`${at}/${path}`, body)).id);
  const get = async () => setID((await start("fetches", { ticket: s.set, dest: s.dir })).id);
  const out = s.state === "complete" && s.dir && !s.following && !s.replicating && newer(s, have) > 0;
  return html`<div class="row" data-testid="verbs">
      ${(s.state === "shared" || s.watching) && html`<${Act} kind="primary" testid="publish" disabled=${s.folder_gone} onAct=${run("publish", { allow_local: true })}>Publish changes<//>`}
      ${s.state === "incomplete" && s.dir && !coming(s) && html`<${Act} kind="primary" testid="go-on" onAct=${get}>Fetch the rest<//>`}
      ${out && html`<${Act} kind="primary" testid="newest" title="a peer has a newer revision" onAct=${get}>Get the newest<//>`}
      <${Act} testid="verify" onAct=${run("verify", {})}>Verify<//>
      ${s.owner && html`<${Rename} s=${s} />`}
      ${s.replicating ? html`<${Ask} label="Stop holding" testid="unhold" question=${html`This node does not hold <strong><${Name} text=${s.name} /></strong> for others any more, and takes no newer revision. What it has stays until the set is forgotten.`} onYes=${async () => setLeft(await api.post(`${at}/unfollow`))} />`
    : s.following && html`<${Act} testid="unfollow" onAct=${() => api.post(`${at}/unfollow`)}>Stop following<//>`}
      <${Ask} label="Forget" yes="Forget the set" danger testid="forget" question=${html`This node forgets <strong><${Name} text=${s.name} /></strong>. The files in its folder stay.`}
        onYes=${async () => { await api.del(at); location.hash = "#/sets"; }} /></div>
    ${left && html`<${Left} r=${left} />`}
    ${id && html`<${Work} id=${id} onGone=${() => setID()} done=${(r) => (r.dest ? html`<${Cost} ...${r} />` : html`<${Checked} ...${r} />`)} />`}`;
}

// Moved gives a shared folder that lies elsewhere now back to its set.
function Moved({ s, onYes }) {
  const [path, setPath] = useState("");
  const why = !path.trim() ? "Name the folder first." : !whole(path) ? "Write the whole path, from / on." : "";
  return html`<${Ask} label="It was moved …" yes="Share it from there" testid="alarm-moved" why=${why} onYes=${() => onYes(path.trim())} question="The set goes on with its revisions; what differs in the folder becomes a new one.">
    <${Field} label="Folder" help="where it is now, the whole path">${(id, help) => html`<input id=${id} aria-describedby=${help} value=${path} data-testid="alarm-moved-path" onInput=${(e) => setPath(e.currentTarget.value)} autocomplete="off" spellcheck=${false} />`}<//><//>`;
}

// Cures are what can be done about an alarm, each as operations: a folder that is not there is not published.
function Cures({ s, mend }) {
  const at = `sets/${enc(s.set)}`;
  const look = mend(`${at}/verify`, {});
  if (s.state !== "shared") return html`<${Act} testid="alarm-heal" onAct=${mend(`${at}/verify`, { heal: true })}>Fetch what is missing again<//>`;
  if (s.folder_gone) return html`<${Act} testid="alarm-verify" onAct=${look}>The folder is back: verify<//><${Moved} s=${s} onYes=${(path) => mend("sets", { path, set: s.set, watch: s.watching })()} />`;
  return html`<${Act} testid="alarm-verify" onAct=${look}>The files are back: verify<//>
    <${Ask} label="Publish the folder as it is" danger testid="alarm-publish" question="What is not in the folder any more is removed from the set, for everybody who follows it. Earlier revisions stay as far as somebody has them." onYes=${mend(`${at}/publish`, { allow_local: true, allow_deletions: true })} />`;
}

// Alarms are what the node cannot mend by itself, with what a person can do about it.
function Alarms({ s }) {
  const [id, setID] = useState(), [cure, setCure] = useState();
  const mend = (path, body) => async () => setCure((await start(path, body)).id);
  return html`<div class="fault alarms" role="alert" data-testid="alarms"><strong>${count(s.alarms.length, "thing needs", "things need")} somebody</strong>
    <ul>${s.alarms.map((a) => html`<li><${Sentence} text=${a} /></li>`)}</ul>
    <div class="row"><${Cures} s=${s} mend=${mend} /><${Act} testid="alarm-why" onAct=${async () => setID((await start("why", { ticket: s.set })).id)}>Look into it<//></div>
    ${cure && html`<${Work} id=${cure} onGone=${() => setCure()} done=${Checked} />`}
    ${id && html`<${Work} id=${id} onGone=${() => setID()} done=${(r) => html`<${Steps} steps=${r.steps} />`} />`}</div>`;
}

const keeping = (s) => (s.replicating ? "held for others, at the newest revision" : s.watching ? "changes are published by themselves" : s.following ? "at the newest revision" : s.in_home ? "left from when it was held for others; “Forget” gives the space back" : "as it is, until somebody publishes or gets again");

// copies says who has all of a set, as the strips below do.
function copies(have, error) {
  if (!have?.peers && error) return "not known";
  if (!have?.peers) return "asking the peers …";
  const full = have.peers.filter((p) => p.state === "all").length;
  if (full > 0) return `${count(full, "node")} with all of it`;
  return have.copies?.length && Math.min(...have.copies) > 0 ? "no node with all of it; together they have it" : "nobody has all of it";
}

const Facts = ({ s, have, error }) => {
  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<dl class="facts">
    ${fact("Folder", html`<${Name} text=${s.dir || "none"} />`)}${fact("Content", `${count(Number(s.files), "file")}, ${bytes(s.bytes)}`)}
    ${fact("Revision", `${s.revision}${s.durable ? ", durable" : ""}`)}${fact("This node is", html`<${Role} role=${s.role} />`)}
    ${fact("Primary", html`<span title=${s.primary}>${peerName(s.primary)}</span>`)}${fact("Backup", html`<span title=${s.backup}>${peerName(s.backup)}</span>`)}
    ${fact("Copies", copies(have, error))}${fact("Read by", s.public ? "whoever has its id" : "members and the invited")}
    ${fact("Kept", keeping(s))}
    ${fact("Id", html`<code class="long">${s.set}</code>`)}</dl>`;
};

export function SetPage({ argument }) {
  const s = sets.value.find((x) => x.set === argument || x.name === argument);
  const { data: shown, error: noTicket } = useAnswer((signal) => (s ? api.get(`sets/${enc(s.set)}`, {}, signal) : Promise.resolve(null)), [s?.set, s?.epoch]);
  const busy = s && coming(s);
  const slow = Math.floor(tick.value / (busy ? 1000 : 5000)); // who has what is asked every second while it changes here
  const { data: have, error } = useAnswer((signal) => (s ? api.get(`sets/${enc(s.set)}/availability`, { columns: 128 }, signal) : Promise.resolve(null)), [s?.set, s?.revision, slow]);
  useEffect(() => { if (s) document.title = `${s.name} · shoal`; }, [s?.name]);
  if (!s) return html`<h1>There is no such set here</h1><p>This node does not know “<${Name} text=${argument} />”. It may have been forgotten, or never fetched.</p><p><a href="#/sets">All sets</a></p>`;
  const h = health(s), cost = lastCost(s.set);
  return html`<h1><${Name} text=${s.name} /> <span class=${`tone ${h.tone}`} data-testid="health"><${Name} text=${h.text} /></span></h1>
    ${s.alarms?.length > 0 && html`<${Alarms} s=${s} />`}
    <div class="grid">
      <${Card} title="How it is" class="two"><${Verbs} s=${s} have=${have} /><${Facts} s=${s} have=${have} error=${error} /><//>
      <${Card} title="Ticket" note=${s.public ? "whoever has it can fetch the set" : "it finds the set; only members and the invited may read it"} class="one">${shown?.ticket ? html`<${Ticket} ticket=${shown.ticket} />` : noTicket ? html`<${Fault} error=${noTicket} />` : html`<p class="note">${shown ? "This node has no ticket for it." : "One moment …"}</p>`}<//>
      <${Card} title="Who has how much" note=${have?.leaves > 0 && `revision ${have.revision} in ${count(have.leaves, "piece")}; a column is a part of it, from the first file to the last`} class="two" testid="availability"><${Fault} error=${error} />${have?.peers ? html`<${Strips} a=${have} busy=${busy} />` : !error && html`<p class="note">Asking the peers …</p>`}<//>
      <${Card} title="What the last update cost" note=${cost && `revision ${cost.revision}: ${bytes(cost.bytes_total)} in the set, ${bytes(cost.wire_in)} over the wire`} class="one" testid="cost">
        ${cost ? html`<${Delta} r=${cost} />` : html`<p class="note">${s.state === "shared" ? "This node publishes the set; what a revision costs shows where it is fetched." : "Nothing was fetched into this folder lately."}</p>`}<//>
      <${Revisions} s=${s} /><${Files} s=${s} /><${Members} s=${s} />
    </div>`;
}
