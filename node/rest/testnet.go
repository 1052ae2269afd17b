package rest

import (
	"context"

	"github.com/shoal-p2p/shoal/node/api"
)

// Testnet is the test network that a node is one of.
type Testnet interface {
	// Nodes are all of the network, in the order in which they were started first.
	Nodes(ctx context.Context) (TestNodes, error)
	// Act carries out an order about one of them, to its end even if ctx ends: it may be about this node.
	Act(ctx context.Context, node string, o TestOrder) error
	// Login is a way into the dashboard of one of them.
	Login(ctx context.Context, node string) (api.DashboardResult, error)
}

// What a node of a test network is told to do, or is done to it. TestHeal undoes TestSlow and TestCut.
const (
	TestKill    = "kill"
	TestStop    = "stop"
	TestRestart = "restart"
	TestPause   = "pause"
	TestResume  = "resume"
	TestSlow    = "slow"
	TestCut     = "cut"
	TestHeal    = "heal"
)

// TestNode is a node of a test network.
type TestNode struct {
	Name      string    `json:"name"`
	PeerID    string    `json:"peer_id"`
	Self      bool      `json:"self" doc:"it is the one that answers"`
	State     string    `json:"state" enum:"up,paused,killed,stopped,crashed"`
	DelayMS   float64   `json:"delay_ms" doc:"the longest that one of its links adds, one way; 0 = none"`
	Rate      int64     `json:"rate" doc:"bytes a second that it or the slowest of its links carries; 0 = as the machine can"`
	Harm      []string  `json:"harm" doc:"what is done to it and its links, in words"`
	Memory    int64     `json:"memory" doc:"resident bytes; 0 = not known"`
	Sets      []TestSet `json:"sets" doc:"that the network's script made, as this node has them"`
	Dashboard string    `json:"dashboard,omitempty" doc:"URL"`
}

// TestSet is a set as a node of a test network has it.
type TestSet struct {
	Name     string  `json:"name"`
	Revision uint64  `json:"revision"`
	Role     string  `json:"role,omitempty"`
	Part     float64 `json:"part" doc:"share that is here, 0 to 1"`
}

// TestNodes are the nodes of a test network.
type TestNodes struct {
	Dir   string     `json:"dir" doc:"folder of the network on the node's machine"`
	Nodes []TestNode `json:"nodes"`
}

// TestOrder is what is to be done to a node.
type TestOrder struct {
	Do string // one of the constants
	TestSlowness
	TestPartner
}

// TestSlowness is how slow a node's links are to be.
type TestSlowness struct {
	DelayMS float64 `json:"delay_ms,omitempty" minimum:"0" maximum:"60000" doc:"added to every byte, one way; neither this nor rate = 100"`
	Rate    int64   `json:"rate,omitempty" minimum:"1000" maximum:"1000000000000" doc:"bytes a second each way; neither this nor delay_ms = 1000000"`
}

// TestPartner is whom a node is cut off from.
type TestPartner struct {
	From string `json:"from,omitempty" maxLength:"32" pattern:"^[a-z0-9-]*$" doc:"another node; empty = all"`
}

// A link of another continent, over a bad line: slow enough to be seen, fast enough to be waited for.
const slowDelayMS, slowRate = 100, 1_000_000

// OneOfThem names a node of a test network.
type OneOfThem struct {
	Node string `path:"node" maxLength:"32" pattern:"^[a-z0-9-]+$"`
}

// Slowing slows a node's links.
type Slowing struct {
	OneOfThem
	Body *TestSlowness
}

// Cutting cuts a node off.
type Cutting struct {
	OneOfThem
	Body *TestPartner
}

// testnetRoutes act on the test network that the node is one of. They are there in every node and find none in most.
func (a *API) testnetRoutes() {
	ask(a, route{id: "testnet", method: "GET", path: "/testnet", summary: "The test network that this node is one of; 404 = of none"},
		func(ctx context.Context, _ *None) (TestNodes, error) {
			if a.opts.Testnet == nil {
				return TestNodes{}, errNoTestnet()
			}
			return a.opts.Testnet.Nodes(ctx)
		})
	ask(a, route{id: "testnet-login", method: "POST", path: "/testnet/{node}/login", summary: "A way into the dashboard of a node of the test network"},
		func(ctx context.Context, in *OneOfThem) (api.DashboardResult, error) {
			if a.opts.Testnet == nil {
				return api.DashboardResult{}, errNoTestnet()
			}
			return a.opts.Testnet.Login(ctx, in.Node)
		})
	for do, summary := range map[string]string{
		TestKill: "End a node at once, as a power cut would", TestStop: "End a node cleanly", TestRestart: "Start a node again, with what it had on disk",
		TestPause: "Halt a node: its connections stay and nothing answers", TestResume: "Let a paused node go on",
		TestHeal: "Let bytes travel to and from a node as the machine can",
	} {
		ask(a, testRoute(do, summary), func(ctx context.Context, in *OneOfThem) (TestNodes, error) {
			return a.order(ctx, in.Node, TestOrder{Do: do})
		})
	}
	ask(a, testRoute(TestSlow, "Delay and limit all bytes to and from a node"), func(ctx context.Context, in *Slowing) (TestNodes, error) {
		o := TestOrder{Do: TestSlow, TestSlowness: TestSlowness{DelayMS: slowDelayMS, Rate: slowRate}}
		if in.Body != nil && *in.Body != (TestSlowness{}) {
			o.TestSlowness = *in.Body
		}
		return a.order(ctx, in.Node, o)
	})
	ask(a, testRoute(TestCut, "Drop all bytes between a node and another, or all"), func(ctx context.Context, in *Cutting) (TestNodes, error) {
		o := TestOrder{Do: TestCut}
		if in.Body != nil {
			o.TestPartner = *in.Body
		}
		return a.order(ctx, in.Node, o)
	})
}

func testRoute(do, summary string) route {
	return route{id: "testnet-" + do, method: "POST", path: "/testnet/{node}/" + do, summary: summary}
}

// order carries an order out, and tells what the network is then.
func (a *API) order(ctx context.Context, node string, o TestOrder) (TestNodes, error) {
	if a.opts.Testnet == nil {
		return TestNodes{}, errNoTestnet()
	}
	if err := a.opts.Testnet.Act(ctx, node, o); err != nil {
		return TestNodes{}, err
	}
	return a.opts.Testnet.Nodes(ctx)
}

func errNoTestnet() error {
	return &api.Error{Code: "no_testnet", ExitCode: api.ExitNotFound, Title: "this node is not one of a test network", Hint: "`node testnet up` starts one"}
}
