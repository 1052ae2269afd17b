package replica

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/node/slots"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Errors of sets with several voters.
var (
	ErrNoPrimary = errors.New("no voter that orders revisions could be reached") // nothing was published
	ErrMinority  = errors.New("this side has no majority of the voters")         // strict: what was published is hidden until one has it
	ErrNotWriter = errors.New("this node may not publish the set")
)

// Council runs the elections of the sets that this node votes on; node/council is one.
type Council interface {
	Sit(s council.Seat) error
	Rise(set cid.Cid, wipe bool) error
	Tell(set cid.Cid, ev election.Event) bool
	MadeHead(set cid.Cid, p *election.Plan, sealed []byte, err error)
	Reconfigured(set cid.Cid)
	Lost(set, id cid.Cid, held [][]byte)
	View(set cid.Cid) (council.View, bool)
	Sealed(set, id cid.Cid) []byte
}

// voting is what seats have in common, from the moment that a node takes part until it ends.
type voting struct {
	ctx     context.Context
	council Council
	topic   func(record.Genesis) string
	wg      sync.WaitGroup // of what seats have started

	mu    sync.Mutex // guards what follows
	ended bool
}

// start runs fn, which ends with ctx, unless it is too late for that.
func (v *voting) start(fn func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.ended {
		v.wg.Go(fn)
	}
}

// Vote takes this node's seat in every set that lists it as a voter, until ctx ends. topic names the pubsub topic of
// a set.
func (r *Registry) Vote(ctx context.Context, c Council, topic func(record.Genesis) string) error {
	v := &voting{ctx: ctx, council: c, topic: topic}
	r.mu.Lock()
	r.voting = v
	r.mu.Unlock()
	for _, rep := range r.all() {
		r.reseat(rep)
	}
	<-ctx.Done()
	r.mu.Lock()
	r.voting = nil
	r.mu.Unlock()
	for _, rep := range r.all() {
		rep.mu.Lock()
		rep.seat = nil
		rep.mu.Unlock()
	}
	v.mu.Lock()
	v.ended = true
	v.mu.Unlock()
	v.wg.Wait()
	return ctx.Err()
}

func (r *Registry) votes() *voting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.voting
}

// alone tells whether this node is, and always was, the only voter: it orders the revisions without a council.
func (r *Registry) alone(rep *Replica) bool {
	c := rep.Verified().Config
	return len(c.Voters) == 1 && c.Voters[0] == r.self && !rep.State().Seated
}

// reseat makes this node's part in the set's elections what the newest config says. A voter takes its seat once it
// has the newest revision it knows of: before, it can be of no help.
func (r *Registry) reseat(rep *Replica) {
	vote := r.votes()
	if vote == nil {
		return
	}
	rep.seating.Lock()
	defer rep.seating.Unlock()
	v, st, now := rep.Verified(), rep.State(), rep.seated()
	listed := slices.Contains(v.Config.Voters, r.self) && (len(v.Config.Voters) > 1 || st.Seated)
	switch {
	case listed && now != nil:
		vote.council.Reconfigured(rep.id)
	case listed && st.Complete && len(v.Heads) > 0 && vote.ctx.Err() == nil:
		if err := r.sit(vote, rep); err != nil && !errors.Is(err, council.ErrClosed) { // the node ends
			r.cfg.Log.Error("this node votes on the set's revisions, and cannot", "set", rep.id, "err", err)
		}
	case !listed && now != nil:
		rep.mu.Lock()
		rep.seat = nil
		rep.mu.Unlock()
		now.end()
		if err := vote.council.Rise(rep.id, false); err != nil {
			r.cfg.Log.Warn("give a seat up", "set", rep.id, "err", err)
		}
		r.hint(rep.id, "")
	}
}

// stand gives up the seat in a set that is forgotten, and what it remembered: a store that comes to the set again is
// another one.
func (r *Registry) stand(rep *Replica) {
	vote := r.votes()
	rep.seating.Lock()
	defer rep.seating.Unlock()
	if vote == nil {
		return
	}
	if s := rep.seated(); s != nil {
		rep.mu.Lock()
		rep.seat = nil
		rep.mu.Unlock()
		s.end()
	}
	if err := vote.council.Rise(rep.id, true); err != nil {
		r.cfg.Log.Warn("give a seat up", "set", rep.id, "err", err)
	}
}

