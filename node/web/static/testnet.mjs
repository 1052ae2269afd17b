// The test network that this node is one of: what its nodes are, and what can be done to them.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { html, bytes, count, enc, Name, percent, rate } from "./base.mjs";
import { Act, Ask, Card, Fault, Field, Table } from "./ui.mjs";
import * as api from "./api.mjs";

const every = 2000; // between two looks: asking a network asks all of its nodes
const patience = 4000; // for the answer of a node that was told to end or halt itself, and may not give one

const states = { up: ["●", "good"], paused: ["◐", "warn"], killed: ["■", "bad"], crashed: ["■", "bad"], stopped: ["○", ""] };

const State = ({ state }) => {
  const [mark, tone] = states[state] ?? ["?", ""];
  return html`<span class=${`tone ${tone}`} data-testid="node-state"><span aria-hidden="true">${mark}</span> ${state}</span>`;
};

/** What is done to a node's links, the same to several nodes once: "delay 100 ms to all". */
function harm(node, others) {
  const to = new Map(); // what: to whom; nobody = to the node itself
  for (const text of node.harm) {
    const [, peer, what] = /^to (\S+) (.*)$/.exec(text) ?? [null, null, text];
    to.set(what, [...(to.get(what) ?? []), ...(peer ? [peer] : [])]);
  }
  return [...to].map(([what, peers]) => (peers.length === 0 ? what : `${what} to ${peers.length > 1 && peers.length === others ? "all" : peers.join(", ")}`)).join("; ");
}

const words = (set) => `${set.name} ${set.revision}${set.role ? ` ${set.role}` : ""}${set.part < 1 ? ` ${percent(set.part, 1)}` : ""}`;

const shell = (word) => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

// A window that is opened before the node was asked is not taken for one that nobody wanted.
async function look(name) {
  const there = window.open("", "_blank");
  try {
    const { login } = await api.post(`testnet/${enc(name)}/login`);
    if (there) there.location.replace(login);
    else location.assign(login);
  } catch (e) {
    there?.close();
    throw e;
  }
}

const Open = ({ node }) => html`<${Act} kind="quiet" testid="node-open" disabled=${node.state !== "up"} title=${`dashboard of ${node.name}, in a tab of its own`} onAct=${() => look(node.name)}>Open<//>`;

/** Asks the network again and again while the page is looked at. */
function useNetwork() {
  const [state, setState] = useState({});
  useEffect(() => {
    let timer, over = false;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const data = await api.get("testnet");
          if (!over) setState({ data });
        } catch (error) {
          if (!over) setState((s) => ({ data: s.data, error }));
        }
      }
      if (!over) timer = setTimeout(ask, every);
    };
    ask();
    return () => { over = true; clearTimeout(timer); };
  }, []);
  return [state, (data) => setState({ data })];
}

// order tells the network what to do to a node. Of what is done to the node that is asked there may be no answer.
async function order(node, what, body, see) {
  const asked = api.post(`testnet/${enc(node.name)}/${what}`, body);
  if (!node.self || !(what in labels)) return see(await asked);
  const late = new Promise((go) => setTimeout(go, patience));
  return Promise.race([asked.then(see), late]).catch((e) => { if (e.code !== "unreachable") throw e; });
}

/** What becomes of this page when its own node is told to; one that is restarted is there again before it is missed. */
const lost = {
  kill: "This page stands still until the node is restarted, which cannot be done from here.",
  pause: "This page stands still until the node is resumed, which cannot be done from here.",
};

const labels = { kill: "Kill", restart: "Restart", pause: "Pause" };

/** A button for what ends or halts a node: where it is the page's own node, it asks first and says what follows. */
function Life({ node, what, disabled, others, dir, see }) {
  const act = () => order(node, what, {}, see);
  if (!node.self || !lost[what]) return html`<${Act} testid=${`node-${what}`} disabled=${disabled} onAct=${act}>${labels[what]}<//>`;
  const other = others.find((n) => n.state === "up");
  const back = `node testnet ${what === "pause" ? "resume" : "restart"} ${node.name} --dir ${shell(dir)}`;
  return html`<${Ask} label=${labels[what]} testid=${`node-${what}`} disabled=${disabled} onYes=${act} question=${html`<strong>${node.name} is the node that shows you this page.</strong> ${lost[what]}
    ${other && html` To go on watching, open ${other.name} first: <${Open} node=${other} />`} What brings it back, there or in a terminal: <code class="long">${back}</code>`} />`;
}

