// The start page: one sentence, throughput, the ring, what is being done, and the sets.
import { html, bytes, count, enc, Name, Sentence } from "./base.mjs";
import { fetching, saved, sets, status, tick } from "./state.mjs";
import { coming, headline, health, nodes, running, stale } from "./words.mjs";
import { Card, Bar, kinds, useAnswer, Work } from "./ui.mjs";
import { Role, Throughput } from "./charts.mjs";
import { Ring } from "./ring.mjs";
import { Thin } from "./strips.mjs";
import * as api from "./api.mjs";

// few is how many cards ask who has what of their set: each asks by itself.
const few = 6;

// Spread is the thin bar of a set, and how many copies there are.
function Spread({ s }) {
  const busy = coming(s);
  const slow = Math.floor(tick.value / (busy ? 2000 : 15000));
  const { data: a } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/availability`, { columns: 64 }, signal), [s.set, s.revision, slow]);
  if (!(a?.leaves > 0)) return html`<div class="spread"></div>`;
  const fewest = Math.min(...a.copies);
  return html`<div class="spread"><${Thin} a=${a} busy=${busy} /><span class="note">${fewest === 0 ? "parts are nowhere" : count(fewest, "copy", "copies")}</span></div>`;
}

export const SetCard = ({ s, spread }) => {
  const h = health(s), on = fetching.value.get(s.set)?.progress;
  return html`<li class="set"><a href=${`#/set/${s.set}`} data-testid="set-card">
    <span class="set-name"><${Name} text=${s.name} /></span>
    <span class="note">${count(Number(s.files), "file")} · ${bytes(s.bytes)} · revision ${s.revision}</span>
    ${spread && html`<${Spread} s=${s} />`}
    ${h.why && html`<span class="tone bad why-ill"><${Sentence} text=${h.why} /></span>`}
    <span class="set-foot"><span class=${`tone ${h.tone}`}><${Name} text=${h.text} /></span><${Role} role=${s.role} /></span></a>
    ${on && html`<${Bar} p=${on} label="Progress" />`}</li>`;
};

// Doing is work that runs, under the name of what it is.
const Doing = ({ o }) => { const s = sets.value.find((x) => x.set === o.set || x.name === o.set); return html`<div class="doing"><h3>${kinds[o.kind] ?? o.kind} <${Name} text=${s?.name ?? o.folder ?? ""} /></h3><${Work} id=${o.id} /></div>`; };

const First = () => html`<${Card} title="Nothing is shared here yet" wide testid="first">
  <p>A file set is a folder with a history: other machines can fetch it, follow it, and hold it for you.</p>
  <div class="row"><a class="button primary" href="#/share">Share a folder</a><a class="button" href="#/get">Get one with a ticket</a></div><//>`;

export function Swarm() {
  const h = headline(), work = running(), st = status.value;
  return html`<h1 class=${`headline ${h.tone}`} data-testid="headline">${h.text}${h.set && html`<a href=${`#/set/${h.set.set}`}><${Name} text=${h.set.name} /></a><${Sentence} text=${h.about} />`}${h.more > 0 && `, and ${count(h.more, "more set")}`}</h1>
    ${stale() && html`<p class="note after" data-testid="absent">What is shown is of that moment. The page goes on by itself when the node is back.</p>`}
    <div class="grid">
      <${Card} title="Throughput" class="two" note=${html`<span data-testid="saved">not sent thanks to delta since the node began: <strong>${bytes(saved.value)}</strong></span>`}><${Throughput} /><//>
      <${Card} title="Swarm" note="shape by role; dashes are relayed, hollow is lost" class="one"><${Ring} nodes=${nodes()} /><//>
      ${work.length > 0 && html`<${Card} title="Being done" wide>${work.map((o) => html`<${Doing} key=${o.id} o=${o} />`)}<//>`}
      ${sets.value.length === 0 ? html`<${First} />` : html`<${Card} title="File sets" wide actions=${html`<a class="button" href="#/share">Share a folder</a><a class="button" href="#/get">Get with a ticket</a>`}>
        <ul class="sets">${sets.value.slice(0, 24).map((s) => html`<${SetCard} key=${s.set} s=${s} spread=${sets.value.length <= few} />`)}</ul>
        ${sets.value.length > 24 && html`<p><a class="button" href="#/sets">All ${sets.value.length} sets</a></p>`}<//>`}
    </div><p class="note">This node: <code>${st.peer_id}</code> · ${st.version} · ${bytes(st.disk_bytes)} of its own on disk</p>`;
}
