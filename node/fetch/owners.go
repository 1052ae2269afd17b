package fetch

import "hash/fnv"

// owners divides the spans among the getters, us included, by rendezvous hashing: every getter computes
// the same owner from the same names, and one that comes or goes moves only its own spans.
type owners struct {
	self  uint64
	crowd []*peer  // the other getters that make progress
	who   []*peer  // owner of each span; nil = us
	best  []uint64 // the owner's score
	mine  bitmap
	home  int // the span of our highest score
}

func newOwners(self Peer, spans int) *owners {
	o := &owners{self: hashPeer(self), who: make([]*peer, spans), best: make([]uint64, spans), mine: newBitmap(spans)}
	for s := range o.best {
		o.best[s] = score(o.self, s)
		if o.best[s] > o.best[o.home] {
			o.home = s
		}
	}
	o.mine.fill(spans)
	return o
}

func hashPeer(p Peer) uint64 {
	h := fnv.New64a()
	h.Write([]byte(p))
	return h.Sum64()
}

// score is the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over peer and span.
func score(peer uint64, s int) uint64 {
	x := peer ^ (uint64(s)+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// add lets p own spans.
func (o *owners) add(p *peer) {
	p.active = true
	o.crowd = append(o.crowd, p)
	for s := range o.best {
		if v := score(p.hash, s); v > o.best[s] {
			o.best[s], o.who[s] = v, p
			o.mine.clear(uint32(s))
		}
	}
}

// drop gives the spans of p to those next in rank.
func (o *owners) drop(p *peer) {
	p.active = false
	for i, q := range o.crowd {
		if q == p {
			o.crowd = append(o.crowd[:i], o.crowd[i+1:]...)
			break
		}
	}
	for s, w := range o.who {
		if w != p {
			continue
		}
		o.best[s], o.who[s] = score(o.self, s), nil
		for _, q := range o.crowd {
			if v := score(q.hash, s); v > o.best[s] {
				o.best[s], o.who[s] = v, q
			}
		}
		o.mine.put(uint32(s), o.who[s] == nil)
	}
}

// rank is how many getters come before us for span s: 0 for the owner.
func (o *owners) rank(s int) int {
	rank, own := 0, score(o.self, s)
	for _, q := range o.crowd {
		if score(q.hash, s) > own {
			rank++
		}
	}
	return rank
}
