package nodes

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/testnet/link"
)

const (
	// maxSpaces is how many addresses there are in the bridge's network.
	maxSpaces = 250
	// spacePort is every node's: each has an address of its own.
	spacePort = 4001
)

// spaces gives every node a network namespace; a bridge joins them, to which nothing else is connected. What happens
// to packets is the kernel's doing: netfilter drops them where they arrive, queueing disciplines hold them back where
// they leave.
type spaces struct {
	name  string              // of the bridge, and the beginning of the namespaces' and cables'
	count int                 // of namespaces
	done  map[string][]string // by node: the commands that its namespace was last set up with
}

// newSpaces makes the bridge. What a network in this folder has left, because it was killed, goes first.
func newSpaces(o Options) (ground, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("network namespaces: %w: they need root; without them links work too", ErrUnsupported)
	}
	for _, tool := range []string{"ip", "tc", "iptables-restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("network namespaces: %w: there is no %s", ErrUnsupported, tool)
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(o.Dir))                                                     // never fails
	g := &spaces{name: fmt.Sprintf("sh%08x", h.Sum32()), done: map[string][]string{}} // with "-250" 14 of the 15 letters an interface may have
	ctx := context.Background()
	if err := g.sweep(ctx); err != nil {
		return nil, err
	}
	if err := command(ctx, "", "ip link add "+g.name+" type bridge"); err != nil {
		return nil, err
	}
	return g, command(ctx, "", "ip link set "+g.name+" up")
}

// sweep removes all namespaces and cables of this name.
func (g *spaces) sweep(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("ip netns list: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if space, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(space, g.name+"-") {
			err = errors.Join(err, command(ctx, "", "ip netns del "+space)) // its cable goes with it
		}
	}
	_ = command(ctx, "", "ip link del "+g.name) // it may not be there
	return err
}

func (g *spaces) close() error { return g.sweep(context.Background()) }

