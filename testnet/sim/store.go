package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// store is what a node has on its disk.
type store struct {
	disk  election.Persistent // the newest state
	older election.Persistent // the state before, in the other slot
	cfg   election.Config
	bytes map[cid.Cid]bool
	held  []*election.Head // that were ever in Have: what the keeper of all heads can go back to
}

// save makes p the newest state; what was that is in the older slot now.
func (s *store) save(p election.Persistent) {
	if !p.Have.Equal(s.disk.Have) {
		for _, h := range p.Have {
			if !s.disk.Have.Holds(h) {
				s.held = append(s.held, h)
			}
		}
	}
	s.older, s.disk = s.disk, p
}

// copied is the store as a copy of the home would have it.
func (s *store) copied() *store {
	c := *s
	c.bytes, c.held = maps.Clone(s.bytes), slices.Clone(s.held)
	return &c
}

// left is what is on this disk as far as a config goes.
func (s *store) left(cfg election.Config) election.Frontier {
	_, have := cfg.Spare(nil, s.disk.Have, s.held)
	return have
}

// spoil damages the newest slot of a node that is down, so that it may have forgotten its last promises: it goes on
// as a new store with the older state and the heads it has.
func (w *world) spoil(n *node) {
	w.cov[Spoiled]++
	w.trace("%s has lost its newest state", n.name)
	if w.opt.Plant.Credulous {
		n.disk = n.older
		return
	}
	w.renew(n, n.older)
}

// renew gives the store a new name.
func (w *world) renew(n *node, p election.Persistent) {
	if p.Instance == nil { // there was no older one
		p = n.disk
	}
	n.save(p.Renewed(instance(n.i, n.past.stores), n.held))
	n.past.stores++
	n.past.back = false
	w.check.renewed(n)
}

// keepCopy and putBack are what an operator does: the home is put back as it was when the copy was made.
func (w *world) keepCopy(n *node) {
	if n.past.copy == nil && len(n.held) > 0 {
		n.past.copy = n.store.copied()
	}
}

func (w *world) putBack(n *node) {
	w.cov[PutBack]++
	w.net.healAll()
	w.peace = w.now + time.Second + peaceIntervals*w.prof.slowest()
	w.crash(n, time.Second)
	w.trace("%s is put back from a copy", n.name)
	w.check.putBack(w, n)
	n.store, n.past.copy, n.past.back = *n.past.copy, nil, true
	n.past.disks++
}

// peaceIntervals is how long nothing else goes wrong when a home is put back: TFail, and a suspicion.
const peaceIntervals = 8

// known tells whether a voter that runs, and that n will hear soon, knows all that n does.
func (w *world) known(n *node) bool {
	cfg := w.owner.newest()
	if w.prof.lag != nil || !lists(cfg, n) {
		return false
	}
	key := record.InstanceKey(n.past.copy.disk.Instance)
	epoch, seq := w.othersKnow(n, key)
	for _, p := range w.nodes {
		if p != n && p.up && !p.paused && intact(cfg, p) && p.cfg.Compare(cfg) == 0 &&
			p.disk.Known.CoversAll(n.disk.Known) && p.disk.Epoch.Compare(epoch) >= 0 && p.disk.Known.Down()[key] >= seq {
			return true
		}
	}
	return false
}

// othersKnow is the highest epoch that the disks of others have, and the last number of a head of a store.
func (w *world) othersKnow(n *node, key string) (epoch record.Epoch, seq uint64) {
	for _, p := range w.nodes {
		if p == n {
			continue
		}
		if p.disk.Epoch.Compare(epoch) > 0 {
			epoch = p.disk.Epoch
		}
		seq = max(seq, p.disk.Known.Down()[key])
	}
	return epoch, seq
}

// cure is what the operator does about a home that says that its identity was used twice: a new store of it.
func (w *world) cure(n *node) {
	if !n.past.back {
		return
	}
	w.cov[Cured]++
	w.trace("%s is made a new store", n.name)
	w.crash(n, w.downtime())
	w.renew(n, n.disk)
}
