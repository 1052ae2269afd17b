//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// bridge joins network namespaces, one a node, whose cables can be pulled and whose packets can be dropped.
type bridge struct {
	name   string
	spaces []string
}

// needSpaces tells why packets cannot be filtered here.
func needSpaces() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}

// connect makes the bridge for the case that runs; nodes made from then on are behind it.
func (l *lab) connect(ctx context.Context) error {
	l.serial++ // what a case before has left goes a moment later
	l.bridge = &bridge{name: fmt.Sprintf("s%d-%d", os.Getpid(), l.serial)}
	if err := ip(ctx, "link add "+l.bridge.name+" type bridge"); err != nil {
		return err
	}
	return ip(ctx, "link set "+l.bridge.name+" up")
}

// addressOf is the address of the i-th namespace.
func addressOf(i int) string { return fmt.Sprintf("10.213.91.%d", i+1) }

// join makes the i-th namespace and the address its node listens at.
func (b *bridge) join(i int) (space, listen string, err error) {
	space = fmt.Sprintf("%s-%d", b.name, i)
	b.spaces = append(b.spaces, space)
	for _, line := range []string{
		"netns add " + space,
		"netns exec " + space + " sysctl -qw net.ipv6.conf.all.disable_ipv6=1", // it would be another way round the filters
		"link add " + space + " type veth peer name eth0 netns " + space,
		"link set " + space + " master " + b.name + " up",
		"-n " + space + " addr add " + addressOf(i) + "/24 dev eth0",
		"-n " + space + " link set eth0 up",
		"-n " + space + " link set lo up",
	} {
		if err := ip(context.Background(), line); err != nil {
			return "", "", err
		}
	}
	return space, "/ip4/" + addressOf(i) + "/tcp/4001", nil
}

// pull takes a namespace's cable out at the far end: the node there sees its interface without a carrier.
func (b *bridge) pull(ctx context.Context, space string) error {
	return ip(ctx, "link set "+space+" down")
}

func (b *bridge) plug(ctx context.Context, space string) error {
	return ip(ctx, "link set "+space+" up")
}

// deafen drops in a namespace what comes from another one.
func (b *bridge) deafen(ctx context.Context, at, from *node) error {
	return ip(ctx, "netns exec "+at.space+" iptables -w -A INPUT -s "+b.of(from)+" -j DROP")
}

// hear ends all dropping in a namespace.
func (b *bridge) hear(ctx context.Context, at *node) error {
	return ip(ctx, "netns exec "+at.space+" iptables -w -F INPUT")
}

// part drops everything between two groups, in both directions.
func (b *bridge) part(ctx context.Context, left, right []*node) error {
	for _, x := range left {
		for _, y := range right {
			if err := errors.Join(b.deafen(ctx, x, y), b.deafen(ctx, y, x)); err != nil {
				return err
			}
		}
	}
	return nil
}

// heal ends all dropping.
func (b *bridge) heal(ctx context.Context, all ...*node) error {
	for _, n := range all {
		if err := b.hear(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bridge) of(n *node) string {
	return strings.Split(n.listen, "/")[2]
}

func (b *bridge) close() {
	for _, s := range b.spaces {
		_ = ip(context.Background(), "netns del "+s) // it may not be there
	}
	_ = ip(context.Background(), "link del "+b.name)
}

// ip runs one line of the ip tool.
func ip(ctx context.Context, line string) error {
	if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}
