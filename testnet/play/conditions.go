package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

const (
	// waitPatience is how long a wait without a bound of its own waits: no scenario takes a fourth of it.
	waitPatience = time.Minute
	// askEvery is the pace at which conditions are looked at.
	askEvery = 20 * time.Millisecond
)

// wait lets time pass or waits for a condition; one that does not come true in time ends the script.
func (s *Stage) wait(ctx context.Context, do script.Wait) error {
	if do.Until == nil {
		return pass(ctx, do.For)
	}
	within := do.Within
	if within == 0 {
		within = waitPatience
	}
	if wrong := s.until(ctx, do.Until, within); wrong != nil {
		return fmt.Errorf("not within %v: %w", within, wrong)
	}
	return nil
}

// expect notes whether a condition holds, or comes true in its time.
func (s *Stage) expect(ctx context.Context, st script.Statement, do script.Expect) error {
	began := s.rec.since()
	wrong := s.until(ctx, do.What, do.Within)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := trace.Check{Name: st.Text, OK: wrong == nil, Line: st.Line, Seconds: (s.rec.since() - began).Seconds()}
	switch {
	case wrong != nil:
		c.Detail = oneLine(wrong)
		s.say("DOES NOT HOLD: %s", c.Detail)
	case do.Within > 0:
		c.Detail = fmt.Sprintf("after %.2f s", c.Seconds)
		s.say("holds, after %.2f s", c.Seconds)
	default:
		c.Detail = s.measured(ctx, do.What)
		s.say("holds%s", prefixed(": ", c.Detail))
	}
	s.rec.check(c)
	if !c.OK && st.Line == 0 { // typed: whoever did wants to know
		return fmt.Errorf("%w: %w", ErrFailed, wrong)
	}
	return nil
}

// oneLine is an error of several lines in one.
func oneLine(err error) string { return strings.Join(strings.Split(err.Error(), "\n"), "; ") }

func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// measured is the figure of a condition that has one.
func (s *Stage) measured(ctx context.Context, c script.Condition) string {
	switch c := c.(type) {
	case script.Moved:
		_, text, _ := s.moved(ctx, c)
		return text
	case script.Took:
		_, text, _ := s.took(ctx, c)
		return text
	}
	return ""
}

// until looks at a condition until it holds; nil = it does. It is looked at once at least.
func (s *Stage) until(ctx context.Context, c script.Condition, within time.Duration) error {
	end := s.rec.since() + within
	for {
		wrong := s.holds(ctx, c)
		if wrong == nil || errors.Is(wrong, errGivenUp) || s.rec.since() >= end {
			return wrong
		}
		if err := pass(ctx, askEvery); err != nil {
			return err
		}
	}
}

// holds is nil if a condition holds now, or what is different.
func (s *Stage) holds(ctx context.Context, c script.Condition) error {
	switch c := c.(type) {
	case script.Has:
		return s.has(ctx, c)
	case script.Is:
		return s.is(ctx, c)
	case script.There:
		return s.there(ctx, c)
	case script.Moved:
		ok, text, err := s.moved(ctx, c)
		return verdict(ok, text, err)
	case script.Took:
		ok, text, err := s.took(ctx, c)
		return verdict(ok, text, err)
	case script.Refuses:
		return s.refuses(ctx, c)
	}
	return fmt.Errorf("%T is not looked at", c)
}

func verdict(ok bool, text string, err error) error {
	if err == nil && !ok {
		err = errors.New(text)
	}
	return err
}

