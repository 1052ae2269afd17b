package play

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/link"
	"github.com/shoal-p2p/shoal/testnet/nodes"
)

// List tells what every node is.
func (s *Stage) List(ctx context.Context) []control.Info {
	s.sampleAll(ctx)
	shape := s.shape(ctx)
	ill := ill(shape)
	s.rec.mu.Lock()
	newest := maps.Clone(s.rec.newest)
	s.rec.mu.Unlock()
	var out []control.Info
	for _, n := range s.net.Nodes() {
		i := control.Info{Name: n.Name, PeerID: n.PeerID, State: n.State().String(), Ended: n.Ended(), Home: n.Home, Addr: n.Addr, PID: n.PID(),
			Site: n.Site(), Harm: ill[n.Name]}
		if n.State() != nodes.Down {
			i.Memory, i.Sets = newest[n.Name].Memory, newest[n.Name].Sets
		}
		i.Delay, i.Rate = slowness(shape, n.Name)
		out = append(out, i)
	}
	return out
}

// shape is how bytes travel now; the plain one when the network ends.
func (s *Stage) shape(ctx context.Context) (now nodes.Shape) {
	_ = s.net.Shape(ctx, func(t *nodes.Shape) {
		now = nodes.Shape{Rules: maps.Clone(t.Rules), Up: maps.Clone(t.Up), Down: maps.Clone(t.Down), Lies: maps.Clone(t.Lies), Full: maps.Clone(t.Full)}
	})
	return now
}

// slowness is the longest delay, in milliseconds, that the links of a node add one way, and the bytes a second that it
// or the slowest of its links carries; 0 = as the machine can.
func slowness(s nodes.Shape, name string) (delay float64, rate int64) {
	slower := func(r int64) {
		if r > 0 && (rate == 0 || r < rate) {
			rate = r
		}
	}
	slower(s.Up[name])
	slower(s.Down[name])
	var longest time.Duration
	for pair, r := range s.Rules {
		if slices.Contains(pair[:], name) {
			longest = max(longest, r.Latency)
			slower(r.Rate)
		}
	}
	return float64(longest) / float64(time.Millisecond), rate
}

// ill says in words what is done to nodes and their links, by node.
func ill(t nodes.Shape) map[string][]string {
	out := map[string][]string{}
	say := func(name, format string, a ...any) { out[name] = append(out[name], fmt.Sprintf(format, a...)) }
	for _, p := range slices.SortedFunc(maps.Keys(t.Rules), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if text := ruleText(t.Rules[p]); text != "" {
			say(p[0], "to %s %s", p[1], text)
		}
	}
	for name, rate := range t.Up {
		if rate > 0 {
			say(name, "uplink %s/s", bytes(rate))
		}
	}
	for name, rate := range t.Down {
		if rate > 0 {
			say(name, "downlink %s/s", bytes(rate))
		}
	}
	for name, lies := range t.Lies {
		if lies {
			say(name, "liar")
		}
	}
	for name, full := range t.Full {
		if full {
			say(name, "disk full")
		}
	}
	return out
}

// ruleText is a rule as a script says it; "" of a plain one.
func ruleText(r link.Rule) string {
	var parts []string
	if r.Cut {
		parts = append(parts, "cut")
	}
	if r.Latency > 0 {
		parts = append(parts, "latency "+r.Latency.String())
	}
	if r.Jitter > 0 {
		parts = append(parts, "jitter "+r.Jitter.String())
	}
	if r.Loss > 0 {
		parts = append(parts, fmt.Sprintf("loss %g%%", 100*r.Loss))
	}
	if r.Rate > 0 {
		parts = append(parts, "rate "+bytes(r.Rate)+"/s")
	}
	return strings.Join(parts, " ")
}
