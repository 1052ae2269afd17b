// The frame of the dashboard: where one is, the way to the other pages, and what went wrong.
import { render } from "./vendor/preact.mjs";
import { useEffect, useRef } from "./vendor/hooks.mjs";
import { signal } from "./vendor/signals.mjs";
import { html, Name } from "./base.mjs";
import { signedOut } from "./api.mjs";
import { about, dismiss, link, notices, open, status } from "./state.mjs";
import { headline } from "./words.mjs";
import { Swarm } from "./swarm.mjs";
import { SetsPage } from "./sets.mjs";
import { SetPage } from "./set.mjs";
import { SharePage, GetPage } from "./move.mjs";
import { PeersPage, ActivityPage, LimitsPage, DoctorPage, APIPage } from "./node.mjs";
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
  limits: { title: "Limits", page: LimitsPage, nav: "Limits" },
  doctor: { title: "Check-up", page: DoctorPage, nav: "Check-up" },
  api: { title: "API", page: APIPage, nav: "API" },
};

// where reads the address: #/set/ID is page "set" with the argument ID.
function where() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  let argument = rest.join("/");
  try { argument = decodeURIComponent(argument); } catch { /* half an escape: as it is */ }
  return { name: Object.hasOwn(pages, name) ? name : "", argument };
}

const here = signal(where());
addEventListener("hashchange", () => { here.value = where(); });

const Nav = ({ at }) => html`<nav aria-label="Pages"><ul>${Object.entries(pages).filter(([, p]) => p.nav).map(([name, p]) => {
  const current = name === at || pages[at].under === name;
  return html`<li><a href=${`#/${name}`} aria-current=${current ? "page" : undefined}>${p.nav}</a></li>`;
})}</ul></nav>`;

const words = { connecting: "connecting", live: "live", lost: "no connection to the node", out: "signed out" };

function State() {
  const h = status.value ? headline() : { tone: "wait", text: "" };
  const tone = link.value === "live" ? h.tone : ["lost", "out"].includes(link.value) ? "bad" : "wait";
  const mark = { good: "●", busy: "◐", warn: "▲", bad: "■", wait: "○" }[tone];
  return html`<p class=${`state ${tone}`} role="status" data-testid="state"><span aria-hidden="true">${mark}</span> ${words[link.value]}</p>`;
}

const Notices = () => html`<div class="notices" aria-live="assertive">${notices.value.map((n) => html`<div class="fault" key=${n.id} role="alert">
  <strong>${n.title}</strong>${n.detail && html`<p><${Name} text=${n.detail} /></p>`}${n.hint && html`<p class="note">${n.hint}</p>`}
  <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => dismiss(n.id)}>×</button></div>`)}</div>`;

function Frame() {
  const { name, argument } = here.value;
  const page = pages[name];
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
      ${about.value.testnet && html`<span class="badge">test network</span>`}<${Nav} at=${name} /><${State} /></header>
    <${Notices} />
    <main id="main" ref=${main} tabindex="-1">
      ${signedOut.value ? html`<section class="card"><h1>Signed out</h1><p>The node does not know this browser any more: it was started anew. Open the dashboard again with</p><p><code>node dashboard</code></p></section>`
      : status.value === null ? html`<p class="note wait" data-testid="waiting">${link.value === "lost" ? "The node does not answer. Is it running?" : "Asking the node …"}</p>`
      : html`<${page.page} key=${`${name}/${argument}`} argument=${argument} />`}
    </main>`;
}

open();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Frame} />`, root);
