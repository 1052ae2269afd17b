// Pictures: throughput, marks, bars and lanes. Each comes with its table.
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.mjs";
import { html, bytes, rate, percent, clock, count, moment } from "./base.mjs";
import { traffic, tick, peerName } from "./state.mjs";
import { Picture } from "./ui.mjs";

/** An element, once it is there, and its width as it is laid out. */
export function useWidth() {
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
    width, height: 290, padding: [8, 28, 0, 0], cursor: { drag: { x: false, y: false }, points: { show: false } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(1000, max * 1.1)] } },
    axes: [{ ...axis, size: 26, space: 90, values: (_, ts) => ts.map((t) => clock(t * 1000)) },
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

const spans = [[120, "2 minutes"], [900, "15 minutes"]];

// least is what a node moves by only being there, in bytes a second: less is no traffic.
const least = 1000;

// Still says that nothing happens, where axes would have nothing to show.
const Still = ({ most, label }) => html`<div class="plot still"><p class="note">${most > 0 ? "Next to nothing" : "Nothing"} moved in the last ${label}.</p></div>`;

function Plot({ data, label }) {
  const [ref, width, element] = useWidth();
  const dark = useScheme();
  const plot = useRef();
  useEffect(() => {
    if (!element || width < 50) return undefined;
    const u = new window.uPlot(options(width), data, element);
    plot.current = u;
    return () => { u.destroy(); plot.current = undefined; };
  }, [element, width, dark]);
  useEffect(() => { plot.current?.setData(data); }, [data]);
  return html`<div class="plot" ref=${ref} role="img" aria-label=${`Throughput over ${label}`} data-testid="throughput"></div>`;
}

export function Throughput() {
  const [span, setSpan] = useState(spans[0][0]);
  const s = traffic.value;
  const end = s.t.at(-1) ?? tick.value / 1000;
  const data = useMemo(() => recent(s, end - span, end + 0.001), [s, span]);
  const most = Math.max(0, ...data.slice(1).flat());
  const label = spans.find(([n]) => n === span)[1];
  const last = (l) => l.at(-1) ?? 0;
  const rows = s.t.slice(-30).map((t, i, all) => { const at = s.t.length - all.length + i; return [clock(t * 1000), rate(s.received[at]), rate(s.sent[at]), bytes(s.saved[at])]; }).reverse();
  return html`<${Picture} label="Throughput of the last half minute" twin=${{ head: ["time", "received", "sent", "not sent thanks to delta"], rows }}>
    <div class="row between"><p class="legend" data-testid="rates"><span class="key received">${rate(last(s.received))} received</span><span class="key sent">${rate(last(s.sent))} sent</span><span class="key saved">not sent thanks to delta</span></p>
      <div class="row tight switch" role="group" aria-label="How far back">${spans.map(([n, l]) => html`<button type="button" class="quiet" aria-pressed=${span === n} onClick=${() => setSpan(n)}>${l}</button>`)}</div></div>
    ${most < least ? html`<${Still} most=${most} label=${label} />` : html`<${Plot} data=${data} label=${label} />`}<//>`;
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

/** Roles over time: a lane for each node, marks where the primary changed. */
export function Lanes({ spans, marks, from, now }) {
  const peers = [...new Set(spans.map((s) => s.peer))];
  const w = 1000, left = 0, lane = 26, h = peers.length * lane + 8;
  const x = (t) => left + ((w - left) * (Math.max(from, t) - from)) / Math.max(1, now - from);
  const twin = { head: ["node", "role", "from", "to"], rows: spans.map((s) => [peerName(s.peer), s.role, moment(s.from), s.to ? moment(s.to) : "now"]) };
  return html`<${Picture} label="Roles over time" twin=${twin}><div class="lanes" data-testid="lanes">
    <div class="names">${peers.map((p) => html`<span title=${p}>${peerName(p)}</span>`)}</div>
    <svg viewBox=${`0 0 ${w} ${h}`} preserveAspectRatio="none" role="img" aria-label=${`Roles of ${count(peers.length, "node")} since ${moment(from)}`}>
      ${peers.map((p, i) => html`<rect class="none" x="0" y=${i * lane + 6} width=${w} height="14" />`)}
      ${spans.map((s) => html`<rect class=${`span ${s.role}`} x=${x(s.from)} y=${peers.indexOf(s.peer) * lane + 6} width=${Math.max(2, x(s.to ?? now) - x(s.from))} height="14" vector-effect="non-scaling-stroke"><title>${`${peerName(s.peer)}: ${s.role}`}</title></rect>`)}
      ${marks.map((m) => html`<line class="event" x1=${x(m.at)} x2=${x(m.at)} y1="0" y2=${h} vector-effect="non-scaling-stroke" />`)}
    </svg></div>
    <p class="legend"><span>${moment(from)} – ${moment(now)}</span>${["primary", "backup", "replica", "reader", "lost"].map((r) => html`<span class=${`key ${r}`}>${r}</span>`)}<span class="key event">change of the primary</span></p><//>`;
}
