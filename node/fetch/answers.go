package fetch

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
)

const (
	// pauseMin and pauseMax bound how long a peer whose requests fail is left alone: a busy seeder frees
	// a slot in about the first, and a broken one costs one request per the second.
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
	// dropAfter times the patience is the longest silence; after one patience others get the leaves.
	dropAfter = 4
	// aloneFor is the least silence after which the only holder of something is dropped: its streams end before, and what
	// comes slowly would be lost and be as slow again.
	aloneFor = time.Minute
	// maxDrops bounds the patience that a dropped peer gains: 16 times StallAfter.
	maxDrops = 4
	// idleGetter is how long a getter may gain nothing and still own spans: 12 have-updates.
	idleGetter = 3 * time.Second
	// hungerEvery bounds how often the holders of all leaves are compared.
	hungerEvery = time.Second
	// hungerLeaves is how many leaves without holder are named.
	hungerLeaves = 64
)

// arriving notes a sign of life of a leaf that takes long.
func (s *Scheduler) arriving(e Arriving) {
	p := s.index[e.Peer]
	id := s.asked(p, e.Leaf)
	if id == 0 {
		return
	}
	r := &s.ledger.slab[id]
	n := min(int64(e.Bytes), int64(s.cfg.Leaves[e.Leaf])-r.came)
	r.came += n
	p.came += n
	p.pace.moved(s.now, n)
	s.flow.all.add(s.now, n)
	s.alive(p)
}

func (s *Scheduler) received(e Received) {
	if int(e.Leaf) >= len(s.cfg.Leaves) {
		return
	}
	size := int64(s.cfg.Leaves[e.Leaf])
	p := s.index[e.Peer]
	wanted, came := s.pieces.want.get(e.Leaf), int64(0)
	if wanted {
		s.pieces.done(e.Leaf) // first, so that ending its requests does not offer it again
	}
	if id := s.asked(p, e.Leaf); id != 0 {
		took := s.now - s.ledger.slab[id].at
		// Growing a window that is not used would allow a flood later.
		full := p.inflight >= p.pace.window/2
		came = s.ledger.slab[id].came
		p.pace.bytes -= came // counted as it came
		s.unask(id)
		p.pace.received(s.now, took, size, full, int64(s.cfg.MaxWindow))
	}
	if p != nil {
		s.alive(p)
		p.drops = 0
	}
	if !wanted {
		s.stats.Duplicate += int64(e.Bytes)
		return
	}
	s.stats.Received += int64(e.Bytes)
	s.flow.all.add(s.now, size-came)
	if p != nil {
		p.bytes += int64(e.Bytes)
		if !p.origin() {
			s.flow.getters.add(s.now, size)
		}
	}
	if rec := s.records[e.Peer]; rec != nil && !rec.used {
		rec.used = true
		s.stats.Sources++
	}
	s.hunger.stale = s.hunger.stale || s.hunger.total > 0
	s.cancel(e.Leaf)
}

// alive notes a sign of life. A peer that had stalled gets its leaves back.
func (s *Scheduler) alive(p *peer) {
	p.lastRx, p.fails, p.paused = s.now, 0, 0
	if p.stalled {
		p.stalled = false
		p.seen = 0
		s.refreshAll(p)
	}
}

func (s *Scheduler) refreshAll(p *peer) {
	for id := p.head; id != 0; id = s.ledger.slab[id].next {
		s.pieces.refresh(s.ledger.slab[id].leaf, s.isStalled)
	}
}

// cancel tells who else was asked for a leaf that is here now. Such a request stays in flight until it
// ends: its bytes are likely under way, and a queue we forgot would make all that follows late.
func (s *Scheduler) cancel(leaf uint32) {
	for _, id := range s.pieces.out[leaf] {
		if id != 0 {
			s.act(Cancel{s.ledger.slab[id].peer.id, []uint32{leaf}})
		}
	}
	s.pieces.refresh(leaf, s.isStalled)
}

func (s *Scheduler) bad(e Bad) {
	rec := s.records[e.Peer]
	if rec == nil || rec.banned {
		return
	}
	rec.bad++
	p := s.index[e.Peer]
	if p != nil {
		s.lacks(p, e.Leaf)
		p.pace.window = min(p.pace.window, minWindow)
	}
	if rec.bad < s.cfg.BanAfter {
		return
	}
	rec.banned = true
	s.stats.Banned++
	if p != nil {
		s.remove(p)
	}
	s.act(Ban{e.Peer, fmt.Sprintf("sent wrong bytes for %d blocks", rec.bad)})
}

