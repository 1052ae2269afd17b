package play

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// act carries out what a statement says.
func (s *Stage) act(ctx context.Context, st script.Statement, random *rand.Rand) error {
	switch do := st.Do.(type) {
	case script.Nodes:
		return s.start(ctx, do.Names)
	case script.Share:
		return s.share(ctx, do, random)
	case script.Publish:
		return s.publishAt(ctx, do)
	case script.Edit:
		return s.edit(ctx, do, random)
	case script.Get:
		return s.get(ctx, do)
	case script.Follow:
		return s.follow(ctx, do.Set, do.At, false)
	case script.Replicate:
		return s.follow(ctx, do.Set, do.At, true)
	case script.Grant:
		return s.grant(ctx, do)
	case script.Wait:
		return s.wait(ctx, do)
	case script.Expect:
		return s.expect(ctx, st, do)
	case script.Check:
		err := s.invariants(ctx, st.Line, do.Names)
		if errors.Is(err, ErrFailed) && st.Line > 0 {
			err = nil // the script goes on, and fails in the end
		}
		return err
	case script.Mark:
		return s.mark(ctx)
	case script.Say:
		return nil // it was said as it began
	}
	return s.harm(ctx, st, random)
}

// harm carries out what is done to nodes and links.
func (s *Stage) harm(ctx context.Context, st script.Statement, random *rand.Rand) error {
	switch do := st.Do.(type) {
	case script.Process:
		return s.process(ctx, do)
	case script.Link:
		return s.link(ctx, st, do)
	case script.Limit:
		return s.limit(ctx, st, do)
	case script.Cut:
		return s.cut(ctx, st, do)
	case script.Partition:
		return s.partition(ctx, st, do)
	case script.Heal:
		return s.heal(ctx, do)
	case script.Corrupt:
		return s.corrupt(ctx, do, random)
	case script.Disk:
		return s.disk(ctx, do)
	case script.Lie:
		return s.lie(ctx, do)
	}
	return fmt.Errorf("%T is not played", st.Do)
}

func (s *Stage) start(ctx context.Context, names []string) error {
	began := s.rec.since()
	err := s.net.Add(ctx, names...)
	select {
	case s.born <- struct{}{}:
	default:
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		s.rec.event(trace.Event{Kind: trace.Up, Node: name})
		n, _ := s.net.Node(name)
		if err := os.MkdirAll(filepath.Dir(dir(n, "any")), 0o755); err != nil {
			return err
		}
	}
	s.say("%s up in %.1f s", english.Plural(len(names), "node", ""), (s.rec.since() - began).Seconds())
	return nil
}

