package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// checker holds the invariants against everything that happens.
type checker struct {
	broken  *Violation
	nodes   []watch
	reigns  map[string]record.Epoch // epochs that had a primary
	top     record.Epoch            // the highest of them
	lost    []election.Frontier
	dropped []*election.Head
	durable []*made
	ordered []mark // strict: the chain of durable heads, as it grew
	reads   []reading
	clients history
	forged  *election.Head // by a lying voter
	stable  time.Duration  // one primary and one epoch, since; -1 = not so
	killed  time.Duration  // the primary of a script
	gaps    []time.Duration
}

// watch is what was last seen of a node.
type watch struct {
	epoch       record.Epoch // in memory
	known, have election.Frontier
	said        said
	last        *election.Beacon // sent
	failed      bool
	role        election.Role
	backup      peer.ID // of a primary
	owes        bool    // an alarm: its home was put back, and others know more of its store than it does
}

// said is what others were told: a restart must not take it back.
type said struct {
	epoch, granted record.Epoch
	known, have    election.Frontier
}

func (c *checker) init(n int) {
	c.nodes = make([]watch, n)
	c.reigns = map[string]record.Epoch{}
	c.stable = -1
	c.killed = -1
}

func (c *checker) fail(w *world, invariant, format string, a ...any) {
	if c.broken == nil {
		c.broken = &Violation{Invariant: invariant, At: w.now, Detail: fmt.Sprintf(format, a...)}
		w.trace("VIOLATION %s: %s", invariant, c.broken.Detail)
	}
}

// booted compares what a node starts with and what it has said.
func (c *checker) booted(w *world, n *node) {
	s := &c.nodes[n.i]
	p := n.core.Persistent()
	switch {
	case p.Epoch.Compare(s.said.epoch) < 0:
		c.fail(w, "I2", "%s starts with epoch %s, had said %s", n.name, show(p.Epoch), show(s.said.epoch))
	case p.Granted.Compare(s.said.granted) < 0:
		c.fail(w, "I2", "%s forgot its vote for %s", n.name, show(s.said.granted))
	case !p.Known.CoversAll(spare(n, s.said.known)), !p.Have.CoversAll(spare(n, s.said.have)):
		c.fail(w, "I4", "%s forgot heads", n.name)
	}
	s.epoch, s.known, s.have = p.Epoch, p.Known, p.Have
	s.failed, s.role = false, election.Follower
}

// stepped checks what a node's memory holds after a step, and what it is about to say.
func (c *checker) stepped(w *world, n *node, acts []election.Action) {
	s := &c.nodes[n.i]
	p := n.core.Persistent()
	if s.role == election.Primary && n.core.Backup() != s.backup {
		s.backup = n.core.Backup()
		w.cov[BackupChanges]++
	}
	for _, a := range acts {
		m, ok := a.(election.Send)
		if !ok {
			continue
		}
		if ack, ok := m.Message.(election.Ack); ok && ack.Epoch.Compare(s.epoch) < 0 {
			c.fail(w, "fence", "%s in %s acknowledges %s", n.name, show(s.epoch), show(ack.Epoch))
		}
	}
	if p.Epoch.Compare(s.epoch) < 0 {
		c.fail(w, "I2", "%s goes from epoch %s to %s", n.name, show(s.epoch), show(p.Epoch))
	}
	if !p.Known.CoversAll(s.known) || !p.Have.CoversAll(s.have) {
		c.fail(w, "I4", "%s lets go of heads", n.name)
	}
	if !p.Have.Equal(s.have) {
		for _, h := range p.Have {
			if !n.bytes[h.ID] {
				c.fail(w, "bytes", "%s has head %s without its bytes", n.name, showHead(h))
			}
		}
	}
	s.epoch, s.known, s.have = p.Epoch, p.Known, p.Have
}

// sent notes what a node tells others.
func (c *checker) sent(n *node, m election.Message) {
	s := &c.nodes[n.i].said
	switch m := m.(type) {
	case *election.Beacon:
		s.epoch, s.known, s.have = m.State.Epoch, m.State.Known, m.State.Have
		c.nodes[n.i].last = m
	case election.Vote:
		s.granted = m.Want
	}
}

