package rest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/shoal-p2p/shoal/node/api"
)

// fakeTestnet is a test network of two nodes that remembers the last order.
type fakeTestnet struct {
	node  string
	order TestOrder
	err   error
}

func (f *fakeTestnet) Nodes(context.Context) (TestNodes, error) {
	return TestNodes{Dir: "/net", Nodes: []TestNode{{Name: "node-1", State: "up", Self: true}, {Name: "node-2", State: "killed"}}}, nil
}

func (f *fakeTestnet) Act(_ context.Context, node string, o TestOrder) error {
	f.node, f.order = node, o
	return f.err
}

func (f *fakeTestnet) Login(_ context.Context, node string) (api.DashboardResult, error) {
	return api.DashboardResult{Login: "http://" + node}, f.err
}

func TestTestnet(t *testing.T) {
	f := &fakeTestnet{}
	a := serve(t, &fake{}, Options{Testnet: f})
	for _, tt := range []struct {
		path, body string
		want       TestOrder
	}{
		{"kill", "", TestOrder{Do: TestKill}},
		{"kill", "{}", TestOrder{Do: TestKill}},
		{"stop", "", TestOrder{Do: TestStop}},
		{"restart", "", TestOrder{Do: TestRestart}},
		{"pause", "", TestOrder{Do: TestPause}},
		{"resume", "", TestOrder{Do: TestResume}},
		{"heal", "", TestOrder{Do: TestHeal}},
		{"slow", "", TestOrder{Do: TestSlow, TestSlowness: TestSlowness{DelayMS: slowDelayMS, Rate: slowRate}}},
		{"slow", "{}", TestOrder{Do: TestSlow, TestSlowness: TestSlowness{DelayMS: slowDelayMS, Rate: slowRate}}},
		{"slow", `{"delay_ms":2.5}`, TestOrder{Do: TestSlow, TestSlowness: TestSlowness{DelayMS: 2.5}}},
		{"slow", `{"rate":5000}`, TestOrder{Do: TestSlow, TestSlowness: TestSlowness{Rate: 5000}}},
		{"cut", "", TestOrder{Do: TestCut}},
		{"cut", `{"from":"node-1"}`, TestOrder{Do: TestCut, TestPartner: TestPartner{From: "node-1"}}},
	} {
		r := call(t, a, "POST", prefix+"/testnet/node-2/"+tt.path, tt.body)
		var got TestNodes
		if err := json.Unmarshal([]byte(r.body), &got); r.status != 200 || err != nil || len(got.Nodes) != 2 || got.Nodes[1].State != "killed" {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, r.status, r.body)
		}
		if diff := gocmp.Diff(tt.want, f.order); diff != "" || f.node != "node-2" {
			t.Errorf("%s %s: %s of %q", tt.path, tt.body, diff, f.node)
		}
	}
	if r := call(t, a, "GET", prefix+"/testnet", ""); r.status != 200 || !strings.Contains(r.body, `"self":true`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := call(t, a, "POST", prefix+"/testnet/node-2/login", ""); r.status != 200 || !strings.Contains(r.body, "http://node-2") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What is refused is no order, and a failure is told.
func TestTestnetRefusals(t *testing.T) {
	f := &fakeTestnet{}
	a := serve(t, &fake{}, Options{Testnet: f})
	for _, tt := range []struct {
		path, body string
		status     int
	}{
		{"node-2/dance", "", 404},
		{"node-2,%20node-1/kill", "", 422},
		{"primary%20of%20docs/kill", "", 422},
		{"node-2%0Akill%20all/kill", "", 422},
		{strings.Repeat("n", 33) + "/kill", "", 422},
		{"node-2/slow", `{"delay_ms":60001}`, 422},
		{"node-2/slow", `{"delay_ms":-1}`, 422},
		{"node-2/slow", `{"rate":1}`, 422},
		{"node-2/slow", `{"rate":"fast"}`, 422},
		{"node-2/cut", `{"from":"a and b"}`, 422},
		{"node-2/cut", `{"to":"b"}`, 422},
	} {
		if r := call(t, a, "POST", prefix+"/testnet/"+tt.path, tt.body); r.status != tt.status || f.order.Do != "" {
			t.Errorf("%s %s: %d, ordered %+v: %s", tt.path, tt.body, r.status, f.order, r.body)
		}
	}
	f.err = &api.Error{Code: "no_such_node", ExitCode: api.ExitNotFound, Title: "no such node: node-3"}
	for _, path := range []string{"kill", "login"} {
		if r := call(t, a, "POST", prefix+"/testnet/node-3/"+path, ""); r.status != 404 || !strings.Contains(r.body, "no such node: node-3") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// A node that is of no test network has none to act on.
func TestNoTestnet(t *testing.T) {
	a := serve(t, &fake{}, Options{})
	for _, ask := range [][2]string{{"GET", ""}, {"POST", "/node-1/kill"}, {"POST", "/node-1/slow"}, {"POST", "/node-1/cut"}, {"POST", "/node-1/login"}} {
		if r := call(t, a, ask[0], prefix+"/testnet"+ask[1], ""); r.status != 404 || !strings.Contains(r.body, `"no_testnet"`) {
			t.Errorf("%s %s: %d %s", ask[0], ask[1], r.status, r.body)
		}
	}
}
