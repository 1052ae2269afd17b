package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/election"
	proposals "github.com/shoal-p2p/shoal/protocols/council"
)

const (
	// orderWait is how long a writer looks for a voter that orders its proposal: some elections.
	orderWait = 10 * time.Second
	// minorityWait is how long a strict set must be without a majority before a writer gives up: a moment's silence of
	// others is none, and less than two seconds with the one that it takes to miss them.
	minorityWait = 600 * time.Millisecond
	// promoteEvery is how often a voter asks for the role again.
	promoteEvery = 500 * time.Millisecond
	// orderPause is between two tries: an election takes several of them.
	orderPause = 50 * time.Millisecond
	// answerTime is how long a voter may take to answer, besides a second for each answerRate bytes that it has to fetch
	// before: what the protocols call too slow. One that is asleep does not answer at all.
	answerTime = 5 * time.Second
	answerRate = 16 << 10
	// askTime bounds one try at one voter, until it has fetched the proposal and said what becomes of it; what is
	// large takes long to fetch, and a voter that has gone is noticed by its connection.
	askTime = 10 * time.Minute
	// reachTime bounds the search for a voter: there are others to ask.
	reachTime = time.Second
	// durableWait is how long a publish waits by default for its revision to lie on other disks too.
	durableWait = 10 * time.Second
)

// published is what became of a proposal.
type published struct {
	head    entry
	durable bool
	lost    bool // the head was passed over: it counts for nothing
	on      []peer.ID
	primary peer.ID
}

// submit has a proposal, all of which lies here, ordered by the set's primary, and waits until it is durable, or
// until wait is over. Errors: ErrNoPrimary, ErrMinority, ErrNotWriter, ctx's.
func (r *Registry) submit(ctx context.Context, rep *Replica, p proposal, wait time.Duration) (published, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	until := time.NewTimer(orderWait)
	defer until.Stop()
	var next peer.ID
	if s := rep.seated(); s != nil { // what was published from this folder may have lost its files by what was just read
		s.recount()
	}
	for {
		changed := rep.elected()
		done, hint, err := r.try(ctx, rep, p, next, wait)
		if err == nil && done.lost {
			err = errPassedOver
		}
		if err == nil && !done.durable && rep.cutOff(r.cfg.Now()) {
			return done, fmt.Errorf("publish: %w: revision %d is hidden until a majority has it", ErrMinority, done.head.Revision)
		}
		if err == nil || errors.Is(err, ErrNotWriter) || ctx.Err() != nil {
			return done, errors.Join(err, ctx.Err())
		}
		next = hint
		if rep.cutOff(r.cfg.Now()) {
			return published{}, fmt.Errorf("publish: %w: %w", ErrMinority, err)
		}
		select {
		case <-until.C:
			return published{}, fmt.Errorf("publish: %w: %w", ErrNoPrimary, err)
		case <-changed:
		case <-time.After(orderPause):
		case <-ctx.Done():
			return published{}, ctx.Err()
		}
	}
}

// cutOff tells whether a strict set's voters here have been without a majority for longer than an election takes.
func (p *Replica) cutOff(now time.Time) bool {
	s := p.seated()
	if s == nil || !s.strict() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.apart.IsZero() && now.Sub(s.apart) > minorityWait
}

