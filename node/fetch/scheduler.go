package fetch

import (
	"math/rand/v2"
	"time"
)

// Scheduler is one download. It is not safe for concurrent use: one loop of the shell owns it.
type Scheduler struct {
	cfg     Config
	rng     *rand.Rand
	start   time.Time
	now     time.Duration // since start; never goes back
	peers   []*peer       // in order of arrival
	index   map[Peer]*peer
	records map[Peer]*record // one for every peer ever seen
	owners  *owners
	atHome  uint64 // leaves of the first span to be asked for that come first: in a small set, getters differ in these alone
	pieces  *pieces
	ledger  ledger
	held    bitmap // leaves that some peer has that is no origin
	flow    flow
	rate    int64 // of Limit
	hunger  hunger
	stats   Stats
	acts    []Action
}

// smallSet is the spans below which a crowd of getters, sixteen of which know each other, begins with the same ones.
const smallSet = 16

// flow is how fast needed bytes come in.
type flow struct{ all, getters meter }

// hunger is what was last said about leaves nobody has.
type hunger struct {
	stale    bool // holders may have changed since the last look
	next     time.Duration
	total    int
	finished bool
}

// New prepares a download; it takes time proportional to the number of leaves.
func New(cfg Config) *Scheduler {
	cfg = cfg.withDefaults()
	s := &Scheduler{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Rand, 0)),
		index: map[Peer]*peer{}, records: map[Peer]*record{},
		pieces: newPieces(cfg), held: newBitmap(len(cfg.Leaves)),
		hunger: hunger{stale: true},
	}
	s.owners = newOwners(cfg.Self, len(s.pieces.spans))
	s.atHome = ^uint64(0)
	if n := len(s.pieces.spans); n > 0 && n < smallSet && cfg.Self != "" {
		s.atHome = ^uint64(0) << (s.owners.self % uint64(s.pieces.spans[s.owners.home].n))
	}
	return s
}

// Step takes one event in and returns what to do. now must not depend on the wall clock being set; a now
// before the last one counts as the last one. Equal seeds and events give equal actions.
func (s *Scheduler) Step(now time.Time, ev Event) []Action {
	if s.start.IsZero() {
		s.start = now
	}
	s.now = max(s.now, now.Sub(s.start))
	s.acts = nil
	switch e := ev.(type) {
	case PeerUp:
		s.peerUp(e)
	case PeerHave:
		s.peerHave(e)
	case PeerDown:
		if p := s.index[e.Peer]; p != nil {
			s.remove(p)
		}
	case Arriving:
		s.arriving(e)
	case Limit:
		s.rate = e.Rate
	case Received:
		s.received(e)
	case Bad:
		s.bad(e)
	case Missing:
		s.missing(e)
	case Failed:
		s.failed(e)
	case Tick:
		s.tick()
	}
	s.pump()
	s.tellHunger()
	if s.pieces.left == 0 && !s.hunger.finished {
		s.hunger.finished = true
		s.act(Finished{})
	}
	return s.acts
}

func (s *Scheduler) act(a Action) { s.acts = append(s.acts, a) }

// Stats returns the progress so far.
func (s *Scheduler) Stats() Stats {
	st := s.stats
	st.InFlight, st.Left, st.LeftBytes = s.ledger.inflight, s.pieces.left, s.pieces.bytes
	st.Peers = make([]PeerStats, 0, len(s.peers))
	for _, p := range s.peers {
		st.Peers = append(st.Peers, PeerStats{
			Peer: p.id, Complete: p.full, Bytes: p.bytes, Rate: p.pace.rate, InFlight: p.inflight,
			Window: p.pace.window, Bad: p.bad, Stalled: p.stalled,
		})
	}
	return st
}

// Rate is how fast a peer delivers, in bytes a second; 0 = not known yet.
func (s *Scheduler) Rate(id Peer) float64 {
	if p := s.index[id]; p != nil {
		return p.pace.rate
	}
	return 0
}

