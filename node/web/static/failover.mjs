// Who ordered the revisions of a set over time, and a rehearsal of the change.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, clock, count, enc, Name, seconds, short, visible } from "./base.mjs";
import { events, lanes, peerName, sets, start, tick } from "./state.mjs";
import { Act, Ask, Card, Fault, Field, Table, useAnswer, Work } from "./ui.mjs";
import { Lanes, Role } from "./charts.mjs";
import * as api from "./api.mjs";

const opened = Date.now();

const Stages = (r) => html`<div data-testid="drill-result"><p class=${`tone ${r.passed ? "good" : "bad"}`}>${r.passed ? "Passed" : "Not passed"}: ${count(r.reads, "read")} of revision ${r.revision} meanwhile, ${r.reads_failed} failed; ${seconds(r.seconds)} in all.</p>
  <${Table} caption="Hand-overs" head=${["from", "to", "without a primary"]} rows=${r.stages.map((s) => [peerName(s.from), peerName(s.to), s.seconds > 0 ? seconds(s.seconds) : "no gap was seen"])} /></div>`;

// changes are the events about primaries of a set, newest first.
const changes = (set) => events.value.filter((e) => e.kind === "primary" && e.set === set && e.primary);

function Replicas({ s }) {
  const { data, error } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/members`, {}, signal), [s.set, s.epoch, s.primary, s.backup]);
  const list = (data?.members ?? []).filter((m) => m.rights.includes("replica"));
  const hand = (m) => html`<${Act} kind="quiet" testid="promote" onAct=${() => api.post(`sets/${enc(s.set)}/promote`, { peer: m.peer_id })}>Make primary<//>`;
  return html`<${Card} title="Replicas" note=${s.epoch && `epoch ${s.epoch}`} class="half"><${Fault} error=${error} />
    <${Table} caption="Replicas" head=${["node", "role", "newest revision", ""]} rows=${list.map((m) => [html`<span title=${m.peer_id}>${m.self ? "this node" : short(m.peer_id)}</span>`,
    html`<${Role} role=${m.role || (s.primary === m.peer_id ? "primary" : s.backup === m.peer_id ? "backup" : "replica")} />`, m.durable ? "on its disk" : m.connected || m.self ? "not known to be there" : "not connected",
    s.role === "primary" && !m.self ? hand(m) : ""])} /><//>`;
}

export function FailoverPage({ argument }) {
  const able = sets.value;
  const [chosen, choose] = useState(argument);
  const [back, setBack] = useState(true), [id, setID] = useState();
  const s = able.find((x) => x.set === chosen) ?? able.find((x) => x.backup) ?? able[0];
  useEffect(() => setID(), [s?.set]);
  if (!s) return html`<h1>Failover</h1><p class="note">There are no file sets yet.</p>`;
  const seen = changes(s.set);
  const marks = seen.map((e) => ({ at: Date.parse(e.time) })).filter((m) => m.at >= opened);
  const why = s.role !== "primary" ? "The drill is run at the primary: open its dashboard." : !s.backup ? "There is no backup: grant another node the right “replica” first." : "";
  return html`<h1>Failover</h1><div class="grid">
    <${Card} title="Who served as primary" note="since this page was opened" wide actions=${html`<${Field} label="File set">${(fid) => html`<select id=${fid} value=${s.set} data-testid="failover-set" onChange=${(e) => choose(e.currentTarget.value)}>${able.map((x) => html`<option value=${x.set}>${visible(x.name)}</option>`)}</select>`}<//>`}>
      <${Lanes} spans=${lanes.value.get(s.set) ?? []} marks=${marks} from=${opened} now=${Math.max(tick.value, opened + 1000)} /><//>
    <${Card} title="Drill" note="rehearse the loss of the primary: its role goes to the backup, while a reader reads" class="half" testid="drill-card">
      <div class="check"><input type="checkbox" id="drill-back" checked=${back} onChange=${(e) => setBack(e.currentTarget.checked)} /><label for="drill-back">and hand it back afterwards</label></div>
      <${Ask} label="Drill" kind="primary" testid="drill" yes="Begin" disabled=${Boolean(why)} question=${html`The role of the primary of <strong><${Name} text=${s.name} /></strong> goes to ${peerName(s.backup)}${back ? " and back" : ""}. Publishing waits for a moment; nothing is lost.`}
        onYes=${async () => setID((await start(`sets/${enc(s.set)}/failover`, { back })).id)} />
      ${why && html`<p class="note">${why}</p>`}
      ${id && html`<${Work} id=${id} done=${Stages} onGone=${() => setID()} />`}<//>
    <${Replicas} s=${s} />
    <${Card} title="Changes of the primary" note="that this node has seen since it began" wide>
      <${Table} caption="Changes of the primary" head=${["when", "from", "to", "why", "without a primary"]} empty="none was seen" rows=${seen.slice(0, 100).map((e) => [clock(e.time), peerName(e.primary.from), peerName(e.primary.to),
    { handover: "handed over", lost: "it was lost" }[e.primary.reason] ?? "", e.primary.seconds > 0 ? seconds(e.primary.seconds) : ""])} /><//>
  </div>`;
}
