// Share a folder, and get one: what goes out and what comes in.
import { useState } from "./vendor/hooks.mjs";
import { signal } from "./vendor/signals.mjs";
import { html, bytes, count, Name, percent, seconds } from "./base.mjs";
import { fetching, operation, spared, start } from "./state.mjs";
import { Act, Bar, Card, Copy, Field, Steps, Ticket, Work } from "./ui.mjs";
import { Delta } from "./charts.mjs";

// What was begun stays on its page while one looks at another.
const sharing = signal(null), getting = signal(null);
const form = signal({ ticket: "", dest: "", way: "once", force: false });

const Check = ({ id, label, help, value, set }) => html`<div class="check"><input type="checkbox" id=${id} data-testid=${id} checked=${value} onChange=${(e) => set(e.currentTarget.checked)} /><label for=${id}>${label}${help && html`<span class="note"> ${help}</span>`}</label></div>`;

const Shared = (r) => html`<div data-testid="shared"><p><strong><${Name} text=${r.name} /></strong> is shared: revision ${r.revision}, ${count(r.files, "file")}, ${bytes(r.bytes)}.
  ${r.skipped?.length > 0 && ` ${count(r.skipped.length, "file")} left out.`}</p><p>On another machine, paste this into “Get”:</p><${Ticket} ticket=${r.ticket} />
  <p><a href=${`#/set/${r.set}`}>Look at the set</a></p></div>`;

export function SharePage() {
  const [path, setPath] = useState(""), [name, setName] = useState(""), [watch, setWatch] = useState(true), [closed, setClosed] = useState(false);
  const share = async () => {
    const op = await start("sets", { path: path.trim(), name: name.trim() || undefined, watch, private: closed });
    sharing.value = op.id;
  };
  return html`<h1>Share a folder</h1><div class="grid">
    <${Card} title="Which folder" note="on the machine where the node runs; its files stay where they are" class="half"><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Folder" help="the whole path, as in /home/me/photos">${(id, help) => html`<input id=${id} aria-describedby=${help} data-testid="share-path" value=${path} onInput=${(e) => setPath(e.currentTarget.value)} autocomplete="off" spellcheck=${false} required />`}<//>
      <${Field} label="Name (optional)" help="how others see it; the name of the folder if nothing is said">${(id, help) => html`<input id=${id} aria-describedby=${help} value=${name} onInput=${(e) => setName(e.currentTarget.value)} autocomplete="off" />`}<//>
      <${Check} id="share-watch" label="Publish changes by themselves" value=${watch} set=${setWatch} />
      <${Check} id="share-private" label="Private" help="only members and the invited may read it" value=${closed} set=${setClosed} />
      <${Act} kind="primary" testid="share" disabled=${!path.trim().startsWith("/")} onAct=${share}>Share<//></form><//>
    ${sharing.value && html`<${Card} title="Sharing" class="half"><${Work} id=${sharing.value} done=${Shared} onGone=${() => { sharing.value = null; }} /><//>`}</div>`;
}

const Cost = (r) => html`<div data-testid="got"><p>${r.plan ? "It would write" : "There are"} ${count(r.files, "file")}, revision ${r.revision}, ${r.plan ? "into" : "in"} <${Name} text=${r.dest} />.
  ${!r.plan && ` ${seconds(r.seconds)} from ${count(r.sources, "peer")}.`}</p>
  ${r.plan ? html`<pre class="plan">${(r.lines ?? []).map((l) => html`<${Name} text=${l} />${"\n"}`)}</pre>` : html`<${Delta} r=${r} />`}
  ${spared(r) > 0 && html`<p data-testid="savings"><strong>${bytes(spared(r))}</strong> of ${bytes(r.bytes_total)} (${percent(spared(r), r.bytes_total)}) did not have to be sent${r.wire_in ? html`; <strong>${bytes(r.wire_in)}</strong> came over the wire` : ""}.</p>`}
  ${r.conflicts?.length > 0 && html`<p>Your edits were kept as copies: ${r.conflicts.map((c) => html`<${Name} text=${c.copy} /> `)}</p>`}
  ${!r.plan && html`<p><a href=${`#/set/${r.set}`}>Look at the set</a></p>`}</div>`;

