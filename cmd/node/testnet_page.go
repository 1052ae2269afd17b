package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/rest"
	"github.com/shoal-p2p/shoal/testnet/control"
)

// netPage is the test network that runs in dir, as the dashboard of its node name sees it and acts on it.
type netPage struct{ name, dir string }

// Nodes implements rest.Testnet.
func (p netPage) Nodes(ctx context.Context) (rest.TestNodes, error) {
	all, err := p.list(ctx)
	out := rest.TestNodes{Dir: p.dir, Nodes: make([]rest.TestNode, 0, len(all))}
	for _, n := range all {
		out.Nodes = append(out.Nodes, p.node(n))
	}
	return out, err
}

func (p netPage) list(ctx context.Context) ([]control.Info, error) {
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.List(ctx)
	return all, netError(ctx, p.dir, err)
}

func (p netPage) dial(ctx context.Context) (*control.Client, error) {
	c, err := control.Dial(ctx, p.dir)
	return c, netError(ctx, p.dir, err)
}

// node is what a network says of a node, for its page.
func (p netPage) node(n control.Info) rest.TestNode {
	out := rest.TestNode{Name: n.Name, PeerID: n.PeerID, Self: n.Name == p.name, State: netState(n), DelayMS: n.Delay, Rate: n.Rate,
		Harm: n.Harm, Memory: n.Memory, Sets: []rest.TestSet{}, Dashboard: n.Site}
	if out.Harm == nil {
		out.Harm = []string{}
	}
	for _, s := range n.Sets {
		out.Sets = append(out.Sets, rest.TestSet{Name: s.Set, Revision: s.Revision, Role: s.Role, Part: s.Part})
	}
	return out
}

// netState is the state of a node and, of one that is down, how it came to be so.
func netState(n control.Info) string {
	switch n.State {
	case "running":
		return "up"
	case "down":
		return cmp.Or(n.Ended, "stopped")
	default:
		return n.State
	}
}

// Act implements rest.Testnet.
func (p netPage) Act(ctx context.Context, node string, o rest.TestOrder) error {
	all, err := p.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{node, o.From} {
		if _, ok := netNode(all, name); name != "" && !ok {
			return p.unknown(name)
		}
	}
	if n, _ := netNode(all, node); n.State == "down" && slices.Contains([]string{rest.TestKill, rest.TestStop, rest.TestPause, rest.TestResume}, o.Do) {
		return nodeDown(n, "restart it")
	}
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	for _, line := range statements(node, o, len(all)) {
		if err := c.Finish(ctx, line); err != nil {
			return netError(ctx, p.dir, err)
		}
	}
	return nil
}

func netNode(all []control.Info, name string) (control.Info, bool) {
	i := slices.IndexFunc(all, func(n control.Info) bool { return n.Name == name })
	if i < 0 {
		return control.Info{}, false
	}
	return all[i], true
}

func (p netPage) unknown(name string) error {
	return &api.Error{Code: "no_such_node", ExitCode: api.ExitNotFound, Title: "no such node: " + printable(name)}
}

// statements say an order in the language of scripts; n is how many nodes there are: one alone has no links.
func statements(node string, o rest.TestOrder, n int) (lines []string) {
	others := cmp.Or(o.From, "all")
	switch {
	case o.Do == rest.TestSlow:
		if n > 1 {
			delay := time.Duration(o.DelayMS * float64(time.Millisecond))
			lines = append(lines, fmt.Sprintf("link %s and all latency %s", node, delay))
		}
		if o.Rate > 0 {
			lines = append(lines, "slow "+node+" to "+strconv.FormatInt(o.Rate, 10)+"B/s")
		}
	case o.Do == rest.TestHeal:
		lines = []string{"uplink " + node + " unlimited", "downlink " + node + " unlimited"}
		if n > 1 {
			lines = append(lines, "link "+node+" and all plain", "heal "+node+" and all")
		}
	case o.Do == rest.TestCut && n > 1:
		lines = []string{"cut " + node + " and " + others}
	case o.Do == rest.TestCut:
	default:
		lines = []string{o.Do + " " + node}
	}
	return lines
}

// Login implements rest.Testnet.
func (p netPage) Login(ctx context.Context, node string) (api.DashboardResult, error) {
	all, err := p.list(ctx)
	if err != nil {
		return api.DashboardResult{}, err
	}
	n, ok := netNode(all, node)
	if !ok {
		return api.DashboardResult{}, p.unknown(node)
	}
	return netLogin(ctx, n)
}

func nodeDown(n control.Info, hint string) error {
	return &api.Error{Code: "node_down", ExitCode: api.ExitNeedsNode, Title: n.Name + " does not run", Detail: netState(n), Hint: hint}
}

// netLogin asks a node of a network for a way into its dashboard.
func netLogin(ctx context.Context, n control.Info) (api.DashboardResult, error) {
	switch {
	case n.State != "running":
		return api.DashboardResult{}, nodeDown(n, "restart or resume it, or look at another node's dashboard")
	case n.Site == "":
		return api.DashboardResult{}, &api.Error{Code: "no_dashboard", ExitCode: api.ExitNeedsNode, Title: n.Name + " has no dashboard that can be reached from here",
			Detail: "it is in a network namespace", Hint: "a network without --netns"}
	}
	c, err := api.Dial(ctx, api.SocketPath(n.Home))
	if err != nil {
		return api.DashboardResult{}, err
	}
	defer c.Close()
	return c.Dashboard(ctx)
}
