package fetch

import (
	"cmp"
	"slices"
	"time"
)

const (
	// draws is how many spans compete for rarest: the best of eight random ones is in the rarest eighth
	// two times in three, at a cost that does not grow with the revision.
	draws = 8
	// ownerPatience is how long we rather wait for another getter than ask a source for the same leaf
	// again: eight have-updates. Half of that made a seeder of 64 MiB to sixteen getters send 0.03 copies
	// more. It is fourfold for each other getter that comes before us in rank, so that helpers do not all
	// ask for the same.
	ownerPatience = 2 * time.Second
	// retryEvery bounds the searches for foreign and late leaves, which look at every open span.
	retryEvery = 50 * time.Millisecond
	// lateSlack is what a duplicate must gain at least when every leaf is in flight; from a source in a
	// crowd, ownerPatience. Before that only a leaf that would hold up the end is late: one that takes
	// longer than all the rest, or longer than maxLate.
	lateSlack = 50 * time.Millisecond
	maxLate   = 10 * time.Second
	// lateLook bounds the requests of a slow peer that are looked at, newest first.
	lateLook = 256
	// limitAhead is what may be in flight of a limit of ours: so much that all lanes are busy, and so little that every leaf
	// is through before its peer takes us for dead.
	limitAhead = 10 * time.Second
	// askAhead is when a source with one leaf in flight is asked for another: what it is asked for earlier only waits.
	askAhead = 2 * time.Second
)

// pump asks every peer for as much as its window allows: getters first, which spares the origins, and
// in an order that turns, so that nobody is always last when the total is short.
func (s *Scheduler) pump() {
	n := len(s.peers)
	if s.pieces.left == 0 || n == 0 {
		return
	}
	turn := s.rng.IntN(n)
	limit := s.window()
	for _, p := range s.peers {
		if p.stalled && s.rate == 0 {
			limit += p.inflight // or one silent peer would choke the others
		}
	}
	for _, origin := range [...]bool{false, true} {
		for i := range n {
			if p := s.peers[(turn+i)%n]; p.origin() == origin {
				s.refill(p, limit)
			}
		}
	}
}

func (s *Scheduler) refill(p *peer, limit int64) {
	for room := s.room(p, limit); room > 0; room = s.room(p, limit) {
		leaves := s.pick(p, room)
		if len(leaves) == 0 {
			return
		}
		if p.head == 0 {
			p.pace.busy(s.now)
		}
		for _, leaf := range leaves {
			out := &s.pieces.out[leaf]
			id := s.ledger.add(p, leaf, int64(s.cfg.Leaves[leaf]), s.now)
			if out[0] == 0 {
				out[0] = id
			} else {
				out[1] = id
				s.stats.Duplicated++
			}
			s.pieces.refresh(leaf, s.isStalled)
		}
		s.act(Request{p.id, leaves})
	}
}

// window bounds the bytes in flight over all peers that are not stalled.
func (s *Scheduler) window() int64 {
	if s.rate == 0 {
		return int64(s.cfg.MaxWindow)
	}
	return min(int64(s.cfg.MaxWindow), s.rate*int64(limitAhead/time.Second))
}

// load is what is in flight. With a limit it is what may come soon: a peer that is slower than a quarter of the limit does not
// use it up with one leaf, and peers that the limit alone makes slow do.
func (s *Scheduler) load() int64 {
	if s.rate == 0 {
		return s.ledger.inflight
	}
	var sum int64
	for _, p := range s.peers {
		switch n := p.inflight - p.came; {
		case p.stalled:
		case p.pace.rate > 0:
			sum += min(n, int64(4*p.pace.rate*limitAhead.Seconds()))
		default:
			sum += n
		}
	}
	return sum
}

// room is the size of the next request to p: a quarter of its window, or 0 until that much is free.
// limit is for all peers together.
func (s *Scheduler) room(p *peer, limit int64) int64 {
	if p.stalled || s.now < p.paused {
		return 0
	}
	batch := max(min(p.pace.window/4, int64(s.cfg.MaxBatchBytes)), 1)
	total := limit - s.load()
	if p.head == 0 || p.full && p.head == p.tail && p.pace.need(p.inflight-p.came) < askAhead {
		// A source with one leaf in flight would soon be idle for a round trip, whatever its window;
		// a getter has others to serve, and a queue at it only makes leaves late.
		return max(min(batch, total), 0)
	}
	// The last quarter of the total is for peers that have next to nothing in flight.
	total -= s.window() / 4
	if min(p.pace.window-p.inflight, total) < batch {
		return 0
	}
	return batch
}

