package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// handoverPatience is how long a hand-over may take: the successor may have to fetch the newest revision before.
	handoverPatience = 30 * time.Second
	// electPatience is how long there may be no primary, as after a change of the members: ten times what an election
	// takes on a LAN.
	electPatience = 10 * time.Second
	// drillEvery is how often a drill looks: the shortest gap that it can tell from none.
	drillEvery = 10 * time.Millisecond
	// drillRead is how long a reader waits for the records of a set, from one node it is connected to.
	drillRead = 5 * time.Second
)

// Promote implements api.Leader.
func (n *Node) Promote(ctx context.Context, q api.PromoteRequest) (api.PromoteResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.PromoteResult{}, explain(err)
	}
	c := rep.Verified().Config
	to, _, err := n.memberText(q.Peer, c)
	if err != nil {
		return api.PromoteResult{}, explain(err)
	}
	if !slices.Contains(c.Voters, to) {
		return api.PromoteResult{}, explain(fmt.Errorf("promote %s in %s: %w", to, c.Name, errNotVoter))
	}
	from, err := elected(ctx, n.seats(), rep.Set(), func(v roleView) bool { return v.Primary != "" })
	if err != nil {
		return api.PromoteResult{}, explain(fmt.Errorf("promote %s in %s: %w", to, c.Name, err))
	}
	out := api.PromoteResult{Set: rep.Set().String(), Name: c.Name, From: from.Primary.String(), To: to.String(), Epoch: epochText(from.Epoch)}
	if from.Primary == to {
		return out, nil
	}
	stage, err := handOver(ctx, n.seats(), rep.Set(), to, n.now, func() {})
	if err != nil {
		return api.PromoteResult{}, explain(err)
	}
	out.Changed, out.Seconds, out.Epoch = true, stage.Seconds, epochText(n.seats().Roles(rep.Set()).Epoch)
	return out, nil
}

// elected waits until enough is known of who does what. Errors: replica.ErrNoPrimary, errNotLive, ctx's.
func elected(ctx context.Context, seats roles, set cid.Cid, enough func(roleView) bool) (roleView, error) {
	waiting, cancel := context.WithTimeout(ctx, electPatience)
	defer cancel()
	var v roleView
	err := until(waiting, func() bool {
		v = seats.Roles(set)
		return enough(v)
	})
	switch {
	case err == nil:
		return v, nil
	case ctx.Err() != nil:
		return v, ctx.Err()
	case v.Primary == "":
		return v, replica.ErrNoPrimary
	}
	return v, fmt.Errorf("%w: there is no backup", errNotLive)
}

// handOver gives the role of the primary to another voter and waits until it has it; look is called meanwhile.
// Errors: errNotPrimary, errNotLive.
func handOver(ctx context.Context, seats roles, set cid.Cid, to peer.ID, now func() time.Time, look func()) (api.FailoverStage, error) {
	stage := api.FailoverStage{From: seats.Roles(set).Primary.String(), To: to.String()}
	ctx, cancel := context.WithTimeoutCause(ctx, handoverPatience, fmt.Errorf("hand over to %s: %w: not done after %v", to, errNotLive, handoverPatience))
	defer cancel()
	begun := now()
	if err := seats.Promote(ctx, set, to); err != nil {
		return stage, err
	}
	err := until(ctx, func() bool {
		look()
		return seats.Roles(set).Primary == to
	})
	stage.Seconds = now().Sub(begun).Seconds()
	return stage, err
}

// until looks again and again until what is waited for is so, or ctx ends, whose cause is its error.
func until(ctx context.Context, so func() bool) error {
	clock := time.NewTicker(drillEvery)
	defer clock.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.C:
		}
	}
	return nil
}

// Failover implements api.Leader: the role goes to the backup, and with Back from there to where it was, while a
// reader reads.
func (n *Node) Failover(ctx context.Context, q api.FailoverRequest, progress func(api.Progress)) (api.FailoverResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.FailoverResult{}, explain(err)
	}
	d := &drill{node: n, seats: n.seats(), rep: rep, begun: n.now(), say: func(text string) { progress(api.Progress{Phase: "drill", Message: text}) }}
	err = d.run(ctx, q.Back)
	return d.result(), explain(err)
}

