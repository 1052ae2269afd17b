package replica

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// seat is this node's part in the elections of one set: what the council asks of disk and peers for it.
type seat struct {
	r      *Registry
	rep    *Replica
	vote   *voting
	ctx    context.Context
	cancel context.CancelFunc
	turn   chan struct{} // holds one token while a head is fetched

	mu        sync.Mutex // guards what follows
	wants     map[cid.Cid]*want
	proposals map[uint64]*asked
	last      uint64               // number of the last proposal
	doubted   time.Time            // when what is had was last looked at
	recent    [][]byte             // sealed heads that were fetched lately
	durable   map[*waiter]struct{} // who waits for a head to be durable
	handed    []chan<- bool        // who waits for a handover
	view      council.View         // the newest
	apart     time.Time            // since when no majority of the voters is heard; zero = it is
	changed   chan struct{}        // closed when view changes
}

var (
	_ council.Seat    = (*seat)(nil)
	_ council.Archive = (*seat)(nil)
)

// asked is a proposal that waits to be ordered.
type asked struct {
	proposal
	answer chan ordered // takes one
}

// ordered is what became of a proposal: a head, or nobody who orders here and who does, if that is known.
type ordered struct {
	head    entry
	refused bool
	primary peer.ID
}

// waiter waits for a head to be durable.
type waiter struct {
	head *election.Head
	done chan struct{}
}

