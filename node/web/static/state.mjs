// What the page knows of the node: fed by the stream, read by the components.
import { signal, computed, batch, effect } from "./vendor/signals.mjs";
import * as api from "./api.mjs";

export const status = signal(null);
export const operations = signal([]); // newest first
export const events = signal([]); // newest first, at most maxEvents
export const link = signal("connecting"); // connecting, live, lost, out
export const returns = signal(0); // how often the node was lost and came back
export const lostAt = signal(0); // when the node was heard last, if it is not any more
export const about = signal({ version: "", testnet: false });
export const fetching = signal(new Map()); // by set: the newest progress of a revision that is on its way
export const notices = signal([]); // what went wrong, for a moment
export const tick = signal(Date.now()); // once a second, for ages

const maxEvents = 1000; // what the node remembers
const keepPoints = 900; // a quarter of an hour by seconds

export const sets = computed(() => [...(status.value?.sets ?? [])].sort((a, b) => a.name.localeCompare(b.name) || a.set.localeCompare(b.set)));
export const peers = computed(() => status.value?.peers ?? []);
export const self = computed(() => status.value?.peer_id ?? "");

/** Names of nodes by peer id: of a test network, where they have some. */
export const names = signal(new Map());

/** A peer as people call it here. */
export const peerName = (id) => (!id ? "nobody" : id === self.value ? "this node" : names.value.get(id) ?? (id.length > 14 ? `…${id.slice(-6)}` : id));

/** Bytes a second, one point a second: times, received, sent, not sent thanks to delta. */
export const traffic = signal({ t: [], received: [], sent: [], saved: [] });
/** Bytes of new revisions that were here, or were made of patches, since the node began: they did not have to come whole. */
export const saved = signal(0);

/** Who was what in a set since the page is open: {peer, role, from, to} by set. What was before is told by events. */
export const lanes = signal(new Map());

const meter = { last: null, rate: { received: 0, sent: 0 }, pending: 0, saved: undefined };

// measure turns growing totals into a rate, smoothed over two seconds so that it is never zero while bytes move.
function measure(st, now) {
  const before = meter.last;
  meter.last = { t: now, in: st.wire_in, out: st.wire_out };
  if (!before || st.wire_in < before.in || st.wire_out < before.out) return; // the first, or the node began anew
  meter.moved = { in: (meter.moved?.in ?? 0) + st.wire_in - before.in, out: (meter.moved?.out ?? 0) + st.wire_out - before.out };
}

function sample() {
  const now = Date.now();
  const keep = Math.exp(-1 / 2);
  for (const [name, of] of [["received", "in"], ["sent", "out"]]) {
    meter.rate[name] = meter.rate[name] * keep + (meter.moved?.[of] ?? 0) * (1 - keep);
    if (meter.rate[name] < 1) meter.rate[name] = 0;
  }
  meter.moved = null;
  const s = traffic.value;
  const add = (list, v) => [...list.slice(1 - keepPoints), v];
  batch(() => {
    traffic.value = { t: add(s.t, now / 1000), received: add(s.received, meter.rate.received), sent: add(s.sent, meter.rate.sent), saved: add(s.saved, meter.pending) };
    tick.value = now;
  });
  meter.pending = 0;
}

// before fills the chart with what the node remembers of the time before the page was opened.
function before(samples) {
  if (traffic.value.t.length > 0) return;
  const list = samples.filter((s, i) => i > 0 && s.t > samples[i - 1].t);
  const perSecond = (name) => list.map((s) => s[name] / (s.t - samples[samples.indexOf(s) - 1].t));
  traffic.value = { t: list.map((s) => s.t), received: perSecond("in"), sent: perSecond("out"), saved: list.map((s) => s.saved ?? 0) };
}

/** What a result did not need to fetch. */
export const spared = (r) => (r ? (r.bytes_reused || 0) + (r.bytes_patched || 0) : 0);

// countSaved takes the totals of the node since it began; what is new of them belongs to this second.
function countSaved(t) {
  if (!t) return;
  const total = t.reused + t.patched;
  if (meter.saved !== undefined && total > meter.saved) meter.pending += total - meter.saved;
  meter.saved = total;
  saved.value = total;
}

/** The state after a change: what it does not name is as before. */
export function changed(before, c) {
  const gone = new Set(c.gone ?? []);
  const fresh = new Map((c.sets ?? []).map((s) => [s.set, s]));
  const sets = (before.sets ?? []).filter((s) => !gone.has(s.set)).map((s) => {
    const now = fresh.get(s.set) ?? s;
    fresh.delete(s.set);
    return now;
  });
  const { time, gone: _, sets: __, ...rest } = c;
  return { ...before, ...rest, sets: [...sets, ...fresh.values()], peers: c.peers ?? before.peers, listen: c.listen ?? before.listen };
}