// handing: who is handed the role has what the primary has, if its disk is the one it was.
func (c *checker) handing(w *world, n *node, to peer.ID) {
	t := w.nodes[w.index[to]]
	if t.past.stores == 1 && t.past.disks == 0 && t.cfg.Version == n.cfg.Version && !t.disk.Have.CoversAll(n.disk.Have) {
		c.fail(w, "handover", "%s hands over to %s, which has less", n.name, t.name)
	}
}

// became: I1.
func (c *checker) became(w *world, n *node, b election.Became) {
	s := &c.nodes[n.i]
	if s.role == election.Candidate && b.Role == election.Follower {
		if w.prof.mode == election.Strict {
			w.cov[Lost]++
		} else {
			w.cov[Aborts]++
		}
	}
	s.role = b.Role
	if b.Role != election.Primary {
		return
	}
	w.cov[Elections]++
	key := show(b.Epoch)
	_, was := c.reigns[key]
	switch {
	case was:
		c.fail(w, "I1", "a second primary in %s: %s", key, n.name)
	case b.Epoch.Owner != n.id || record.InstanceKey(b.Epoch.Instance) != record.InstanceKey(n.disk.Instance):
		c.fail(w, "I1", "%s is primary in %s", n.name, key)
	}
	c.reigns[key] = b.Epoch
	if b.Epoch.Compare(c.top) > 0 {
		c.top = b.Epoch
	}
}

// recentDurable is how many durable heads a head with one parent is compared with: it has the parent's content,
// which was compared before.
const recentDurable = 16

// built: nothing invented, nothing that was durable left out.
func (c *checker) built(w *world, p *election.Plan, r *made) {
	for _, d := range p.Dropped {
		for _, x := range c.durable {
			if x.head.ID == d.ID && !c.lied(x.head) && w.promised(x) {
				c.fail(w, "I8", "durable head %d of %s is abandoned", d.Seq(), show(d.Epoch))
			}
		}
	}
	all := c.durable
	if n := len(all) - recentDurable; n > 0 && len(p.Parents) < 2 && len(p.Dropped) == 0 {
		all = all[n:]
	}
	for _, x := range all {
		if r.head.Covers(x.head) && !r.content.includes(x.content) && !c.lied(x.head) && w.promised(x) {
			c.fail(w, "I8", "a head covers durable head %d of %s without its content", x.head.Seq(), show(x.head.Epoch))
		}
	}
}

// accepted: I3, and the books.
func (c *checker) accepted(w *world, n *node, a election.Accepted) {
	r := w.heads.byID[a.Head.ID]
	r.accepted = true
	if n.cfg.Refuses(a.Head) || slices.ContainsFunc(a.Plan.Parents, n.cfg.Refuses) {
		c.fail(w, "cuts", "%s makes head %s of what its config refuses", n.name, showHead(a.Head))
	}
	d := dot{a.Head.Instance(), a.Head.Seq()}
	if id, ok := w.heads.byDot[d]; ok && id != a.Head.ID && !w.owner.revoked(w.heads.byID[id].head) {
		c.fail(w, "I3", "two heads are number %d of store %s", d.seq, d.instance)
	}
	w.heads.byDot[d] = a.Head.ID
	c.dropped = append(c.dropped, a.Plan.Dropped...)
	w.cov[Accepts]++
	switch a.Plan.Kind {
	case election.Merge:
		if len(a.Plan.Parents) > 1 {
			w.cov[Merges]++
		}
	case election.Confirm:
		w.cov[Confirms]++
	case election.Abandon:
		w.cov[Abandons]++
	}
	if w.prof.mode == election.Strict && a.Plan.Kind != election.Abandon {
		w.cov[Hidden] += len(a.Plan.Dropped)
	}
	if a.Head.Epoch.Compare(c.top) < 0 {
		w.cov[Fenced]++
	}
	if c.killed >= 0 && a.Plan.Kind == election.Publish {
		c.gaps = append(c.gaps, w.now-c.killed)
		c.killed = -1
	}
}

