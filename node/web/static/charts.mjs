// Pictures: throughput, the ring of peers, strips, bars and lanes. Each comes with its table.
import { useEffect, useRef, useState } from "./vendor/hooks.mjs";
import { html, bytes, rate, percent, short, clock } from "./base.mjs";
import { traffic, tick, peerName } from "./state.mjs";
import { Picture } from "./ui.mjs";

/** An element, once it is there, and its width as it is laid out. */
function useWidth() {
  const [element, ref] = useState(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element) return undefined;
    const o = new ResizeObserver(([e]) => setWidth(Math.floor(e.contentRect.width)));
    o.observe(element);
    return () => o.disconnect();
  }, [element]);
  return [ref, width, element];
}

/** Tells of a change between light and dark. */
function useScheme() {
  const [dark, setDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const m = matchMedia("(prefers-color-scheme: dark)");
    const hear = () => setDark(m.matches);
    m.addEventListener("change", hear);
    return () => m.removeEventListener("change", hear);
  }, []);
  return dark;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function options(width) {
  const ink = colour("muted"), line = colour("line");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width, height: 230, cursor: { drag: { x: false, y: false }, points: { show: false } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(1000, max * 1.1)] } },
    axes: [{ ...axis, space: 90, values: (_, ts) => ts.map((t) => new Date(t * 1000).toTimeString().slice(0, 8)) },
      { ...axis, size: 78, values: (_, vs) => vs.map((v) => rate(v)) }],
    series: [{},
      { label: "received", stroke: colour("primary"), fill: colour("primary-soft"), width: 2, points: { show: false } },
      { label: "sent", stroke: colour("backup"), width: 2, points: { show: false } },
      { label: "not sent thanks to delta", stroke: colour("good"), dash: [4, 3], width: 2, points: { show: false } }],
  };
}

// recent are the points of a time, with nothing at both of its ends: the page may be younger than the first.
function recent(s, from, to) {
  const i = s.t.findIndex((t) => t > from);
  const cut = (list) => (i < 0 ? [] : list.slice(i));
  return [[from, ...cut(s.t), to], ...[s.received, s.sent, s.saved].map((l) => [null, ...cut(l), null])];
}

export function Throughput() {
  const [ref, width, element] = useWidth();
  const dark = useScheme();
  const plot = useRef();
  const s = traffic.value;
  const end = s.t.at(-1) ?? tick.value / 1000;
  const data = recent(s, end - 120, end + 0.001);
  useEffect(() => {
    if (!element || width < 50) return undefined;
    const u = new window.uPlot(options(width), data, element);
    plot.current = u;
    return () => { u.destroy(); plot.current = undefined; };
  }, [element, width, dark]);
  useEffect(() => { plot.current?.setData(data); }, [s]);
  const last = (l) => l.at(-1) ?? 0;
  const rows = s.t.slice(-30).map((t, i, all) => { const at = s.t.length - all.length + i; return [new Date(t * 1000).toTimeString().slice(0, 8), rate(s.received[at]), rate(s.sent[at]), bytes(s.saved[at])]; }).reverse();
  return html`<${Picture} label="Throughput of the last half minute" twin=${{ head: ["time", "received", "sent", "not sent thanks to delta"], rows }}>
    <p class="legend" data-testid="rates"><span class="key received">${rate(last(s.received))} received</span><span class="key sent">${rate(last(s.sent))} sent</span><span class="key saved">not sent thanks to delta</span></p>
    <div class="plot" ref=${ref} role="img" aria-label=${`Throughput: ${rate(last(s.received))} received, ${rate(last(s.sent))} sent`} data-testid="throughput"></div><//>`;
}

/** The mark of a role: shape and colour, so that neither is needed alone. */
export function Mark({ role, x = 0, y = 0, r = 10, lost }) {
  const c = lost ? "mark lost" : `mark ${role || "reader"}`;
  switch (role) {
    case "primary":
      return html`<circle class=${c} cx=${x} cy=${y} r=${r * 1.25} />`;
    case "backup":
      return html`<path class=${c} d=${`M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}z`} />`;
    case "replica": case "candidate":
      return html`<rect class=${c} x=${x - r * 0.9} y=${y - r * 0.9} width=${r * 1.8} height=${r * 1.8} />`;
    default:
      return html`<circle class=${c} cx=${x} cy=${y} r=${r * 0.8} />`;
  }
}

export const Role = ({ role }) => html`<span class="role"><svg viewBox="-14 -14 28 28" aria-hidden="true"><${Mark} role=${role} /></svg>${role || "peer"}</span>`;

