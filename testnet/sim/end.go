package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// atEnd checks I6, and that nothing promised was lost: after the calm there is one primary, one epoch, and one
// head, known and held by all, with the content of everything durable.
func (w *world) atEnd() {
	cfg := w.owner.newest()
	var first *node
	primaries := 0
	for _, n := range w.nodes {
		if !intact(cfg, n) {
			primaries += w.forgetful(n)
			continue
		}
		if !n.up {
			w.check.fail(w, "I6", "%s is down", n.name)
			return
		}
		if w.check.nodes[n.i].owes {
			w.check.fail(w, "alarm", "%s was put back from a copy and does not notice", n.name)
		}
		if first == nil {
			first = n
		}
		if n.core.Role() == election.Primary {
			primaries++
		}
		w.agree(first, n)
	}
	if primaries != 1 {
		w.check.fail(w, "I6", "%d primaries: %s", primaries, w.picture())
	}
	if f := first.core.Persistent().Have; len(f) == 1 && w.check.broken == nil {
		w.complete(w.heads.byID[f[0].ID])
	}
}

// inTime checks how soon one primary was there for good: TFail of a voter that waits longest, the stagger of
// seven, an aborted candidacy before, and for messages of before the calm to have come.
func (w *world) inTime() {
	took, within := w.check.stable-w.calmAt(), latest+leaderIntervals*w.prof.slowest()
	if w.opt.Script == nil && (w.check.stable < 0 || took > within) {
		w.check.fail(w, "I6", "one primary only after %v of %v", took, within)
	}
}

const (
	latest          = 6 * time.Second // clogged and repeated messages, and a second to look
	leaderIntervals = 4 + 7 + 4 + 1
)

// agree compares two voters.
func (w *world) agree(a, b *node) {
	p, q := a.core.Persistent(), b.core.Persistent()
	switch {
	case b.core.Config().Compare(w.owner.newest()) != 0:
		w.check.fail(w, "I6", "%s follows another config than the newest", b.name)
	case p.Epoch.Compare(q.Epoch) != 0:
		w.check.fail(w, "I6", "epochs differ: %s", w.picture())
	case !q.Known.Equal(q.Have):
		w.check.fail(w, "I6", "%s lacks heads it knows: %s", b.name, w.picture())
	case len(q.Have) > 1:
		w.check.fail(w, "I6", "a fork remains: %s", w.picture())
	case !p.Have.Equal(q.Have):
		w.check.fail(w, "I6", "heads differ: %s", w.picture())
	}
}

// complete checks the content of the last head.
func (w *world) complete(last *made) {
	w.included(last, w.check.durable)
	if w.prof.mode == election.Strict {
		return
	}
	for _, r := range w.heads.byID { // any order: the first to fail is not told from the others
		if r.accepted && last.head.Covers(r.head) && !last.content.includes(r.content) && !w.abandoned(r.head) && !w.check.lied(r.head) && !w.owner.revoked(r.head) {
			w.check.fail(w, "I6", "head %d of %s is covered and not merged", r.head.Seq(), show(r.head.Epoch))
		}
	}
}

// included checks that a head that all have in common includes durable ones.
func (w *world) included(last *made, durable []*made) {
	for _, d := range durable {
		if !last.content.includes(d.content) && w.promised(d) && !w.check.lied(d.head) {
			w.check.fail(w, "I5", "durable head %d of %s is lost", d.head.Seq(), show(d.head.Epoch))
		}
	}
}

// promised tells whether the loss of a durable head is a broken promise: not in ap if all that held it when it
// became durable were removed from the set, cut off from the others so that they neither knew nor passed it on.
// In strict it always is.
func (w *world) promised(d *made) bool {
	if w.owner.revoked(d.head) {
		return false
	}
	if w.prof.mode == election.Strict {
		return true
	}
	for _, k := range d.holders {
		if n := w.nodes[k.node]; n.past.disks == k.disk && lists(w.owner.newest(), n) {
			return true
		}
	}
	return false
}

func (w *world) abandoned(h *election.Head) bool {
	for _, d := range w.check.dropped {
		if d.Covers(h) {
			return true
		}
	}
	return false
}

// forgetful counts a primary whose home was put back in strict, and who made nothing since that others know of: it
// is not to be relied on, but it may lead.
func (w *world) forgetful(n *node) int {
	if lists(w.owner.newest(), n) && n.past.back && n.up && n.core.Role() == election.Primary {
		return 1
	}
	return 0
}

// look samples how soon after the faults there is one primary and one epoch.
func (w *world) look() {
	w.converged()
	if w.faulty() {
		return
	}
	cfg := w.owner.newest()
	primaries, same := 0, true
	var first *node
	for _, n := range w.nodes {
		if !intact(cfg, n) {
			primaries += w.forgetful(n)
			continue
		}
		if !n.up {
			same = false
			break
		}
		if first == nil {
			first = n
		}
		if n.core.Role() == election.Primary {
			primaries++
		}
		same = same && n.core.Persistent().Epoch.Compare(first.core.Persistent().Epoch) == 0
	}
	switch {
	case primaries != 1 || !same:
		w.check.stable = -1
	case w.check.stable < 0:
		w.check.stable = w.now
	}
}

// picture is the state of all nodes, for people.
func (w *world) picture() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if !n.up {
			fmt.Fprintf(&b, "%s down; ", n.name)
			continue
		}
		p := n.core.Persistent()
		fmt.Fprintf(&b, "%s %v %s known %s have %s; ", n.name, n.core.Role(), show(p.Epoch), showFrontier(p.Known), showFrontier(p.Have))
	}
	return b.String()
}

// show writes an epoch as version.number.owner.store.
func show(e record.Epoch) string {
	store := 0
	if len(e.Instance) > 0 {
		store = int(e.Instance[len(e.Instance)-1])
	}
	return fmt.Sprintf("%d.%d.%s%d", e.ConfigVersion, e.N, string(e.Owner), store)
}

func showHead(h *election.Head) string { return fmt.Sprintf("%s#%d", show(h.Epoch), h.Seq()) }

func showFrontier(f election.Frontier) string {
	out := make([]string, len(f))
	for i, h := range f {
		out[i] = showHead(h)
	}
	return "{" + strings.Join(out, " ") + "}"
}