func newSeat(r *Registry, rep *Replica, vote *voting) *seat {
	s := &seat{r: r, rep: rep, vote: vote, wants: map[cid.Cid]*want{}, proposals: map[uint64]*asked{},
		durable: map[*waiter]struct{}{}, changed: make(chan struct{}), turn: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(vote.ctx)
	return s
}

func (s *seat) end() { s.cancel() }

// Set implements council.Seat.
func (s *seat) Set() cid.Cid { return s.rep.id }

// Topic implements council.Seat.
func (s *seat) Topic() string { return s.vote.topic(s.rep.Verified().Genesis) }

// Instance implements council.Seat.
func (s *seat) Instance() []byte { return s.rep.State().Instance }

// Fresh implements council.Seat: a store that has made no head may be one that was wiped, and has forgotten what it
// promised.
func (s *seat) Fresh() bool {
	v := s.rep.Verified()
	return len(v.Heads) == 0 || head(v).Vector[record.InstanceKey(s.Instance())] == 0
}

// Config implements council.Seat.
func (s *seat) Config() election.Config {
	v := s.rep.Verified()
	c := election.Config{Version: v.Config.Version, Hash: v.ConfigHash.KeyString(), Cuts: v.Config.Cuts}
	if v.Config.Mode == record.ModeStrict {
		c.Mode = election.Strict
	}
	for _, p := range v.Config.Voters {
		voter := election.Voter{ID: p}
		if b := v.Config.Instances[p]; len(b) > 0 {
			voter.Instance = record.InstanceKey(b)
		}
		c.Voters = append(c.Voters, voter)
	}
	slices.SortFunc(c.Voters, func(a, b election.Voter) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return c
}

// Head implements council.Seat.
func (s *seat) Head(sealed []byte) (*election.Head, error) {
	e, err := s.rep.open(sealed)
	if err != nil {
		return nil, err
	}
	return describe(e), nil
}

// describe is what the election must know of a head.
func describe(e entry) *election.Head {
	all, _ := e.Written() // it was opened
	writes := make([]election.Write, 0, len(all))
	for _, p := range all {
		writes = append(writes, election.Write{Instance: record.InstanceKey(p.Instance), Seq: p.Seq})
	}
	return election.NewHead(e.id, e.Epoch, e.Vector, writes)
}

// Heads implements council.Archive.
func (s *seat) Heads() [][]byte {
	st := s.rep.State()
	return slices.Concat(st.Bundle.Heads, st.Forks)
}

// Uncut implements council.Archive.
func (s *seat) Uncut(c election.Config, h *election.Head, complete bool) [][]byte {
	var kept []entry
	for _, e := range s.rep.pool(s.sealedHave()...) {
		d := describe(e)
		if !h.Covers(d) || slices.ContainsFunc(d.Writes, func(w election.Write) bool {
			last, cut := c.Cuts[w.Instance]
			return cut && w.Seq > last
		}) || complete && !s.r.whole(s.ctx, s.rep.id, e.Root) {
			continue
		}
		kept = append(kept, e)
	}
	var out [][]byte
	for _, e := range kept {
		if !slices.ContainsFunc(kept, func(o entry) bool { return o.Vector.Compare(e.Vector) == record.After }) {
			out = append(out, e.sealed)
		}
	}
	return out
}

// whole tells whether all of a revision is here, by the index.
func (r *Registry) whole(ctx context.Context, set, root cid.Cid) bool {
	inv := inventory{r: r, set: set, seen: map[cid.Cid]presence{}}
	has, err := inv.of(ctx, root)
	return err == nil && has.word() == KeptHere
}

// Make implements council.Seat.
func (s *seat) Make(p *election.Plan, sealed func(cid.Cid) []byte) {
	s.vote.start(func() {
		b, err := s.build(s.ctx, p, sealed)
		s.vote.council.MadeHead(s.rep.id, p, b, err)
	})
}

// FetchConfig implements council.Seat.
func (s *seat) FetchConfig(from peer.ID) {
	s.vote.start(func() {
		if err := s.r.fetchConfig(s.ctx, s.rep, from); err != nil {
			s.r.cfg.Log.Debug("fetch config", "set", s.rep.id, "peer", from, "err", err)
		}
	})
}

// strict tells whether the set's readers are shown only what a majority has.
func (s *seat) strict() bool { return s.rep.Verified().Config.Mode == record.ModeStrict }

// Accepted implements council.Seat. Changed comes after it, and shows the head once it may be.
func (s *seat) Accepted(p *election.Plan, _ *election.Head, sealed []byte) {
	e, err := s.rep.open(sealed)
	if err != nil {
		s.r.cfg.Log.Error("a head made here", "set", s.rep.id, "err", err)
		return
	}
	if s.strict() {
		s.remember(sealed)
	} else {
		s.show(e, nil)
	}
	if p.Kind == election.Publish {
		s.answer(p.Proposal, ordered{head: e})
	}
}

// Refused implements council.Seat.
func (s *seat) Refused(id uint64, primary peer.ID) {
	s.answer(id, ordered{refused: true, primary: primary})
}

func (s *seat) answer(id uint64, o ordered) {
	s.mu.Lock()
	a := s.proposals[id]
	delete(s.proposals, id)
	s.mu.Unlock()
	if a != nil {
		a.answer <- o
	}
}

// propose asks for a proposal to be ordered, all of which lies here.
func (s *seat) propose(p proposal) <-chan ordered {
	a := &asked{p, make(chan ordered, 1)}
	s.mu.Lock()
	s.last++
	id := s.last
	s.proposals[id] = a
	s.mu.Unlock()
	if !s.vote.council.Tell(s.rep.id, election.Proposed{ID: id}) {
		s.answer(id, ordered{refused: true})
	}
	return a.answer
}

func (s *seat) proposal(id uint64) (proposal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.proposals[id]
	if !ok {
		return proposal{}, false
	}
	return a.proposal, true
}

// Durable implements council.Seat. A head that covers another one may have passed it over: who waits for that looks.
func (s *seat) Durable(h *election.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.durable {
		if h.ID == w.head.ID {
			close(w.done)
			delete(s.durable, w)
		}
	}
}

// isDurable tells whether a head, or one that was made of it, is known to be durable.
func (s *seat) isDurable(e entry) bool {
	view, ok := s.vote.council.View(s.rep.id)
	if !ok {
		return false
	}
	sealed := s.sealedHave()
	for _, h := range view.Durable {
		sealed = append(sealed, h.Sealed)
	}
	pool := s.rep.pool(sealed...)
	return slices.ContainsFunc(view.Durable, func(h council.SealedHead) bool {
		d, ok := find(pool, h.Head.ID)
		return ok && d.includes(e, pool)
	})
}

// whenDurable is closed once a head itself is known to be durable; forget when it is not of interest any more.
func (s *seat) whenDurable(e entry) (done <-chan struct{}, forget func()) {
	w := &waiter{describe(e), make(chan struct{})}
	s.mu.Lock()
	s.durable[w] = struct{}{}
	s.mu.Unlock()
	if s.isDurable(e) { // by now
		s.Durable(w.head)
	}
	return w.done, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.durable, w)
	}
}

// Changed implements council.Seat.
func (s *seat) Changed(v council.View) {
	s.mu.Lock()
	switch {
	case s.majority(v):
		s.apart = time.Time{}
	case s.apart.IsZero():
		s.apart = s.r.cfg.Now()
	}
	s.view = v
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	for _, h := range v.Durable {
		s.Durable(h.Head)
	}
	shown := v.Best
	var best entry
	if d, ok := newest(v.Durable); ok && s.strict() {
		shown = d.ID
		// It may be one that this node never fetched, or one of which a newer one was fetched at once.
		if e, err := s.rep.open(d.Sealed); err == nil && s.r.whole(s.ctx, s.rep.id, e.Root) {
			best = e
		}
	}
	var forks []entry
	for _, h := range v.Have {
		e, err := s.rep.open(h.Sealed)
		switch {
		case err != nil:
			s.r.cfg.Log.Error("a head that was verified", "set", s.rep.id, "err", err)
		case h.ID == shown:
			best = e
		default:
			forks = append(forks, e)
		}
	}
	if best.id.Defined() {
		s.show(best, forks)
	}
	if s.r.cfg.Changed != nil {
		s.r.cfg.Changed(s.rep)
	}
}

