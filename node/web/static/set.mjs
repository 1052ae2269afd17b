// One file set: how it is, its ticket, who has it, its revisions and its files.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, bytes, count, enc, Name, short } from "./base.mjs";
import { events, operations, peerName, sets, start, tick } from "./state.mjs";
import { health } from "./words.mjs";
import { Act, Ask, Card, Fault, Field, Table, Ticket, useAnswer, Work } from "./ui.mjs";
import { Delta, Role, Strips } from "./charts.mjs";
import { Files } from "./files.mjs";
import { Revisions, tidy } from "./revisions.mjs";
import * as api from "./api.mjs";

/** The newest get or follow of a set that has a result: what its last update cost. */
export function lastCost(set) {
  const of = (r) => r && r.set === set && r.changed && r.bytes_total !== undefined && !r.plan; // not one that found everything there
  const event = events.value.find((e) => e.kind === "complete" && of(e.result));
  const op = operations.value.find((o) => o.state === "done" && ["get", "follow", "follow-set"].includes(o.kind) && of(o.result));
  if (!event || !op) return (event ?? op)?.result;
  return Date.parse(event.time) >= Date.parse(op.ended) ? event.result : op.result;
}

function Verbs({ s }) {
  const at = `sets/${enc(s.set)}`;
  const [id, setID] = useState();
  const run = (path, body) => async () => setID((await start(`${at}/${path}`, body)).id);
  return html`<div class="row" data-testid="verbs">
      ${(s.state === "shared" || s.watching) && html`<${Act} kind="primary" testid="publish" onAct=${run("publish", { allow_local: true })}>Publish changes<//>`}
      <${Act} testid="verify" onAct=${run("verify", {})}>Verify<//>
      ${s.following && html`<${Act} testid="unfollow" onAct=${() => api.post(`${at}/unfollow`)}>Stop following<//>`}
      <${Ask} label="Forget" yes="Forget the set" testid="forget" question=${html`This node forgets <strong><${Name} text=${s.name} /></strong>. The files in its folder stay.`}
        onYes=${async () => { await api.del(at); location.hash = "#/sets"; }} /></div>
    ${id && html`<${Work} id=${id} onGone=${() => setID()} done=${(r) => html`<p data-testid="done">${r.damaged !== undefined
      ? `${count(r.blocks, "block")} read, ${bytes(r.bytes)}: ${r.damaged ? `${r.damaged} damaged, ${r.healed} healed` : "every one is right"}.`
      : r.changed ? `Revision ${r.revision} is published${r.durable ? " and durable" : ""}: ${tidy(r.summary)}.` : `Nothing changed since revision ${r.revision}.`}</p>`} />`}`;
}

const Facts = ({ s, have }) => {
  const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  return html`<dl class="facts">
    ${fact("Folder", html`<${Name} text=${s.dir || "none"} />`)}${fact("Content", `${count(Number(s.files), "file")}, ${bytes(s.bytes)}`)}
    ${fact("Revision", `${s.revision}${s.durable ? ", durable" : ""}`)}${fact("This node is", html`<${Role} role=${s.role} />`)}
    ${fact("Primary", html`<span title=${s.primary}>${peerName(s.primary)}</span>`)}${fact("Backup", html`<span title=${s.backup}>${peerName(s.backup)}</span>`)}
    ${fact("Copies", `${count(Math.max(s.holders, have?.peers.filter((p) => p.state === "all").length ?? 0), "node")} with all of it`)}${fact("Read by", s.public ? "whoever has its id" : "members and the invited")}
    ${fact("Kept", s.watching ? "changes are published by themselves" : s.following ? "at the newest revision" : "as it is")}
    ${fact("Id", html`<code class="long">${s.set}</code>`)}</dl>`;
};

function Members({ s }) {
  const { data, error, again } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/members`, {}, signal), [s.set, s.epoch, s.primary, s.backup]);
  const [peer, setPeer] = useState(""), [right, setRight] = useState("reader");
  const at = `sets/${enc(s.set)}/members`;
  const owner = data?.owner && s.owner;
  const remove = (m) => html`<${Ask} label="Revoke" kind="quiet" question=${`Take all rights in this set from ${short(m.peer_id)}?`} onYes=${async () => { await api.del(`${at}?peer=${enc(m.peer_id)}`); again(); }} />`;
  return html`<${Card} title="Members" note=${data && `config version ${data.version}, mode ${data.mode}`} wide testid="members"><${Fault} error=${error} />
    <${Table} caption="Members" head=${["node", "may", "role", ""]} rows=${(data?.members ?? []).map((m) => [html`<span title=${m.peer_id}>${m.self ? "this node" : short(m.peer_id)}</span>`, m.rights.join(", "), m.role ? html`<${Role} role=${m.role} />` : "", owner && !m.self ? remove(m) : m.connected ? "connected" : ""])} />
    ${owner && html`<details><summary>Give somebody a right</summary><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Peer id, or PEER/INSTANCE of a replica">${(id) => html`<input id=${id} value=${peer} onInput=${(e) => setPeer(e.currentTarget.value)} autocomplete="off" spellcheck=${false} data-testid="grant-peer" />`}<//>
      <${Field} label="Right">${(id) => html`<select id=${id} value=${right} onChange=${(e) => setRight(e.currentTarget.value)} data-testid="grant-right">${["reader", "replica", "writer"].map((r) => html`<option>${r}</option>`)}</select>`}<//>
      <${Act} testid="grant" disabled=${!peer} onAct=${async () => { await api.post(at, { peer: peer.trim(), right }); setPeer(""); again(); }}>Grant<//></form></details>`}<//>`;
}

