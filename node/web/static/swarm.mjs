// The start page: one sentence, throughput, the ring, what is being done, and the sets.
import { html, bytes, count, Name } from "./base.mjs";
import { fetching, saved, sets, status } from "./state.mjs";
import { headline, health, nodes, running } from "./words.mjs";
import { Card, Bar, Work } from "./ui.mjs";
import { Ring, Role, Throughput } from "./charts.mjs";

export const SetCard = ({ s }) => {
  const h = health(s), on = fetching.value.get(s.set)?.progress;
  return html`<li class="set"><a href=${`#/set/${s.set}`} data-testid="set-card">
    <span class="set-name"><${Name} text=${s.name} /></span>
    <span class="note">${count(Number(s.files), "file")} · ${bytes(s.bytes)} · revision ${s.revision}</span>
    <span class="set-foot"><span class=${`tone ${h.tone}`}><${Name} text=${h.text} /></span><${Role} role=${s.role} /></span></a>
    ${on && html`<${Bar} p=${on} label="Progress" />`}</li>`;
};

const First = () => html`<${Card} title="Nothing is shared here yet" wide testid="first">
  <p>A file set is a folder with a history: other machines can fetch it, follow it, and hold it for you.</p>
  <div class="row"><a class="button primary" href="#/share">Share a folder</a><a class="button" href="#/get">Get one with a ticket</a></div><//>`;

export function Swarm() {
  const h = headline(), work = running(), st = status.value;
  return html`<h1 class=${`headline ${h.tone}`} data-testid="headline">${h.text}${h.set && html`<a href=${`#/set/${h.set.set}`}><${Name} text=${h.set.name} /></a>${" "}<${Name} text=${h.about} />`}${h.more > 0 && `, and ${count(h.more, "more set")}`}</h1>
    <div class="grid">
      <${Card} title="Throughput" note="the last two minutes" class="two"><${Throughput} />
        <p class="note" data-testid="saved">Not sent thanks to delta since the node began: <strong>${bytes(saved.value)}</strong></p><//>
      <${Card} title="Swarm" note="place and shape by role; dashes are relayed paths, hollow is lost" class="one"><${Ring} nodes=${nodes()} /><//>
      ${work.length > 0 && html`<${Card} title="Being done" wide>${work.map((o) => html`<${Work} key=${o.id} id=${o.id} />`)}<//>`}
      ${sets.value.length === 0 ? html`<${First} />` : html`<${Card} title="File sets" wide actions=${html`<a class="button" href="#/share">Share a folder</a><a class="button" href="#/get">Get with a ticket</a>`}>
        <ul class="sets">${sets.value.slice(0, 24).map((s) => html`<${SetCard} key=${s.set} s=${s} />`)}</ul>
        ${sets.value.length > 24 && html`<p><a href="#/sets">All ${sets.value.length}</a></p>`}<//>`}
    </div><p class="note">This node: <code>${st.peer_id}</code> · ${st.version} · ${bytes(st.disk_bytes)} of its own on disk</p>`;
}
