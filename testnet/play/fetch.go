package play

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// job is a get, a follow or a replicate that was asked of a node.
type job struct {
	what  string // "get", "follow"
	node  string
	set   string
	began time.Duration

	mu   sync.Mutex    // guards what follows
	part float64       // of the newest revision that it fetches, 0 to 1
	took time.Duration // of a get, or until a follow was complete for the first time; 0 = not yet
	over bool          // nobody is at it any more; a follow goes on by itself
	err  error
}

func (j *job) reach(p *api.Progress) {
	if p == nil || p.Phase != "fetch" || p.BytesTotal <= 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.part = float64(p.BytesDone) / float64(p.BytesTotal)
}

func (j *job) complete(took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.part = 1
	if j.took == 0 {
		j.took = took
	}
}

func (j *job) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = true
}

func (j *job) failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *job) ended() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.over
}

func (j *job) state() (part float64, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.part, j.took
}

// job takes note of what a node is asked for.
func (s *Stage) job(what, node, set string) *job {
	j := &job{what: what, node: node, set: set, began: s.rec.since()}
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	return j
}

// newest is what a node was asked for last in a set; nil = nothing.
func (s *Stage) newest(node, set string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.jobs) - 1; i >= 0; i-- {
		if j := s.jobs[i]; j.node == node && j.set == set {
			return j
		}
	}
	return nil
}

// get lets nodes fetch the newest revision, all at the same time, beside what follows.
func (s *Stage) get(ctx context.Context, do script.Get) error {
	x, err := s.set(do.Set)
	if err != nil {
		return err
	}
	all, err := s.who(ctx, do.At)
	if err != nil {
		return err
	}
	for _, n := range all {
		c, err := running(n)
		if err != nil {
			return err
		}
		j := s.job("get", n.Name, x.name)
		life := s.life()
		s.background.Go(func() { s.fetch(life, x, n, c, j) })
	}
	return nil
}

func (s *Stage) fetch(ctx context.Context, x *set, n *nodes.Node, c *api.Client, j *job) {
	defer j.end()
	defer x.lock(n.Name)()
	r, err := c.Get(ctx, api.GetRequest{Ticket: x.id, Dest: dir(n, x.name)}, func(p api.Progress) { j.reach(&p) })
	if err != nil {
		s.failed(n.Name, x.name, fmt.Errorf("get: %w", err))
		j.mu.Lock()
		j.err = err
		j.mu.Unlock()
		return
	}
	j.complete(s.rec.since() - j.began)
	s.arrived(n.Name, x.name, r, j.began)
}

// arrived takes note of a revision that is complete in a folder.
func (s *Stage) arrived(node, set string, r api.GetResult, began time.Duration) {
	now := s.rec.since()
	s.rec.transfer(trace.Transfer{Node: node, Set: set, Revision: r.Revision, Began: began, Ended: now, Total: r.BytesTotal,
		Reused: r.BytesReused, Patched: r.BytesPatched, Fetched: r.BytesFetched, WireIn: r.WireIn, WireOut: r.WireOut, Sources: r.Sources})
	text := fmt.Sprintf("fetched %s of %s", bytes(r.BytesFetched+r.BytesPatched), bytes(r.BytesTotal))
	s.rec.event(trace.Event{Kind: trace.Complete, Node: node, Set: set, Revision: r.Revision, Text: text})
	if r.BytesFetched == r.BytesTotal {
		s.say("%s has revision %d: %s in %.1f s from %s", node, r.Revision, bytes(r.BytesFetched), (now - began).Seconds(), seeders(r.Sources))
		return
	}
	s.say("%s has revision %d: received %s of %s (%.2f %%) in %.2f s", node, r.Revision, bytes(r.WireIn), bytes(r.BytesTotal),
		100*float64(r.WireIn)/float64(max(r.BytesTotal, 1)), (now - began).Seconds())
}

func seeders(n int) string {
	if n == 1 {
		return "1 seeder"
	}
	return humanize.Comma(int64(n)) + " seeders"
}

// follow hands a set to nodes, which from then on keep a folder at the newest revision; a replica is granted its
// right as soon as it asks.
func (s *Stage) follow(ctx context.Context, name string, at script.Who, replica bool) error {
	x, err := s.set(name)
	if err != nil {
		return err
	}
	all, err := s.who(ctx, at)
	if err != nil {
		return err
	}
	for _, n := range all {
		c, err := running(n)
		if err != nil {
			return err
		}
		j := s.job("follow", n.Name, x.name)
		life := s.life()
		s.background.Go(func() {
			defer j.end()
			if err := s.handOver(life, x, n, c, replica); err != nil && life.Err() == nil {
				j.mu.Lock()
				j.err = err
				j.mu.Unlock()
				s.failed(n.Name, x.name, err)
			}
		})
	}
	return nil
}

func (s *Stage) handOver(ctx context.Context, x *set, n *nodes.Node, c *api.Client, replica bool) error {
	f, err := c.Follow(ctx, api.FollowRequest{Ticket: x.id, Dest: dir(n, x.name), Replicate: replica}, nil)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	if !replica {
		return nil
	}
	if err := s.seat(ctx, x, n, f.Member); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

// seat lets the author grant a node its place among the replicas, and waits until it has taken it: one after the other,
// as a person would, so that an election among newcomers does not take the role from who has it.
func (s *Stage) seat(ctx context.Context, x *set, n *nodes.Node, member string) error {
	x.seating.Lock()
	defer x.seating.Unlock()
	author, ok := s.net.Node(x.author)
	if !ok {
		return errDown
	}
	err := retry(ctx, func() error {
		c, err := running(author)
		if err != nil {
			return err
		}
		_, err = c.Grant(ctx, api.GrantRequest{Set: x.id, Peer: member, Right: api.RightReplica})
		return err
	})
	if err != nil {
		return err
	}
	return retry(ctx, func() error {
		return errors.Join(s.is(ctx, script.Is{Who: script.Who{Names: []string{n.Name}}, What: api.RoleReplica, Set: x.name}),
			s.there(ctx, script.There{Set: x.name, What: "primary"}))
	})
}

// retryPatience is how long something is tried that a failover may be in the way of.
const retryPatience = 15 * time.Second

// retry tries until it works.
func retry(ctx context.Context, try func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, try() }, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(retryPatience))
	return err
}

// failed notes that something did not work that a node was asked for.
func (s *Stage) failed(node, set string, err error) {
	s.rec.event(trace.Event{Kind: trace.Failed, Node: node, Set: set, Text: err.Error()})
	s.say("%s: %v", node, err)
}
