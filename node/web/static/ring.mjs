// The map of the swarm: this node and its peers, each with its name where there is room for it.
import { html } from "./base.mjs";
import { peerName } from "./state.mjs";
import { Mark, Role, useWidth } from "./charts.mjs";
import { Picture } from "./ui.mjs";

const order = { primary: 0, backup: 1, replica: 2, candidate: 2, reader: 3 };

// How thick a path is drawn: by the magnitude of what moves on it, from 1 kB/s to 100 MB/s.
const thick = (n) => (n > 0 ? 2 + 1.2 * Math.min(5, Math.max(0, Math.log10(n) - 3)) : 2);

// few are places for so many peers, in shares of the picture, and how high that is: every name has a corner. "me" is
// this node's.
const few = [
  { height: 200, me: [0.5, 0.4], at: [] },
  { height: 200, me: [0.73, 0.4], at: [[0.27, 0.4]] },
  { height: 230, me: [0.5, 0.65], at: [[0.24, 0.38], [0.76, 0.38]] },
  { height: 270, me: [0.5, 0.5], at: [[0.5, 0.24], [0.19, 0.72], [0.81, 0.72]] },
  { height: 270, me: [0.5, 0.47], at: [[0.19, 0.26], [0.81, 0.26], [0.19, 0.72], [0.81, 0.72]] },
];

// From so many peers on the names of their rows would touch each other: the table has them.
const crowded = 17;

const pen = document.createElement("canvas").getContext("2d");

// extent is how wide a text is drawn, in pixels; its halo is part of it.
function extent(text) {
  pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width + 6;
}

// cut is as much of a text as has room.
function cut(text, room) {
  if (extent(text) <= room) return text;
  let n = text.length;
  while (n > 1 && extent(`${text.slice(0, n)}…`) > room) n--;
  return `${text.slice(0, n)}…`;
}

// named puts lines of text above or below a mark, inside of the picture.
function named(p, lines, away, up, w) {
  const half = Math.max(...lines.map(extent)) / 2;
  const x = Math.min(w - half, Math.max(half, p.x));
  return lines.map((text, i) => ({ text, x, y: up ? p.y - away - 4 - 15 * (lines.length - 1 - i) : p.y + away + 12 + 15 * i, anchor: "middle", faint: i > 0 }));
}

// beside puts a name at the outer side of a mark.
const beside = (p, cx, text, away) => [{ text, x: p.x + (p.x > cx ? away + 3 : -away - 3), y: p.y + 4, anchor: p.x > cx ? "start" : "end" }];

const trip = (n) => (n.lost ? "not connected" : `${n.role === "reader" ? "" : `${n.role} · `}${n.relayed ? "relayed" : n.rtt ? `${n.rtt < 10 ? n.rtt.toFixed(1) : Math.round(n.rtt)} ms` : "direct"}`);

function small(peers, role, w) {
  const spots = few[peers.length];
  const place = ([x, y]) => ({ x: Math.round(x * w), y: Math.round(y * spots.height) });
  const room = peers.length === 3 ? 0.4 * w : 0.46 * w; // of a name, before it meets the one across
  const me = place(spots.me);
  const marks = peers.map((n, i) => {
    const p = place(spots.at[i]);
    const up = peers.length > 1 && p.y < me.y;
    return { n, ...p, r: 17, labels: named(p, [cut(peerName(n.id), room), cut(trip(n), room)], 24, up, w) };
  });
  return { height: spots.height, me: { ...me, r: 20, labels: named(me, ["this node", role], 28, false, w) }, marks };
}

function round(peers, w) {
  const height = 290; // as high as the chart beside it
  const n = peers.length, dense = n > 10, r = dense ? 7 : 10, away = 1.3 * r + 4;
  const names = peers.map((p) => (n >= crowded ? "" : dense ? peerName(p.id).replace(/^….*(?=.{4}$)/, "") : peerName(p.id)));
  const cx = w / 2, cy = height / 2 - 4, room = Math.max(40, w / 2 - 70);
  const widest = Math.max(0, ...names.map((t) => Math.min(room, t === "" ? 0 : extent(t))));
  const rx = Math.min(190, cx - away - 4 - widest), ry = height / 2 - 42;
  const marks = peers.map((p, i) => {
    const angle = -Math.PI / 2 + (2 * Math.PI * i) / n;
    const at = { x: cx + rx * Math.cos(angle), y: cy + ry * Math.sin(angle) };
    const pole = Math.abs(at.x - cx) < 8; // nothing is beside it, and all is above or below
    const text = cut(names[i], room);
    return { n: p, ...at, r, labels: text === "" ? [] : pole ? named(at, [text], away, at.y < cy, w) : beside(at, cx, text, away) };
  });
  return { height, me: { x: cx, y: cy, r: 13, labels: [{ text: "this node", x: cx, y: cy + 33, anchor: "middle" }] }, marks };
}

// layout is where everybody is drawn in a picture so wide; role is that of this node.
const layout = (peers, role, w) => (peers.length < few.length ? small(peers, role, w) : round(peers, w));

const Label = ({ l, me }) => html`<text x=${l.x} y=${l.y} text-anchor=${l.anchor} class=${l.faint ? "faint" : me ? "me" : undefined}>${l.text}</text>`;

/** The swarm: places by role and id, so that nobody jumps. nodes are {id, role, self, lost, relayed, rtt, rate}. */
export function Ring({ nodes }) {
  const all = [...nodes].sort((a, b) => (order[a.role] ?? 4) - (order[b.role] ?? 4) || a.id.localeCompare(b.id)).slice(0, 41);
  const [ref, width] = useWidth();
  const self = all.find((n) => n.self);
  const w = Math.max(240, Math.min(520, width || 460));
  const { height, me, marks } = layout(all.filter((n) => !n.self), self?.role ?? "reader", w);
  const twin = { head: ["peer", "role", "path", "round trip"], rows: all.map((n) => [html`<span title=${n.id}>${peerName(n.id)}</span>`, n.role || "peer", n.self ? "" : n.lost ? "lost" : n.relayed ? "relayed" : "direct", n.rtt ? `${n.rtt.toFixed(1)} ms` : ""]) };
  return html`<${Picture} label="Peers of the swarm" twin=${twin}>
    <div class="map" ref=${ref}><svg class="ring" style=${{ maxWidth: `${w}px` }} viewBox=${`0 0 ${w} ${height}`} role="img" data-testid="ring" aria-label=${`This node and ${marks.length} ${marks.length === 1 ? "peer" : "peers"}`}>
      ${marks.map(({ n, x, y }) => !n.lost && html`<line class=${n.relayed ? "edge relayed" : "edge"} stroke-width=${thick(n.rate)} x1=${me.x} y1=${me.y} x2=${x} y2=${y} />`)}
      ${marks.map(({ n, x, y, r, labels }) => html`<g key=${n.id}><title>${peerName(n.id)}</title><${Mark} role=${n.role} x=${x} y=${y} r=${r} lost=${n.lost} />${labels.map((l) => html`<${Label} l=${l} />`)}</g>`)}
      ${self && html`<g><${Mark} role=${self.role} x=${me.x} y=${me.y} r=${me.r} />${me.labels.map((l) => html`<${Label} l=${l} me />`)}</g>`}
      ${marks.length === 0 && html`<text x=${me.x} y=${me.y + 90} text-anchor="middle">no other node is connected yet</text>`}
    </svg></div>
    <p class="legend">${["primary", "backup", "replica", "reader"].map((r) => html`<${Role} role=${r} />`)}</p><//>`;
}
