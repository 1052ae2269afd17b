package swarm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// DefaultListen is every interface, TCP and QUIC, on one port; 0 is any free port.
func DefaultListen(port int) []string {
	return []string{
		fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port), fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port),
		fmt.Sprintf("/ip6/::/tcp/%d", port), fmt.Sprintf("/ip6/::/udp/%d/quic-v1", port),
	}
}

// Moved is a listen address whose port was taken and what is used instead.
type Moved struct{ Wanted, Got multiaddr.Multiaddr }

// listenAll listens on every address. If anyPort, one whose port is taken gets any free port, and one
// of a family that the machine lacks (IPv6, often) is left out if another worked.
func listenAll(n network.Network, addrs []multiaddr.Multiaddr, anyPort bool) ([]Moved, error) {
	var moved []Moved
	var missing error
	for _, a := range addrs {
		before := n.ListenAddresses()
		err := n.Listen(a)
		if err != nil && anyPort && portTaken(err) {
			if err = n.Listen(withoutPort(a)); err == nil {
				moved = append(moved, Moved{Wanted: a, Got: added(before, n.ListenAddresses())})
			}
		}
		switch {
		case err == nil:
		case anyPort:
			missing = errors.Join(missing, fmt.Errorf("listen on %s: %w", a, err))
		default:
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	if len(addrs) > 0 && len(n.ListenAddresses()) == 0 {
		return nil, missing
	}
	return moved, nil
}

func added(before, after []multiaddr.Multiaddr) multiaddr.Multiaddr {
	for _, a := range after {
		if !slices.ContainsFunc(before, a.Equal) {
			return a
		}
	}
	return nil
}

// withoutPort is a with port 0.
func withoutPort(a multiaddr.Multiaddr) multiaddr.Multiaddr {
	out := make(multiaddr.Multiaddr, 0, len(a))
	for _, c := range a {
		if code := c.Protocol().Code; code == multiaddr.P_TCP || code == multiaddr.P_UDP {
			if zero, err := multiaddr.NewComponent(c.Protocol().Name, "0"); err == nil {
				c = *zero
			}
		}
		out = append(out, c)
	}
	return out
}

// dialable leaves loopback addresses out, unless there is nothing else or they are wanted.
func dialable(addrs []multiaddr.Multiaddr, loopback bool) []multiaddr.Multiaddr {
	if loopback {
		return addrs
	}
	outer := make([]multiaddr.Multiaddr, 0, len(addrs))
	for _, a := range addrs {
		if !manet.IsIPLoopback(a) {
			outer = append(outer, a)
		}
	}
	if len(outer) == 0 {
		return addrs
	}
	return outer
}

const (
	// privateStep is the pause between dials of addresses of one peer on a local network: some tens
	// of round trips, even on a busy machine.
	privateStep = 100 * time.Millisecond
	// publicStep is the same elsewhere: what RFC 8305 proposes, one long round trip.
	publicStep = 250 * time.Millisecond
)

// rankDials orders the addresses of one peer: TCP before QUIC, within each IPv6 before IPv4, each a
// step after the one before, and local and public ones side by side. A TCP connection needs three
// round trips to be usable, so QUIC waits a second step. The swarm does not wait for the delay when
// every earlier dial has failed.
func rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	local, public := make([]multiaddr.Multiaddr, 0, len(addrs)), make([]multiaddr.Multiaddr, 0, len(addrs))
	for _, a := range addrs {
		if manet.IsPublicAddr(a) {
			public = append(public, a)
		} else {
			local = append(local, a)
		}
	}
	ranked := append(rankGroup(local, privateStep), rankGroup(public, publicStep)...)
	slices.SortStableFunc(ranked, func(x, y network.AddrDelay) int { return int(x.Delay - y.Delay) })
	return ranked
}

func rankGroup(addrs []multiaddr.Multiaddr, step time.Duration) []network.AddrDelay {
	slices.SortStableFunc(addrs, func(x, y multiaddr.Multiaddr) int { return dialClass(x) - dialClass(y) })
	ranked := make([]network.AddrDelay, len(addrs))
	var delay time.Duration
	for i, a := range addrs {
		switch {
		case i == 0:
		case dialClass(a) == dialClass(addrs[i-1]) && i > 1:
			// More of the same kind (a machine with ten bridges) go out together.
		case dialClass(a) >= quicClass && dialClass(addrs[i-1]) < quicClass:
			delay += 2 * step
		default:
			delay += step
		}
		ranked[i] = network.AddrDelay{Addr: a, Delay: delay}
	}
	return ranked
}

// quicClass is the least dialClass of QUIC addresses.
const quicClass = 2

// dialClass is 0 for TCP over IPv6, 1 over IPv4, 2 and 3 for the same of everything else.
func dialClass(a multiaddr.Multiaddr) int {
	class := quicClass
	for _, c := range a {
		switch c.Protocol().Code {
		case multiaddr.P_TCP:
			class -= quicClass
		case multiaddr.P_IP4:
			class++
		}
	}
	return class
}

// portTaken tells whether listening failed because somebody else listens there. The swarm flattens
// errors to text, so the text is compared as well.
func portTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), syscall.EADDRINUSE.Error())
}
