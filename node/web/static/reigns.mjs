// Who was primary, and when it changed, from the events of a node. Pure: times are milliseconds, lists oldest first.

// words for why another node became primary.
const reasons = { handover: "handed over", lost: "the one before was lost" };

/** Changes with the beginning of the reign there is now, which may be older than what was told of it. */
export function begun(changes, primary, since) {
  const told = changes.some((c) => c.to === primary && c.at >= since); // since is in whole seconds, and not later
  return !primary || !(since > 0) || told ? changes : [...changes, { at: since, from: "", to: primary }].sort((a, b) => a.at - b.at);
}

/** The changes of a set as a person counts them: one that is given up and taken up again is one. Each is
    {at, from, to, why, gap}; gap is in seconds, and undefined where none was measured. */
export function turns(changes) {
  const list = [];
  let open; // nobody is heard since
  for (const { at, from, to, reason, seconds } of changes) {
    if (!to) {
      open = { at, from };
      list.push({ at, from, to: "", why: "no other one is heard yet" });
      continue;
    }
    const gap = seconds > 0 ? seconds : open ? (at - open.at) / 1000 : reason === "handover" ? 0 : undefined;
    const was = from || open?.from;
    if (open && (!from || from === open.from)) list.pop();
    const why = was === to ? "the same again" : reasons[reason] ?? (was ? "elected" : "the first that was seen");
    list.push({ at, from: was ?? "", to, why, gap });
    open = undefined;
  }
  return list;
}

/** The spans in which a node was primary, up to a time, as {peer, role, from, to}; one that was lost is so until it is
    primary again. */
export function reigns(changes, until) {
  const spans = [];
  const end = (at, ...peers) => { for (const s of spans) if (peers.includes(s.peer)) s.to ??= at; };
  for (const { at, from, to, reason } of changes) {
    if (at >= until) break;
    end(at, from, to);
    if (to) spans.push({ peer: to, role: "primary", from: at });
    const lost = reason === "lost" || !to;
    if (from && from !== to) spans.push({ peer: from, role: lost ? "lost" : "replica", from: at });
  }
  end(until, ...spans.map((s) => s.peer));
  return spans;
}