// doubtEvery is how often what is had is looked at when somebody could not be given a block of it.
const doubtEvery = 5 * time.Second

// doubt looks, behind the back of who asks, whether what the council counts as here still is: the author's files may
// have been changed before a revision of them was fetched by anybody.
func (s *seat) doubt() {
	now := s.r.cfg.Now()
	s.mu.Lock()
	soon := now.Sub(s.doubted) < doubtEvery
	if !soon {
		s.doubted = now
	}
	s.mu.Unlock()
	if !soon {
		s.vote.start(func() { s.recount() })
	}
}

// recount tells the council of heads that are not whole any more, and of what is left below them.
func (s *seat) recount() {
	view, ok := s.vote.council.View(s.rep.id)
	if !ok || view.Role == election.Primary {
		return
	}
	for _, h := range view.Have {
		known := func(d council.SealedHead) bool { return d.Head.Covers(h.Head) }
		e, err := s.rep.open(h.Sealed)
		if err != nil || slices.ContainsFunc(view.Durable, known) || s.r.whole(s.ctx, s.rep.id, e.Root) {
			continue
		}
		s.r.cfg.Log.Warn("a revision that nobody else has is not here any more: its files were changed before it was fetched", "set", s.rep.id, "revision", e.Revision)
		s.vote.council.Lost(s.rep.id, h.ID, s.Uncut(election.Config{}, h.Head, true))
	}
}

// remember notes a head that is complete here until the council says what it makes of it.
func (s *seat) remember(sealed []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = append(s.recent[max(0, len(s.recent)-recentHeads):], sealed)
}

// majority tells whether more than half of the voters live, this node among them.
func (s *seat) majority(v council.View) bool {
	live := 0
	for _, voter := range v.Voters {
		if voter.Live || voter.ID == s.r.self {
			live++
		}
	}
	return live > len(v.Voters)/2
}

// newest is the last of some heads by epoch, number and id, as the council orders them.
func newest(all []council.SealedHead) (best council.SealedHead, ok bool) {
	for _, h := range all {
		if !ok || cmp.Or(h.Head.Epoch.Compare(best.Head.Epoch), cmp.Compare(h.Head.Seq(), best.Head.Seq()), cmp.Compare(h.ID.KeyString(), best.ID.KeyString())) > 0 {
			best, ok = h, true
		}
	}
	return best, ok
}

// sealedHave are the heads that the council knows, or is about to.
func (s *seat) sealedHave() (out [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range append(slices.Clone(s.view.Have), s.view.Known...) {
		out = append(out, h.Sealed)
	}
	return append(out, s.recent...)
}

// complete are the heads whose blocks are all here, and which were checked before they were taken.
func (s *seat) complete() (out [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.view.Have {
		out = append(out, h.Sealed)
	}
	return append(out, s.recent...)
}

// show makes a head the one that readers are shown. All of its blocks are here. forks are other heads like it.
func (s *seat) show(e entry, forks []entry) {
	now := s.rep.Verified()
	st := s.rep.State()
	same := len(now.Heads) > 0 && now.HeadCids[0] == e.id && st.Complete
	var sealed [][]byte
	for _, f := range forks {
		sealed = append(sealed, f.sealed)
	}
	if same && slices.EqualFunc(sealed, st.Forks, bytes.Equal) {
		return
	}
	lay, err := s.r.layoutOf(s.ctx, s.rep.id, e.Root)
	if err != nil {
		s.r.cfg.Log.Error("a revision that is complete", "set", s.rep.id, "revision", e.Revision, "err", err)
		return
	}
	pool := s.rep.pool(sealed...)
	err = s.r.change(s.rep, func(st *State) error {
		st.Past = ancestry(e.Head, pool)
		st.Bundle.Heads, st.Forks = [][]byte{e.sealed}, sealed
		st.Complete, st.Leaves = true, len(lay.Leaves)
		if e.Epoch.Owner == s.r.self {
			st.HeadSeq = max(st.HeadSeq, seqOf(e.Head))
		}
		return nil
	})
	if err != nil {
		s.r.cfg.Log.Error("remember a revision", "set", s.rep.id, "revision", e.Revision, "err", err)
		return
	}
	if !same {
		s.rep.feed.reset(true)
		s.r.hint(s.rep.id, "")
	}
}

// HandedOver implements council.Seat.
func (s *seat) HandedOver(ok bool) {
	s.mu.Lock()
	waiting := s.handed
	s.handed = nil
	s.mu.Unlock()
	for _, ch := range waiting {
		ch <- ok
	}
}
