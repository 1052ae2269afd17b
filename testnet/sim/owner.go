package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// owner signs configs, at one node at a time; the others hear of it from each other.
type owner struct {
	configs []election.Config // ascending
	lied    bool              // two have one version
}

func (o *owner) begin(w *world) {
	c := election.Config{Version: 1, Hash: "1", Mode: w.prof.mode}
	for i := range w.prof.voters {
		v := election.Voter{ID: peer.ID(string(rune('A' + i)))}
		if c.Mode == election.Strict && !w.opt.Plant.AnyStore {
			v.Instance = record.InstanceKey(instance(i, 0))
		}
		c.Voters = append(c.Voters, v)
	}
	o.configs = []election.Config{c}
}

func (o *owner) newest() election.Config { return o.configs[len(o.configs)-1] }

// act makes a config with at most one voter more or less, if that is allowed now.
func (o *owner) act(w *world) {
	at := w.nodes[w.rng.IntN(len(w.nodes))]
	c := o.newest()
	if !at.up || at.paused || c.Mode == election.Strict && !w.opt.Plant.Rash && !w.check.durableIn(c.Version) {
		return
	}
	c.Version++
	c.Hash = fmt.Sprint(c.Version)
	c.Voters = slices.Clone(c.Voters)
	if w.rng.IntN(4) > 0 {
		o.change(w, &c)
	}
	if !intact(c, at) { // it would not be heard
		return
	}
	w.cov[Reconfigs]++
	o.configs = append(o.configs, c)
	w.trace("config %d with %d voters at %s", c.Version, len(c.Voters), at.name)
	w.check.reconfigured(w)
	w.step(at, election.ConfigChanged{Config: c})
	if c.Mode == election.AP && w.rng.IntN(8) == 0 {
		o.lie(w, c)
	}
}

// revoke cuts a writer off behind what is seen of it at a node, or behind less. The owner does so only where what
// is left of the durable heads is on the voters' disks still: what survives in merges with revoked proposals alone
// is quarantined with them.
func (o *owner) revoke(w *world) {
	at, writer := w.nodes[w.rng.IntN(len(w.nodes))], w.nodes[w.rng.IntN(len(w.nodes))].pen.name
	c := o.newest()
	if writer == "" || !at.up || at.paused || !intact(c, at) || c.Mode == election.Strict && !w.check.durableIn(c.Version) {
		return
	}
	var last uint64
	for _, h := range at.held {
		for _, x := range h.Writes {
			if x.Instance == writer {
				last = max(last, x.Seq)
			}
		}
	}
	c.Version++
	c.Hash = fmt.Sprint(c.Version)
	c.Cuts = maps.Clone(c.Cuts)
	if c.Cuts == nil {
		c.Cuts = election.Cuts{}
	}
	last -= min(last, uint64(w.rng.IntN(4)))
	if before, cut := c.Cuts[writer]; cut && before <= last {
		return
	}
	c.Cuts[writer] = last
	if !w.check.survives(w, c, nil) {
		return
	}
	w.cov[Revokes]++
	o.configs = append(o.configs, c)
	w.trace("config %d cuts %s at %d, at %s", c.Version, writer, c.Cuts[writer], at.name)
	w.check.reconfigured(w)
	w.step(at, election.ConfigChanged{Config: c})
}

// spared is how a node's shell tells its core of a config: with what its cuts leave of the frontiers.
func (w *world) spared(n *node, e election.ConfigChanged) election.ConfigChanged {
	if len(e.Config.Cuts) == 0 {
		return e
	}
	p := n.core.Persistent()
	known, have := e.Config.Spare(p.Known, p.Have, n.held)
	if !known.Equal(p.Known) || !have.Equal(p.Have) {
		w.cov[Cut]++
		e.Known, e.Have = &known, &have
		w.check.cut(n, e)
	}
	return e
}

// revoked tells whether h is refused by now: nothing is promised of it. What was cut once stays cut.
func (o *owner) revoked(h *election.Head) bool {
	return o.newest().Refuses(h)
}

// lie makes another config with the version of the last one, at another node.
func (o *owner) lie(w *world, c election.Config) {
	c.Hash += "x"
	c.Voters = slices.Clone(c.Voters)
	o.change(w, &c)
	at := w.nodes[w.rng.IntN(len(w.nodes))]
	if !at.up || at.paused || !intact(c, at) || w.check.broken != nil {
		return
	}
	o.lied = true
	w.cov[TwinConfigs]++
	o.configs = append(o.configs, c)
	w.step(at, election.ConfigChanged{Config: c})
}

// change removes a wiped or any voter, or adds a node that is none.
func (o *owner) change(w *world, c *election.Config) {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	for _, p := range w.nodes { // wiped ones first
		if c.Mode == election.Strict && lists(*c, p) && !intact(*c, p) {
			n = p
		}
	}
	i := slices.IndexFunc(c.Voters, func(v election.Voter) bool { return v.ID == n.id })
	if i < 0 {
		v := election.Voter{ID: n.id}
		if c.Mode == election.Strict && !w.opt.Plant.AnyStore {
			v.Instance = record.InstanceKey(n.disk.Instance)
		}
		c.Voters = append(c.Voters, v)
		slices.SortFunc(c.Voters, func(a, b election.Voter) int { return int(a.ID[0]) - int(b.ID[0]) })
		w.cov[Voters]++
		return
	}
	less := slices.Delete(slices.Clone(c.Voters), i, i+1)
	if len(less) < 2 || !w.check.mayRemove(w, election.Config{Mode: c.Mode, Voters: less}) {
		return
	}
	c.Voters = less
	w.cov[Voters]++
}

// lists tells whether c has n as a voter, intact whether n's store is the one meant.
func lists(c election.Config, n *node) bool {
	return slices.ContainsFunc(c.Voters, func(v election.Voter) bool { return v.ID == n.id })
}

func intact(c election.Config, n *node) bool {
	if n.past.back && c.Mode == election.Strict {
		return false // it has forgotten what it promised
	}
	key := record.InstanceKey(n.disk.Instance)
	return slices.ContainsFunc(c.Voters, func(v election.Voter) bool {
		return v.ID == n.id && (v.Instance == "" || v.Instance == key)
	})
}

// settle makes sure that the newest config is at a node that runs.
func (o *owner) settle(w *world) {
	for _, n := range w.nodes {
		if n.up && !n.paused && intact(o.newest(), n) {
			w.step(n, election.ConfigChanged{Config: o.newest()})
			return
		}
	}
}

// fetchConfig lets a node pull the config that another has.
func (w *world) fetchConfig(n *node, from peer.ID) {
	src := w.nodes[w.index[from]]
	if src.up && !src.paused && w.net.both(n.i, src.i) && src.cfg.Compare(n.cfg) > 0 {
		w.later(n, w.delay()+time.Millisecond, election.ConfigChanged{Config: src.cfg})
	}
}
