// Who takes part in a set: rights, and invites to one that not everybody may read.
import { useState } from "./vendor/hooks.mjs";
import { html, enc, Name } from "./base.mjs";
import { peerName, peers } from "./state.mjs";
import { Act, Ask, Card, Fault, Field, Table, Ticket, useAnswer } from "./ui.mjs";
import { Role } from "./charts.mjs";
import * as api from "./api.mjs";

const meaning = { reader: "may read it", replica: "holds it for others, and can become primary", writer: "may publish revisions" };

function Grant({ at, again }) {
  const [peer, setPeer] = useState(""), [right, setRight] = useState("reader");
  const give = async () => { await api.post(at, { peer: peer.trim(), right }); setPeer(""); again(); };
  return html`<details><summary>Give somebody a right</summary><form onSubmit=${(e) => e.preventDefault()}>
    <${Field} label="Peer id, or PEER/INSTANCE of a replica" help="a replica shows both under “Get”, once it holds the set">${(id, help) => html`<input id=${id} aria-describedby=${help} list="peers-known" value=${peer} onInput=${(e) => setPeer(e.currentTarget.value)} autocomplete="off" spellcheck=${false} data-testid="grant-peer" />
      <datalist id="peers-known">${peers.value.map((p) => html`<option value=${p.peer_id}>${peerName(p.peer_id)}</option>`)}</datalist>`}<//>
    <${Field} label="Right" help=${meaning[right]}>${(id, help) => html`<select id=${id} aria-describedby=${help} value=${right} onChange=${(e) => setRight(e.currentTarget.value)} data-testid="grant-right">${Object.keys(meaning).map((r) => html`<option>${r}</option>`)}</select>`}<//>
    <${Act} testid="grant" why=${peer.trim() ? "" : "Name a peer first."} onAct=${give}>Grant<//></form></details>`;
}

const times = [["24h", "a day"], ["", "a week"], ["720h", "30 days"], ["0s", "for ever"]];

function Invites({ s, list, again }) {
  const [expires, setExpires] = useState(""), [reader, setReader] = useState(""), [made, setMade] = useState();
  const at = `sets/${enc(s.set)}/invites`;
  const invite = async () => { setMade(await api.post(at, { expires: expires || undefined, reader: reader.trim() || undefined })); again(); };
  const end = (i) => async () => { await api.del(`${at}/${enc(i.nonce)}`); if (made?.nonce === i.nonce) setMade(); again(); };
  return html`<h3>Invites</h3><p class="note">This set is private. An invite is a ticket that lets its bearer read it.</p>
    ${made && html`<div class="made" data-testid="invited"><p>Give this to one person. It is good ${made.expires ? `until ${made.expires.slice(0, 16).replace("T", " ")}` : "for ever"}.</p><${Ticket} ticket=${made.ticket} /></div>`}
    ${list.length > 0 && html`<${Table} caption="Invites" head=${["invite", "for", "until", "state", ""]} rows=${list.map((i) => [html`<code>${i.nonce.slice(0, 8)}</code>`, i.reader ? html`<span title=${i.reader}>${peerName(i.reader)}</span>` : "whoever holds it", i.expires ? i.expires.slice(0, 10) : "for ever", i.state,
    i.state === "open" ? html`<${Ask} label="Take back" kind="quiet" danger testid="uninvite" question="Who used it already keeps what was fetched, and gets nothing newer." onYes=${end(i)} />` : ""])} />`}
    <form class="row bottom" onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Good for">${(id) => html`<select id=${id} value=${expires} data-testid="invite-expires" onChange=${(e) => setExpires(e.currentTarget.value)}>${times.map(([v, l]) => html`<option value=${v}>${l}</option>`)}</select>`}<//>
      <${Field} label="Only for this peer (optional)">${(id) => html`<input id=${id} value=${reader} onInput=${(e) => setReader(e.currentTarget.value)} autocomplete="off" spellcheck=${false} />`}<//>
      <${Act} kind="primary" testid="invite" onAct=${invite}>Invite<//></form>`;
}

const modes = { ap: "publishing goes on with any one replica", strict: "only a majority of the replicas publishes" };

export function Members({ s }) {
  const { data, error, again } = useAnswer((signal) => api.get(`sets/${enc(s.set)}/members`, {}, signal), [s.set, s.epoch, s.primary, s.backup]);
  const at = `sets/${enc(s.set)}/members`;
  const owner = data?.owner && s.owner;
  const remove = (m) => html`<${Ask} label="Revoke" yes="Revoke all rights" kind="quiet" danger testid="revoke" question=${html`<strong title=${m.peer_id}>${peerName(m.peer_id)}</strong> is no member of <${Name} text=${s.name} /> any more.`} onYes=${async () => { await api.del(`${at}?peer=${enc(m.peer_id)}`); again(); }} />`;
  const promote = (m) => html`<${Ask} label="Make primary" kind="quiet" testid="make-primary" question=${html`<strong title=${m.peer_id}>${peerName(m.peer_id)}</strong> then orders the revisions of <${Name} text=${s.name} />. Publishing waits for a moment.`} onYes=${async () => { await api.post(`sets/${enc(s.set)}/promote`, { peer: m.peer_id }); again(); }} />`;
  const row = (m) => [html`<span title=${m.peer_id}>${peerName(m.peer_id)}</span>`, m.rights.join(", "), m.role ? html`<${Role} role=${m.role} />` : "", m.self ? "" : m.connected ? "connected" : "not connected",
    html`<div class="row tight">${s.role === "primary" && !m.self && m.rights.includes("replica") && promote(m)}${owner && !m.self && remove(m)}</div>`];
  return html`<${Card} title="Members" note=${data && modes[data.mode]} wide testid="members"><${Fault} error=${error} />
    <${Table} caption="Members" head=${["node", "may", "role", "", ""]} rows=${(data?.members ?? []).map(row)} />
    ${owner && html`<${Grant} at=${at} again=${again} />`}
    ${owner && data.public === false && html`<${Invites} s=${s} list=${data.invites ?? []} again=${again} />`}
    ${data && !owner && html`<p class="note">The owner of the set decides who takes part; this home does not hold its key.</p>`}<//>`;
}
