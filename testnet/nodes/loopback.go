package nodes

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"reflect"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/testnet/link"
)

const (
	// Ports come from below what systems give to outgoing connections (32768 on Linux, 49152 elsewhere): a node that is
	// down for a while would find its port taken by a connection of another node.
	firstPort, ports = 20_000, 12_000
	// Dashboards are below them, for the same reason: who looks at one finds it there again after a restart.
	firstSite, sites = 16_000, 4_000
	// tellDeadline is how long a node may take to go by a new plan: it takes a millisecond, and one that starts on a
	// busy machine a second.
	tellDeadline = 10 * time.Second
	// tellAgain is how soon a node that listens but cannot be told yet is told again.
	tellAgain = 10 * time.Millisecond
)

// loopback lets nodes listen at ports of 127.0.0.1 and tells each of them what to do to the bytes it sends and receives.
type loopback struct {
	seed uint64
	dir  string               // of the network
	next int                  // number of the port to try
	site int                  // the same of dashboards
	told map[string]link.Plan // by name: what lies in its home and, when it was awake, it goes by
}

// newLoopback begins its search for ports at a place that follows from the folder, so that two networks rarely meet
// and a network that is started again has the ports it had.
func newLoopback(o Options) *loopback {
	h := fnv.New32a()
	_, _ = h.Write([]byte(o.Dir)) // never fails
	return &loopback{seed: o.Seed, dir: o.Dir, next: int(h.Sum32() % ports), site: int(h.Sum32() % sites), told: map[string]link.Plan{}}
}

func (g *loopback) place(context.Context, string) (place, error) {
	host, err := freeFrom(&g.next, firstPort, ports)
	if err != nil {
		return place{}, err
	}
	site, err := freeFrom(&g.site, firstSite, sites)
	if err != nil {
		site = "127.0.0.1:0" // any other
	}
	_, port, _ := net.SplitHostPort(host)
	return place{host: host, site: site, listen: []string{"/ip4/127.0.0.1/tcp/" + port}, flags: []string{"--testnet"}}, nil
}

// freeFrom is the next of n ports that nobody listens at; at counts them.
func freeFrom(at *int, first, n int) (string, error) {
	for range n {
		host := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+*at))
		*at = (*at + 1) % n
		if l, err := net.Listen("tcp4", host); err == nil {
			return host, l.Close()
		}
	}
	return "", errors.New("no port of 127.0.0.1 is free")
}

func (g *loopback) apply(ctx context.Context, s Shape, all []resident) error {
	plans := plansOf(g.seed, g.dir, s, all)
	var group errgroup.Group
	for _, r := range all {
		p := plans[r.name]
		if reflect.DeepEqual(p, g.told[r.name]) {
			continue
		}
		delete(g.told, r.name) // until it has worked
		if err := link.Write(r.home, p); err != nil {
			return errors.Join(fmt.Errorf("plan of %s: %w", r.name, err), group.Wait())
		}
		if r.awake() {
			group.Go(func() error { return g.refresh(ctx, r) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	g.told = plans
	return nil
}

// refresh returns when the node goes by its plan, if it is awake.
func (g *loopback) refresh(ctx context.Context, r resident) error {
	ctx, cancel := context.WithTimeout(ctx, tellDeadline)
	defer cancel()
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for {
		err := link.Tell(ctx, r.home)
		if err == nil || !r.awake() { // it will read its plan when it starts, or be told when it goes on
			return nil
		}
		if !errors.Is(err, link.ErrNotRunning) || ctx.Err() != nil {
			return fmt.Errorf("plan of %s: %w", r.name, err)
		}
		select {
		case <-again.C: // it listens to its clients and not yet to this, or is about to end
		case <-ctx.Done():
		}
	}
}

func (g *loopback) close() error { return nil }

// plansOf is what every node has to do so that bytes travel as s says: both ends know the rules of a link, because
// whoever dials carries them out, and everybody knows who listens where.
func plansOf(seed uint64, dir string, s Shape, all []resident) map[string]link.Plan {
	peers := make(map[string]string, len(all))
	plans := make(map[string]link.Plan, len(all))
	for _, r := range all {
		peers[r.host] = r.name
	}
	for _, r := range all {
		h := fnv.New64a() // gives every node randomness of its own
		_, _ = h.Write([]byte(r.name))
		plans[r.name] = link.Plan{Seed: seed ^ h.Sum64(), Peers: peers, Out: map[string]link.Rule{}, In: map[string]link.Rule{},
			Up: s.Up[r.name], Down: s.Down[r.name], Lies: s.Lies[r.name], Full: s.Full[r.name], Name: r.name, Net: dir}
	}
	for pair, rule := range s.Rules {
		if from, ok := plans[pair[0]]; ok && rule != (link.Rule{}) {
			from.Out[pair[1]] = rule
		}
		if to, ok := plans[pair[1]]; ok && rule != (link.Rule{}) {
			to.In[pair[0]] = rule
		}
	}
	return plans
}