// pick chooses the leaves of the next request to p.
func (s *Scheduler) pick(p *peer, room int64) []uint32 {
	if p.seen != s.pieces.opened {
		if i, mask := s.choose(p); mask != 0 {
			return s.pieces.cut(i, mask, room)
		}
		p.seen = s.pieces.opened
	}
	if s.now < p.retryAt {
		return nil
	}
	if p.origin() && s.crowded() {
		if i, mask := s.foreign(p); mask != 0 {
			return s.pieces.cutEnd(i, mask, room)
		}
	}
	leaves := s.late(p, room)
	if len(leaves) == 0 {
		p.retryAt = s.now + retryEvery
	}
	return leaves
}

// crowded tells whether origins are to be spared.
func (s *Scheduler) crowded() bool {
	getters := len(s.owners.crowd)
	return getters > 0 && s.origins() <= getters+1
}

func (s *Scheduler) origins() int {
	n := 0
	for _, p := range s.peers {
		if p.origin() {
			n++
		}
	}
	return n
}

// choose returns the span p should be asked for, with the leaves that p has and that may be asked for.
func (s *Scheduler) choose(p *peer) (int, uint64) {
	switch {
	case !p.origin():
		return s.rarest(p)
	case s.crowded():
		return s.first(p, 0, s.owners.mine, p.can)
	default:
		return s.fromHome(p)
	}
}

// fromHome returns the first open span from the one that we are most likely to own in a crowd, and then from the
// beginning: getters that do not know of each other yet would all ask for the same.
func (s *Scheduler) fromHome(p *peer) (int, uint64) {
	i, mask := s.first(p, s.owners.home, p.can)
	if i == s.owners.home && mask&s.atHome != 0 {
		mask &= s.atHome
	}
	if mask == 0 {
		return s.first(p, 0, p.can)
	}
	return i, mask
}

// first returns the first open span at or after from that is in all sets and serves p.
func (s *Scheduler) first(p *peer, from int, sets ...bitmap) (int, uint64) {
	for i := next(from, s.pieces.open, sets...); i >= 0; i = next(i+1, s.pieces.open, sets...) {
		if mask := s.mask(p, i); mask != 0 {
			return i, mask
		}
	}
	return -1, 0
}

func (s *Scheduler) mask(p *peer, i int) uint64 {
	sp := s.pieces.spans[i]
	return s.pieces.mask(i) & p.have.window(sp.lo, sp.n)
}

// rarest draws open spans of p at random and returns the one that the fewest getters hold.
func (s *Scheduler) rarest(p *peer) (int, uint64) {
	best, bestMask := -1, uint64(0)
	for range draws {
		i := next(s.rng.IntN(len(s.pieces.spans)), s.pieces.open, p.can)
		if i < 0 {
			i = next(0, s.pieces.open, p.can)
		}
		if i < 0 {
			return -1, 0
		}
		if mask := s.mask(p, i); mask != 0 && (best < 0 || s.rarer(i, best)) {
			best, bestMask = i, mask
		}
	}
	if best < 0 {
		return s.first(p, 0, p.can)
	}
	return best, bestMask
}

// rarer compares holders per leaf.
func (s *Scheduler) rarer(i, j int) bool {
	a, b := s.pieces.spans[i], s.pieces.spans[j]
	return a.held*int(b.n) < b.held*int(a.n)
}

