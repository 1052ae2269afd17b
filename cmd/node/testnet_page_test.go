package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/rest"
	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// fakeNet is a test network of nodes that do nothing; it remembers the statements.
type fakeNet struct {
	nodes []control.Info
	said  chan string
}

func (f fakeNet) List(context.Context) []control.Info { return f.nodes }
func (f fakeNet) Quit()                               {}

func (f fakeNet) Do(_ context.Context, line string, _ func(string)) error {
	var names []string
	for _, n := range f.nodes {
		names = append(names, n.Name)
	}
	f.said <- line
	_, err := script.ParseLine(names, nil, line)
	return err
}

// page is the network's page at its first node.
func (f fakeNet) page(t *testing.T) netPage {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, dir, f) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for _, err := control.Dial(ctx, dir); err != nil; _, err = control.Dial(ctx, dir) {
		if !errors.Is(err, control.ErrNoNet) { // else it does not listen yet
			t.Fatal(err)
		}
	}
	return netPage{name: f.nodes[0].Name, dir: dir}
}

// Every order is a statement that a network understands, about that node alone.
func TestOrdersOfThePage(t *testing.T) {
	slow := func(delay float64, rate int64) rest.TestOrder {
		return rest.TestOrder{Do: rest.TestSlow, TestSlowness: rest.TestSlowness{DelayMS: delay, Rate: rate}}
	}
	two := []control.Info{{Name: "node-1", State: "running"}, {Name: "node-2", State: "running"}}
	for _, tt := range []struct {
		nodes []control.Info
		order rest.TestOrder
		want  []string
	}{
		{two, rest.TestOrder{Do: rest.TestKill}, []string{"kill node-1"}},
		{two, rest.TestOrder{Do: rest.TestStop}, []string{"stop node-1"}},
		{two, rest.TestOrder{Do: rest.TestRestart}, []string{"restart node-1"}},
		{two, rest.TestOrder{Do: rest.TestPause}, []string{"pause node-1"}},
		{two, rest.TestOrder{Do: rest.TestResume}, []string{"resume node-1"}},
		{two, slow(0.5, 1_000_000), []string{"link node-1 and all latency 500µs", "slow node-1 to 1000000B/s"}},
		{two, slow(60_000, 0), []string{"link node-1 and all latency 1m0s"}},
		{two, slow(0, 1000), []string{"link node-1 and all latency 0s", "slow node-1 to 1000B/s"}},
		{two, slow(0, 1_000_000_000_000), []string{"link node-1 and all latency 0s", "slow node-1 to 1000000000000B/s"}},
		{two, rest.TestOrder{Do: rest.TestCut}, []string{"cut node-1 and all"}},
		{two, rest.TestOrder{Do: rest.TestCut, TestPartner: rest.TestPartner{From: "node-2"}}, []string{"cut node-1 and node-2"}},
		{two, rest.TestOrder{Do: rest.TestHeal}, []string{"uplink node-1 unlimited", "downlink node-1 unlimited", "link node-1 and all plain", "heal node-1 and all"}},
		{two[:1], slow(100, 1000), []string{"slow node-1 to 1000B/s"}},
		{two[:1], rest.TestOrder{Do: rest.TestCut}, nil},
		{two[:1], rest.TestOrder{Do: rest.TestHeal}, []string{"uplink node-1 unlimited", "downlink node-1 unlimited"}},
	} {
		f := fakeNet{tt.nodes, make(chan string, 10)}
		if err := f.page(t).Act(t.Context(), "node-1", tt.order); err != nil {
			t.Errorf("%+v: %v", tt.order, err)
		}
		close(f.said)
		var said []string
		for line := range f.said {
			said = append(said, line)
		}
		if !slices.Equal(said, tt.want) {
			t.Errorf("%+v is %q, want %q", tt.order, said, tt.want)
		}
	}
}

func TestPageOfNetwork(t *testing.T) {
	f := fakeNet{[]control.Info{{Name: "node-1", State: "running", Site: "http://127.0.0.1:16001", Delay: 40, Rate: 7}, {Name: "node-2", State: "down", Ended: "killed"},
		{Name: "node-3", State: "paused"}, {Name: "node-4", State: "running"}}, make(chan string, 1)}
	p := f.page(t)
	got, err := p.Nodes(t.Context())
	if err != nil || got.Dir != p.dir || len(got.Nodes) != 4 {
		t.Fatalf("%+v: %v", got, err)
	}
	for i, want := range []string{"up", "killed", "paused", "up"} {
		if n := got.Nodes[i]; n.State != want || n.Self != (i == 0) || n.Harm == nil || n.Sets == nil {
			t.Errorf("%+v, want %s", n, want)
		}
	}
	if n := got.Nodes[0]; n.DelayMS != 40 || n.Rate != 7 || n.Dashboard != "http://127.0.0.1:16001" {
		t.Errorf("%+v", n)
	}
	for name, o := range map[string]rest.TestOrder{"node-9": {Do: rest.TestKill}, "node-1": {Do: rest.TestCut, TestPartner: rest.TestPartner{From: "node-9"}}, "all": {Do: rest.TestKill}} {
		if err := p.Act(t.Context(), name, o); api.AsError(err).Code != "no_such_node" || len(f.said) > 0 {
			t.Errorf("%s: %v, %d statements", name, err, len(f.said))
		}
	}
	for _, do := range []string{rest.TestKill, rest.TestStop, rest.TestPause, rest.TestResume} {
		if err := p.Act(t.Context(), "node-2", rest.TestOrder{Do: do}); api.AsError(err).Code != "node_down" || len(f.said) > 0 {
			t.Errorf("%s of a node that is down: %v, %d statements", do, err, len(f.said))
		}
	}
	for name, code := range map[string]string{"node-9": "no_such_node", "node-2": "node_down", "node-3": "node_down", "node-4": "no_dashboard"} {
		if _, err := p.Login(t.Context(), name); api.AsError(err).Code != code {
			t.Errorf("a way into %s: %v", name, err)
		}
	}
}

// A network that has ended is told of as one.
func TestPageAfterTheEnd(t *testing.T) {
	p := netPage{name: "node-1", dir: t.TempDir()}
	_, listed := p.Nodes(t.Context())
	_, login := p.Login(t.Context(), "node-1")
	for what, err := range map[string]error{"list": listed, "login": login, "act": p.Act(t.Context(), "node-1", rest.TestOrder{Do: rest.TestKill})} {
		if e := api.AsError(err); e.Code != "testnet_ended" || !strings.Contains(e.Title, "ended") {
			t.Errorf("%s: %+v", what, e)
		}
	}
}

func TestNetChoice(t *testing.T) {
	all := []control.Info{{Name: "node-1", State: "down"}, {Name: "node-2", State: "running"}, {Name: "node-3", State: "running"}}
	for _, tt := range []struct {
		all   []control.Info
		names []string
		want  string
	}{
		{all, nil, "node-2"}, {all, []string{"node-3"}, "node-3"}, {all, []string{"node-1"}, "node-1"}, {all[:1], nil, "node-1"}, {nil, nil, "the network"},
	} {
		if got := netChoice(tt.all, tt.names).Name; got != tt.want {
			t.Errorf("of %d nodes, asked for %q: %s, want %s", len(tt.all), tt.names, got, tt.want)
		}
	}
}
