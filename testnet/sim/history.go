package sim

import (
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// Op is a publish or a read of a strict set, as a client saw it: the set is a register of the last proposal.
type Op struct {
	Read     bool
	Value    uint64        // proposal, from 1; a read of 0 saw none
	Asked    time.Duration // in the world's time; of a publish, when its head was made: it cannot be seen before
	Answered time.Duration // durable, or confirmed; negative = never
}

// history is what clients see: publishes, which are answered when they are durable, and reads at a primary, answered
// when a later head of the same reign is durable.
type history struct {
	durable map[uint64]answer // proposals
	reads   []answer
	agreed  *made // ap: the last head that all voters had in common
	checked int   // of the durable heads, in it
}

// answer is an operation, and the durable head that answered it. If that is revoked later, what was below it may
// be nowhere else, and the answer is void.
type answer struct {
	op Op
	by *election.Head
}

// published notes the answer to a publish.
func (h *history) published(r *made, now time.Duration) {
	if h.durable == nil {
		h.durable = map[uint64]answer{}
	}
	if _, ok := h.durable[r.value]; !ok && r.value > 0 {
		h.durable[r.value] = answer{Op{Value: r.value, Answered: now}, r.head}
	}
}

// history is what is to be linearizable: of writers that were not revoked in the course of it, and only if no voter
// lied about its heads. Publishes that were neither answered nor seen may not have happened.
func (w *world) history() []Op {
	if w.prof.mode != election.Strict || w.check.forged != nil {
		return nil
	}
	seen := map[uint64]bool{}
	var ops []Op
	for _, r := range w.check.clients.reads {
		if v := r.op.Value; !w.owner.revoked(r.by) && (v == 0 || !w.owner.cuts(w.heads.asked[v].write)) {
			seen[v] = true
			ops = append(ops, r.op)
		}
	}
	for i, p := range w.heads.asked[1:] {
		value := uint64(i + 1)
		a, ok := w.check.clients.durable[value]
		if !ok || w.owner.revoked(a.by) {
			ok, a.op.Answered = false, -1
		}
		if (ok || seen[value]) && !w.owner.cuts(p.write) {
			ops = append(ops, Op{Value: value, Asked: p.made, Answered: a.op.Answered})
		}
	}
	return ops
}

// cuts tells whether a proposal counts no more.
func (o *owner) cuts(x election.Write) bool {
	last, cut := o.newest().Cuts[x.Instance]
	return cut && x.Seq > last
}

// converged looks whether all voters have one head, and whether everything that was promised by then is in it.
func (w *world) converged() {
	cfg := w.owner.newest()
	var common election.Frontier
	for _, n := range w.nodes {
		switch {
		case !lists(cfg, n):
			continue
		case !n.up || n.paused || n.cfg.Compare(cfg) != 0 || len(n.disk.Have) != 1 || !n.disk.Known.Equal(n.disk.Have):
			return
		case common == nil:
			common = n.disk.Have
		case !common.Equal(n.disk.Have):
			return
		}
	}
	if common == nil {
		return
	}
	h := &w.check.clients
	now := w.heads.byID[common[0].ID]
	if h.agreed != nil && (h.agreed == now || !now.content.includes(h.agreed.content)) {
		h.checked = 0 // something was cut, or the voters are others: look at all of it
	}
	if h.agreed != now {
		w.cov[Converged]++
	}
	h.agreed = now
	w.included(now, w.check.durable[h.checked:])
	h.checked = len(w.check.durable)
}
