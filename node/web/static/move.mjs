// Share a folder, and get one: what goes out and what comes in.
import { useState } from "./vendor/hooks.mjs";
import { signal } from "./vendor/signals.mjs";
import { html, count, bytes, Name, whole } from "./base.mjs";
import { fetching, operation, outcome, start } from "./state.mjs";
import { Act, Bar, Card, Check, Copy, Field, Steps, Ticket, Work } from "./ui.mjs";
import { amount, wanted, sum, Tree } from "./choose.mjs";
import { Cost } from "./cost.mjs";

// What was begun stays on its page while one looks at another.
const sharing = signal(null), getting = signal(null);
const form = signal({ ticket: "", dest: "", way: "once", force: false });
// What of a set is wanted, once it was looked into: {ticket, name, revision, folders, chosen}.
const choice = signal(null);

const Shared = (r) => html`<div data-testid="shared"><p><strong><${Name} text=${r.name} /></strong> is shared: revision ${r.revision}, ${count(r.files, "file")}, ${bytes(r.bytes)}.
  ${r.skipped?.length > 0 && ` ${count(r.skipped.length, "file")} left out.`}</p><p>On another machine, paste this into “Get”:</p><${Ticket} ticket=${r.ticket} />
  <p><a href=${`#/set/${r.set}`}>Look at the set</a></p></div>`;

export function SharePage() {
  const [path, setPath] = useState(""), [name, setName] = useState(""), [watch, setWatch] = useState(true), [closed, setClosed] = useState(false);
  const share = async () => {
    const op = await start("sets", { path: path.trim(), name: name.trim() || undefined, watch, private: closed });
    sharing.value = op.id;
  };
  const why = !path.trim() ? "Name a folder first." : !whole(path) ? "Write the whole path, from / on." : "";
  return html`<h1>Share a folder</h1><div class="grid">
    <${Card} title="Which folder" note="on the machine where the node runs; its files stay where they are" class="half"><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Folder" help="the whole path, as in /home/me/photos">${(id, help) => html`<input id=${id} aria-describedby=${help} data-testid="share-path" value=${path} onInput=${(e) => setPath(e.currentTarget.value)} autocomplete="off" spellcheck=${false} required />`}<//>
      <${Field} label="Name (optional)" help="how others see it; the name of the folder if nothing is said">${(id, help) => html`<input id=${id} aria-describedby=${help} value=${name} onInput=${(e) => setName(e.currentTarget.value)} autocomplete="off" />`}<//>
      <${Check} id="share-watch" label="Publish changes by themselves" value=${watch} set=${setWatch} />
      <${Check} id="share-private" label="Private" help="only members and the invited may read it" value=${closed} set=${setClosed} />
      <${Act} kind="primary" testid="share" why=${why} onAct=${share}>Share<//></form><//>
    ${!sharing.value ? html`<${Card} title="What happens then" class="half"><ol class="explain">
        <li>The files are read once and stay where they are: nothing is copied, nothing is uploaded.</li>
        <li>You get a <strong>ticket</strong>: a line of text. Whoever pastes it into “Get” has the files, straight from this node.</li>
        <li>What changes later becomes a new <strong>revision</strong>, of which others fetch only what is new.</li></ol><//>` : html`<${Card} title="Sharing" class="half"><${Work} id=${sharing.value} done=${Shared} onGone=${() => { sharing.value = null; }} /><//>`}</div>`;
}

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

// look reads a folder of the set into the choice.
async function look(ticket, path) {
  const r = await outcome((await start("peek", { ticket, path })).id);
  const c = choice.value?.ticket === ticket ? choice.value : { ticket, folders: new Map(), chosen: new Set([""]) };
  choice.value = { ...c, name: r.name, revision: r.revision, folders: new Map(c.folders).set(path, r) };
}

function Choice({ once }) {
  const c = choice.value;
  const total = sum(c.chosen, c.folders);
  return html`<${Card} title="Files" note=${html`<${Name} text=${c.name} />, revision ${c.revision}; only the list was read`} class="half" testid="choice"
    actions=${html`<button type="button" class="quiet" onClick=${() => { choice.value = null; }}>All of it</button>`}>
    <${Tree} name=${c.name} folders=${c.folders} chosen=${c.chosen} read=${(path) => look(c.ticket, path)} choose=${(chosen) => { choice.value = { ...choice.value, chosen }; }} />
    <p class="total" role="status" data-testid="chosen">Chosen: <strong>${c.chosen.has("") ? `all: ${amount(total)}` : amount(total)}</strong></p>
    ${!once && !c.chosen.has("") && html`<p class="note">A part can be fetched once; what is kept or held for others is the whole set.</p>`}<//>`;
}

