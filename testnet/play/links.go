package play

import (
	"context"
	"maps"
	"slices"

	"github.com/shoal-p2p/shoal/testnet/link"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// pairs are the ordered pairs of two groups of different nodes.
func pairs(from, to []*nodes.Node, both bool) (out [][2]string) {
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			out = append(out, [2]string{a.Name, b.Name})
			if both {
				out = append(out, [2]string{b.Name, a.Name})
			}
		}
	}
	return out
}

func (s *Stage) pairs(ctx context.Context, from, to script.Who, both bool) ([][2]string, error) {
	a, err := s.who(ctx, from)
	if err != nil {
		return nil, err
	}
	b, err := s.who(ctx, to)
	return pairs(a, b, both), err
}

// rules changes the links between pairs of nodes, all at once, and notes how they are.
func (s *Stage) rules(ctx context.Context, links [][2]string, change func(*link.Rule)) error {
	return s.net.Shape(ctx, func(t *nodes.Shape) {
		for _, p := range links {
			r := t.Rules[p]
			change(&r)
			t.Rules[p] = r
			s.parted(p, r.Cut || r.Loss >= 1)
			s.rec.link(trace.Link{From: p[0], To: p[1], Latency: r.Latency, Jitter: r.Jitter, Loss: r.Loss, Rate: r.Rate, Cut: r.Cut})
		}
	})
}

func (s *Stage) link(ctx context.Context, st script.Statement, do script.Link) error {
	links, err := s.pairs(ctx, do.From, do.To, do.Both)
	if err != nil {
		return err
	}
	s.rec.event(trace.Event{Kind: trace.Linked, Text: st.Text})
	return s.rules(ctx, links, func(r *link.Rule) {
		if do.Plain {
			*r = link.Rule{Cut: r.Cut}
		}
		if do.Latency != nil {
			r.Latency = *do.Latency
		}
		if do.Jitter != nil {
			r.Jitter = *do.Jitter
		}
		if do.Loss != nil {
			r.Loss = *do.Loss
		}
		if do.Rate != nil {
			r.Rate = *do.Rate
		}
	})
}

func (s *Stage) limit(ctx context.Context, st script.Statement, do script.Limit) error {
	return s.each(ctx, do.Who, func(n *nodes.Node) error {
		s.rec.event(trace.Event{Kind: trace.Linked, Node: n.Name, Text: st.Text})
		return s.net.Shape(ctx, func(t *nodes.Shape) {
			if do.Up != nil {
				t.Up[n.Name] = *do.Up
			}
			if do.Down != nil {
				t.Down[n.Name] = *do.Down
			}
		})
	})
}

// cutOff notes who is cut off, at every node that is, and drops the bytes.
func (s *Stage) cutOff(ctx context.Context, text string, links [][2]string) error {
	s.sampleAll(ctx)
	noted := map[string]bool{}
	for _, p := range links {
		if !noted[p[0]] {
			noted[p[0]] = true
			s.rec.event(trace.Event{Kind: trace.Cut, Node: p[0], Text: text})
		}
	}
	return s.rules(ctx, links, func(r *link.Rule) { r.Cut = true })
}

func (s *Stage) cut(ctx context.Context, st script.Statement, do script.Cut) error {
	links, err := s.pairs(ctx, do.From, do.To, do.Both)
	if err != nil {
		return err
	}
	return s.cutOff(ctx, st.Text, links)
}

func (s *Stage) partition(ctx context.Context, st script.Statement, do script.Partition) error {
	var links [][2]string
	for i, g := range do.Groups {
		for _, h := range do.Groups[i+1:] {
			between, err := s.pairs(ctx, g, h, true)
			if err != nil {
				return err
			}
			links = append(links, between...)
		}
	}
	return s.cutOff(ctx, st.Text, links)
}

func (s *Stage) heal(ctx context.Context, do script.Heal) error {
	all := script.Who{Role: "all"}
	if do.All {
		do.From, do.To, do.Both = all, all, true
	}
	links, err := s.pairs(ctx, do.From, do.To, do.Both)
	if err != nil {
		return err
	}
	var were [][2]string
	if err := s.net.Shape(ctx, func(t *nodes.Shape) {
		for _, p := range links {
			if r := t.Rules[p]; r.Cut {
				r.Cut = false
				t.Rules[p] = r
				s.parted(p, false)
				were = append(were, p)
				s.rec.link(trace.Link{From: p[0], To: p[1], Latency: r.Latency, Jitter: r.Jitter, Loss: r.Loss, Rate: r.Rate})
			}
		}
	}); err != nil {
		return err
	}
	noted := map[string]bool{}
	for _, p := range were {
		if !noted[p[0]] {
			noted[p[0]] = true
			s.rec.event(trace.Event{Kind: trace.Healed, Node: p[0]})
		}
	}
	return nil
}

// parted remembers which bytes are dropped.
func (s *Stage) parted(p [2]string, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cuts[p] = cut; !cut {
		delete(s.cuts, p)
	}
}

// groups puts the nodes that run into groups that reach each other, over others too.
func (s *Stage) groups() [][]*nodes.Node {
	s.mu.Lock()
	cuts := maps.Clone(s.cuts)
	s.mu.Unlock()
	run := slices.DeleteFunc(s.net.Nodes(), func(n *nodes.Node) bool { return n.State() != nodes.Running })
	return reachable(run, cuts)
}

// reachable puts nodes into groups that reach each other, over others too: by links that are cut in neither direction.
func reachable(all []*nodes.Node, cuts map[[2]string]bool) (groups [][]*nodes.Node) {
	for _, n := range all {
		joined := []*nodes.Node{n}
		var apart [][]*nodes.Node
		for _, g := range groups {
			if slices.ContainsFunc(g, func(m *nodes.Node) bool { return !cuts[[2]string{n.Name, m.Name}] && !cuts[[2]string{m.Name, n.Name}] }) {
				joined = append(g, joined...)
			} else {
				apart = append(apart, g)
			}
		}
		groups = append(apart, joined)
	}
	return groups
}