const order = { primary: 0, backup: 1, replica: 2, candidate: 2, reader: 3 };

// Label stands outside of its mark, as seen from the middle.
function Label({ p, cx, cy, text }) {
  const side = p.x - cx, above = p.y < cy;
  if (Math.abs(side) < 60 || text.length > 6) return html`<text x=${p.x} y=${above ? p.y - 18 : p.y + 28} text-anchor="middle">${text}</text>`;
  return html`<text x=${p.x + (side > 0 ? 14 : -14)} y=${p.y + 4} text-anchor=${side > 0 ? "start" : "end"}>${text}</text>`;
}

/** The ring: places by role and id, so that nobody jumps. nodes are {id, role, self, lost, relayed, rtt}. */
export function Ring({ nodes }) {
  const all = [...nodes].sort((a, b) => (order[a.role] ?? 4) - (order[b.role] ?? 4) || a.id.localeCompare(b.id)).slice(0, 40);
  const [ref, width] = useWidth();
  const me = all.find((n) => n.self);
  const ring = all.filter((n) => !n.self);
  const w = Math.max(240, Math.min(520, width || 460)), h = ring.length < 4 ? 230 : 310, cx = w / 2, cy = h / 2 - 4;
  const at = new Map(ring.map((n, i) => { const a = -Math.PI / 2 + (2 * Math.PI * i) / Math.max(1, ring.length); return [n.id, { x: cx + (w / 2 - 55) * Math.cos(a), y: cy + (h / 2 - 38) * Math.sin(a) }]; }));
  const room = (2 * Math.PI * (w / 2 - 55)) / ring.length, dense = ring.length > 10; // pixels between two neighbours
  const label = (n) => (room < 26 ? "" : dense ? n.id.slice(-4) : `${short(n.id)}${n.lost ? " (lost)" : ""}`);
  const twin = { head: ["peer", "role", "path", "round trip"], rows: all.map((n) => [n.self ? "this node" : n.id, n.role || "peer", n.self ? "" : n.lost ? "lost" : n.relayed ? "relayed" : "direct", n.rtt ? `${n.rtt.toFixed(1)} ms` : ""]) };
  return html`<${Picture} label="Peers of the swarm" twin=${twin}>
    <div ref=${ref}><svg class="ring" style=${{ maxWidth: `${w}px`, margin: "0 auto" }} viewBox=${`0 0 ${w} ${h}`} role="img" data-testid="ring" aria-label=${`This node and ${ring.length} ${ring.length === 1 ? "peer" : "peers"}`}>
      ${ring.map((n) => { const p = at.get(n.id); return !n.lost && html`<line class=${n.relayed ? "edge relayed" : "edge"} x1=${cx} y1=${cy} x2=${p.x} y2=${p.y} />`; })}
      ${ring.map((n) => { const p = at.get(n.id); return html`<g><${Mark} role=${n.role} x=${p.x} y=${p.y} r=${dense ? 7 : 10} lost=${n.lost} /><${Label} p=${p} cx=${cx} cy=${cy} text=${label(n)} /></g>`; })}
      ${me && html`<g><${Mark} role=${me.role} x=${cx} y=${cy} r=${13} /><text class="me" x=${cx} y=${cy + 34} text-anchor="middle">this node</text></g>`}
    </svg></div>
    <p class="legend">${["primary", "backup", "replica", "reader"].map((r) => html`<${Role} role=${r} />`)}</p><//>`;
}

const share = (p) => Math.round(p);

/** One column of a strip: full, a part, or nothing. */
const cells = (have, most) => have.map((v, i) => v > 0 && html`<rect class=${v >= most ? "full" : "part"} x=${i} y="0" width="1.04" height="10" opacity=${v >= most ? 1 : 0.25 + (0.6 * v) / most} />`);

const Strip = ({ label, have, most, end, title }) => html`<div class="strip"><span class="who">${label}</span>
  <svg viewBox=${`0 0 ${have.length || 1} 10`} preserveAspectRatio="none" aria-hidden="true"><rect class="none" x="0" y="0" width=${have.length || 1} height="10" />${cells(have, most)}</svg>
  <span class="end" title=${title}>${end}</span></div>`;

