// Requests to the node, and the one stream of what happens there.
import { signal } from "./vendor/signals.mjs";
import { enc } from "./base.mjs";

const root = "/api/v1/";

/** What to type to be let in, once the node does not know this browser any more. */
export const signedOut = signal("");

/** A failure with the node's own words: title, detail, hint, code. */
export class Problem extends Error {
  constructor(members) {
    super(members.title || "that did not work");
    Object.assign(this, members);
  }
}

async function answer(response) {
  const text = await response.text();
  let body = null;
  try { body = text ? JSON.parse(text) : null; } catch { /* not JSON: an error page of something between */ }
  if (response.status === 401) signedOut.value = /`([^`]+)`/.exec(body?.hint ?? "")?.[1] ?? "shoal dashboard";
  if (!response.ok) throw new Problem(body || { title: `the node answered ${response.status}`, status: response.status });
  return body;
}

async function send(method, path, body, extra = {}) {
  const init = { method, headers: { Accept: "application/json", ...extra.headers }, signal: extra.signal };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Problem({ title: "the node does not answer", hint: "is it still running?", code: "unreachable" });
  }
  return answer(response);
}

export const get = (path, query, signal) => {
  const q = new URLSearchParams(Object.entries(query || {}).filter(([, v]) => v !== undefined && v !== ""));
  return send("GET", root + path + (q.size ? `?${q}` : ""), undefined, { signal });
};
export const post = (path, body = {}) => send("POST", root + path, body);
export const put = (path, body) => send("PUT", root + path, body);
export const del = (path, body) => send("DELETE", root + path, body);
export const signOut = () => send("POST", "/logout");
export const about = (signal) => send("GET", "/about.json", undefined, { signal });
export const openapi = () => send("GET", "/openapi.json");

/** 128 random bits; crypto.randomUUID is not there for a page that came by http from another name than localhost. */
export const unique = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

/** Begins long work; the answer is the operation. Sent twice, it is still one. */
export const begin = (path, body) => send("POST", root + path, body, { headers: { "Idempotency-Key": unique() } });

/** All pages of a list, up to a number that a table can show. */
export async function all(path, query, most, signal) {
  const items = [];
  let cursor;
  do {
    const page = await get(path, { ...query, limit: Math.min(1000, most - items.length), cursor }, signal);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return { items, more: Boolean(cursor) };
}

export const contentURL = (set, path) => `${root}sets/${enc(set)}/content?path=${enc(path)}`;

export async function qr(text) {
  const response = await fetch("/qr", { method: "POST", body: text });
  return answer(response);
}

const types = ["snapshot", "status", "operation", "event"];

// A stream is silent while nothing changes, and also when its node is cut off: after so long the node is asked whether
// it is there, and it has so long to answer. Both in milliseconds.
const silence = 10000, patience = 5000;

// listen opens the stream and hands on what comes; the return value closes it.
function listen(hear, state) {
  let source, timer, tries = 0, heard = Date.now(), asking = false;
  const alive = () => { heard = Date.now(); state("live"); };
  const open = () => {
    source = new EventSource(`${root}events`);
    source.onopen = () => { tries = 0; alive(); };
    for (const type of types) source.addEventListener(type, (e) => { alive(); hear(type, JSON.parse(e.data), e.lastEventId); });
    source.onerror = () => {
      state("lost");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      get("status").catch(() => {}).finally(() => { // tells "not signed in" from "not there"
        if (signedOut.value) state("out");
        else timer = setTimeout(open, Math.min(15000, 1000 * 2 ** tries++));
      });
    };
  };
  const ask = async () => {
    if (asking || source.readyState !== EventSource.OPEN || Date.now() - heard < silence) return;
    asking = true;
    try {
      await about(AbortSignal.timeout(patience));
      alive();
    } catch {
      if (signedOut.value) state("out");
      else state("lost", heard);
    } finally {
      asking = false;
    }
  };
  open();
  const asks = setInterval(ask, 2000);
  return () => { clearTimeout(timer); clearInterval(asks); source.close(); };
}

/**
 * One stream for all tabs, because a browser has six connections to a host: the tab that holds the lock listens, and
 * tells the others. A hidden tab lets go of the lock, and asks for the state again when it is looked at.
 */
export function watch(hear, state, snapshot) {
  const channel = new BroadcastChannel("shoal");
  let leading = false, last;
  const tell = (type, data, id) => { hear(type, data, id); channel.postMessage({ type, data, id }); };
  const tellState = (s, at = Date.now()) => {
    state(s, at);
    if (s !== last) channel.postMessage({ type: "state", data: s, at, command: signedOut.value });
    last = s;
  };
  channel.onmessage = ({ data: m }) => {
    if (m.type === "hello") {
      if (signedOut.value) location.reload(); // another tab was let in, and so is this one
      else if (leading && snapshot()) channel.postMessage({ type: "snapshot", data: snapshot() });
    } else if (m.type === "state") {
      if (m.data === "out") signedOut.value = m.command;
      state(m.data, m.at);
    } else if (!leading && !document.hidden) {
      hear(m.type, m.data, m.id);
      state("live");
    }
  };
  const lead = async () => {
    while (document.hidden) await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
    leading = true;
    const close = listen(tell, tellState);
    while (!document.hidden) await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
    close();
    leading = false;
  };
  const forever = async () => {
    while (!signedOut.value) {
      channel.postMessage({ type: "hello" });
      await (navigator.locks ? navigator.locks.request("shoal-stream", lead) : lead());
    }
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !signedOut.value) channel.postMessage({ type: "hello" }); });
  forever();
}