// drill is one rehearsal.
type drill struct {
	node  *Node
	seats roles
	rep   *replica.Replica
	begun time.Time
	say   func(string)

	stages        []api.FailoverStage
	revision      uint64 // that readers had before
	reads, failed int
}

func (d *drill) run(ctx context.Context, back bool) error {
	alone := len(d.rep.Verified().Config.Voters) < 2 // nobody will become backup
	view, err := elected(ctx, d.seats, d.rep.Set(), func(v roleView) bool { return v.Primary != "" && (v.Backup != "" || alone) })
	if err == nil && view.Backup == "" {
		err = fmt.Errorf("%w: the set has one replica", errNotLive)
	}
	if err != nil {
		return fmt.Errorf("drill of %s: %w", d.rep.State().Name, err)
	}
	if h, ok := d.rep.Head(); ok {
		d.revision = h.Revision
	}
	if err := d.stage(ctx, view.Backup); err != nil {
		return err
	}
	if !back {
		return nil
	}
	wait, cancel := context.WithTimeoutCause(ctx, handoverPatience, fmt.Errorf("drill: %w: the primary that was has not become backup after %v", errNotLive, handoverPatience))
	defer cancel()
	err = until(wait, func() bool {
		d.read(ctx)
		return d.seats.Roles(d.rep.Set()).Backup == view.Primary
	})
	if err != nil {
		return err
	}
	return d.stage(ctx, view.Primary)
}

// stage is one hand-over, and a reader that then asks the new primary alone.
func (d *drill) stage(ctx context.Context, to peer.ID) error {
	stage, err := handOver(ctx, d.seats, d.rep.Set(), to, d.node.now, func() { d.read(ctx) })
	if err != nil {
		return err
	}
	d.stages = append(d.stages, stage)
	d.say(fmt.Sprintf("%s is primary after %.2f s", to, stage.Seconds))
	d.reads++
	if err := d.node.shows(ctx, to, d.rep, d.revision); err != nil {
		d.failed++
		d.say(fmt.Sprintf("a reader that asks it gets nothing: %v", err))
	}
	return nil
}

// read is what a reader of this node sees: the newest revision, by its names.
func (d *drill) read(ctx context.Context) {
	d.reads++
	h, ok := d.rep.Head()
	_, err := d.node.sets.Layout(ctx, d.rep)
	if !ok || h.Revision < d.revision || err != nil && ctx.Err() == nil {
		d.failed++
	}
}

func (d *drill) result() api.FailoverResult {
	view := d.seats.Roles(d.rep.Set())
	return api.FailoverResult{Set: d.rep.Set().String(), Name: d.rep.State().Name, Stages: append([]api.FailoverStage{}, d.stages...),
		Primary: view.Primary.String(), Epoch: epochText(view.Epoch), Seconds: d.node.now().Sub(d.begun).Seconds(),
		Reads: d.reads, ReadsFailed: d.failed, Revision: d.revision, Passed: d.failed == 0}
}

// shows asks p for a set as a stranger does, and checks that it has a revision not older than the one given.
func (n *Node) shows(ctx context.Context, p peer.ID, rep *replica.Replica, revision uint64) error {
	w := n.network()
	if p == n.self || w == nil {
		return nil // what is here was read already
	}
	ctx, cancel := context.WithTimeout(ctx, drillRead)
	defer cancel()
	err := w.Watch(ctx, p, rep.Set(), rep.State().Cap, nil, func(u list.Update) error {
		if u.Info == nil {
			return replica.ErrNobody
		}
		v, err := record.VerifyBundle(rep.Set(), u.Info.Bundle)
		switch {
		case err != nil:
			return err
		case len(v.Heads) == 0 || v.Heads[0].Revision < revision:
			return replica.ErrNoRevision
		}
		return errSeen
	})
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}

// errSeen ends a watch that has shown enough.
var errSeen = errors.New("seen")