/** Who has which part of the newest revision: a row for each peer, and one for how many copies there are. */
export function Strips({ a }) {
  const words = { all: "100 %", other: "another revision", unknown: "no answer" };
  const end = (p) => (p.state === "some" ? percent(p.leaves, a.leaves) : p.state === "other" && p.revision ? `revision ${p.revision}` : words[p.state] ?? p.state);
  const row = (p) => (p.state === "all" ? Array(a.columns).fill(100) : p.have?.length ? p.have.map(share) : Array(a.columns).fill(0));
  const fewest = a.copies?.length ? Math.min(...a.copies) : 0;
  const twin = { head: ["peer", "has", "pieces"], rows: a.peers.map((p) => [p.self ? "this node" : p.peer_id, end(p), p.state === "all" ? a.leaves : p.leaves]) };
  return html`<${Picture} label="Who has how much" twin=${twin}><div class="strips" data-testid="strips" role="img" aria-label=${`${a.peers.length} peers; at least ${fewest} copies of every part`}>
    ${a.peers.map((p) => html`<${Strip} key=${p.peer_id} label=${p.self ? "this node" : short(p.peer_id)} title=${p.peer_id} have=${row(p)} most=${100} end=${end(p)} />`)}
    ${a.columns > 0 && html`<${Strip} label="copies" have=${a.copies} most=${Math.max(1, ...a.copies)} end=${`${fewest} at least`} />`}
  </div><//>`;
}

/** What an update cost beside what it would have cost without what was here. */
export function Delta({ r }) {
  const parts = [["reused", r.bytes_reused || 0, "reused"], ["made of patches", r.bytes_patched || 0, "patched"], ["fetched", r.bytes_fetched || 0, "fetched"]].filter(([, n]) => n > 0);
  const total = r.bytes_total || 1;
  let x = 0;
  return html`<${Picture} label="What the update cost" twin=${{ head: ["part", "bytes", "share"], rows: parts.map(([l, n]) => [l, bytes(n), percent(n, r.bytes_total)]) }}>
    <svg class="delta" viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" data-testid="delta" aria-label=${parts.map(([l, n]) => `${l} ${bytes(n)}`).join(", ")}>
      <rect class="none" x="0" y="0" width="1000" height="40" />
      ${parts.map(([, n, c]) => { const w = Math.max(4, (1000 * n) / total), at = Math.min(x, 1000 - w); x += (1000 * n) / total; return html`<rect class=${c} x=${at} y="0" width=${w} height="40" />`; })}</svg>
    <p class="legend">${parts.map(([l, n, c]) => html`<span class=${`key ${c}`}>${l} ${bytes(n)}</span>`)}</p><//>`;
}

/** Roles over the time the page is open: a lane for each node, marks where the primary changed. */
export function Lanes({ spans, marks, from, now }) {
  const peers = [...new Set(spans.map((s) => s.peer))];
  const w = 1000, left = 0, lane = 26, h = peers.length * lane + 8;
  const x = (t) => left + ((w - left) * (Math.max(from, t) - from)) / Math.max(1, now - from);
  const twin = { head: ["node", "role", "from", "to"], rows: spans.map((s) => [peerName(s.peer), s.role, clock(new Date(s.from).toISOString()), s.to ? clock(new Date(s.to).toISOString()) : "now"]) };
  return html`<${Picture} label="Roles over time" twin=${twin}><div class="lanes" data-testid="lanes">
    <div class="names">${peers.map((p) => html`<span title=${p}>${peerName(p)}</span>`)}</div>
    <svg viewBox=${`0 0 ${w} ${h}`} preserveAspectRatio="none" role="img" aria-label=${`Roles of ${peers.length} nodes since ${clock(new Date(from).toISOString())}`}>
      ${peers.map((p, i) => html`<rect class="none" x="0" y=${i * lane + 6} width=${w} height="14" />`)}
      ${spans.map((s) => html`<rect class=${`span ${s.role}`} x=${x(s.from)} y=${peers.indexOf(s.peer) * lane + 6} width=${Math.max(2, x(s.to ?? now) - x(s.from))} height="14" vector-effect="non-scaling-stroke"><title>${s.role}</title></rect>`)}
      ${marks.map((m) => html`<line class="event" x1=${x(m.at)} x2=${x(m.at)} y1="0" y2=${h} vector-effect="non-scaling-stroke" />`)}
    </svg></div>
    <p class="legend"><span>${clock(new Date(from).toISOString())} – ${clock(new Date(now).toISOString())}</span>${["primary", "backup", "replica", "reader"].map((r) => html`<span class=${`key ${r}`}>${r}</span>`)}<span class="key event">change of the primary</span></p><//>`;
}
