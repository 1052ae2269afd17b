// The node itself: its peers, what happened, its limits, and its API.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, ago, bytes, clock, count, Name, seconds, short, visible } from "./base.mjs";
import { events, operations, peers, sets, status, tick } from "./state.mjs";
import { eventText, nodes, roleOf } from "./words.mjs";
import { Act, Card, Fault, Field, kinds, Steps, Table, Taken, useAnswer } from "./ui.mjs";
import { tidy } from "./revisions.mjs";
import { Ring, Role } from "./charts.mjs";
import * as api from "./api.mjs";

export function PeersPage() {
  const st = status.value;
  const rows = [...peers.value].sort((a, b) => a.rtt_ms - b.rtt_ms).map((p) => [html`<span title=${p.peer_id} data-testid="peer">${short(p.peer_id)}</span>`, html`<${Role} role=${roleOf(p.peer_id)} />`,
    p.rtt_ms > 0 ? `${p.rtt_ms < 10 ? p.rtt_ms.toFixed(1) : Math.round(p.rtt_ms)} ms` : "not measured", p.addr?.includes("/p2p-circuit") ? "relayed" : "direct", p.transport, html`<${Name} text=${p.agent ?? ""} />`, html`<${Name} text=${p.addr} />`]);
  return html`<h1>${peers.value.length === 0 ? "No peer is connected" : `${count(peers.value.length, "peer")} connected`}</h1><div class="grid">
    <${Card} title="Peers" wide><${Table} caption="Peers" text=${[6]} testid="peers" head=${["peer", "role", "round trip", "path", "transport", "agent", "address"]} rows=${rows} empty="none is connected" /><//>
    <${Card} title="Swarm" class="half"><${Ring} nodes=${nodes()} /><//>
    <${Card} title="This node" class="half"><dl class="facts"><div><dt>Id</dt><dd><code class="long">${st.peer_id}</code></dd></div><div><dt>Up for</dt><dd>${seconds(st.uptime_seconds)}</dd></div>
      <div><dt>Moved</dt><dd>${bytes(st.wire_in)} received, ${bytes(st.wire_out)} sent</dd></div><div><dt>Listens at</dt><dd>${(st.listen ?? []).map((l) => html`<code class="long">${l}</code>`)}</dd></div></dl><//></div>`;
}

const eventKinds = ["published", "available", "complete", "conflict", "failed", "hook", "ended", "granted", "primary", "notice"];

export function ActivityPage() {
  const [q, setQ] = useState(""), [kind, setKind] = useState("");
  const now = tick.value;
  const text = (e) => [e.name, e.kind, eventText(e), e.detail].join(" ").toLowerCase();
  const list = events.value.filter((e) => (!kind || e.kind === kind) && text(e).includes(q.toLowerCase()));
  return html`<h1>Activity</h1><div class="grid">
    <${Card} title="Operations" note="what was asked of this node in the last hour" wide><${Table} caption="Operations" text=${[4]} testid="operations" head=${["what", "set", "began", "took", "state"]} empty="nothing was asked lately"
      rows=${operations.value.slice(0, 100).map((o) => [kinds[o.kind] ?? o.kind, html`<${Name} text=${o.result?.name ?? o.set ?? ""} />`, ago(o.began, now), o.ended ? html`<${Taken} ...${o} />` : "", html`<span class=${`tone ${{ done: "good", failed: "bad", running: "busy" }[o.state] ?? "warn"}`}>${o.state}</span>${o.error ? html` <${Name} text=${o.error.title} />` : ""}`])} /><//>
    <${Card} title="Events" note=${`${count(list.length, "event")}, newest first`} wide>
      <div class="row"><${Field} label="Filter">${(id) => html`<input id=${id} type="search" value=${q} data-testid="event-filter" onInput=${(e) => setQ(e.currentTarget.value)} />`}<//>
        <${Field} label="Kind">${(id) => html`<select id=${id} value=${kind} data-testid="event-kind" onChange=${(e) => setKind(e.currentTarget.value)}><option value="">all</option>${eventKinds.map((k) => html`<option>${k}</option>`)}</select>`}<//></div>
      <${Table} caption="Events" text=${[3]} testid="events" head=${["time", "kind", "set", "what"]} rows=${list.slice(0, 300).map((e) => [html`<time datetime=${e.time}>${clock(e.time)}</time>`, e.kind, e.set ? html`<a href=${`#/set/${e.set}`}><${Name} text=${e.name || short(e.set)} /></a>` : "",
    html`${eventText(e)}${e.result ? ` · ${bytes(e.result.wire_in)} received for ${bytes(e.result.bytes_total)}` : ""}${e.detail && e.kind !== "primary" ? html`${eventText(e) && " · "}<${Name} text=${e.kind === "published" ? tidy(e.detail) : e.detail} />` : ""}`])} /><//></div>`;
}