const Followed = (r) => { const on = fetching.value.get(r.set)?.progress; return html`<div data-testid="got"><p><${Name} text=${r.name} /> is kept at its newest revision in <${Name} text=${r.dest} />.</p>
  ${r.member && !r.granted && html`<p>To let this node vote and be a backup, the owner of the set grants it the right “replica”, as</p><p><code class="long" data-testid="member">${r.member}</code></p><p><${Copy} text=${r.member} /></p>`}
  ${on && html`<${Bar} p=${on} label="Fetching" />`}<p><a href=${`#/set/${r.set}`}>Look at the set</a></p></div>`; };

// Why walks the way to the set, and shows the first step that is broken.
function Why({ ticket }) {
  const [id, setID] = useState();
  return html`<${Act} testid="why" onAct=${async () => setID((await start("why", { ticket })).id)}>Why?<//>
    ${id && html`<${Work} id=${id} done=${(r) => html`<${Steps} steps=${r.steps} />`} />`}`;
}

const ways = [["once", "once"], ["follow", "and keep it at the newest revision"], ["replicate", "and hold it for others, as a replica"]];

export function GetPage({ argument }) {
  const { ticket, dest, way, force } = argument ? { ...form.value, ticket: form.value.ticket || argument } : form.value;
  const set = (name) => (v) => { form.value = { ...form.value, [name]: v }; };
  const typed = (name) => (e) => set(name)(e.currentTarget.value);
  const ask = (plan) => async () => {
    const body = { ticket: ticket.trim(), dest: dest.trim(), force };
    const once = plan || way === "once";
    const op = await (once ? start("fetches", { ...body, plan }) : start("follows", { ...body, replicate: way === "replicate" }));
    getting.value = { id: op.id, once };
  };
  const ready = ticket.trim() && (dest.trim().startsWith("/") || (way === "replicate" && !dest.trim()));
  return html`<h1>Get</h1><div class="grid">
    <${Card} title="What, and where to" class="half"><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Ticket, or a set of this node">${(id) => html`<textarea id=${id} rows="3" data-testid="get-ticket" value=${ticket} onInput=${typed("ticket")} autocomplete="off" spellcheck=${false} required></textarea>`}<//>
      <${Field} label="Folder" help=${way === "replicate" ? "the whole path; nothing is a folder of the node's own" : "the whole path on the machine of the node; what lies there is not fetched again"}>${(id, help) => html`<input id=${id} aria-describedby=${help} data-testid="get-dest" value=${dest} onInput=${typed("dest")} autocomplete="off" spellcheck=${false} />`}<//>
      <fieldset><legend>Get it</legend>${ways.map(([w, label]) => html`<div class="check"><input type="radio" name="way" id=${`get-${w}`} data-testid=${`get-${w}`} checked=${way === w} onChange=${() => set("way")(w)} /><label for=${`get-${w}`}>${label}</label></div>`)}</fieldset>
      <${Check} id="get-force" label="Overwrite files that somebody else put there" value=${force} set=${set("force")} />
      <div class="row"><${Act} kind="primary" testid="get" disabled=${!ready} onAct=${ask(false)}>Get<//>
        <${Act} testid="plan" disabled=${!ready || !dest.trim()} onAct=${ask(true)}>What would it cost?<//></div></form><//>
    ${getting.value && html`<${Card} title=${getting.value.once ? "Getting" : "Following"} class="half"><${Work} id=${getting.value.id} done=${getting.value.once ? Cost : Followed} onGone=${() => { getting.value = null; }} />
      ${operation(getting.value.id)?.state === "failed" && ticket.trim() && html`<${Why} ticket=${ticket.trim()} />`}<//>`}</div>`;
}
