package play

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// sampleEvery is the pace at which nodes are asked what they are: four times in the time a killed primary is
// replaced in, and 20 nodes take some percent of a core.
const sampleEvery = 200 * time.Millisecond

// Watch samples every node, hears its events, and notes nodes that end by themselves, until ctx ends.
func (s *Stage) Watch(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { s.patrol(ctx) })
	group.Go(func() { s.remember(ctx) })
	watched := map[string]bool{}
	for {
		for _, n := range s.net.Nodes() {
			if !watched[n.Name] {
				watched[n.Name] = true
				group.Go(func() { s.sampleNode(ctx, n) })
				group.Go(func() { s.hear(ctx, n) })
			}
		}
		select {
		case c := <-s.net.Crashes():
			s.rec.observe(func(at time.Duration) judge.Observation {
				return judge.Ended{At: at, Node: c.Node, Detail: c.Detail}
			})
			s.rec.event(trace.Event{Kind: trace.Crashed, Node: c.Node, Text: c.Detail})
			s.say("%s ended by itself: %s", c.Node, lastLine(c.Detail))
		case <-s.born:
		case <-ctx.Done():
			return
		}
	}
}

// rememberEvery is the pace at which histories are looked at. They show 16 revisions, and no scenario makes so many in it.
const rememberEvery = time.Second

// remember shows the judge what the nodes' histories say before they forget it.
func (s *Stage) remember(ctx context.Context) {
	for pass(ctx, rememberEvery) == nil {
		for _, name := range s.Sets() {
			x, err := s.set(name)
			if err != nil {
				continue
			}
			for _, n := range s.net.Nodes() {
				if s.keeps(n, x) {
					s.rememberAt(ctx, n, x)
				}
			}
		}
	}
}

func (s *Stage) rememberAt(ctx context.Context, n *nodes.Node, x *set) {
	c, err := running(n)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	h, err := c.History(ctx, api.HistoryRequest{Set: x.id})
	if err != nil {
		return
	}
	s.rec.observe(func(at time.Duration) judge.Observation {
		return judge.Remembered{At: at, Node: n.Name, Set: x.name, History: h.Revisions}
	})
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// sampleNode asks one node again and again.
func (s *Stage) sampleNode(ctx context.Context, n *nodes.Node) {
	clock := time.NewTicker(sampleEvery)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
			s.sample(ctx, n)
		case <-ctx.Done():
			return
		}
	}
}

// sampleAll asks all nodes at once, so that the trace has what they are when something is about to happen to them.
func (s *Stage) sampleAll(ctx context.Context) {
	var group sync.WaitGroup
	for _, n := range s.net.Nodes() {
		group.Go(func() { s.sample(ctx, n) })
	}
	group.Wait()
}

func (s *Stage) sample(ctx context.Context, n *nodes.Node) {
	c, err := running(n)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	if st, err := c.Status(ctx); err == nil {
		s.sampled(n, st)
	}
}

func (s *Stage) sampled(n *nodes.Node, st api.Status) {
	sample := trace.Sample{Node: n.Name, WireIn: st.WireIn, WireOut: st.WireOut, Peers: len(st.Peers)}
	sample.Memory, _ = n.Memory() // 0 where the system does not tell
	for _, info := range st.Sets {
		name, ok := s.setName(info.Set)
		if !ok {
			continue
		}
		sample.Sets = append(sample.Sets, s.stateOf(n.Name, name, info))
		s.rec.role(trace.Event{Kind: trace.Role, Node: n.Name, Set: name, Epoch: info.Epoch, Text: info.Role})
		if info.Epoch != "" {
			s.rec.observe(func(at time.Duration) judge.Observation {
				return judge.ClaimOf(at, n.Name, name, info)
			})
		}
	}
	s.rec.sample(sample)
}

func (s *Stage) stateOf(node, set string, info api.SetInfo) trace.SetState {
	state := trace.SetState{Set: set, Revision: info.Revision, Root: info.Root, Role: info.Role, Epoch: info.Epoch}
	if j := s.newest(node, set); j != nil {
		state.Part, _ = j.state()
	}
	if whole(info) {
		state.Part = 1
	}
	return state
}

// whole tells whether a node's folder holds the newest revision it knows of.
func whole(info api.SetInfo) bool {
	return info.State != "incomplete" && info.Behind == 0 && info.Revision > 0
}

// hear listens to one node's events, and begins again when the node does.
func (s *Stage) hear(ctx context.Context, n *nodes.Node) {
	clock := time.NewTicker(askEvery) // a node that has just begun says what nobody else knows
	defer clock.Stop()
	for {
		if c, err := running(n); err == nil {
			_ = c.Events(ctx, api.EventsRequest{Progress: true}, func(e api.Event) { s.heard(n.Name, e) }) // ends with the node
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Stage) heard(node string, e api.Event) {
	set, ok := s.setName(e.Set)
	if !ok {
		return
	}
	j := s.newest(node, set)
	switch e.Kind {
	case api.EventProgress:
		if j != nil {
			j.reach(e.Progress)
		}
	case api.EventComplete:
		if e.Result == nil || j == nil || j.what != "follow" {
			return // of a get, its result tells
		}
		j.complete(s.rec.since() - j.began)
		if e.Result.Changed {
			s.arrived(node, set, *e.Result, s.rec.since()-time.Duration(e.Result.Seconds*float64(time.Second)))
		}
	case api.EventFailed:
		s.rec.event(trace.Event{Kind: trace.Failed, Node: node, Set: set, Revision: e.Revision, Text: e.Detail})
	}
}
