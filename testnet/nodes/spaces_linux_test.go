package nodes

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/testnet/link"
)

// inSpaces are residents a, b and c of a network of namespaces that was not made.
func inSpaces() (all []resident) {
	for i, name := range []string{"a", "b", "c"} {
		ip := "10.0.0." + string(rune('1'+i))
		all = append(all, resident{name: name, place: place{host: ip + ":4001", prefix: []string{"ip", "netns", "exec", "s-" + name}}})
	}
	return all
}

func TestFilterOf(t *testing.T) {
	s := plainShape()
	s.Rules[[2]string{"b", "a"}] = link.Rule{Cut: true, Loss: 0.5}
	s.Rules[[2]string{"c", "a"}] = link.Rule{Loss: 0.25}
	s.Rules[[2]string{"a", "b"}] = link.Rule{Cut: true} // dropped at b
	all := inSpaces()
	want := "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.2 -j DROP\n" +
		"-A INPUT -s 10.0.0.3 -m statistic --mode random --probability 0.250000000 -j DROP\nCOMMIT\n"
	if got := filterOf(s, all[0], all); got != want {
		t.Errorf("a drops\n%s", got)
	}
	if got := filterOf(s, all[2], all); got != "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n" {
		t.Errorf("c drops\n%s", got)
	}
}

func TestQueuesOf(t *testing.T) {
	root := func(up string) []string {
		return []string{
			"-n s-a qdisc add dev eth0 root handle 1: htb default 2",
			"-n s-a class add dev eth0 parent 1: classid 1:1 htb rate " + up + "bit quantum 60000",
			"-n s-a class add dev eth0 parent 1:1 classid 1:2 htb rate " + up + "bit quantum 60000",
		}
	}
	for name, tt := range map[string]struct {
		change func(*Shape)
		want   []string
	}{
		"plain": {func(*Shape) {}, nil},
		"of others": {func(s *Shape) {
			s.Up["b"], s.Down["c"] = 1, 1
			s.Rules[[2]string{"b", "a"}] = link.Rule{Rate: 1, Latency: 1}
			s.Rules[[2]string{"a", "b"}] = link.Rule{Cut: true}
		}, nil},
		"up":   {func(s *Shape) { s.Up["a"] = 1000 }, root("8000")},
		"down": {func(s *Shape) { s.Down["a"] = 10_000_000 }, []string{"qdisc add dev s-a root tbf rate 80000000bit burst 100000 latency 100ms"}},
		"rate": {func(s *Shape) { s.Rules[[2]string{"a", "b"}] = link.Rule{Rate: 500} }, append(root("100000000000"),
			"-n s-a class add dev eth0 parent 1:1 classid 1:11 htb rate 4000bit quantum 60000",
			"-n s-a filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.2/32 flowid 1:11")},
		"latency": {func(s *Shape) {
			s.Up["a"] = 1000
			s.Rules[[2]string{"a", "c"}] = link.Rule{Latency: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}
		}, append(root("8000"),
			"-n s-a class add dev eth0 parent 1:1 classid 1:12 htb rate 8000bit quantum 60000",
			"-n s-a filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.3/32 flowid 1:12",
			"-n s-a qdisc add dev eth0 parent 1:12 netem limit 10000 delay 20000us 5000us")},
	} {
		t.Run(name, func(t *testing.T) {
			s := plainShape()
			tt.change(&s)
			if got := queuesOf(s, inSpaces()[0], inSpaces()); !slices.Equal(got, tt.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestNetNS(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(Options{Dir: dir, Exe: binary, NetNS: true})
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	bridge := n.ground.(*spaces).name
	t.Cleanup(func() {
		must(t, n.Close())
		if out, err := exec.Command("ip", "netns", "list").Output(); err != nil || strings.Contains(string(out), bridge) {
			t.Errorf("it has left %s: %v", out, err)
		}
		if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
			t.Errorf("it has left %s", bridge)
		}
	})
	ctx := testContext(t)
	must(t, n.Add(ctx, "a", "b"))
	a, b := node(t, n, "a"), node(t, n, "b")
	if !strings.HasPrefix(a.Addr, "/ip4/10.") || a.Addr == b.Addr {
		t.Errorf("a is at %s, b at %s", a.Addr, b.Addr)
	}
	awaitPeers(t, a, 1)

	// Rates, loss and cuts, one after the other and together.
	pair := [2]string{"a", "b"}
	for _, rule := range []link.Rule{{Rate: 1 << 20}, {Loss: 0.1}, {Cut: true}, {Rate: 1 << 20, Loss: 0.1, Cut: true}, {}} {
		must(t, n.Shape(ctx, func(s *Shape) {
			s.Rules[pair], s.Up["b"], s.Down["b"] = rule, 1<<20, rule.Rate
		}))
	}
	err = n.Shape(ctx, func(s *Shape) { s.Rules[pair] = link.Rule{Latency: time.Millisecond} })
	if err != nil && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "netem")) {
		t.Errorf("latency: %v", err)
	}
	must(t, n.Shape(ctx, func(s *Shape) { s.Up["b"] = 0 })) // what could not be done is forgotten
	must(t, n.Shape(ctx, func(s *Shape) { s.Rules[pair] = link.Rule{} }))
	for what, change := range map[string]func(*Shape){"lies": func(s *Shape) { s.Lies["a"] = true }, "full": func(s *Shape) { s.Full["a"] = true }} {
		if err := n.Shape(ctx, change); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}

	// A cut is felt one way, and no more after it.
	for _, cut := range []bool{true, false} {
		must(t, n.Shape(ctx, func(s *Shape) { s.Rules[pair] = link.Rule{Cut: cut} }))
		if got := lost(t, n, b); got != cut {
			t.Errorf("cut is %v, and that something of a was dropped at b is %v", cut, got)
		}
	}
	must(t, n.Restart(ctx, "b"))
	awaitPeers(t, b, 1)
}

// lost tells whether netfilter has dropped packets at the node; it waits for some to arrive.
func lost(t *testing.T, n *Net, at *Node) bool {
	t.Helper()
	must(t, n.Restart(testContext(t), at.Name)) // it dials, and is answered
	clock := time.NewTicker(20 * time.Millisecond)
	defer clock.Stop()
	for {
		out, err := exec.Command("ip", "netns", "exec", at.at.prefix[3], "iptables", "-nvxL", "INPUT").Output()
		must(t, err)
		arrived := 0
		for line := range strings.Lines(string(out)) { // the policy's counter, and the rule's
			fields := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, "Chain INPUT (policy ACCEPT ") && fields[4] != "0":
				arrived++
			case len(fields) > 2 && fields[2] == "DROP" && fields[0] != "0":
				return true
			}
		}
		if st, err := at.Client().Status(t.Context()); err == nil && len(st.Peers) > 0 && arrived > 0 {
			return false
		}
		select {
		case <-clock.C:
		case <-t.Context().Done():
			t.Fatalf("nothing arrives at %s: %s", at.Name, out)
		}
	}
}
