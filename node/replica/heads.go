package replica

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// supersedes tells whether who has head old moves on to h: h includes old; or neither includes the other, and h is
// of a later reign. So what was accepted is never taken back, and a fork that lost does not hold its readers.
func supersedes(h, old record.Head) bool {
	switch h.Vector.Compare(old.Vector) {
	case record.After:
		return true
	case record.Concurrent:
		return h.Epoch.Compare(old.Epoch) > 0
	}
	return false
}

// newer tells whether records are to take the place of those that are here: another head, or the same under a newer
// config.
func newer(v, old record.Verified) bool {
	switch {
	case len(v.Heads) == 0:
		return false
	case len(old.Heads) == 0:
		return true
	case v.HeadCids[0] == old.HeadCids[0]:
		return v.Config.Version > old.Config.Version
	}
	return supersedes(head(v), head(old))
}

// entry is a head with what it is known by.
type entry struct {
	record.Head
	id     cid.Cid
	sealed []byte
}

// pool opens every head that is remembered of a set: the newest, those before it, forks, and others given. What does
// not verify any more is left out.
func (p *Replica) pool(others ...[]byte) []entry {
	p.mu.Lock()
	sealed := slices.Concat(p.state.Bundle.Heads, p.state.Forks, p.state.Past)
	p.mu.Unlock()
	return p.openAll(append(sealed, others...))
}

// openedHeads is how many opened heads are remembered: those of a history and its forks, and what is being fetched.
const openedHeads = 64

// openAll opens heads, those that verify. A head that was opened once stays so: configs are only added.
func (p *Replica) openAll(sealed [][]byte) []entry {
	p.mu.Lock()
	v, known := p.verified, make([]entry, len(sealed))
	for i, b := range sealed {
		known[i] = p.opened[string(b)]
	}
	p.mu.Unlock()
	var all []entry
	for i, e := range known {
		if !e.id.Defined() {
			var err error
			if e, err = open(v, sealed[i]); err != nil {
				continue
			}
			p.mu.Lock()
			if p.opened == nil || len(p.opened) >= openedHeads {
				p.opened = map[string]entry{}
			}
			p.opened[string(sealed[i])] = e
			p.mu.Unlock()
		}
		if _, twice := find(all, e.id); !twice {
			all = append(all, e)
		}
	}
	return all
}

func poolOf(v record.Verified, sealed [][]byte) []entry {
	var all []entry
	for _, b := range sealed {
		heads, ids, err := record.OpenHeads(v, [][]byte{b})
		if err != nil || len(heads) != 1 || slices.ContainsFunc(all, func(e entry) bool { return e.id == ids[0] }) {
			continue
		}
		all = append(all, entry{heads[0], ids[0], b})
	}
	return all
}

func find(all []entry, id cid.Cid) (entry, bool) {
	i := slices.IndexFunc(all, func(e entry) bool { return e.id == id })
	if i < 0 {
		return entry{}, false
	}
	return all[i], true
}

// ancestry lists the sealed heads before newest that all has without a gap, newest first, at most maxPast.
func ancestry(newest record.Head, all []entry) [][]byte {
	named := map[cid.Cid]bool{}
	name := func(h record.Head) {
		for _, id := range slices.Concat(h.Parents, h.Abandoned) {
			named[id] = true
		}
	}
	name(newest)
	all = slices.SortedFunc(slices.Values(all), func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.Revision, a.Revision), b.Epoch.Compare(a.Epoch), cmp.Compare(a.id.KeyString(), b.id.KeyString()))
	})
	var out [][]byte
	for _, e := range all { // a parent's revision is below its child's
		if named[e.id] && len(out) < maxPast {
			name(e.Head)
			out = append(out, e.sealed)
		}
	}
	return out
}

// includes tells whether h was made of e: parents lead from it to e. That its vector covers e says less, since it also
// covers what was abandoned on the way. Beyond what all remembers, nothing of what a vector covers was abandoned as far as
// anybody knows.
func (h entry) includes(e entry, all []entry) bool {
	seen := map[cid.Cid]bool{}
	for todo := []entry{h}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		switch {
		case at.id == e.id:
			return true
		case !at.Vector.Covers(e.Vector), slices.Contains(at.Abandoned, e.id):
			continue
		}
		for _, id := range at.Parents {
			p, ok := find(all, id)
			if !ok {
				return true
			}
			if !seen[id] {
				seen[id] = true
				todo = append(todo, p)
			}
		}
	}
	return false
}

// lost tells whether a head was passed over: one that is remembered knew it and was made without it.
func (e entry) lost(all []entry) bool {
	return slices.ContainsFunc(all, func(o entry) bool { return o.Vector.Covers(e.Vector) && !o.includes(e, all) })
}

// common finds the newest heads that all of some heads include: what they are merged on.
func common(of, all []entry) []entry {
	var shared []entry
	for _, e := range all {
		if !slices.ContainsFunc(of, func(h entry) bool { return !h.includes(e, all) }) {
			shared = append(shared, e)
		}
	}
	var out []entry
	for _, e := range shared {
		under := func(o entry) bool { return o.Vector.Compare(e.Vector) == record.After }
		if !slices.ContainsFunc(shared, under) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(a.id.KeyString(), b.id.KeyString()) })
	return out
}

// at gives records whose newest head is e.
func at(v record.Verified, e entry) record.Verified {
	v.Heads, v.HeadCids = []record.Head{e.Head}, []cid.Cid{e.id}
	return v
}

// open verifies one sealed head under the configs that are here.
func open(v record.Verified, sealed []byte) (entry, error) {
	heads, ids, err := record.OpenHeads(v, [][]byte{sealed})
	if err != nil {
		return entry{}, fmt.Errorf("open head: %w", err)
	}
	return entry{heads[0], ids[0], sealed}, nil
}

// change edits what is remembered of a set, on disk first, one edit at a time. The records are verified again if the
// edit touched them. An error of edit is returned, and nothing is changed.
func (r *Registry) change(p *Replica, edit func(*State) error) error {
	p.turn.Lock() // also while the file is written: the next edit is made on what it says
	defer p.turn.Unlock()
	p.mu.Lock()
	st, v, gone := p.state, p.verified, p.gone
	p.mu.Unlock()
	if gone {
		return fmt.Errorf("set %s: %w", st.Name, ErrUnknownSet)
	}
	was := st.Bundle
	if err := edit(&st); err != nil {
		return err
	}
	if !sameRecords(was, st.Bundle) {
		var err error
		if v, err = record.VerifyBundle(p.id, st.Bundle); err != nil {
			return err
		}
	}
	if err := r.states.save(st); err != nil {
		return err
	}
	p.mu.Lock()
	p.state, p.verified = st, v
	p.mu.Unlock()
	return nil
}

// sameRecords compares by identity of the sealed records, which are never modified.
func sameRecords(a, b record.Bundle) bool {
	same := func(x, y []byte) bool { return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0]) }
	return same(a.Genesis, b.Genesis) && slices.EqualFunc(a.Configs, b.Configs, same) && slices.EqualFunc(a.Heads, b.Heads, same)
}

// open is openAll for one head.
func (p *Replica) open(sealed []byte) (entry, error) {
	if all := p.openAll([][]byte{sealed}); len(all) == 1 {
		return all[0], nil
	}
	return open(p.Verified(), sealed) // and why not
}
