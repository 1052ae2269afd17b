// What the state of the node means, in sentences.
import { clock, count, seconds } from "./base.mjs";
import { fetching, link, lostAt, operations, peerName, peers, self, sets } from "./state.mjs";

/** How a set is: a tone, words, what they are after its name in a sentence, and why somebody has to look at it. */
export function health(s) {
  if (s.alarms?.length) return { tone: "bad", text: "needs somebody", says: `: ${s.alarms[0]}`, why: s.alarms[0] };
  if (coming(s)) return { tone: "busy", text: "is being fetched" };
  if (s.state === "incomplete") return { tone: "warn", text: "incomplete", says: " is incomplete, and not being fetched" };
  if (s.behind > 0) return { tone: "warn", text: `${count(s.behind, "revision")} behind`, says: ` is ${count(s.behind, "revision")} behind` };
  if (s.forks > 0) return { tone: "warn", text: `${count(s.forks, "fork")} to merge`, says: ` has ${count(s.forks, "fork")} to merge` };
  if (s.stale) {
    const text = `out of touch with ${s.mode === "strict" ? "a majority" : "its primary"}`;
    return { tone: "warn", text, says: ` is ${text}` };
  }
  if (s.durable) return { tone: "good", text: "up to date, durable" };
  return { tone: "good", text: alone(s) ? "only on this node" : "up to date" };
}

/** Whether something brings what is lacking of a set. */
export const coming = (s) => fetching.value.has(s.set) || (s.state === "incomplete" && (s.following || s.replicating || running().some((o) => o.set === s.set || (o.folder && o.folder === s.dir))));

// alone tells that nobody else is known to have the set: its primary would.
const alone = (s) => !s.durable && s.holders <= 1 && (!s.primary || s.primary === self.value);

/** Whether what is shown is of some time ago. */
export const stale = () => link.value === "lost";

/** Since when nothing is heard of the node. */
export const silence = () => `No connection to this node${lostAt.value ? ` since ${clock(lostAt.value).slice(0, 5)}` : ""}`;

/** Sets that somebody should look at. */
export const ill = () => sets.value.filter((s) => ["bad", "warn"].includes(health(s).tone));

/** The first thing to read: how the swarm is. */
export function headline() {
  if (stale()) return { tone: "bad", text: silence() };
  const n = peers.value.length, all = sets.value;
  const who = n === 0 ? "No peer is connected" : `${count(n, "peer")} connected`;
  if (all.length === 0) return { tone: n ? "good" : "wait", text: `${who}; no file sets yet` };
  const odd = all.map((s) => [s, health(s)]).filter(([, h]) => h.tone !== "good");
  if (odd.length === 0) {
    const lonely = all.filter(alone).length;
    const fine = `${who}, ${all.length === 1 ? "the file set is" : `all ${all.length} file sets are`} up to date`;
    if (lonely === 0) return { tone: "good", text: fine };
    return { tone: "good", text: `${fine}, ${lonely === all.length ? "" : `${lonely} of them `}only on this node` };
  }
  const [s, h] = odd.find(([, x]) => x.tone === "bad") ?? odd[0];
  return { tone: h.tone, text: `${who}; `, set: s, about: h.says ?? ` ${h.text}`, more: odd.length - 1 };
}

/** Roles that a peer has in any set, the highest first. */
export function roleOf(id) {
  let role = "";
  for (const s of sets.value) {
    if (s.primary === id) return "primary";
    if (s.backup === id) role = "backup";
    else if (id === self.value && !role && s.role !== "reader") role = s.role;
  }
  return role || "reader";
}

/** Nodes of the ring: this one, connected peers, and primaries and backups that are not. */
export function nodes() {
  const all = new Map([[self.value, { id: self.value, self: true, role: roleOf(self.value) }]]);
  for (const p of peers.value) all.set(p.peer_id, { id: p.peer_id, role: roleOf(p.peer_id), rtt: p.rtt_ms, rate: (p.rate_in ?? 0) + (p.rate_out ?? 0), relayed: p.addr?.includes("/p2p-circuit") });
  for (const s of sets.value) for (const id of [s.primary, s.backup]) if (id && !all.has(id)) all.set(id, { id, role: id === s.primary ? "primary" : "backup", lost: true });
  return [...all.values()];
}

// asides are looks into a set, which a page takes by itself.
const asides = ["peek"];

/** What was asked of the node by somebody. */
export const asked = () => operations.value.filter((o) => !asides.includes(o.kind));

export const running = () => asked().filter((o) => o.state === "running");

/** How an operation stands, in a word and a tone. What was begun and goes on by itself is not "done". */
export function standing(op) {
  const goesOn = ["follow", "follow-set"].includes(op.kind);
  if (op.state === "done" && goesOn) return fetching.value.has(op.result?.set ?? op.set) ? ["begun, fetching", "busy"] : ["begun, goes on", "good"];
  return { running: ["running", "busy"], done: ["done", "good"], failed: ["failed", "bad"], cancelled: ["cancelled", "warn"] }[op.state] ?? [op.state, "warn"];
}

/** What an event says. */
export function eventText(e) {
  const rev = e.revision ? ` revision ${e.revision}` : "";
  switch (e.kind) {
    case "published": return `published${rev}`;
    case "available": return `a peer has${rev}`;
    case "complete": return `complete${rev}`;
    case "conflict": return "local edits were kept as copies";
    case "failed": return `${rev ? rev.trim() : "it"} could not be completed; it is tried again`;
    case "hook": return "the command of the folder has run";
    case "ended": return "not followed any more";
    case "granted": return "";
    case "primary": {
      const { from, to, reason, seconds: gap } = e.primary ?? {};
      if (!to) return from === self.value ? "this node is not primary any more, and no other is yet" : `${peerName(from)} is not heard any more`;
      const why = { handover: `: ${peerName(from)} handed over`, lost: `: ${peerName(from)} was lost` }[reason] ?? "";
      return `${peerName(to)} is primary${why}${gap > 0 ? `, after ${seconds(gap)} without one` : ""}`;
    }
    case "alarm": case "mended": case "notice": return ""; // its detail says it
    default: return e.kind;
  }
}
