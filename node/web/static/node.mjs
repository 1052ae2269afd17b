// The node itself: its peers, what happened, how it fares, and its API.
import { useState } from "./vendor/hooks.mjs";
import { html, ago, bytes, clock, count, Name, rate, Sentence, seconds, short } from "./base.mjs";
import { events, peerName, peers, sets, status, tick } from "./state.mjs";
import { asked, eventText, nodes, roleOf, standing } from "./words.mjs";
import { Act, Card, Fault, Field, kinds, Steps, Table, Taken, useAnswer } from "./ui.mjs";
import { tidy } from "./revisions.mjs";
import { Role } from "./charts.mjs";
import { Ring } from "./ring.mjs";
import * as api from "./api.mjs";

const trip = (ms) => (ms > 0 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : "not measured");

export function PeersPage() {
  const st = status.value;
  const rated = peers.value.some((p) => p.rate_in !== undefined || p.rate_out !== undefined);
  const moving = (n) => (n > 0 ? rate(n) : "–");
  const row = (p) => [html`<span title=${p.peer_id} data-testid="peer">${peerName(p.peer_id)}</span>`, html`<${Role} role=${roleOf(p.peer_id)} />`, ...(rated ? [moving(p.rate_in), moving(p.rate_out)] : []),
    trip(p.rtt_ms), p.addr?.includes("/p2p-circuit") ? "relayed" : "direct", p.transport, html`<${Name} text=${p.agent ?? ""} />`, html`<code><${Name} text=${p.addr} /></code>`];
  return html`<h1>${peers.value.length === 0 ? "No peer is connected" : `${count(peers.value.length, "peer")} connected`}</h1><div class="grid">
    <${Card} title="Peers" wide><${Table} caption="Peers" testid="peers" head=${["peer", "role", ...(rated ? ["received", "sent"] : []), "round trip", "path", "transport", "agent", "address"]} rows=${[...peers.value].sort((a, b) => a.rtt_ms - b.rtt_ms).map(row)} empty="none is connected" /><//>
    <${Card} title="Swarm" class="half"><${Ring} nodes=${nodes()} /><//>
    <${Card} title="This node" class="half"><dl class="facts"><div><dt>Id</dt><dd><code class="long">${st.peer_id}</code></dd></div><div><dt>Up for</dt><dd>${seconds(st.uptime_seconds)}</dd></div>
      <div><dt>Moved</dt><dd>${bytes(st.wire_in)} received, ${bytes(st.wire_out)} sent</dd></div><div><dt>Listens at</dt><dd>${(st.listen ?? []).map((l) => html`<code class="long">${l}</code>`)}</dd></div></dl><//></div>`;
}

const eventKinds = ["published", "available", "complete", "conflict", "failed", "hook", "ended", "granted", "primary", "alarm", "mended", "notice"];

// subject is the set of an operation, as people know it.
function Subject({ o }) {
  const id = o.result?.set ?? o.set;
  const s = sets.value.find((x) => x.set === id);
  const name = s?.name ?? o.result?.name ?? (o.folder || "");
  return s ? html`<a href=${`#/set/${id}`}><${Name} text=${name} /></a>` : html`<${Name} text=${name || short(id)} />`;
}

function Asked({ o, now }) {
  const [word, tone] = standing(o);
  return [kinds[o.kind] ?? o.kind, html`<${Subject} o=${o} />`, html`<time datetime=${o.began} title=${clock(o.began)}>${ago(o.began, now)}</time>`, o.ended ? html`<${Taken} ...${o} />` : "",
    html`<span class=${`tone ${tone}`}>${word}</span>${o.error ? html` <${Name} text=${o.error.title} />` : ""}`];
}