// sit takes a seat. State that is another store's, or damaged, is given up: this store has then forgotten what it
// promised, and votes as a new one, which a strict set must list before.
func (r *Registry) sit(vote *voting, rep *Replica) error {
	err := r.trySit(vote, rep)
	switch {
	case errors.Is(err, slots.ErrLost):
		r.cfg.Log.Error("what this node promised in elections is lost: it votes as a new store from now on", "set", rep.id, "err", err)
		err = r.change(rep, func(st *State) error {
			st.Instance, st.Seq, st.HeadSeq, st.Seated = nil, 0, 0, false
			return nil
		})
		if err != nil {
			return err
		}
	case errors.Is(err, council.ErrOtherStore):
	default:
		return err
	}
	if err := vote.council.Rise(rep.id, true); err != nil {
		return err
	}
	return r.trySit(vote, rep)
}

func (r *Registry) trySit(vote *voting, rep *Replica) error {
	if _, err := r.Instance(rep.id); err != nil {
		return err
	}
	first := !rep.State().Seated
	err := r.change(rep, func(st *State) error {
		st.Seated = true
		return nil
	})
	if err != nil {
		return err
	}
	if dir := rep.State().Dir; dir != "" { // what was published or fetched before is promised to be there from now on
		if err := worktree.Sync(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s := newSeat(r, rep, vote)
	rep.mu.Lock()
	rep.seat = s
	rep.mu.Unlock()
	if err = vote.council.Sit(s); err != nil {
		rep.mu.Lock()
		rep.seat = nil
		rep.mu.Unlock()
		s.end()
		return err
	}
	r.hint(rep.id, "")
	if first && !s.Fresh() { // who has ordered it so far goes on
		vote.council.Tell(rep.id, election.PromoteRequested{})
	}
	return nil
}

// View is how this node's elections of a set stand; false if it does not take part.
func (r *Registry) View(rep *Replica) (council.View, bool) {
	vote := r.votes()
	if vote == nil || rep.seated() == nil {
		return council.View{}, false
	}
	return vote.council.View(rep.id)
}

// amended tells everybody concerned that the set's config changed.
func (r *Registry) amended(rep *Replica) {
	rep.feed.reset(rep.State().Complete)
	r.announce(rep.id)
	r.reseat(rep)
}

// settled tells whether a head is durable under the set's newest config, or one is not needed: a strict set may then
// change it again.
func (r *Registry) settled(rep *Replica) bool {
	v := rep.Verified()
	if v.Config.Mode != record.ModeStrict || len(v.Config.Voters) == 1 || v.Config.Version == 1 {
		return true
	}
	view, ok := r.View(rep)
	if !ok {
		return false // nobody here knows
	}
	return slices.ContainsFunc(view.Durable, func(h council.SealedHead) bool {
		return h.Head != nil && h.Head.Epoch.ConfigVersion == v.Config.Version
	})
}

// errEnough ends a stream that has said what was asked.
var errEnough = errors.New("enough")

// fetchConfig takes over the configs that a peer has and this node lacks.
func (r *Registry) fetchConfig(ctx context.Context, rep *Replica, from peer.ID) error {
	net := r.network()
	if net == nil {
		return ErrOffline
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	st := rep.State()
	err := net.Streams.Watch(ctx, from, rep.id, st.Cap, &st.Bundle, func(u list.Update) error {
		if u.Info == nil {
			return nil
		}
		v, err := record.VerifyBundle(rep.id, u.Info.Bundle)
		if err != nil {
			return err
		}
		if err := r.adoptConfigs(rep, v, u.Info.Bundle); err != nil {
			return err
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// adoptConfigs takes over configs that follow the ones that are here.
func (r *Registry) adoptConfigs(rep *Replica, v record.Verified, b record.Bundle) error {
	if v.Config.Version <= rep.Verified().Config.Version {
		return nil
	}
	err := r.change(rep, func(st *State) error {
		if len(b.Configs) <= len(st.Bundle.Configs) {
			return nil
		}
		st.Bundle.Configs, st.Name = b.Configs, v.Config.Name
		if len(st.Bundle.Heads) == 0 {
			st.Bundle.Heads = b.Heads
		}
		return nil
	})
	if err != nil {
		return err
	}
	rep.feed.reset(rep.State().Complete)
	r.reseat(rep)
	if r.cfg.Changed != nil {
		r.cfg.Changed(rep)
	}
	return nil
}
