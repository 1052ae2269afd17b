// What every other module needs: the templates, words for numbers, and text of others made visible.
import { h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** A size in decimal units, three digits: "1.38 MB". */
export function bytes(n) {
  n = Number(n) || 0;
  let u = 0;
  while (Math.abs(n) >= 999.5 && u < units.length - 1) { n /= 1000; u++; }
  return `${u === 0 ? Math.round(n) : n < 9.995 ? n.toFixed(2) : n < 99.95 ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
}

export const rate = (n) => `${bytes(n)}/s`;

export const count = (n, one, many = one + "s") => `${Number(n || 0).toLocaleString("en")} ${n === 1 ? one : many}`;

/** A share in words: never "0 %" of something, never "100 %" of what is not whole. */
export function percent(part, whole) {
  if (!whole) return "0 %";
  const p = (100 * part) / whole;
  if (part > 0 && p < 0.1) return "< 0.1 %";
  if (part < whole && p > 99.9) return "99.9 %";
  return `${p >= 99.95 || p === 0 ? Math.round(p) : p < 10 ? p.toFixed(1) : Math.floor(p)} %`;
}

export function seconds(s) {
  if (s === undefined || s === null) return "";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago a time was; a zero time is "never". */
export function ago(time, now = Date.now()) {
  const t = Date.parse(time);
  if (!(t > 0)) return "never";
  const s = Math.max(0, (now - t) / 1000);
  if (s < 2) return "now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return new Date(t).toISOString().slice(0, 10);
}

/** The time of day of a moment: of text, or of milliseconds. */
export const clock = (time) => {
  const t = typeof time === "number" ? time : Date.parse(time);
  return t > 0 ? new Date(t).toTimeString().slice(0, 8) : "never";
};

/** A moment: the time of day, and the day if that is not today. */
export const moment = (time) => {
  const d = new Date(time), day = (x) => new Date(x - x.getTimezoneOffset() * 60000).toISOString().slice(0, 10);
  return day(d) === day(new Date()) ? clock(time) : `${day(d)} ${clock(time).slice(0, 5)}`;
};

// Characters that draw nothing or turn the direction of what follows: a name must not look like another one.
const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Text of others, with what cannot be seen written out. */
export const visible = (text) => String(text ?? "").replace(hidden, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** A name that somebody else chose, as text. */
export const Name = ({ text, title }) => html`<bdi class="name" title=${title === undefined ? visible(text) : visible(title)}>${visible(text)}</bdi>`;

/** Whether text is a whole path, of any system. */
export const whole = (path) => /^(\/|[A-Za-z]:[\\/]|\\\\)/.test(path.trim());

/** A sentence in which `this` is something to type. */
export const Sentence = ({ text }) => html`<span class="sentence">${String(text ?? "").split("`").map((part, i) => (i % 2 ? html`<code>${visible(part)}</code>` : html`<${Name} text=${part} title="" />`))}</span>`;

export const short = (id) => (id && id.length > 14 ? `…${id.slice(-6)}` : id || "");

export const enc = encodeURIComponent;

/** Classes joined, without what is false. */
export const cls = (...names) => names.filter(Boolean).join(" ");