func (g *spaces) place(ctx context.Context, _ string) (place, error) {
	if g.count == maxSpaces {
		return place{}, fmt.Errorf("a network of namespaces has %d nodes at most", maxSpaces)
	}
	space := fmt.Sprintf("%s-%d", g.name, g.count)
	g.count++
	addr := fmt.Sprintf("10.213.91.%d", g.count)
	for _, line := range []string{
		"netns add " + space,
		"netns exec " + space + " sysctl -qw net.ipv6.conf.all.disable_ipv6=1", // it would be a way round what is dropped
		"link add " + space + " type veth peer name eth0 netns " + space,
		"link set " + space + " master " + g.name + " up",
		"-n " + space + " addr add " + addr + "/24 dev eth0",
		"-n " + space + " link set eth0 up",
		"-n " + space + " link set lo up",
	} {
		if err := command(ctx, "", "ip "+line); err != nil {
			return place{}, err
		}
	}
	return place{host: fmt.Sprintf("%s:%d", addr, spacePort), prefix: []string{"ip", "netns", "exec", space},
		listen: []string{fmt.Sprintf("/ip4/%s/tcp/%d", addr, spacePort), fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", addr, spacePort)}}, nil
}

// refresh has nothing to do: the kernel has missed nothing.
func (g *spaces) refresh(context.Context, resident) error { return nil }

func (g *spaces) apply(ctx context.Context, s Shape, all []resident) error {
	for name, lies := range s.Lies {
		if lies || s.Full[name] {
			return fmt.Errorf("%s: %w: with network namespaces nodes run as they are, without wrong bytes and full disks", name, ErrUnsupported)
		}
	}
	for _, full := range s.Full {
		if full {
			return fmt.Errorf("%w: with network namespaces nodes run as they are, without full disks", ErrUnsupported)
		}
	}
	for _, r := range all {
		filter, queues := filterOf(s, r, all), queuesOf(s, r, all)
		if now := append([]string{filter}, queues...); slices.Equal(now, g.done[r.name]) {
			continue
		} else if err := g.setUp(ctx, r, filter, queues); err != nil {
			delete(g.done, r.name)
			return fmt.Errorf("network of %s: %w", r.name, err)
		} else {
			g.done[r.name] = now
		}
	}
	return nil
}

// setUp changes what drops packets in one step, and then begins anew with what delays them.
func (g *spaces) setUp(ctx context.Context, r resident, filter string, queues []string) error {
	space := r.space()
	if err := command(ctx, filter, "ip netns exec "+space+" iptables-restore -w"); err != nil {
		return err
	}
	_ = command(ctx, "", "tc -n "+space+" qdisc del dev eth0 root") // there may be none
	_ = command(ctx, "", "tc qdisc del dev "+space+" root")
	for _, line := range queues {
		err := command(ctx, "", "tc "+line)
		if err != nil && strings.Contains(line, "netem") && strings.Contains(err.Error(), "unknown") {
			return fmt.Errorf("latency and jitter: %w: this kernel has no netem (module sch_netem); without network namespaces they work", ErrUnsupported)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r resident) space() string { return r.prefix[3] }

func (r resident) ip() string {
	ip, _, _ := strings.Cut(r.host, ":")
	return ip
}

// filterOf is the input of iptables-restore for what is dropped on its way to r.
func filterOf(s Shape, r resident, all []resident) string {
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n")
	for _, o := range all {
		switch rule := s.Rules[[2]string{o.name, r.name}]; {
		case rule.Cut:
			fmt.Fprintf(&b, "-A INPUT -s %s -j DROP\n", o.ip())
		case rule.Loss > 0:
			fmt.Fprintf(&b, "-A INPUT -s %s -m statistic --mode random --probability %.9f -j DROP\n", o.ip(), min(rule.Loss, 1))
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// unlimited is the rate, in bits a second, of what is not limited: htb wants a number. It is more than a loopback
// cable carries.
const unlimited = 100_000_000_000

// queuesOf is what tc is told for what leaves r, and for what arrives there: a class of htb for all, below it one for
// each node that is reached in a special way.
func queuesOf(s Shape, r resident, all []resident) (lines []string) {
	bits := func(bytes int64) int64 {
		if bytes <= 0 || bytes > unlimited/8 {
			return unlimited
		}
		return bytes * 8
	}
	at := "-n " + r.space()
	up := bits(s.Up[r.name])
	for i, o := range all {
		rule := s.Rules[[2]string{r.name, o.name}]
		if rule.Rate <= 0 && rule.Latency <= 0 && rule.Jitter <= 0 {
			continue
		}
		class := fmt.Sprintf("1:%x", i+0x10) // behind the two that all share
		lines = append(lines,
			fmt.Sprintf("%s class add dev eth0 parent 1:1 classid %s htb rate %dbit quantum 60000", at, class, min(up, bits(rule.Rate))),
			fmt.Sprintf("%s filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst %s/32 flowid %s", at, o.ip(), class))
		if rule.Latency > 0 || rule.Jitter > 0 {
			lines = append(lines, fmt.Sprintf("%s qdisc add dev eth0 parent %s netem limit 10000 delay %s", at, class, delay(rule)))
		}
	}
	if len(lines) > 0 || up < unlimited {
		lines = append([]string{
			at + " qdisc add dev eth0 root handle 1: htb default 2",
			fmt.Sprintf("%s class add dev eth0 parent 1: classid 1:1 htb rate %dbit quantum 60000", at, up),
			fmt.Sprintf("%s class add dev eth0 parent 1:1 classid 1:2 htb rate %dbit quantum 60000", at, up),
		}, lines...)
	}
	if down := bits(s.Down[r.name]); down < unlimited {
		// A burst of 10 ms is what a timer of 100 Hz needs to reach the rate; a packet has to fit in.
		lines = append(lines, fmt.Sprintf("qdisc add dev %s root tbf rate %dbit burst %d latency 100ms", r.space(), down, max(10_000, down/8/100)))
	}
	return lines
}

func delay(rule link.Rule) string {
	text := fmt.Sprintf("%dus", rule.Latency.Microseconds())
	if rule.Jitter > 0 {
		text += fmt.Sprintf(" %dus", rule.Jitter.Microseconds())
	}
	return text
}

// command runs one line without quotes; its error has what the program said.
func command(ctx context.Context, stdin, line string) error {
	words := strings.Fields(line)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}
