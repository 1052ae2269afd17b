package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// traffic is what a node has moved since its process started.
func (s *Stage) traffic(ctx context.Context, n *nodes.Node) (in, out int64, err error) {
	c, err := running(n)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	st, err := c.Status(ctx)
	return st.WireIn, st.WireOut, err
}

// mark is what a process had received and sent when it was marked.
type mark struct {
	pid     int
	in, out int64
}

// mark lets Moved count from now on.
func (s *Stage) mark(ctx context.Context) error {
	for _, n := range s.net.Nodes() {
		pid := n.PID()
		in, out, err := s.traffic(ctx, n)
		if err != nil {
			continue // it will count from its next start
		}
		s.mu.Lock()
		s.marks[n.Name] = mark{pid, in, out}
		s.mu.Unlock()
	}
	return nil
}

func (s *Stage) moved(ctx context.Context, c script.Moved) (ok bool, text string, err error) {
	bound, what := c.Bytes, bytes(c.Bytes)
	if c.Set != "" {
		x, err := s.set(c.Set)
		if err != nil {
			return false, "", err
		}
		bound = int64(c.Times * float64(x.size))
		what = fmt.Sprintf("%s, %g times %s", bytes(bound), c.Times, c.Set)
	}
	var most int64
	err = s.every(ctx, c.Who, func(n *nodes.Node) error {
		in, out, err := s.traffic(ctx, n)
		if err != nil {
			return err
		}
		s.mu.Lock()
		before := s.marks[n.Name]
		s.mu.Unlock()
		if before.pid != n.PID() {
			before = mark{} // another process counts from its start
		}
		moved := in - before.in
		if c.Sent {
			moved = out - before.out
		}
		if most = max(most, moved); c.Least {
			most = moved
		}
		if (moved >= bound) != c.Least && moved != bound {
			return fmt.Errorf("%s, the bound is %s", bytes(moved), what)
		}
		return nil
	})
	return err == nil, fmt.Sprintf("%s of %s", bytes(most), what), err
}

func (s *Stage) took(ctx context.Context, c script.Took) (ok bool, text string, err error) {
	var longest time.Duration
	switch c.What {
	case "failover":
		if longest, err = s.longestGap(c.Set); err != nil {
			return false, "", err
		}
	case "publish":
		x, err := s.set(c.Set)
		if err != nil {
			return false, "", err
		}
		longest = x.latest().took
	default:
		if longest, err = s.slowest(ctx, c); err != nil {
			return false, "", err
		}
	}
	return longest <= c.Most, fmt.Sprintf("%.2f s of %v", longest.Seconds(), c.Most), nil
}

// longestGap is the longest time that a set was without a primary.
func (s *Stage) longestGap(set string) (longest time.Duration, err error) {
	found := false
	for _, g := range figures.Gaps(figures.Tidy(s.Trace())) {
		if g.Set != set || g.Open && g.Others == 0 {
			continue
		}
		if found = true; g.Open {
			return 0, fmt.Errorf("since %s was %s, nobody is primary", g.Was, g.Cause)
		}
		longest = max(longest, g.Length())
	}
	if !found {
		return 0, fmt.Errorf("no primary of %s has failed where another node could take over", set)
	}
	return longest, nil
}

// slowest is the longest of the gets or follows.
func (s *Stage) slowest(ctx context.Context, c script.Took) (time.Duration, error) {
	var named []string // nil = whoever did
	if len(c.At.Names) > 0 || c.At.Role != "" {
		all, err := s.who(ctx, c.At)
		if err != nil {
			return 0, err
		}
		for _, n := range all {
			named = append(named, n.Name)
		}
	}
	s.mu.Lock()
	jobs := slices.Clone(s.jobs)
	s.mu.Unlock()
	var longest time.Duration
	found := false
	for _, j := range jobs {
		if j.set != c.Set || j.what != c.What || named != nil && !slices.Contains(named, j.node) {
			continue
		}
		found = true
		_, took := j.state()
		if took == 0 {
			return 0, errors.Join(fmt.Errorf("%s is not complete", j.node), j.failure())
		}
		longest = max(longest, took)
	}
	if !found {
		return 0, fmt.Errorf("nobody was asked to %s %s", c.What, c.Set)
	}
	return longest, nil
}
