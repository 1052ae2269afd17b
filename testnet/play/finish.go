package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Finish brings the network to rest: links are plain, disks freed, liars honest, nodes resumed and started again; then
// every invariant must hold.
func (s *Stage) Finish(ctx context.Context) error {
	s.begins(script.Statement{Text: "in the end: heal everything, start every node, check"})
	if err := s.heal(ctx, script.Heal{All: true}); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	s.mu.Lock()
	clear(s.cuts)
	s.mu.Unlock()
	lied := false // some node did, at some time
	err := s.net.Shape(ctx, func(t *nodes.Shape) {
		lied = len(t.Lies) > 0
		clear(t.Rules)
		clear(t.Up)
		clear(t.Down)
		clear(t.Lies)
		clear(t.Full)
	})
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	for _, n := range s.net.Nodes() {
		switch n.State() {
		case nodes.Paused:
			err = s.signal(ctx, script.Resume, n)
		case nodes.Down:
			err = s.signal(ctx, script.Restart, n)
		case nodes.Running:
			if lied { // whoever met a liar refuses it for an hour, in this life
				err = s.signal(ctx, script.Restart, n)
			}
		}
		if err != nil {
			return fmt.Errorf("finish: %w", err)
		}
	}
	if err := s.invariants(ctx, 0, nil); !errors.Is(err, ErrFailed) {
		return err
	}
	return nil // the trace has it
}

// all are the invariants, in the order they are reported.
func all() []string {
	return []string{script.Acknowledged, script.Primaries, script.Agree, script.Files, script.Crashes}
}

// settlePatience is how long nodes may take to agree when nothing is in their way: they are to after 5 s, and a
// machine may be busy with a dozen of them.
const settlePatience = 30 * time.Second

