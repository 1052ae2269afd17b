//go:build unix

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// machine is one participant of a comparison: a home, a copy of the set, and at times a node that runs.
type machine struct {
	b      *bench
	home   string
	dest   string // folder of the set
	listen string // multiaddr
	space  string // network namespace to run in; "" = that of the benchmark
	node   *daemon
}

func (b *bench) machine(name string) *machine {
	return &machine{b: b, home: b.fresh(name), dest: filepath.Join(b.fresh(name+"-copy"), "d"), listen: "/ip4/127.0.0.1/tcp/0"}
}

// run starts the machine's node; others are those it may join through.
func (m *machine) run(ctx context.Context, others ...*machine) error {
	var err error
	m.node, err = m.b.runNode(ctx, m.home, m.exec("run", m.join(others)...))
	return err
}

func (m *machine) kill() {
	if m.node != nil {
		m.node.kill()
		m.node = nil
	}
}

// exec is a command line of the program: what to start and its arguments.
func (m *machine) exec(verb string, args ...string) []string {
	line := append([]string{m.b.exe, verb}, args...)
	line = append(line, "--home", m.home, "--json")
	return m.inside(line...)
}

// inside is a command line in the machine's namespace.
func (m *machine) inside(line ...string) []string {
	if m.space == "" {
		return line
	}
	return append([]string{"ip", "netns", "exec", m.space}, line...)
}

// join are the flags of a command that hosts a node and finds others through those.
func (m *machine) join(others []*machine) []string {
	flags := []string{"--listen", m.listen}
	for _, o := range others {
		flags = append(flags, "--bootstrap", o.node.addrs[0])
	}
	return flags
}

// do runs a verb to its end and decodes its result.
func (m *machine) do(ctx context.Context, verb string, args ...string) (usage, result, error) {
	line := m.exec(verb, args...)
	u, out, err := timed(ctx, line[0], line[1:]...)
	if err != nil {
		return u, result{}, err
	}
	r, err := lastResult(out)
	return u, r, err
}

// get brings the machine's copy to the newest revision that the others have, by a command with a node of
// its own, which is given a ticket of the first and joins through all; flags may ask for a plan.
func (m *machine) get(ctx context.Context, set string, others []*machine, flags ...string) (usage, result, error) {
	_, shown, err := others[0].do(ctx, "show", set)
	if err != nil {
		return usage{}, result{}, err
	}
	args := append([]string{shown.Ticket, m.dest}, m.join(others)...)
	return m.do(ctx, "get", append(args, flags...)...)
}

// sent is the bytes the running node has sent on all streams so far.
func (m *machine) sent(ctx context.Context) (int64, error) {
	_, r, err := m.do(ctx, "status")
	return r.WireOut, err
}

// same compares folders byte by byte, by a tool that knows nothing of sets.
func same(ctx context.Context, want string, others ...string) error {
	for _, dir := range others {
		if out, err := exec.CommandContext(ctx, "diff", "-r", "--no-dereference", want, dir).CombinedOutput(); err != nil {
			return fmt.Errorf("%s and %s differ: %w: %s", want, dir, err, lastLines(string(out)))
		}
	}
	return nil
}

// pair are two namespaces with one cable between them, whose counters see every byte of every tool.
type pair struct{ left, right string }

const (
	leftIP, rightIP = "10.213.77.1", "10.213.77.2"
	cable           = "shoal0" // the interface's name at both ends
)

// newPair makes the namespaces, where this user may.
func newPair(ctx context.Context, name string) (*pair, error) {
	p := &pair{name + "-l", name + "-r"}
	for _, line := range []string{
		"netns add " + p.left,
		"netns add " + p.right,
		"netns exec " + p.left + " sysctl -qw net.ipv6.conf.all.disable_ipv6=1", // else it announces itself between our bytes
		"netns exec " + p.right + " sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
		"-n " + p.left + " link add " + cable + " type veth peer name " + cable + " netns " + p.right,
		"-n " + p.left + " addr add " + leftIP + "/24 dev " + cable,
		"-n " + p.right + " addr add " + rightIP + "/24 dev " + cable,
		"-n " + p.left + " link set " + cable + " up",
		"-n " + p.right + " link set " + cable + " up",
		"-n " + p.left + " link set lo up",
		"-n " + p.right + " link set lo up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			p.close()
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, lastLines(string(out)))
		}
	}
	return p, nil
}

func (p *pair) close() {
	for _, space := range []string{p.left, p.right} {
		_ = exec.Command("ip", "netns", "del", space).Run() // it may not be there
	}
}

// counted is what went over the cable so far, in both directions, every header included.
func (p *pair) counted(ctx context.Context) (int64, error) {
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", p.right, "cat",
		"/sys/class/net/"+cable+"/statistics/rx_bytes", "/sys/class/net/"+cable+"/statistics/tx_bytes").Output()
	if err != nil {
		return 0, fmt.Errorf("interface counters: %w", err)
	}
	var in, sent int64
	if _, err := fmt.Sscan(string(out), &in, &sent); err != nil {
		return 0, fmt.Errorf("interface counters: %w", err)
	}
	return in + sent, nil
}

// during is what went over the cable while do ran.
func (p *pair) during(ctx context.Context, do func() error) (int64, error) {
	before, err := p.counted(ctx)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := p.counted(ctx)
	return after - before, err
}

// middle is the median of some figures.
func middle[T int64 | float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