const labels = { up: "Send at most", down: "Receive at most" };
const words = (n) => (n > 0 ? `${bytes(n)}/s` : "");

// read understands "5 MB/s", "5MB", "500k"; nothing is no limit.
function read(text) {
  const m = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgt]?)(i?)b?(?:\/s)?\s*$/i.exec(text);
  if (text.trim() === "" || text.trim() === "0") return 0;
  if (!m) throw new api.Problem({ title: "this is no rate", hint: "write it as 5 MB/s, or leave it empty for no limit" });
  return Math.round(Number(m[1].replace(",", ".")) * (m[3] ? 1024 : 1000) ** (m[2] ? "kmgt".indexOf(m[2].toLowerCase()) + 1 : 0));
}

const Rate = ({ name, value, set }) => html`<${Field} label=${labels[name]} help="as 5 MB/s; empty is no limit">${(id, help) => html`<input id=${id} aria-describedby=${help} data-testid=${`limit-${name}`} value=${value} onInput=${(e) => set(e.currentTarget.value)} autocomplete="off" />`}<//>`;

// SetRates are the limits of one set, within those of the node.
function SetRates({ limits, again }) {
  const [set, setSet] = useState(""), [up, setUp] = useState(""), [down, setDown] = useState("");
  const put = (id, u, d) => async () => { await api.put("limits", { set: id, up: u, down: d }); again(); };
  return html`<${Table} caption="Limits of file sets" head=${["set", "send", "receive", ""]} empty="no set has limits of its own" rows=${limits.sets.map((s) => [html`<${Name} text=${s.name} />`, words(s.up) || "no limit", words(s.down) || "no limit", html`<${Act} kind="quiet" onAct=${put(s.set, 0, 0)}>Remove<//>`])} />
    ${sets.value.length > 0 && html`<details><summary>Limit a file set</summary><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="File set">${(id) => html`<select id=${id} value=${set} onChange=${(e) => setSet(e.currentTarget.value)}><option value="">choose one</option>${sets.value.map((s) => html`<option value=${s.set}>${visible(s.name)}</option>`)}</select>`}<//>
      <${Rate} name="up" value=${up} set=${setUp} /><${Rate} name="down" value=${down} set=${setDown} />
      <${Act} disabled=${!set} onAct=${() => put(set, read(up), read(down))()}>Set<//></form></details>`}`;
}

export function LimitsPage() {
  const { data, error, again } = useAnswer((signal) => api.get("limits", {}, signal), []);
  const [up, setUp] = useState(""), [down, setDown] = useState(""), [lan, setLAN] = useState(false);
  useEffect(() => { if (data) { setUp(words(data.up)); setDown(words(data.down)); setLAN(data.lan_exempt); } }, [data]);
  const save = async () => { await api.put("limits", { up: read(up), down: read(down), lan_exempt: lan }); again(); };
  return html`<h1>Limits</h1><div class="grid"><${Card} title="Bandwidth of this node" note="until the node starts again; for good in its configuration" class="half"><${Fault} error=${error} />
    ${data && html`<form onSubmit=${(e) => e.preventDefault()}><${Rate} name="up" value=${up} set=${setUp} /><${Rate} name="down" value=${down} set=${setDown} />
      <div class="check"><input type="checkbox" id="lan" checked=${lan} onChange=${(e) => setLAN(e.currentTarget.checked)} /><label for="lan">not for peers of the local network</label></div>
      <div class="row"><${Act} kind="primary" testid="limit-save" onAct=${save}>Set<//><span class="note" role="status" data-testid="limit-now">now ${words(data.up) || "no limit"} out, ${words(data.down) || "no limit"} in</span></div></form>`}<//>
    <${Card} title="Of file sets" note="within the limits of the node" class="half">${data && html`<${SetRates} limits=${data} again=${again} />`}<//>
    <${Card} title="Disk and connections" note="these are set in the configuration, and need a restart" wide>${data && html`<dl class="facts"><div><dt>The node's own state</dt><dd>${bytes(data.size)}${data.max_size ? ` of ${bytes(data.max_size)}` : ", without a limit"}</dd></div><div><dt>Connections kept</dt><dd>${data.max_connections || "as many as come"}</dd></div></dl>`}<//></div>`;
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