func (s *Scheduler) missing(e Missing) {
	if p := s.index[e.Peer]; p != nil {
		s.lacks(p, e.Leaf)
		s.alive(p)
	}
}

// lacks notes that a peer does not have a leaf after all, and ends the request for it.
func (s *Scheduler) lacks(p *peer, leaf uint32) {
	if id := s.asked(p, leaf); id != 0 {
		s.unask(id)
	}
	if int(leaf) >= len(s.cfg.Leaves) || !p.have.get(leaf) {
		return
	}
	p.have.clear(leaf)
	i := s.pieces.spanOf[leaf]
	sp := &s.pieces.spans[i]
	p.can.put(i, onesIn(p.have, *sp) > 0)
	if !p.full {
		sp.held--
	}
	s.held.clear(leaf)
	for _, q := range s.peers {
		if !q.origin() && q.have.get(leaf) {
			s.held.set(leaf)
		}
	}
	s.hunger.stale = true
}

func onesIn(b bitmap, sp span) int { return bits.OnesCount64(b.window(sp.lo, sp.n)) }

func (s *Scheduler) failed(e Failed) {
	p := s.index[e.Peer]
	if p == nil {
		return
	}
	blame := false
	for _, leaf := range e.Leaves {
		if id := s.asked(p, leaf); id != 0 {
			blame = blame || s.pieces.want.get(leaf)
			s.unask(id)
		}
	}
	if blame && s.now >= p.paused { // streams that end together are one failure
		p.paused = s.now + min(pauseMin<<min(p.fails, 10), pauseMax)
		p.fails++
	}
}

func (s *Scheduler) tick() {
	for _, p := range slices.Clone(s.peers) {
		if p.active && s.now-p.lastGain > idleGetter {
			s.owners.drop(p)
			s.changed()
		}
		s.checkSilence(p)
	}
}

// checkSilence lends the leaves of a silent peer to others, or drops it.
func (s *Scheduler) checkSilence(p *peer) {
	if p.head == 0 {
		return
	}
	oldest := s.ledger.slab[p.head]
	patience := s.patience(p, int64(s.cfg.Leaves[oldest.leaf]))
	silence := s.now - max(p.lastRx, oldest.at)
	// One stuck stream must not hide behind the others: the oldest request has an end too.
	overdue := s.now-oldest.at > dropAfter*(patience+p.pace.need(p.inflight))
	if silence > patience && !p.stalled {
		p.stalled = true
		p.pace.window = min(p.pace.window, minWindow)
		s.refreshAll(p)
	}
	if silence > dropAfter*patience {
		overdue = true
	}
	if overdue && s.elsewhere(p) || silence > max(dropAfter*patience, aloneFor) {
		p.drops = min(p.drops+1, maxDrops)
		s.remove(p)
		s.act(Drop{p.id})
	}
}

// elsewhere tells whether somebody else could deliver something that p was asked for.
func (s *Scheduler) elsewhere(p *peer) bool {
	for _, q := range s.peers {
		if q == p || q.stalled {
			continue
		}
		for id := p.head; id != 0; id = s.ledger.slab[id].next {
			if leaf := s.ledger.slab[id].leaf; q.have.get(leaf) || !s.pieces.want.get(leaf) {
				return true
			}
		}
	}
	return false
}

// patience is the silence that makes a peer stalled: eight times the time of one leaf, doubled for each
// earlier drop, so that a peer that is merely slow gets its leaf through in the end.
func (s *Scheduler) patience(p *peer, leaf int64) time.Duration {
	return max(s.cfg.StallAfter, 8*(p.pace.base+p.pace.need(leaf))) << p.drops
}

// tellHunger compares what is wanted with what anybody has.
func (s *Scheduler) tellHunger() {
	h := &s.hunger
	if !h.stale || s.now < h.next {
		return
	}
	h.stale, h.next = false, s.now+hungerEvery
	var leaves []uint32
	total := 0
	for i, w := range s.pieces.want {
		for _, p := range s.peers {
			if w == 0 {
				break
			}
			w &^= p.have[i]
		}
		total += bits.OnesCount64(w)
		for ; w != 0 && len(leaves) < hungerLeaves; w &= w - 1 {
			leaves = append(leaves, uint32(i*64+bits.TrailingZeros64(w)))
		}
	}
	if total != h.total {
		h.total = total
		s.act(Starved{leaves, total})
	}
}