// elected is closed when something changes in the set's elections; nil for who takes no part.
func (p *Replica) elected() <-chan struct{} {
	s := p.seated()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// errPassedOver: the proposal was ordered by a primary whose head lost; the next one orders it again.
var errPassedOver = errors.New("its revision was passed over")

// errRefused: the voter does not order the set's revisions just now.
var errRefused = errors.New("not the primary")

// try asks who is said to be primary, else every voter, this node first. hint is whom to ask next.
func (r *Registry) try(ctx context.Context, rep *Replica, p proposal, first peer.ID, wait time.Duration) (published, peer.ID, error) {
	voters := slices.Clone(rep.Verified().Config.Voters)
	if v, ok := r.View(rep); ok {
		first = v.Primary
		if first == "" && v.Stale {
			return published{}, "", fmt.Errorf("%w: no majority is heard", errRefused)
		}
	}
	slices.SortFunc(voters, func(a, b peer.ID) int { return turnOf(a, first, r.self) - turnOf(b, first, r.self) })
	var hint peer.ID
	var all error
	for _, voter := range voters {
		var done published
		var err error
		if voter == r.self {
			done, hint, err = r.order(ctx, rep, p, wait)
		} else {
			done, hint, err = r.ask(ctx, rep, voter, p, wait)
		}
		if err == nil || errors.Is(err, ErrNotWriter) || ctx.Err() != nil {
			return done, "", err
		}
		all = errors.Join(all, fmt.Errorf("%s: %w", shortName(voter), err))
		if hint != "" && hint != voter {
			return published{}, hint, all
		}
	}
	return published{}, hint, all
}

func turnOf(p, first, self peer.ID) int {
	switch p {
	case first:
		return 0
	case self:
		return 1
	}
	return 2
}

// order has a proposal ordered by this node, if it is primary.
func (r *Registry) order(ctx context.Context, rep *Replica, p proposal, wait time.Duration) (published, peer.ID, error) {
	s := rep.seated()
	if s == nil {
		return published{}, "", errRefused
	}
	if e, ok := s.ordered(p); ok {
		return s.await(ctx, e, wait), "", nil
	}
	select {
	case o := <-s.propose(p):
		if o.refused {
			return published{}, o.primary, errRefused
		}
		return s.await(ctx, o.head, wait), "", nil
	case <-ctx.Done():
		return published{}, "", ctx.Err()
	case <-s.ctx.Done():
		return published{}, "", errRefused
	}
}

// ordered finds the revision that a proposal became when it was made before, by a primary that did not live to say so.
// One that was passed over since is none.
func (s *seat) ordered(p proposal) (entry, bool) {
	pool := s.rep.pool(s.sealedHave()...)
	for _, e := range pool {
		all, _ := e.Written() // it was opened
		for _, q := range all {
			if q.Writer == p.Writer && bytes.Equal(q.Instance, p.Instance) && q.Seq == p.Seq && !e.lost(pool) {
				return e, true
			}
		}
	}
	return entry{}, false
}

// await waits until a head is durable, or passed over, or wait is over, and tells whose disks have it.
func (s *seat) await(ctx context.Context, e entry, wait time.Duration) published {
	out := published{head: e, primary: e.Epoch.Owner}
	done, forget := s.whenDurable(e)
	defer forget()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	clock := time.NewTicker(orderPause)
	defer clock.Stop()
	for !out.durable && ctx.Err() == nil && s.ctx.Err() == nil && !s.rep.cutOff(s.r.cfg.Now()) {
		select {
		case <-done:
			out.durable = true
		case <-clock.C:
			if out.lost = e.lost(s.rep.pool(s.sealedHave()...)); out.lost {
				return out
			}
			out.durable = s.isDurable(e)
		case <-ctx.Done():
		case <-s.ctx.Done():
		}
	}
	if out.durable { // that it is comes a moment before who has it
		seen, cancel := context.WithTimeout(context.WithoutCancel(ctx), orderPause)
		defer cancel()
		_ = s.until(seen, func(council.View) bool { return len(s.disks(e)) > 1 })
	}
	out.on = s.disks(e)
	return out
}

// disks are the voters that have said they have a head's blocks, this node's among them.
func (s *seat) disks(e entry) []peer.ID {
	on := []peer.ID{s.r.self}
	view, ok := s.vote.council.View(s.rep.id)
	if !ok {
		return on
	}
	h := describe(e)
	for _, v := range view.Voters {
		if v.ID != s.r.self && v.Holds(h) {
			on = append(on, v.ID)
		}
	}
	return on
}

// ask has a proposal ordered by another voter.
func (r *Registry) ask(ctx context.Context, rep *Replica, voter peer.ID, p proposal, wait time.Duration) (out published, hint peer.ID, err error) {
	net := r.network()
	if net == nil {
		return out, "", ErrOffline
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if s := rep.seated(); s != nil { // who is silent need not be waited for once another one is primary
		s.vote.start(func() {
			if s.until(asking, func(v council.View) bool { return v.Primary != voter && v.Primary != "" }) == nil {
				cancel()
			}
		})
	}
	if err := r.reach(asking, net, rep, voter); err != nil {
		return out, "", err
	}
	var patience *time.Timer // for the second answer
	defer func() {
		if patience != nil {
			patience.Stop()
		}
	}()
	begun := r.cfg.Now()
	answer := time.AfterFunc(answerTime+time.Duration(p.fresh/answerRate)*time.Second, cancel)
	defer answer.Stop()
	err = net.Streams.Propose(asking, voter, rep.id, p.sealed, func(o proposals.Outcome) error {
		answer.Stop()
		switch o.Code {
		case proposals.Accepted:
			e, err := open(rep.Verified(), o.Head)
			if err != nil {
				return err
			}
			out = published{head: e, primary: voter, on: []peer.ID{voter}}
			patience = time.AfterFunc(wait, cancel)
		case proposals.Durable:
			out.durable, out.on = true, o.On
			return errEnough
		case proposals.Refused:
			hint = o.Primary
			return errRefused
		default:
			return fmt.Errorf("%s: %s", shortName(voter), o.Text)
		}
		return nil
	})
	if out.head.id.Defined() {
		if s := rep.seated(); s != nil && !out.durable { // whoever is primary now may make it so
			again := s.await(ctx, out.head, wait-r.cfg.Now().Sub(begun))
			out.durable, out.lost, out.on = again.durable, again.lost, again.on
		}
		return out, "", nil
	}
	if err == nil {
		err = errRefused
	}
	return out, hint, err
}

// reach makes sure that a voter is connected.
func (r *Registry) reach(ctx context.Context, net *Network, rep *Replica, voter peer.ID) error {
	dial, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	info := peer.AddrInfo{ID: voter}
	for _, p := range rep.State().holders() {
		if p.ID == voter {
			info = p
		}
	}
	err := net.Swarm.Connect(dial, info)
	if err == nil {
		return nil
	}
	for p := range net.Finder.Providers(dial, rep.id) {
		if p.ID == voter {
			return net.Swarm.Connect(dial, p)
		}
	}
	return err
}

// Promote asks for a voter to become primary: this node itself, or one that it hands its role to. Errors: ErrNoPrimary.
func (r *Registry) Promote(ctx context.Context, rep *Replica, to peer.ID) error {
	s, vote := rep.seated(), r.votes()
	if s == nil || vote == nil {
		return fmt.Errorf("promote: %w: this node does not vote on the set", ErrNoPrimary)
	}
	if to == r.self {
		for { // a primary does not give its role away as soon as it has it
			vote.council.Tell(rep.id, election.PromoteRequested{})
			asked, cancel := context.WithTimeout(ctx, promoteEvery)
			err := s.until(asked, func(v council.View) bool { return v.Primary == to })
			cancel()
			if err == nil || ctx.Err() != nil || s.ctx.Err() != nil {
				return err
			}
		}
	} else {
		ok := make(chan bool, 1)
		s.mu.Lock()
		s.handed = append(s.handed, ok)
		s.mu.Unlock()
		vote.council.Tell(rep.id, election.HandoverRequested{To: to})
		select {
		case done := <-ok:
			if !done {
				return fmt.Errorf("promote: %w: this node is not the primary, or %s does not have everything", ErrNoPrimary, shortName(to))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.until(ctx, func(v council.View) bool { return v.Primary == to })
}

// until waits for a view.
func (s *seat) until(ctx context.Context, ok func(council.View) bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if v, here := s.vote.council.View(s.rep.id); here && ok(v) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return fmt.Errorf("%w: this node does not vote on the set any more", ErrNoPrimary)
		}
	}
}