func (s *Scheduler) peerUp(e PeerUp) {
	rec := s.records[e.Peer]
	if rec == nil {
		rec = &record{}
		s.records[e.Peer] = rec
	}
	if rec.banned || e.Peer == s.cfg.Self {
		return
	}
	if old := s.index[e.Peer]; old != nil {
		s.remove(old)
	}
	n := len(s.cfg.Leaves)
	p := &peer{
		id: e.Peer, have: newBitmap(n), can: newBitmap(len(s.pieces.spans)),
		pace: pace{window: int64(s.cfg.InitialWindow)}, trust: trust{record: rec, lastRx: s.now},
		getter: getter{hash: hashPeer(e.Peer), lastGain: s.now},
	}
	s.peers = append(s.peers, p)
	s.index[p.id] = p
	if e.Complete {
		s.completed(p)
	} else {
		rec.grows = true
		p.have.load(e.Have, n)
		s.recount(p, 1)
		s.owners.add(p)
	}
	s.changed()
}

// changed makes every peer search again: who may be asked for what is different now.
func (s *Scheduler) changed() {
	s.pieces.opened++
	s.hunger.stale = true
	s.reholds()
}

// recount adds a getter's leaves to the rarity of the spans (by is 1) or takes them out (-1).
func (s *Scheduler) recount(p *peer, by int) {
	for i := range s.pieces.spans {
		sp := &s.pieces.spans[i]
		if n := onesIn(p.have, *sp); n > 0 {
			sp.held += by * n
			p.can.set(uint32(i))
		}
	}
}

// reholds computes held anew.
func (s *Scheduler) reholds() {
	clear(s.held)
	for _, p := range s.peers {
		if !p.origin() {
			for i, w := range p.have {
				s.held[i] |= w
			}
		}
	}
}

// completed makes p a source.
func (s *Scheduler) completed(p *peer) {
	p.full = true
	p.have.fill(len(s.cfg.Leaves))
	p.can.fill(len(s.pieces.spans))
}

func (s *Scheduler) peerHave(e PeerHave) {
	p := s.index[e.Peer]
	if p == nil {
		return
	}
	if e.Complete && !p.full {
		s.retire(p)
		s.completed(p)
		s.changed()
		return
	}
	var gained, owned int64
	for _, leaf := range e.Leaves {
		if int(leaf) >= len(s.cfg.Leaves) || p.have.get(leaf) {
			continue
		}
		p.have.set(leaf)
		sp := s.pieces.spanOf[leaf]
		p.can.set(sp)
		gained += int64(s.cfg.Leaves[leaf])
		if !p.origin() {
			s.held.set(leaf)
		}
		if !p.full {
			s.pieces.spans[sp].held++
			if s.owners.who[sp] == p {
				owned += int64(s.cfg.Leaves[leaf])
			}
		}
	}
	if gained == 0 {
		return
	}
	p.gain.add(s.now, owned)
	p.lastGain, p.seen = s.now, 0
	s.hunger.stale = s.hunger.stale || s.hunger.total > 0
	if !p.full && !p.active {
		s.owners.add(p)
		s.changed()
	}
}

// retire takes p out of the getters.
func (s *Scheduler) retire(p *peer) {
	if p.full {
		return
	}
	p.full = true
	s.recount(p, -1)
	if p.active {
		s.owners.drop(p)
	}
}

// remove forgets a peer and takes back what it was asked for.
func (s *Scheduler) remove(p *peer) {
	for p.head != 0 {
		s.unask(p.head)
	}
	delete(s.index, p.id)
	for i, q := range s.peers {
		if q == p {
			s.peers = append(s.peers[:i], s.peers[i+1:]...)
			break
		}
	}
	s.retire(p)
	s.changed()
}

// unask ends a request that will not be answered, or was.
func (s *Scheduler) unask(id int32) {
	leaf := s.ledger.slab[id].leaf
	out := &s.pieces.out[leaf]
	if out[0] == id {
		out[0] = out[1]
	}
	out[1] = 0
	s.ledger.remove(id, int64(s.cfg.Leaves[leaf]))
	s.pieces.refresh(leaf, s.isStalled)
}

func (s *Scheduler) isStalled(id int32) bool { return s.ledger.slab[id].peer.stalled }

// asked finds the request for leaf at p, or 0.
func (s *Scheduler) asked(p *peer, leaf uint32) int32 {
	if p == nil || int(leaf) >= len(s.cfg.Leaves) {
		return 0
	}
	for _, id := range s.pieces.out[leaf] {
		if id != 0 && s.ledger.slab[id].peer == p {
			return id
		}
	}
	return 0
}