export function SetPage({ argument }) {
  const s = sets.value.find((x) => x.set === argument || x.name === argument);
  const { data: shown } = useAnswer((signal) => (s ? api.get(`sets/${enc(s.set)}`, {}, signal) : Promise.resolve(null)), [s?.set, s?.epoch]);
  const slow = Math.floor(tick.value / 5000); // who has what is asked every five seconds
  const { data: have, error } = useAnswer((signal) => (s ? api.get(`sets/${enc(s.set)}/availability`, { columns: 128 }, signal) : Promise.resolve(null)), [s?.set, s?.revision, slow]);
  useEffect(() => { if (s) document.title = `${s.name} · shoal`; }, [s?.name]);
  if (!s) return html`<h1>File set</h1><p class="note">This node does not know <code>${argument}</code>. <a href="#/sets">All sets</a></p>`;
  const h = health(s), cost = lastCost(s.set);
  return html`<h1><${Name} text=${s.name} /> <span class=${`tone ${h.tone}`} data-testid="health"><${Name} text=${h.text} /></span></h1>
    <div class="grid">
      <${Card} title="How it is" class="two"><${Verbs} s=${s} /><${Facts} s=${s} have=${have} /><//>
      <${Card} title="Ticket" note=${s.public ? "whoever has it can fetch the set" : "it lets only members and the invited read"} class="one">${shown?.ticket ? html`<${Ticket} ticket=${shown.ticket} />` : html`<p class="note">This node has no ticket for it.</p>`}<//>
      <${Card} title="Who has how much" note=${have && `revision ${have.revision} in ${count(have.leaves, "piece")}; one column is a part of it`} class="two" testid="availability"><${Fault} error=${error} />${have && html`<${Strips} a=${have} />`}<//>
      <${Card} title="What the last update cost" note=${cost && `revision ${cost.revision}: ${bytes(cost.bytes_total)} in the set, ${bytes(cost.wire_in)} over the wire`} class="one" testid="cost">
        ${cost ? html`<${Delta} r=${cost} />` : html`<p class="note">Nothing was fetched into this folder lately.</p>`}<//>
      <${Revisions} s=${s} /><${Members} s=${s} /><${Files} s=${s} />
    </div>`;
}