function Buttons({ node, all, dir, slow, from, see }) {
  const others = all.filter((n) => !n.self);
  const up = node.state === "up", paused = node.state === "paused";
  const alone = all.length < 2;
  const to = from !== node.name && all.some((n) => n.name === from) ? from : "";
  return html`<div class="row tight does">
    <${Life} node=${node} what="kill" disabled=${!up && !paused} others=${others} dir=${dir} see=${see} />
    <${Life} node=${node} what="restart" others=${others} dir=${dir} see=${see} />
    ${paused ? html`<${Act} testid="node-resume" onAct=${() => order(node, "resume", {}, see)}>Resume<//>`
    : html`<${Life} node=${node} what="pause" disabled=${!up} others=${others} dir=${dir} see=${see} />`}
    <${Act} testid="node-slow" onAct=${() => order(node, "slow", slow, see)}>Slow link<//>
    <${Act} testid="node-cut" disabled=${alone} title=${to ? `from ${to}` : "from all"} onAct=${() => order(node, "cut", to ? { from: to } : {}, see)}>Cut off<//>
    <${Act} testid="node-heal" disabled=${node.harm.length === 0 && !all.some((n) => n.harm.some((h) => h.startsWith(`to ${node.name} `)))} onAct=${() => order(node, "heal", {}, see)}>Heal<//></div>`;
}

const headline = (all) => {
  const up = all.filter((n) => n.state === "up").length;
  return up === all.length ? `All ${count(all.length, "node")} of the test network are up` : `${up} of ${count(all.length, "node")} of the test network are up`;
};

export function TestnetPage() {
  const [{ data, error }, see] = useNetwork();
  const [delay, setDelay] = useState("100"), [speed, setSpeed] = useState("1"), [from, setFrom] = useState("");
  if (!data) return html`<h1>Test network</h1>${error ? html`<${Fault} error=${error} />` : html`<p class="note">Asking the network …</p>`}`;
  const all = data.nodes;
  // What the fields mean: milliseconds, and megabytes a second; what is no number is left to the node's default.
  const slow = { delay_ms: Math.max(0, Number(delay)) || undefined, rate: Math.round(Number(speed) * 1e6) || undefined };
  return html`<h1 data-testid="network">${headline(all)}</h1><${Fault} error=${error} /><div class="grid">
    <${Card} title="Nodes" note=${html`each a process of this machine, in <${Name} text=${data.dir} />`} wide>
      <${Table} caption="Nodes" testid="nodes" stacks head=${["node", "state", "do", "dashboard", "sets", "memory"]} text=${[4]} rows=${all.map((n) => [
    html`<span id=${`node-${n.name}`} title=${n.peer_id}>${n.name}</span>${n.self ? html` <span class="note">this node</span>` : ""}`, html`<${State} state=${n.state} />`,
    html`<${Buttons} node=${n} all=${all} dir=${data.dir} slow=${slow} from=${from} see=${see} />`, n.self ? "" : html`<${Open} node=${n} />`,
    html`<span data-testid="node-sets">${n.sets.map(words).join(", ")}</span>${n.harm.length > 0 && html`<div class="note" data-testid="node-harm">${harm(n, all.length - 1)}</div>`}`, n.memory > 0 ? html`${bytes(n.memory)}<span class="stacked"> of memory</span>` : ""])} /><//>
    <${Card} title="Links" note="what “Slow link” and “Cut off” do; “Heal” takes both back" class="half">
      <div class="row"><${Field} label="Delay, one way (ms)">${(id) => html`<input id=${id} type="number" min="0" max="60000" value=${delay} data-testid="slow-delay" onInput=${(e) => setDelay(e.currentTarget.value)} />`}<//>
        <${Field} label="Speed (MB/s)">${(id) => html`<input id=${id} type="number" min="0.001" step="any" value=${speed} data-testid="slow-speed" onInput=${(e) => setSpeed(e.currentTarget.value)} />`}<//>
        <${Field} label="Cut off from">${(id) => html`<select id=${id} value=${from} data-testid="cut-from" onChange=${(e) => setFrom(e.currentTarget.value)}><option value="">all</option>${all.map((n) => html`<option>${n.name}</option>`)}</select>`}<//></div>
      <p class="note">A slow link carries at most ${rate(slow.rate ?? 1e6)} each way, and every byte is ${slow.delay_ms ?? 0} ms late.</p><//>
    <${Card} title="More" note="in a terminal" class="half"><p>Scripts, shares and a report: <code class="long">node testnet do --dir ${shell(data.dir)} 'share docs at ${all[0]?.name} size 16MiB'</code></p><//>
  </div>`;
}