export function ActivityPage() {
  const [q, setQ] = useState(""), [kind, setKind] = useState("");
  const now = tick.value;
  const text = (e) => [e.name, e.kind, eventText(e), e.detail].join(" ").toLowerCase();
  const list = events.value.filter((e) => (!kind || e.kind === kind) && text(e).includes(q.toLowerCase()));
  return html`<h1>Activity</h1><div class="grid">
    <${Card} title="Operations" note="what was asked of this node in the last hour" wide><${Table} caption="Operations" stacks text=${[4]} testid="operations" head=${["what", "of", "began", "took", "state"]} empty="nothing was asked lately"
      rows=${asked().slice(0, 100).map((o) => Asked({ o, now }))} /><//>
    <${Card} title="Events" note=${`${count(list.length, "event")}, newest first`} wide>
      <div class="row bottom"><${Field} label="Filter">${(id) => html`<input id=${id} type="search" value=${q} data-testid="event-filter" onInput=${(e) => setQ(e.currentTarget.value)} />`}<//>
        <${Field} label="Kind">${(id) => html`<select id=${id} value=${kind} data-testid="event-kind" onChange=${(e) => setKind(e.currentTarget.value)}><option value="">all</option>${eventKinds.map((k) => html`<option>${k}</option>`)}</select>`}<//></div>
      <${Table} caption="Events" stacks text=${[3]} testid="events" head=${["time", "kind", "set", "what"]} rows=${list.slice(0, 300).map((e) => [html`<time datetime=${e.time}>${clock(e.time)}</time>`, e.kind, e.set ? html`<a href=${`#/set/${e.set}`}><${Name} text=${e.name || short(e.set)} /></a>` : "",
    html`${eventText(e)}${e.result ? ` · ${bytes(e.result.wire_in)} received for ${bytes(e.result.bytes_total)}` : ""}${e.detail && e.kind !== "primary" ? html`${eventText(e) && " · "}<${Sentence} text=${e.kind === "published" ? tidy(e.detail) : e.detail} />` : ""}`])} /><//></div>`;
}

function verdict(d) {
  if (!d) return "Looking …";
  const n = (state) => d.checks.filter((c) => c.state === state).length;
  if (!d.ok) return `${count(n("fail"), "thing does", "things do")} not work`;
  return n("warn") ? `It works; ${count(n("warn"), "thing")} could be better` : "Nothing is wrong";
}

export function DoctorPage() {
  const { data, error, again, loading } = useAnswer((signal) => api.get("doctor", {}, signal), []);
  return html`<h1>Check-up</h1><div class="grid"><${Card} title=${verdict(data)} note="of this machine and of the home of the node" wide actions=${html`<${Act} onAct=${async () => again()} disabled=${loading}>Look again<//>`}>
    <${Fault} error=${error} />${data && html`<${Steps} steps=${data.checks} />`}<//></div>`;
}

export function APIPage() {
  const { data, error } = useAnswer(() => api.openapi(), []);
  const [q, setQ] = useState("");
  const rows = Object.entries(data?.paths ?? {}).flatMap(([path, ops]) => Object.entries(ops).map(([method, op]) => ({ method: method.toUpperCase(), path, op })))
    .filter(({ method, path, op }) => `${method} ${path} ${op.summary}`.toLowerCase().includes(q.toLowerCase()));
  return html`<h1>API</h1><div class="grid"><${Card} title=${data ? `${data.info.title} ${data.info.version}` : "API"} note="everything on these pages is done with it, and can be by a script: Authorization: Bearer, and the token of the home's api.token" wide
    actions=${html`<a class="button" href="/openapi.json" download>OpenAPI 3.1</a><a class="button" href="/openapi-3.0.json" download>3.0</a>`}><${Fault} error=${error} />
    <${Field} label="Filter">${(id) => html`<input id=${id} type="search" value=${q} onInput=${(e) => setQ(e.currentTarget.value)} />`}<//>
    <${Table} caption="Endpoints" text=${[2]} head=${["path", "method", "what", "parameters"]} rows=${rows.map(({ method, path, op }) => [html`<code>${path}</code>`, method, op.summary, (op.parameters ?? []).filter((p) => p.in === "query").map((p) => p.name).join(", ")])} /><//></div>`;
}