// becameDurable: I5, I7, and that no durable head is passed over by a later one.
func (c *checker) becameDurable(w *world, n *node, h *election.Head) {
	r := w.heads.byID[h.ID]
	w.cov[Durables]++
	have := 0
	for _, p := range w.nodes {
		if p.disk.Have.Covers(h) {
			have++
			r.holders = append(r.holders, disk{p.i, p.past.disks})
		}
	}
	for _, f := range c.lost {
		if f.Covers(h) {
			have++
		}
	}
	if w.owner.revoked(h) {
		return
	}
	need := 2
	if w.prof.mode == election.Strict {
		need = len(n.cfg.Voters)/2 + 1
	}
	if have < need && w.cutAway(h) {
		return
	}
	if have < need && !c.lied(h) {
		c.fail(w, "I5", "%s calls head %d of %s durable on %d disks of %d", n.name, h.Seq(), show(h.Epoch), have, need)
	}
	c.durable = append(c.durable, r)
	c.clients.published(r, w.now)
	if w.prof.mode == election.Strict && !c.lied(h) {
		c.chain(w, r)
		c.confirm(w, r)
	}
}

// lied tells whether h is a forged head's twin, or built on either: which of the two is in it is not known.
func (c *checker) lied(h *election.Head) bool {
	return c.forged != nil && h.Vector[c.forged.Instance()] >= c.forged.Seq()
}

// alarm: no fault of the world is an equivocation or a clone.
func (c *checker) alarm(w *world, n *node, a election.Alarm) {
	w.cov[Alarms]++
	switch {
	case a.Kind == election.DiskFailed:
		c.nodes[n.i].failed = true
		return
	case a.Kind == election.Cloned && n.past.back:
		w.cov[Clones]++
		c.nodes[n.i].owes = false
		w.q.push(happening{at: w.now + time.Duration(w.rng.Int64N(int64(5*time.Second))), kind: evCure, node: n.i})
		return
	case a.Kind == election.ClonedPeer && w.nodes[w.index[a.Peer]].past.disks > 0 && w.cov[PutBack] > 0: // an old store speaks again
		return
	case a.Kind == election.Cloned && c.forged != nil && c.forged.Instance() == record.InstanceKey(n.disk.Instance):
		return // its lie had a stamp that it has not come to itself
	case a.Kind == election.TwoHeads && c.forged != nil && len(a.Heads) == 2:
		w.cov[LiesFound]++
		return
	case a.Kind == election.TwoConfigs && w.owner.lied:
		return
	}
	c.fail(w, "alarm", "%s raises false alarm %d about %s", n.name, a.Kind, string(a.Peer))
}

// durableIn tells whether something is durable in a version of the config.
func (c *checker) durableIn(version uint64) bool {
	n := len(c.durable)
	return n > 0 && c.durable[n-1].head.Epoch.ConfigVersion == version
}

// maywipe tells whether the promise covers the loss of n's disk: every durable head is on another voter's,
// and in strict a majority that does not know it cannot come together.
func (c *checker) maywipe(w *world, n *node) bool {
	return c.survives(w, w.owner.newest(), n)
}

// mayRemove tells whether the owner may go over to a config with fewer voters. In ap every durable head must be on
// one of them; in strict the rule for changes sees to that, and there must only be a majority left.
func (c *checker) mayRemove(w *world, cfg election.Config) bool {
	if cfg.Mode == election.Strict {
		return whole(w, cfg, nil) > len(cfg.Voters)/2
	}
	return c.survives(w, cfg, nil)
}

// whole counts the voters of cfg with the store it means.
func whole(w *world, cfg election.Config, without *node) (n int) {
	for _, p := range w.nodes {
		if p != without && intact(cfg, p) {
			n++
		}
	}
	return n
}

func (c *checker) survives(w *world, cfg election.Config, without *node) bool {
	whole, need := whole(w, cfg, without), len(cfg.Voters)/2+1
	if cfg.Mode == election.Strict && whole < need || whole == 0 {
		return false
	}
	var left []election.Frontier
	for _, p := range w.nodes {
		if p != without && intact(cfg, p) {
			left = append(left, p.left(cfg))
		}
	}
	for _, d := range c.durable {
		if cfg.Refuses(d.head) || w.owner.revoked(d.head) {
			continue
		}
		holders := 0
		for _, f := range left {
			if f.Covers(d.head) {
				holders++
			}
		}
		if holders == 0 || cfg.Mode == election.Strict && whole-holders >= need {
			return false
		}
	}
	return true
}