// each does something at several nodes, one after the other.
func (s *Stage) each(ctx context.Context, w script.Who, do func(*nodes.Node) error) error {
	all, err := s.who(ctx, w)
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) process(ctx context.Context, do script.Process) error {
	all, err := s.who(ctx, do.Who)
	if err != nil {
		return err
	}
	if do.Who.Role != "" && do.Who.Role != "all" {
		s.say("%s is %s of %s", all[0].Name, do.Who.Role, do.Who.Set)
	}
	if do.Do != script.Restart && do.Do != script.Resume {
		s.sampleAll(ctx)
	}
	for _, n := range all {
		if err := s.signal(ctx, do.Do, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) signal(ctx context.Context, what string, n *nodes.Node) error {
	if what != script.Restart && n.State() == nodes.Down {
		return fmt.Errorf("%s: %w", n.Name, errDown)
	}
	switch what {
	case script.Kill:
		s.rec.event(trace.Event{Kind: trace.Killed, Node: n.Name})
		return s.net.Kill(n.Name)
	case script.Stop:
		s.rec.event(trace.Event{Kind: trace.Stopped, Node: n.Name})
		return s.net.Stop(ctx, n.Name)
	case script.Restart:
		err := s.net.Restart(ctx, n.Name)
		if err != nil && s.replaced(n) {
			s.say("%s refuses its damaged store; it is moved away, as the node advises", n.Name)
			err = s.net.Restart(ctx, n.Name)
		}
		if err != nil {
			return err
		}
		s.rec.event(trace.Event{Kind: trace.Up, Node: n.Name})
		return nil
	case script.Pause:
		s.rec.event(trace.Event{Kind: trace.Paused, Node: n.Name})
		return s.net.Pause(n.Name)
	case script.Resume:
		s.rec.event(trace.Event{Kind: trace.Resumed, Node: n.Name})
		return s.net.Resume(n.Name)
	}
	return fmt.Errorf("%q is not done to nodes", what)
}

// replaced moves a store away that the script damaged; false if it did not.
func (s *Stage) replaced(n *nodes.Node) bool {
	s.mu.Lock()
	rotten := s.rotten[n.Name]
	delete(s.rotten, n.Name)
	s.mu.Unlock()
	store := filepath.Join(n.Home, "store")
	return rotten && os.Rename(store, store+".damaged") == nil
}

// publishPatience is how long a publish waits to be durable: a failover takes at most a fourth of it.
const publishPatience = 10 * time.Second

func (s *Stage) publishAt(ctx context.Context, do script.Publish) error {
	x, err := s.set(do.Set)
	if err != nil {
		return err
	}
	return s.each(ctx, do.At, func(n *nodes.Node) error {
		p, err := s.publish(ctx, x, n, publishPatience)
		if err != nil {
			return err
		}
		s.say("%s", s.acknowledgement(p))
		return nil
	})
}

// acknowledgement says what came of a publish.
func (s *Stage) acknowledgement(p published) string {
	text := fmt.Sprintf("revision %d in %.2f s", p.Revision, p.took.Seconds())
	if p.nth > 0 && uint64(p.nth) != p.Revision { // changes of the members count too
		text = fmt.Sprintf("revision %d, the %s that was published, in %.2f s", p.Revision, humanize.Ordinal(p.nth), p.took.Seconds())
	}
	switch {
	case !p.Changed:
		return fmt.Sprintf("nothing has changed since revision %d", p.Revision)
	case p.Durable:
		text += ", durable on " + s.nodeNames(p.On)
	default:
		text += ", on " + s.nodeNames(p.On) + " alone"
	}
	if p.Merged {
		text += ", merged with what was newer"
	}
	return text
}

// publish makes a node's folder the next revision. What was acknowledged the judge and the oracle remember.
func (s *Stage) publish(ctx context.Context, x *set, n *nodes.Node, patience time.Duration) (published, error) {
	c, err := running(n)
	if err != nil {
		return published{}, err
	}
	defer x.lock(n.Name)()
	snap, err := s.oracle.Publish(x.name, dir(n, x.name)) // before anybody can have it
	if err != nil {
		return published{}, err
	}
	began := s.rec.since()
	ctx, cancel := context.WithTimeout(ctx, patience+askPatience)
	defer cancel()
	r, err := c.Publish(ctx, api.PublishRequest{Target: dir(n, x.name), AllowLocal: true, Wait: patience.String()}, nil)
	if err != nil {
		s.rec.event(trace.Event{Kind: trace.Refused, Node: n.Name, Set: x.name, Text: err.Error()})
		return published{}, fmt.Errorf("publish at %s: %w", n.Name, err)
	}
	p := published{PublishResult: r, node: n.Name, at: s.rec.since()}
	p.took = p.at - began
	return s.acknowledged(x, p, snap), nil
}

// acknowledged takes note of a publish.
func (s *Stage) acknowledged(x *set, p published, snap snapshot) published {
	if len(p.Skipped) > 0 {
		var paths []string
		for _, f := range p.Skipped {
			paths = append(paths, f.Path)
		}
		snap = snap.Without(paths)
		s.say("%s left out, such as %s: %s", english.Plural(len(paths), "path", ""), paths[0], p.Skipped[0].Reason)
	}
	if !p.Merged {
		s.oracle.Accept(x.name, snap, p.Root)
	}
	if !p.Changed {
		return p
	}
	if p.Durable {
		s.oracle.Acknowledge(x.name, snap)
	}
	x.mu.Lock()
	p.nth = len(x.nth) + 1
	x.nth = append(x.nth, p)
	x.last = p // numbers do not order the sides of a split
	x.mu.Unlock()
	s.rec.observe(func(at time.Duration) judge.Observation {
		return judge.AckedOf(at, x.name, p.node, x.strict, p.ShareResult)
	})
	s.rec.event(trace.Event{Kind: trace.Published, Node: p.node, Set: x.name, Revision: p.Revision, Durable: p.Durable, Text: s.nodeNames(p.On)})
	return p
}

func (s *Stage) edit(ctx context.Context, do script.Edit, random *rand.Rand) error {
	x, err := s.set(do.Set)
	if err != nil {
		return err
	}
	return s.each(ctx, do.At, func(n *nodes.Node) error {
		defer x.lock(n.Name)()
		folder := dir(n, x.name)
		s.oracle.Edited(folder)
		x.mu.Lock()
		x.edited[n.Name] = true
		x.mu.Unlock()
		if do.Kind == script.Upgrade {
			what, err := upgrade(ctx, folder)
			s.say("%s", what)
			return err
		}
		var texts []string
		for range max(do.Times, 1) {
			aside := filepath.Join(n.Dir, "aside", x.name)
			text, err := edit(folder, aside, do.Kind, do.Size, random, func(path string) error { return s.oracle.Allow(x.name, aside, path) })
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		s.say("%s", strings.Join(texts[:min(len(texts), 3)], "; "))
		return nil
	})
}

func (s *Stage) grant(ctx context.Context, do script.Grant) error {
	x, err := s.set(do.Set)
	if err != nil {
		return err
	}
	return s.each(ctx, do.To, func(n *nodes.Node) error {
		author, ok := s.net.Node(x.author)
		if !ok {
			return errDown
		}
		c, err := running(author)
		if err != nil {
			return err
		}
		_, err = c.Grant(ctx, api.GrantRequest{Set: x.id, Peer: n.PeerID, Right: do.Right})
		return err
	})
}

func (s *Stage) lie(ctx context.Context, do script.Lie) error {
	kind := trace.Honest
	if do.Lies {
		kind = trace.Lying
	}
	return s.each(ctx, do.Who, func(n *nodes.Node) error {
		s.rec.event(trace.Event{Kind: kind, Node: n.Name})
		return s.net.Shape(ctx, func(t *nodes.Shape) { t.Lies[n.Name] = do.Lies })
	})
}

func (s *Stage) disk(ctx context.Context, do script.Disk) error {
	kind := trace.Freed
	if do.Full {
		kind = trace.Full
	}
	return s.each(ctx, do.Who, func(n *nodes.Node) error {
		s.rec.event(trace.Event{Kind: kind, Node: n.Name})
		return s.net.Shape(ctx, func(t *nodes.Shape) { t.Full[n.Name] = do.Full })
	})
}