function see(st, now) {
  measure(st, now);
  const next = new Map(lanes.value);
  let changed = false;
  for (const set of st.sets ?? []) {
    const roles = new Map();
    if (set.primary) roles.set(set.primary, "primary");
    if (set.backup) roles.set(set.backup, "backup");
    if (!roles.has(st.peer_id)) roles.set(st.peer_id, set.role || "reader");
    const spans = next.get(set.set) ?? [];
    // Who was primary or backup votes still, or is gone: a lane does not just end.
    for (const { peer } of spans) if (!roles.has(peer)) roles.set(peer, (st.peers ?? []).some((p) => p.peer_id === peer) ? "replica" : "lost");
    const open = spans.filter((s) => !s.to);
    const same = open.length === roles.size && open.every((s) => roles.get(s.peer) === s.role);
    if (same) continue;
    changed = true;
    for (const s of open) if (roles.get(s.peer) !== s.role) s.to = now;
    for (const [peer, role] of roles) if (!open.some((s) => s.peer === peer && s.role === role)) spans.push({ peer, role, from: now, epoch: set.epoch });
    next.set(set.set, spans);
  }
  status.value = st;
  if (changed) lanes.value = next;
}

// settle forgets the progress of what has come or comes no more.
function settle(set) {
  if (!fetching.value.has(set)) return;
  const left = new Map(fetching.value);
  left.delete(set);
  fetching.value = left;
}

function hearOperation(op) {
  if (op.state === "cancelled" || op.state === "failed") for (const s of sets.value) if (s.set === op.set || (op.folder && op.folder === s.dir)) settle(s.set);
  const others = operations.value.filter((o) => o.id !== op.id);
  operations.value = [op, ...others].sort((a, b) => b.began.localeCompare(a.began));
}

function hearEvent(e, id) {
  if (id && events.value.some((o) => o.id === id)) return; // a stream that begins anew tells what was before
  if (e.kind === "progress") {
    fetching.value = new Map(fetching.value).set(e.set, e);
    return;
  }
  if (["complete", "failed", "ended"].includes(e.kind)) settle(e.set);
  if (e.kind === "ready") return;
  events.value = [{ ...e, id: id || `${e.time} ${e.kind} ${e.set}` }, ...events.value].slice(0, maxEvents);
}

function hear(type, data, id) {
  const now = Date.now();
  batch(() => {
    switch (type) {
      case "snapshot":
        see(data.status, now);
        countSaved(data.status.traffic);
        before(data.samples ?? []);
        operations.value = data.operations ?? [];
        for (const e of data.events ?? []) hearEvent(e, e.id);
        break;
      case "status":
        if (status.value) see(changed(status.value, data), now);
        countSaved(data.traffic);
        break;
      case "operation":
        hearOperation(data);
        break;
      case "event":
        hearEvent(data, id);
    }
  });
}

// state is what another tab needs to know that comes later.
const state = () => status.value && { status: status.value, operations: operations.value, events: [...events.value].reverse() };

/** Begins work and tells of it; the promise is its operation, once it was accepted. */
export async function start(path, body) {
  const op = await api.begin(path, body);
  batch(() => hearOperation(op));
  return op;
}

/** The newest known state of an operation. */
export const operation = (id) => operations.value.find((o) => o.id === id);

/** What an operation answers, once it has ended. */
export const outcome = (id) => new Promise((done, fail) => {
  let stop = () => {}, ended = false;
  stop = effect(() => {
    const op = operation(id);
    if (ended || !op || op.state === "running") return;
    ended = true;
    queueMicrotask(() => stop());
    if (op.state !== "done") fail(new api.Problem(op.error ?? { title: "it was cancelled" }));
    else if (op.result !== undefined) done(op.result);
    else api.get(`operations/${id}`).then((o) => done(o.result), fail); // the stream leaves large results out
  });
});

// readable is how long a message stays, in milliseconds: time to read three lines twice.
const readable = 12000;

/** Says what went wrong, for a moment. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  const n = { id: api.unique(), title: error.message, detail: error.detail, hint: error.hint, code: error.code };
  notices.value = [...notices.value.filter((o) => o.title !== n.title || o.detail !== n.detail), n].slice(-4);
  setTimeout(() => dismiss(n.id), readable);
}

export const dismiss = (id) => { if (notices.value.some((n) => n.id === id)) notices.value = notices.value.filter((n) => n.id !== id); };

// learn asks for what belongs to the process of the node, which may be another one after a time without it.
function learn() {
  api.about().then((a) => {
    about.value = a;
    if (a.testnet) return api.get("testnet").then((t) => { names.value = new Map((t.nodes ?? []).filter((n) => n.peer_id).map((n) => [n.peer_id, n.name])); });
    return undefined;
  }).catch(() => {});
}

/** Takes how the connection to the node is. */
export function heardLink(s, at) {
  if (link.value === "live" && s !== "live") lostAt.value = at;
  if (link.value !== "live" && s === "live") learn();
  if (link.value === "lost" && s === "live") {
    returns.value += 1;
    notices.value = notices.value.filter((n) => n.code !== "unreachable"); // it answers again
  }
  link.value = s;
}

export function open() {
  api.watch(hear, (s, at) => batch(() => heardLink(s, at)), state);
  setInterval(sample, 1000);
}