const Hint = () => html`<${Card} title="How it goes" class="half"><ol class="explain">
  <li>Paste a <strong>ticket</strong> that somebody gave you. It says which set it is and where to find it.</li>
  <li>Look into it with “Choose files” if you do not want all of it.</li>
  <li>Every byte is checked against the ticket. What already lies in the folder is not fetched again.</li></ol><//>`;

// lacks says what has to be filled in before something can be got.
function lacks(ticket, dest, way, chosen) {
  if (!ticket) return "Paste a ticket first.";
  if (/\s/.test(ticket)) return "A ticket is one word; there is a space or a line break in it.";
  if (!dest && way !== "replicate") return "Name the folder to save into.";
  if (dest && !whole(dest)) return "Write the whole path of the folder, from / on.";
  if (chosen && chosen.size === 0) return "Choose at least one file.";
  return "";
}

function Where({ ticket, dest, way, force, picked }) {
  const set = (name) => (v) => { form.value = { ...form.value, [name]: v }; };
  const typed = (name) => (e) => set(name)(e.currentTarget.value);
  const ask = (plan) => async () => {
    const once = plan || way === "once";
    const body = { ticket: ticket.trim(), dest: dest.trim(), force };
    const op = await (once ? start("fetches", { ...body, plan, only: picked && wanted(picked.chosen) }) : start("follows", { ...body, replicate: way === "replicate" }));
    getting.value = { id: op.id, once };
  };
  const why = lacks(ticket.trim(), dest.trim(), way, way === "once" ? picked?.chosen : undefined);
  return html`<${Card} title="What, and where to" class="half"><form onSubmit=${(e) => e.preventDefault()}>
      <${Field} label="Ticket, or a set of this node">${(id) => html`<textarea id=${id} rows="3" data-testid="get-ticket" value=${ticket} onInput=${typed("ticket")} autocomplete="off" spellcheck=${false} required></textarea>`}<//>
      <div class="row field"><${Act} testid="choose" why=${ticket.trim() ? "" : "Paste a ticket to look into the set."} onAct=${() => look(ticket.trim(), "")}>Choose files<//></div>
      <${Field} label="Save into" help=${way === "replicate" ? "the whole path; nothing is a folder of the node's own" : "the whole path of a folder on the machine of the node"}>${(id, help) => html`<input id=${id} aria-describedby=${help} data-testid="get-dest" value=${dest} onInput=${typed("dest")} placeholder="/home/me/photos" autocomplete="off" spellcheck=${false} />`}<//>
      <fieldset><legend>Get it</legend>${ways.map(([w, label]) => html`<div class="check"><input type="radio" name="way" id=${`get-${w}`} data-testid=${`get-${w}`} checked=${way === w} onChange=${() => set("way")(w)} /><label for=${`get-${w}`}>${label}</label></div>`)}</fieldset>
      <${Check} id="get-force" label="Overwrite files that somebody else put there" value=${force} set=${set("force")} />
      <div class="row"><${Act} kind="primary" testid="get" disabled=${Boolean(why)} onAct=${ask(false)}>Get<//>
        <${Act} testid="plan" disabled=${Boolean(why) || !dest.trim()} onAct=${ask(true)}>What would it cost?<//></div>
      ${(why || !dest.trim()) && html`<p class="note why" data-testid="get-why">${why || "Name a folder to see what it would cost."}</p>`}</form><//>`;
}

export function GetPage({ argument }) {
  const filled = argument ? { ...form.value, ticket: form.value.ticket || argument } : form.value;
  const ticket = filled.ticket.trim();
  const picked = choice.value?.ticket === ticket ? choice.value : null; // not that of another ticket
  const now = getting.value;
  return html`<h1>Get</h1><div class="grid">
    <${Where} ...${filled} picked=${picked} />
    ${picked && html`<${Choice} once=${filled.way === "once"} />`}
    ${!picked && !now && html`<${Hint} />`}
    ${now && html`<${Card} title=${now.once ? "Getting" : "Following"} class="half"><${Work} id=${now.id} done=${now.once ? Cost : Followed} onGone=${() => { getting.value = null; }} />
      ${operation(now.id)?.state === "failed" && ticket && html`<${Why} ticket=${ticket} />`}<//>`}</div>`;
}
