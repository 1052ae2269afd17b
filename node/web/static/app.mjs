// The frame of the dashboard: where one is, the way to the other pages, and what went wrong.
import { render } from "./vendor/preact.mjs";
import { useEffect, useRef } from "./vendor/hooks.mjs";
import { effect, signal } from "./vendor/signals.mjs";
import { cls, count, html, Name, Sentence } from "./base.mjs";
import { signedOut } from "./api.mjs";
import { about, dismiss, link, notices, open, status } from "./state.mjs";
import { ill, silence, stale } from "./words.mjs";
import { Swarm } from "./swarm.mjs";
import { SetsPage } from "./sets.mjs";
import { SetPage } from "./set.mjs";
import { SharePage, GetPage } from "./move.mjs";
import { PeersPage, ActivityPage, DoctorPage, APIPage } from "./node.mjs";
import { SettingsPage } from "./settings.mjs";
import { FailoverPage } from "./failover.mjs";

const pages = {
  "": { title: "Swarm", page: Swarm, nav: "Swarm" },
  sets: { title: "File sets", page: SetsPage, nav: "File sets" },
  set: { title: "File set", page: SetPage, under: "sets" },
  share: { title: "Share a folder", page: SharePage, nav: "Share" },
  get: { title: "Get", page: GetPage, nav: "Get" },
  peers: { title: "Peers", page: PeersPage, nav: "Peers" },
  failover: { title: "Failover", page: FailoverPage, nav: "Failover" },
  activity: { title: "Activity", page: ActivityPage, nav: "Activity" },
  settings: { title: "Settings", page: SettingsPage, nav: "Settings" },
  doctor: { title: "Check-up", page: DoctorPage, nav: "Check-up" },
  api: { title: "API", page: APIPage, nav: "API" },
};

// A page that only some nodes have; it is loaded where there is one.
const testnet = { title: "Test network", nav: "Test network", page: () => html`<p class="note">One moment …</p>` };
effect(() => {
  if (!about.value.testnet || pages.testnet) return;
  pages.testnet = testnet;
  here.value = where();
  import("./testnet.mjs").then((m) => { testnet.page = m.TestnetPage; here.value = where(); }, () => { delete pages.testnet; });
});

const nowhere = { title: "No such page", page: ({ argument }) => html`<h1>There is no such page</h1><p>“<${Name} text=${argument} />” is not a page of this dashboard. Perhaps the link is of another version.</p><p><a href="#/">To the start page</a></p>` };

// where reads the address: #/set/ID is page "set" with the argument ID.
function where() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  let argument = rest.join("/");
  try { argument = decodeURIComponent(argument); } catch { /* half an escape: as it is */ }
  return Object.hasOwn(pages, name) ? { name, argument, page: pages[name] } : { name: "?", argument: location.hash, page: nowhere };
}

const here = signal(where());
addEventListener("hashchange", () => {
  here.value = where();
  notices.value = []; // they were about the page before
});

function Nav({ at, under }) {
  const list = useRef();
  useEffect(() => {
    const show = () => { // on a phone it is one row
      const to = list.current.querySelector("[aria-current]")?.parentElement;
      if (to) list.current.scrollLeft = to.offsetLeft - (list.current.clientWidth - to.offsetWidth) / 2;
    };
    show();
    addEventListener("resize", show);
    return () => removeEventListener("resize", show);
  }, [at]);
  return html`<nav aria-label="Pages"><ul ref=${list}>${Object.entries(pages).filter(([, p]) => p.nav).map(([name, p]) => html`<li><a href=${`#/${name}`} aria-current=${name === at || under === name ? "page" : undefined}>${p.nav}</a></li>`)}</ul></nav>`;
}

const words = { connecting: ["○", "wait", "connecting"], live: ["●", "good", "live"], lost: ["■", "bad", "no connection"], out: ["■", "bad", "signed out"] };

function State() {
  const [mark, tone, text] = words[link.value];
  const look = status.value && link.value === "live" ? ill().length : 0;
  return html`<div class="row tight states">${look > 0 && html`<a class="state warn" href="#/sets" data-testid="ill"><span aria-hidden="true">▲</span> ${count(look, "set")} to look at</a>`}
    <p class=${`state ${tone}`} role="status" data-testid="state"><span aria-hidden="true">${mark}</span> ${text}</p></div>`;
}

const Notices = () => html`<div class="notices" aria-live="assertive">${notices.value.map((n) => html`<div class="fault" key=${n.id}>
  <strong>${n.title}</strong>${n.detail && html`<p><${Name} text=${n.detail} /></p>`}${n.hint && html`<p class="note"><${Sentence} text=${n.hint} /></p>`}
  <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => dismiss(n.id)}>×</button></div>`)}</div>`;

// Absent stands above a page whose node does not answer; the start page says it in its headline.
const Absent = () => html`<div class="fault" role="alert" data-testid="absent"><strong>${silence()}</strong><p class="note">What is shown is of that moment. The page goes on by itself when the node is back.</p></div>`;

const SignIn = () => html`<section class="card narrow" data-testid="signed-out"><h1>Sign in again</h1><p>The node does not know this browser any more. On the machine of the node, type</p>
  <p><code class="command">${signedOut.value}</code></p><p class="note">This page goes on as soon as another tab is signed in.</p></section>`;

function Frame() {
  const { name, argument, page } = here.value;
  const main = useRef();
  const first = useRef(true);
  useEffect(() => {
    document.title = `${page.title} · shoal`;
    if (!first.current) main.current?.focus(); // a new page is read from its beginning
    first.current = false;
    scrollTo(0, 0);
  }, [name, argument]);
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>Skip to the page</a>
    <header class="top"><a class="brand" href="#/"><img src="/icon.svg" alt="" width="24" height="24" />shoal</a>
      ${about.value.testnet && html`<span class="badge">test network</span>`}<${Nav} at=${name} under=${page.under} /><${State} /></header>
    <${Notices} />
    <main id="main" ref=${main} tabindex="-1" class=${cls(stale() && "stale")}>
      ${signedOut.value ? html`<${SignIn} />`
      : status.value === null ? html`<p class="note wait" data-testid="waiting">${link.value === "lost" ? "The node does not answer. Is it running?" : "Asking the node …"}</p>`
      : html`${stale() && name !== "" && html`<${Absent} />`}<${page.page} key=${`${name}/${argument}`} argument=${argument} />`}
    </main>`;
}

open();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Frame} />`, root);
