// Who ordered the revisions of a set over time, and a rehearsal of the change.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, ago, count, enc, moment, Name, seconds, visible } from "./base.mjs";
import { events, lanes, peerName, sets, start, tick } from "./state.mjs";
import { Ask, Card, Check, Fault, Field, Table, useAnswer, Work } from "./ui.mjs";
import { begun, reigns, turns } from "./reigns.mjs";
import { Lanes, Role } from "./charts.mjs";
import * as api from "./api.mjs";

const opened = Date.now();

// gapped says how long there was no primary, the same in every table.
const gapped = (s) => (s === undefined ? "" : s > 0 ? seconds(s) : "no gap");

const Stages = (r) => html`<div data-testid="drill-result"><p class=${`tone ${r.passed ? "good" : "bad"}`}>${r.passed ? "Passed" : "Not passed"}: ${count(r.reads, "read")} of revision ${r.revision} meanwhile, ${r.reads_failed} failed; ${seconds(r.seconds)} in all.</p>
  <${Table} caption="Hand-overs" head=${["from", "to", "the hand-over took"]} rows=${r.stages.map((s) => [peerName(s.from), peerName(s.to), seconds(s.seconds)])} />
  <p class="note">Until this node knew the new primary. How long there was none at all is below.</p></div>`;

// changes are the events about primaries of a set, oldest first.
const changes = (set) => events.value.filter((e) => e.kind === "primary" && e.set === set && e.primary)
  .map((e) => ({ at: Date.parse(e.time), ...e.primary })).sort((a, b) => a.at - b.at);

// spans are how far back the picture can go, in minutes; the shortest that shows a change is taken.
const windows = [[5, "5 minutes"], [60, "the last hour"], [1440, "the last day"], [Infinity, "as far back as it goes"]];

const span = (turned, now) => windows.find(([m]) => turned.some((t) => now - t.at < m * 60000))?.[0] ?? windows[0][0];

function Replicas({ s }) {
  const { data, error } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/members`, {}, signal), [s.set, s.epoch, s.primary, s.backup]);
  const list = (data?.members ?? []).filter((m) => m.rights.includes("replica"));
  const hand = (m) => html`<${Ask} label="Make primary" kind="quiet" testid="promote" question=${html`<strong title=${m.peer_id}>${peerName(m.peer_id)}</strong> then orders the revisions of <${Name} text=${s.name} />. Publishing waits for a moment; nothing is lost.`} onYes=${() => api.post(`sets/${enc(s.set)}/promote`, { peer: m.peer_id })} />`;
  return html`<${Card} title="Replicas" note=${s.epoch && `epoch ${s.epoch}`} class="half"><${Fault} error=${error} />
    <${Table} caption="Replicas" head=${["node", "role", "newest revision", ""]} rows=${list.map((m) => [html`<span title=${m.peer_id}>${peerName(m.peer_id)}</span>`,
    html`<${Role} role=${m.role || (s.primary === m.peer_id ? "primary" : s.backup === m.peer_id ? "backup" : "replica")} />`, m.durable ? "on its disk" : m.connected || m.self ? "not known to be there" : "not connected",
    s.role === "primary" && !m.self ? hand(m) : ""])} /><//>`;
}

function Served({ s, turned, all, choose }) {
  const now = Math.max(tick.value, opened + 1000);
  const [minutes, setMinutes] = useState();
  const live = lanes.value.get(s.set) ?? [];
  const known = [...reigns(turned.all, opened), ...live];
  const first = Math.min(opened, ...turned.all.map((c) => c.at));
  const from = Math.max(first, now - (minutes ?? span(turned.list, now)) * 60000);
  const marks = turned.list.filter((t) => t.at >= from && t.from && t.from !== t.to);
  const pick = html`<${Field} label="Show">${(id) => html`<select id=${id} value=${minutes ?? span(turned.list, now)} onChange=${(e) => setMinutes(Number(e.currentTarget.value))}>${windows.map(([m, l]) => html`<option value=${m}>${l}</option>`)}</select>`}<//>
    <${Field} label="File set">${(id) => html`<select id=${id} value=${s.set} data-testid="failover-set" onChange=${(e) => choose(e.currentTarget.value)}>${all.map((x) => html`<option value=${x.set}>${visible(x.name)}</option>`)}</select>`}<//>`;
  return html`<${Card} title="Who served as primary" note=${`seen by this node since ${moment(first)}; roles other than the primary since this page was opened`} wide actions=${pick}>
    <${Lanes} spans=${known.filter((x) => (x.to ?? now) > from)} marks=${marks} from=${from} now=${now} /><//>`;
}

function Drill({ s }) {
  const [back, setBack] = useState(true), [id, setID] = useState();
  useEffect(() => setID(), [s.set]);
  const why = s.role !== "primary" ? "The drill is run at the primary: open its dashboard." : !s.backup ? "There is no backup now. Where another node has the right “replica”, one is elected within seconds; else grant it." : "";
  return html`<${Card} title="Drill" note="rehearse the loss of the primary: its role goes to the backup, while a reader reads" class="half" testid="drill-card">
    <${Check} id="drill-back" label="and hand it back afterwards" value=${back} set=${setBack} />
    <${Ask} label="Drill" kind="primary" testid="drill" yes="Begin the drill" disabled=${Boolean(why)} question=${html`The role of the primary of <strong><${Name} text=${s.name} /></strong> goes to ${peerName(s.backup)}${back ? " and back" : ""}. Publishing waits for a moment; nothing is lost.`}
      onYes=${async () => setID((await start(`sets/${enc(s.set)}/failover`, { back })).id)} />
    ${why && html`<p class="note why">${why}</p>`}
    ${id && html`<${Work} id=${id} done=${Stages} onGone=${() => setID()} />`}<//>`;
}

export function FailoverPage({ argument }) {
  const [chosen, choose] = useState(argument);
  const all = sets.value;
  const s = all.find((x) => x.set === chosen) ?? all.find((x) => x.backup) ?? all[0];
  if (!s) return html`<h1>Failover</h1><div class="grid"><${Card} title="There are no file sets yet" wide><p>Once a set has a second replica, this page shows who orders its revisions, and rehearses what happens when that node is lost.</p><div class="row"><a class="button primary" href="#/share">Share a folder</a></div><//></div>`;
  const seen = begun(changes(s.set), s.primary, Date.parse(s.primary_since ?? "")), list = turns(seen);
  return html`<h1>Failover</h1><div class="grid">
    <${Served} s=${s} turned=${{ all: seen, list }} all=${all} choose=${choose} />
    <${Drill} s=${s} /><${Replicas} s=${s} />
    <${Card} title="Changes of the primary" note="that this node has seen since it began" wide>
      <${Table} caption="Changes of the primary" testid="changes" head=${["when", "from", "to", "why", "without a primary"]} empty="none was seen" rows=${[...list].reverse().slice(0, 100).map((t) => [html`<time datetime=${new Date(t.at).toISOString()} title=${ago(new Date(t.at).toISOString(), tick.value)}>${moment(t.at)}</time>`,
    t.from ? peerName(t.from) : "–", t.to ? peerName(t.to) : "nobody yet", t.why, gapped(t.gap)])} /><//>
  </div>`;
}
