package sim

import (
	"time"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// What is checked of strict sets alone: durable heads are one line, and clients see them as a register.

// mark is the newest durable head from a time on.
type mark struct {
	at   time.Duration
	head *election.Head
}

// reading is a read at a primary; a later head of the same reign that becomes durable confirms it.
type reading struct {
	at    time.Duration
	epoch record.Epoch
	head  *election.Head
}

// chain: I7. The durable heads are one line, so who covers its end is in order with all.
func (c *checker) chain(w *world, r *made) {
	if n := len(c.ordered); n > 0 && r.head.Covers(c.ordered[n-1].head) {
		c.ordered = append(c.ordered, mark{w.now, r.head})
		c.realTime(w, r)
		return
	}
	for _, x := range c.durable {
		if !x.head.Covers(r.head) && !r.head.Covers(x.head) && !c.lied(x.head) && !w.owner.revoked(x.head) {
			c.fail(w, "I7", "durable heads %d of %s and %d of %s are not ordered", x.head.Seq(), show(x.head.Epoch), r.head.Seq(), show(r.head.Epoch))
		}
	}
	if len(c.ordered) == 0 {
		c.ordered = append(c.ordered, mark{w.now, r.head})
	}
	c.realTime(w, r)
}

// realTime: a head that was asked for after another was durable covers it.
func (c *checker) realTime(w *world, r *made) {
	if before := c.topAt(r.asked); before != nil && !r.head.Covers(before) {
		c.fail(w, "history", "head %d of %s was asked for after head %d of %s was durable, and lacks it",
			r.head.Seq(), show(r.head.Epoch), before.Seq(), show(before.Epoch))
	}
}

// topAt is the newest durable head before t.
func (c *checker) topAt(t time.Duration) *election.Head {
	for i := len(c.ordered) - 1; i >= 0; i-- {
		if c.ordered[i].at < t {
			return c.ordered[i].head
		}
	}
	return nil
}

// read notes what a primary would answer now.
func (c *checker) read(w *world, n *node) {
	if w.prof.mode != election.Strict || n.core.Role() != election.Primary || !n.core.Absorbed() {
		return
	}
	p := n.core.Persistent()
	if len(p.Have) == 1 {
		x := reading{w.now, p.Epoch, p.Have[0]}
		if w.opt.Plant.Hasty {
			c.answer(w, x, x.head)
			return
		}
		c.reads = append(c.reads, x)
	}
}

// confirm checks the reads that a durable head confirms: they saw everything durable before them.
func (c *checker) confirm(w *world, r *made) {
	left := c.reads[:0]
	for _, x := range c.reads {
		switch {
		case x.epoch.Compare(r.head.Epoch) != 0 && w.now-x.at > 10*time.Second: // nobody will
		case x.epoch.Compare(r.head.Epoch) != 0 || r.asked < x.at:
			left = append(left, x)
		default:
			w.cov[Reads]++
			c.answer(w, x, r.head)
			if top := c.topAt(x.at); top != nil && !x.head.Covers(top) {
				c.fail(w, "history", "a confirmed read of %s missed durable head %d of %s", show(x.epoch), top.Seq(), show(top.Epoch))
			}
		}
	}
	c.reads = left
}

// answer gives a client what a read saw.
func (c *checker) answer(w *world, x reading, by *election.Head) {
	op := Op{Read: true, Value: w.heads.byID[x.head.ID].value, Asked: x.at, Answered: w.now}
	c.clients.reads = append(c.clients.reads, answer{op, by})
}