// invariants waits until it is quiet and checks what must hold. Errors: ErrFailed.
func (s *Stage) invariants(ctx context.Context, line int, names []string) error {
	if len(names) == 0 {
		names = all()
	}
	began := s.rec.since()
	s.rec.again()
	quiet := func(name string) bool { return slices.Contains(names, name) }
	if quiet(script.Agree) || quiet(script.Acknowledged) {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	if quiet(script.Files) {
		if err := s.everyFile(ctx); err != nil {
			return err
		}
	}
	var wrong error
	for _, name := range names {
		if !s.verdict(line, name, began) {
			wrong = fmt.Errorf("%w: %s", ErrFailed, meaning(name))
		}
	}
	return wrong
}

// verdict notes whether an invariant held so far.
func (s *Stage) verdict(line int, name string, began time.Duration) (ok bool) {
	broken := s.rec.violations(name)
	if len(broken) == 0 && s.evidence(name) == "" { // what saw nothing proves nothing
		s.say("%s: nothing was there to look at", meaning(name))
		return true
	}
	c := trace.Check{Name: meaning(name), OK: len(broken) == 0, Line: line, Seconds: (s.rec.since() - began).Seconds()}
	var texts []string
	for _, v := range broken[:min(len(broken), 3)] {
		texts = append(texts, strings.Join(strings.Fields(strings.Join([]string{v.Node, v.Set, v.Text}, " ")), " "))
	}
	if c.Detail = strings.Join(texts, "; "); len(broken) > 3 {
		c.Detail += fmt.Sprintf("; and %d more", len(broken)-3)
	}
	if c.OK {
		c.Detail = s.evidence(name)
		s.say("%s: %s", c.Name, c.Detail)
	} else {
		s.say("BROKEN %s: %s", c.Name, c.Detail)
	}
	s.rec.check(c)
	return c.OK
}

// meaning is an invariant in words.
func meaning(name string) string {
	return map[string]string{
		script.Acknowledged: "what was acknowledged is there",
		script.Primaries:    "one primary per epoch",
		script.Agree:        "who keeps a set has the same root",
		script.Files:        "no wrong byte on any disk",
		script.Crashes:      "no node ended by itself",
	}[name]
}

// evidence is what an invariant that holds was looked for in; "" = in nothing.
func (s *Stage) evidence(name string) string {
	s.rec.mu.Lock()
	defer s.rec.mu.Unlock()
	seen := s.rec.seen
	count := func(n int, one, many string) string {
		if n == 0 {
			return ""
		}
		return english.Plural(n, one, many)
	}
	switch name {
	case script.Acknowledged:
		return count(seen.durable, "durable revision", "")
	case script.Primaries:
		return count(len(seen.epochs), "epoch", "")
	case script.Agree:
		return count(seen.compared, "copy", "copies")
	case script.Files:
		if seen.damaged && seen.files > 0 {
			return count(seen.files, "file", "") + ", less what the script damaged itself"
		}
		return count(seen.files, "file", "")
	}
	return count(len(s.net.Nodes()), "node", "")
}

// settle waits until all who take part in a set agree, and shows the judge what they have.
func (s *Stage) settle(ctx context.Context) error {
	for _, name := range s.Sets() {
		x, err := s.set(name)
		if err != nil {
			return err
		}
		wrong := s.quiet(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		groups := s.groups()
		if wrong != nil {
			s.disagree(ctx, x, groups)
		}
		var finals []judge.Final
		for i, group := range groups {
			for _, n := range group {
				f, err := s.final(ctx, n, x, i)
				switch {
				case err == nil:
					finals = append(finals, f)
				case s.keeps(n, x) && n.State() == nodes.Running:
					s.rec.violation(judge.Violation{Invariant: script.Agree, Node: n.Name, Set: name, Text: "it does not say what it has: " + err.Error()})
				}
			}
		}
		s.rec.settle(finals)
	}
	return nil
}

// disagree reports the groups that do not agree, though somebody in them has all there is to be had: who is cut off may
// lack what it cannot get.
func (s *Stage) disagree(ctx context.Context, x *set, groups [][]*nodes.Node) {
	for _, group := range groups {
		wrong := s.agreed(ctx, x, group)
		if wrong == nil {
			continue
		}
		served := slices.ContainsFunc(group, func(n *nodes.Node) bool {
			info, err := s.show(ctx, n, x)
			return err == nil && whole(info)
		})
		if !served {
			s.rec.event(trace.Event{Kind: trace.Failed, Set: x.name, Text: "the nodes do not agree: " + wrong.Error()})
			continue
		}
		s.rec.violation(judge.Violation{Invariant: script.Agree, Set: x.name, Text: fmt.Sprintf("not within %v: %v", settlePatience, wrong)})
	}
}

// restTime is how long nodes that agree must go on doing so: two beacons, after which who has something to merge
// has begun to.
const restTime = 500 * time.Millisecond

// quiet waits until the nodes agree and it stays so, or says why they do not.
func (s *Stage) quiet(ctx context.Context, set string) error {
	agrees := script.There{Set: set, What: "agrees"}
	for end := s.rec.since() + settlePatience; ; {
		if wrong := s.until(ctx, agrees, end-s.rec.since()); wrong != nil {
			return wrong
		}
		if err := pass(ctx, restTime); err != nil {
			return err
		}
		if s.holds(ctx, agrees) == nil {
			return nil
		}
	}
}

// harmed tells whether a node is down or halted, or bytes are dropped.
func (s *Stage) harmed() bool {
	s.mu.Lock()
	cuts := len(s.cuts)
	s.mu.Unlock()
	return cuts > 0 || slices.ContainsFunc(s.net.Nodes(), func(n *nodes.Node) bool { return n.State() != nodes.Running })
}

// final is what a node shows of a set.
func (s *Stage) final(ctx context.Context, n *nodes.Node, x *set, group int) (judge.Final, error) {
	info, err := s.show(ctx, n, x)
	if err != nil {
		return judge.Final{}, err
	}
	h, err := s.history(ctx, n, x)
	if err != nil {
		return judge.Final{}, err
	}
	f := judge.FinalOf(n.Name, n.PeerID, x.name, group, info, h)
	f.Stale = f.Stale && s.harmed() // when nothing is in the way, that excuses nobody
	return f, nil
}