// every holds if it does at all of the nodes.
func (s *Stage) every(ctx context.Context, w script.Who, holds func(*nodes.Node) error) error {
	all, err := s.who(ctx, w)
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := holds(n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func (s *Stage) has(ctx context.Context, c script.Has) error {
	x, err := s.set(c.Set)
	if err != nil {
		return err
	}
	wanted, err := x.revision(c.Revision)
	if err != nil {
		return err
	}
	return s.every(ctx, c.Who, func(n *nodes.Node) error {
		j := s.newest(n.Name, x.name)
		if c.Part > 0 && j != nil {
			if part, _ := j.state(); part >= c.Part {
				return nil
			}
		}
		info, err := s.show(ctx, n, x)
		if err != nil && j == nil && n.Name != x.author && n.State() == nodes.Running {
			return fmt.Errorf("it has nothing of %s: it was not told to get, follow or replicate it", x.name)
		}
		if err != nil {
			return errors.Join(err, j.failure())
		}
		if j.pending() {
			return errors.New("it is being fetched")
		}
		if !whole(info) {
			return errors.Join(fmt.Errorf("it has not all of revision %d: %s, %d behind", info.Revision, info.State, info.Behind), j.failure())
		}
		return s.includes(ctx, n, x, info, wanted)
	})
}

// includes is nil if what a node shows is a revision, or was made of it. Numbers prove nothing: two sides of a split
// count alike.
func (s *Stage) includes(ctx context.Context, n *nodes.Node, x *set, info api.SetInfo, wanted published) error {
	if info.Root == wanted.Root || info.Head == wanted.Head {
		return nil
	}
	h, err := s.history(ctx, n, x)
	if err != nil {
		return err
	}
	if len(h.Revisions) == 0 || h.Revisions[0].Head != info.Head {
		return errors.New("it is about to have another revision")
	}
	for _, r := range h.Revisions {
		if r.Head == wanted.Head {
			return nil
		}
	}
	if !covers(h.Revisions[0].Vector, wanted.Vector) {
		return fmt.Errorf("it has revision %d (%s), which does not include revision %d of %s (%s)", info.Revision, tail(info.Root), wanted.Revision, wanted.node, tail(wanted.Root))
	}
	return nil
}

// covers tells whether a head with vector v includes one with vector o.
func covers(v, o map[string]uint64) bool {
	for store, seq := range o {
		if v[store] < seq {
			return false
		}
	}
	return len(o) > 0
}

// history asks a node for the revisions it knows of.
func (s *Stage) history(ctx context.Context, n *nodes.Node, x *set) (api.HistoryResult, error) {
	c, err := running(n)
	if err != nil {
		return api.HistoryResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	return c.History(ctx, api.HistoryRequest{Set: x.id})
}

// pending tells whether a get goes on.
func (j *job) pending() bool { return j != nil && j.what == "get" && !j.ended() }

// errGivenUp is wrapped where nobody tries any more.
var errGivenUp = errors.New("it is not tried again")

// failure is why a job came to nothing.
func (j *job) failure() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		return nil
	}
	return fmt.Errorf("%w; %w", j.err, errGivenUp)
}

func (s *Stage) is(ctx context.Context, c script.Is) error {
	if c.What != "up" && c.What != "down" {
		x, err := s.set(c.Set)
		if err != nil {
			return err
		}
		return s.every(ctx, c.Who, func(n *nodes.Node) error {
			info, err := s.show(ctx, n, x)
			if err != nil && !(c.Not && errors.Is(err, errDown)) {
				return err
			}
			if is(info.Role, c.What) == c.Not {
				return fmt.Errorf("it is %s, the primary %s", orNobody(info.Role), orNobody(s.nodeName(info.Primary)))
			}
			return nil
		})
	}
	return s.every(ctx, c.Who, func(n *nodes.Node) error {
		if up := n.State() != nodes.Down; (up == (c.What == "up")) == c.Not {
			return fmt.Errorf("it is %v", n.State())
		}
		return nil
	})
}

// is tells whether a role is what is asked for: who is primary or backup is a replica too.
func is(role, what string) bool {
	if what == api.RoleReplica {
		return role == api.RolePrimary || role == api.RoleBackup || role == api.RoleReplica
	}
	return role == what
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

func (s *Stage) there(ctx context.Context, c script.There) error {
	x, err := s.set(c.Set)
	if err != nil {
		return err
	}
	switch c.What {
	case "durable":
		if p := x.latest(); !p.Durable {
			return fmt.Errorf("revision %d is on %s alone", p.Revision, s.nodeNames(p.On))
		}
		return nil
	case "agrees":
		for _, group := range s.groups() {
			if err := s.agreed(ctx, x, group); err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range s.net.Nodes() {
		info, err := s.show(ctx, n, x)
		if err == nil && info.Role == api.RolePrimary && (c.What == "primary" || info.Backup != "") {
			s.sample(ctx, n) // the trace has it too
			return nil
		}
	}
	return fmt.Errorf("no node that is up is primary%s", map[string]string{"backup": " and has a backup"}[c.What])
}

// agreed is nil if all of a group who take part in a set show the same, or tells who does not.
func (s *Stage) agreed(ctx context.Context, x *set, group []*nodes.Node) error {
	var first api.SetInfo
	var who string
	for _, n := range group {
		if !s.keeps(n, x) {
			continue // a folder that was fetched once stays as it is
		}
		info, err := s.show(ctx, n, x)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		if info.Forks > 0 && !x.strict { // a strict set hides what lost
			return fmt.Errorf("%s has %d revisions to merge", n.Name, info.Forks)
		}
		if !whole(info) {
			return fmt.Errorf("%s has not all of it: revision %d, %s, %d behind", n.Name, info.Revision, info.State, info.Behind)
		}
		if who == "" {
			first, who = info, n.Name
		}
		if info.Root != first.Root {
			return fmt.Errorf("%s shows revision %d (%s), %s revision %d (%s)", who, first.Revision, tail(first.Root), n.Name, info.Revision, tail(info.Root))
		}
	}
	return nil
}

// keeps tells whether a node is to stay at a set's newest revision.
func (s *Stage) keeps(n *nodes.Node, x *set) bool {
	j := s.newest(n.Name, x.name)
	return n.Name == x.author || j != nil && j.what == "follow"
}

func tail(id string) string { return "…" + id[max(0, len(id)-6):] }

// refusePatience is how long a publish that is to be refused may take to be.
const refusePatience = 3 * time.Second

func (s *Stage) refuses(ctx context.Context, c script.Refuses) error {
	x, err := s.set(c.Set)
	if err != nil {
		return err
	}
	return s.every(ctx, c.Who, func(n *nodes.Node) error {
		if _, err := running(n); err != nil {
			return err
		}
		p, err := s.publish(ctx, x, n, refusePatience)
		var said *api.Error
		switch {
		case err == nil:
			return fmt.Errorf("it published: %s", s.acknowledgement(p))
		case errors.As(err, &said) && slices.Contains(refusals(), said.Code):
			return nil
		}
		return fmt.Errorf("it did not get as far: %w", err)
	})
}

// refusals are the codes with which a node says that a revision may not be published, rather than that something is
// wrong: it has no right to, or there is no order to be had.
func refusals() []string { return []string{"not_writer", "no_primary", "minority", "unsettled"} }
