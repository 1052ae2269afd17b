// What can be set while the node runs, and the key of its owner.
import { useState } from "./vendor/hooks.mjs";
import { html, bytes, Name, visible } from "./base.mjs";
import { sets, status } from "./state.mjs";
import { Act, Ask, Card, Check, Copy, Fault, Field, Table, useAnswer } from "./ui.mjs";
import * as api from "./api.mjs";

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
      <${Act} why=${set ? "" : "Choose a set first."} onAct=${() => put(set, read(up), read(down))()}>Set<//></form></details>`}`;
}

function NodeRates({ limits, again }) {
  const [up, setUp] = useState(words(limits.up)), [down, setDown] = useState(words(limits.down)), [lan, setLAN] = useState(limits.lan_exempt);
  const save = async () => { await api.put("limits", { up: read(up), down: read(down), lan_exempt: lan }); again(); };
  return html`<form onSubmit=${(e) => e.preventDefault()}><${Rate} name="up" value=${up} set=${setUp} /><${Rate} name="down" value=${down} set=${setDown} />
    <${Check} id="lan" label="not for peers of the local network" value=${lan} set=${setLAN} />
    <div class="row"><${Act} kind="primary" testid="limit-save" onAct=${save}>Set<//><span class="note" role="status" data-testid="limit-now">now ${words(limits.up) || "no limit"} out, ${words(limits.down) || "no limit"} in</span></div></form>`;
}

function Bandwidth() {
  const { data, error, again } = useAnswer((signal) => api.get("limits", {}, signal), []);
  return html`<${Card} title="Bandwidth of this node" note="until the node starts again; for good in its configuration" class="half"><${Fault} error=${error} />
    ${data && html`<${NodeRates} key=${`${data.up} ${data.down} ${data.lan_exempt}`} limits=${data} again=${again} />`}<//>
    <${Card} title="Of file sets" note="within the limits of the node" class="half">${data && html`<${SetRates} limits=${data} again=${again} />`}<//>
    <${Card} title="Disk and connections" note="these are set in the configuration, and need a restart" wide>${data && html`<dl class="facts"><div><dt>The node's own state</dt><dd>${bytes(data.size)}${data.max_size ? ` of ${bytes(data.max_size)}` : ", without a limit"}</dd></div><div><dt>Connections kept</dt><dd>${data.max_connections || "as many as come"}</dd></div></dl>`}<//>`;
}

// Key is the secret by which this home owns sets: out of here for another machine or a drawer, and into here.
function Key() {
  const [shown, setShown] = useState(), [text, setText] = useState(""), [replace, setReplace] = useState(false), [said, setSaid] = useState("");
  const { data: st, again } = useAnswer((signal) => api.get("status", {}, signal), []); // the stream does not tell when a key comes
  const owner = (st ?? status.value).owner;
  const bring = async () => {
    const r = await api.post("owner-key/import", { key: text.trim(), replace });
    setText("");
    again();
    setSaid(!r.changed ? "This key was here already." : `The key ${r.owner} is in force.${r.kept ? ` The one before was moved to ${r.kept}.` : ""}`);
  };
  return html`<${Card} title="Owner key" note=${owner ? html`this home owns sets as <code>${owner}</code>` : "this home holds none yet; the first share makes one"} wide testid="owner-key">
    <p>Whoever holds this key decides who may read, hold and publish the sets it owns. Keep a copy where this machine's end does not reach it.</p>
    ${shown && html`<div class="fault secret" data-testid="owner-secret"><strong>A secret: do not show it to anybody</strong><code class="long">${shown.key}</code><div class="row"><${Copy} text=${shown.key} label="Copy key" /><button type="button" onClick=${() => setShown()}>Hide</button></div></div>`}
    ${said && html`<p class="note" role="status">${said}</p>`}
    <div class="row">${owner && html`<${Ask} label="Show the key" testid="owner-export" question="The key is shown on this screen. Make sure that nobody looks over your shoulder." onYes=${async () => setShown(await api.post("owner-key/export"))} />`}
      <${Ask} label="Bring a key here" yes="Bring it here" testid="owner-import" danger=${replace} question="This home then owns the sets of that key, too." onYes=${bring} why=${text.trim() ? "" : "Paste a key first."}>
        <${Field} label="Key">${(id) => html`<textarea id=${id} rows="3" data-testid="owner-text" value=${text} onInput=${(e) => setText(e.currentTarget.value)} autocomplete="off" spellcheck=${false}></textarea>`}<//>
        <${Check} id="owner-replace" label="Replace the key that is here" help="it is moved aside, not deleted" value=${replace} set=${setReplace} /><//></div><//>`;
}

const told = (value) => (Array.isArray(value) ? value.join(", ") : String(value));

// Configured are the settings in the home's configuration, and where each comes from.
function Configured() {
  const { data, error } = useAnswer((signal) => api.get("settings", {}, signal), []);
  const [all, setAll] = useState(false);
  const list = (data?.settings ?? []).filter((s) => all || s.origin !== "default");
  if (!error && !data?.settings?.length) return null;
  return html`<${Card} title="Configuration" note=${html`as a node that is started now has it; <code>node config set KEY VALUE</code> changes it`} wide testid="configuration"><${Fault} error=${error} />
    <${Table} caption="Settings" text=${[1]} head=${["setting", "value", "from"]} empty="everything is as it comes" rows=${list.map((s) => [html`<code>${s.key}</code>`, html`<${Name} text=${told(s.value) || "–"} />`, s.origin])} />
    <div class="row"><${Check} id="settings-all" label="also what was left as it comes" value=${all} set=${setAll} /></div><//>`;
}

// Browser is this one, which stays signed in for weeks.
const Browser = () => html`<${Card} title="This browser" note="it stays signed in for 30 days, also when the node is started anew" wide>
  <div class="row"><${Act} testid="sign-out" onAct=${async () => { await api.signOut(); location.reload(); }}>Sign out<//></div><//>`;

export const SettingsPage = () => html`<h1>Settings</h1><div class="grid"><${Bandwidth} /><${Configured} /><${Key} /><${Browser} /></div>`;
