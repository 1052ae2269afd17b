package sim

import (
	"maps"
	"slices"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// What nodes may forget, and what is then no more promised of heads.

// spare is f without what a node's config refuses.
func spare(n *node, f election.Frontier) (out election.Frontier) {
	for _, h := range f {
		if !n.cfg.Refuses(h) {
			out = append(out, h)
		}
	}
	return out
}

// wiped lets a node forget.
func (c *checker) wiped(n *node) {
	c.lost = append(c.lost, c.nodes[n.i].have)
	c.nodes[n.i] = watch{}
}

// renewed lets a node forget its promises, but no head.
func (c *checker) renewed(n *node) {
	c.nodes[n.i] = watch{said: said{have: c.nodes[n.i].said.have}}
}

// putBack lets a node forget what is younger than its copy. It must notice if its store has made heads or epochs
// since that the others know of.
func (c *checker) putBack(w *world, n *node) {
	c.wiped(n)
	key := record.InstanceKey(n.past.copy.disk.Instance)
	epoch, seq := w.othersKnow(n, key)
	c.nodes[n.i].owes = seq > n.past.copy.disk.Seq
	// What nobody else knows has never been.
	maps.DeleteFunc(c.reigns, func(_ string, e record.Epoch) bool {
		return record.InstanceKey(e.Instance) == key && e.Compare(epoch) > 0
	})
	for s := seq + 1; ; s++ {
		id, ok := w.heads.byDot[dot{key, s}]
		if !ok {
			return
		}
		delete(w.heads.byDot, dot{key, s})
		w.heads.byID[id].accepted = false
	}
}

// cut lets a node forget what its config refuses.
func (c *checker) cut(n *node, e election.ConfigChanged) {
	s := &c.nodes[n.i]
	s.known, s.have = *e.Known, *e.Have
	s.said.known, s.said.have = spare(n, s.said.known), spare(n, s.said.have)
}

// reconfigured takes what a new config has cut out of the history.
func (c *checker) reconfigured(w *world) {
	if len(w.owner.newest().Cuts) == 0 {
		return
	}
	c.ordered = slices.DeleteFunc(c.ordered, func(m mark) bool { return w.owner.revoked(m.head) })
	c.reads = slices.DeleteFunc(c.reads, func(r reading) bool { return w.owner.revoked(r.head) })
}

// cutAway tells whether a node had h inside of a head that a cut has taken: an acknowledgement from before the cut
// may be on its way still.
func (w *world) cutAway(h *election.Head) bool {
	if len(w.owner.newest().Cuts) == 0 {
		return false
	}
	for _, n := range w.nodes {
		if slices.ContainsFunc(n.held, func(x *election.Head) bool { return x.Covers(h) && n.cfg.Refuses(x) }) {
			return true
		}
	}
	return false
}