// foreign returns the last span of another getter that we should rather ask a source for than wait.
func (s *Scheduler) foreign(p *peer) (int, uint64) {
	remains := make(map[*peer]int64, len(s.owners.crowd)) // bytes nobody else has, by owner; look-up only
	var held int64                                        // bytes that getters have and we do not
	for i := next(0, s.pieces.open, p.can); i >= 0; i = next(i+1, s.pieces.open, p.can) {
		mask, there := s.mask(p, i), s.heldMask(i)
		held += s.pieces.part(i, mask&there)
		remains[s.owners.who[i]] += s.pieces.part(i, mask&^there)
	}
	slowLinks := s.flow.getters.wait(s.now, held) > ownerPatience
	waits := make(map[*peer]time.Duration, len(remains))
	for o, n := range remains {
		if o != nil {
			waits[o] = o.gain.wait(s.now, n)
		}
	}
	best, bestMask, bestRank := -1, uint64(0), 0
	for i := len(s.pieces.spans) - 1; i >= 0; i-- {
		if s.pieces.open[i/64] == 0 {
			i &^= 63 // to the next word
			continue
		}
		mask, there := s.mask(p, i), s.heldMask(i)
		if slowLinks && mask&there != 0 {
			return i, mask & there
		}
		o := s.owners.who[i]
		if o == nil || mask&^there == 0 || waits[o] <= ownerPatience {
			continue
		}
		rank := s.owners.rank(i)
		if waits[o] > ownerPatience<<(2*(rank-1)) && (best < 0 || rank < bestRank) {
			best, bestMask, bestRank = i, mask&^there, rank
		}
	}
	return best, bestMask
}

func (s *Scheduler) heldMask(i int) uint64 {
	sp := s.pieces.spans[i]
	return s.held.window(sp.lo, sp.n)
}

// late returns leaves in flight at peers that will take more than twice as long for them as p.
func (s *Scheduler) late(p *peer, room int64) []uint32 {
	slack := lateSlack
	if p.origin() && s.crowded() {
		slack = ownerPatience
	}
	if next(0, s.pieces.open) >= 0 {
		slack = max(ownerPatience, min(s.flow.all.wait(s.now, s.pieces.bytes), maxLate))
	}
	mine := p.pace.base + p.pace.need(p.inflight-p.came+room)
	var slow []*peer
	for _, q := range s.peers {
		if q != p && q.head != 0 && !s.heldUp(q) && s.eta(q) > 2*mine+slack {
			slow = append(slow, q)
		}
	}
	slices.SortStableFunc(slow, func(a, b *peer) int { return cmp.Compare(s.eta(b), s.eta(a)) })
	for _, q := range slow {
		if leaves := s.lateOf(q, p, room); len(leaves) > 0 {
			return leaves
		}
	}
	return nil
}

// eta is the time q still needs for all it was asked for: at least as long again as it has been silent.
func (s *Scheduler) eta(q *peer) time.Duration {
	silence := s.now - max(q.lastRx, s.ledger.slab[q.head].at)
	return max(q.pace.need(q.inflight-q.came), silence)
}

// heldUp tells whether a peer may be slow only because all share our limit: another one would not be faster.
func (s *Scheduler) heldUp(q *peer) bool {
	if s.rate == 0 || q.stalled {
		return false
	}
	busy := 0
	for _, p := range s.peers {
		if p.head != 0 {
			busy++
		}
	}
	return q.pace.rate == 0 || 4*q.pace.rate*float64(busy) >= float64(s.rate)
}

// tooGood tells whether too much of a leaf has come to ask another peer for it: what came would be in vain. If waiting would
// make the whole download take four times as long, it is not.
func (s *Scheduler) tooGood(q *peer, r request) bool {
	return r.came > int64(s.cfg.Leaves[r.leaf])/64 && !q.stalled && s.eta(q) < max(3*s.now, maxLate)
}

// lateOf takes from the newest requests of q those that p has and nobody else was asked for.
func (s *Scheduler) lateOf(q, p *peer, room int64) []uint32 {
	var leaves []uint32
	id := q.tail
	for look := 0; id != 0 && look < lateLook && len(leaves) < s.cfg.MaxBatchLeaves; look++ {
		r := s.ledger.slab[id]
		id = r.prev
		if !s.pieces.want.get(r.leaf) || s.pieces.out[r.leaf][1] != 0 || !p.have.get(r.leaf) || s.tooGood(q, r) {
			continue
		}
		room -= int64(s.cfg.Leaves[r.leaf])
		if room < 0 && len(leaves) > 0 {
			break
		}
		leaves = append(leaves, r.leaf)
	}
	slices.Sort(leaves)
	return leaves
}
