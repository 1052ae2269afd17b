package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// FollowOptions says how to follow a set.
type FollowOptions struct {
	Get GetOptions // with Attached: of a follower that goes on after a restart
	// Done is told of each revision that is complete in the folder; the next one waits until it returns.
	Done func(context.Context, Got)
	// Failed is told why a revision could not be had; it is tried again.
	Failed func(error)
}

// maxPause is the longest time between two tries of a follower that fails: somebody may be mending the cause.
const maxPause = time.Minute

// Follow keeps a folder at the newest revision of a set, until ctx ends or it cannot be: it gets what there is,
// and then whatever is shown or announced to be newer. Files that somebody edited are renamed out of the way.
// Errors: ErrOffline, ErrInUse, ErrBusy if the set is followed already, ctx's.
func (r *Registry) Follow(ctx context.Context, t record.Ticket, o FollowOptions) error {
	net := r.network()
	if net == nil {
		return ErrOffline
	}
	t, err := r.completed(t)
	if err != nil {
		return err
	}
	hints, leave, err := r.listen(t.Set)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	o.Get = o.Get.withDefaults()
	o.Get.CopyConflicts = true
	g := r.newGet(ctx, net, t, o.Get)
	g.wait = busyWait // a publish of the same folder
	defer g.look.wg.Wait()
	defer cancel()
	g.look.widen() // it goes on for long: some of those that are known may go
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = time.Second, maxPause
	var shown int64 // bytes of the record that told of the revision
	for {
		if g.holdBack() {
			if !g.rest(ctx, hints, time.After(holdEvery)) {
				return ctx.Err()
			}
			continue
		}
		got, err := g.once(ctx, t)
		got.WireIn += shown
		shown = 0
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrInUse):
			return err
		case err != nil:
			o.Failed(err)
			if !g.rest(ctx, hints, time.After(pause.NextBackOff())) {
				return ctx.Err()
			}
			continue
		}
		pause.Reset()
		o.Done(ctx, got)
		g.o.Attached = true
		g.o.Partial = true // what changed in the folder by itself is found when the files are touched again
		g.o.Force = false  // what is edited from now on is somebody's
		for !g.outdated(got) {
			if !g.rest(ctx, hints, nil) {
				return ctx.Err()
			}
			shown = g.lastHead()
		}
	}
}

// once gets the newest revision, and tells what that took on the wire.
func (g *get) once(ctx context.Context, t record.Ticket) (Got, error) {
	defer g.r.moving()()
	in0, out0 := g.net.Wire()
	began := g.r.cfg.Now()
	got, err := g.run(ctx, t)
	for errors.Is(err, errSuperseded) { // what is on disk by now is reused
		before := got
		got, err = g.run(ctx, t)
		got.Patched, got.Fetched = min(got.Patched+before.Patched, got.Total), got.Fetched+before.Fetched
		got.Fetched = min(got.Fetched, got.Total-got.Patched)
	}
	in1, out1 := g.net.Wire()
	got.WireIn, got.WireOut = in1-in0, out1-out0
	got.Began = began
	if err == nil && got.Replica != nil && !g.o.Plan && g.o.Revision == 0 {
		got.Replica.unload(&got)
	}
	g.account(got, err)
	return got, err
}

// lastHead is the size of the newest head that a holder shows.
func (g *get) lastHead() (n int64) {
	var revision uint64
	for _, h := range g.holders {
		if r := head(h.v).Revision; r > revision && len(h.bundle.Heads) > 0 {
			revision, n = r, int64(len(h.bundle.Heads[0]))
		}
	}
	return n
}

const (
	// holdTime is how long a writer's folder is not taken back behind what was last published from it: after a partition
	// the two are merged within seconds, unless the other side is gone for good.
	holdTime = time.Minute
	// holdEvery is how often that is looked at, besides when something changes.
	holdEvery = time.Second
)

// holdBack tells whether the newest head lacks what was last published from the folder, because it was made apart from
// it: to bring the folder there would undo an edit that is about to be merged.
func (g *get) holdBack() bool {
	if g.pick(record.Ticket{Set: g.id}); !g.voted() {
		return false
	}
	rep, _ := g.r.lookup(g.id)
	id, err := cid.Decode(rep.State().BaseHead)
	if err != nil || !g.r.writes(rep) {
		return false
	}
	e, ok := find(rep.pool(rep.seated().sealedHave()...), id)
	if !ok || head(g.v).Vector.Covers(e.Vector) || supersedes(e.Head, head(g.v)) {
		g.held = time.Time{}
		return false
	}
	if g.held.IsZero() {
		g.held = g.r.cfg.Now()
	}
	return g.r.cfg.Now().Sub(g.held) < holdTime
}

// outdated tells whether there is something after what was got: at a holder, or, of a set this node votes on, here.
func (g *get) outdated(got Got) bool {
	if g.pick(record.Ticket{Set: g.id}); g.voted() {
		return head(g.v).Root != got.Head.Root
	}
	for _, h := range g.holders {
		if supersedes(head(h.v), got.Head) {
			return true
		}
	}
	return false
}

// rest waits for news of holders, a hint, or until; false when ctx ends.
func (g *get) rest(ctx context.Context, hints <-chan peer.ID, until <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case p := <-hints:
			if p == "" { // it is here
				return true
			}
			g.look.nudge(ctx, g.net.Swarm.Known(ctx, p))
			continue
		case <-until:
		case <-g.look.signal:
			g.absorb()
			if until != nil {
				continue
			}
		}
		return true
	}
}

// listen registers the one follower of a set for hints of who has something newer.
func (r *Registry) listen(set cid.Cid) (hints <-chan peer.ID, leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.followers[set] != nil {
		return nil, nil, fmt.Errorf("follow %s: %w", set, ErrBusy)
	}
	ch := make(chan peer.ID, 1) // one is enough to look
	r.followers[set] = ch
	return ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, set)
	}, nil
}

// Heard takes an announcement: a peer says that it has a head. If the head is valid and newer than what is here,
// the set's follower looks at that peer.
func (r *Registry) Heard(from peer.ID, set cid.Cid, sealed []byte) {
	rep, ok := r.lookup(set)
	if !ok {
		return
	}
	v := rep.Verified()
	h, err := open(v, sealed)
	if err != nil {
		r.cfg.Log.Debug("announcement", "peer", from, "set", set, "err", err) // made under a newer config, perhaps
	} else if len(v.Heads) > 0 && !supersedes(h.Head, head(v)) {
		return
	}
	r.hint(set, from)
}

// hint tells the follower of a set who has something newer; no peer = it lies here.
func (r *Registry) hint(set cid.Cid, from peer.ID) {
	r.mu.Lock()
	ch := r.followers[set]
	r.mu.Unlock()
	select {
	case ch <- from:
	default: // nobody follows, or it is about to look
	}
}
