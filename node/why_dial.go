package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/sec"
	netswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/node/api"
)

// dialCode tells who is at fault when a connection is not made to a peer. A machine that answers that nobody listens
// there refuses; if the peer is on record, it was there not long ago, and has gone.
func dialCode(err error, onRecord bool) string {
	var other sec.ErrPeerIDMismatch
	if errors.As(err, &other) {
		return api.WhyWrongKey
	}
	var dial *netswarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		for _, e := range dial.DialErrors {
			if !absent(&e) {
				return api.WhyDialRefused
			}
		}
	} else if !absent(err) {
		return api.WhyDialRefused
	}
	if errors.Is(err, syscall.ECONNREFUSED) && !onRecord {
		return api.WhyDialRefused
	}
	return api.WhyProviderGone
}

// dialHint is what to type next where nobody turned this node away on purpose: nothing listens. "" = what the code says.
func dialHint(code string, failed []witness) string {
	if code != api.WhyDialRefused {
		return ""
	}
	for _, w := range failed {
		if w.code == code && !errors.Is(w.err, syscall.ECONNREFUSED) {
			return ""
		}
	}
	return "start it there: `node run`; if it runs, it listens elsewhere: `node show SET` there prints a fresh ticket; a firewall may refuse in its place, too"
}

// absent tells whether an attempt failed because nothing is there: nobody listens, nothing answers, or there is no
// address to try. An address that is this node's own by now is one where the peer is no more.
func absent(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		netswarm.ErrNoAddresses, netswarm.ErrNoGoodAddresses, netswarm.ErrDialTimeout, netswarm.ErrNoTransport,
		netswarm.ErrDialToSelf, netswarm.ErrDialRefusedBlackHole} {
		if errors.Is(err, e) {
			return true
		}
	}
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// reason is the part of an error that says why: of a failed dial what came of the address that says most.
func reason(err error) string {
	var dial *netswarm.DialError
	if !errors.As(err, &dial) || len(dial.DialErrors) == 0 {
		return err.Error()
	}
	best := dial.DialErrors[0]
	for _, e := range dial.DialErrors {
		if absent(&best) && !absent(&e) || errors.Is(&e, syscall.ECONNREFUSED) && absent(&best) && !errors.Is(&best, syscall.ECONNREFUSED) {
			best = e
		}
	}
	if errors.Is(&best, netswarm.ErrDialToSelf) {
		return fmt.Sprintf("%s is an address of this node itself by now", best.Address)
	}
	return fmt.Sprintf("%s: %v", best.Address, best.Cause)
}

const (
	// refusedAfter is when it is looked whether a connection is refused that is not made yet: to connect to a node that
	// is up mostly takes less.
	refusedAfter = 300 * time.Millisecond
	// refusedGrace is how long the other transports get to connect once it is.
	refusedGrace = 200 * time.Millisecond
)

// reach is what dials one address; net.Dialer's.
type reach func(ctx context.Context, network, address string) error

// refused tells whether the machines of all addresses refuse TCP connections: then nobody listens for QUIC there either,
// although over UDP nothing says so. It is nil if not, or if that cannot be known.
func refused(ctx context.Context, addrs []multiaddr.Multiaddr, dial reach) error {
	var refusing error
	said := map[string]bool{} // hosts that refuse
	var silent []string       // hosts of addresses over UDP
	for _, a := range addrs {
		network, address, err := dialArgs(a.String())
		if err != nil || strings.Contains(a.String(), "/p2p-circuit") {
			return nil
		}
		host, _, err := net.SplitHostPort(address)
		switch {
		case err != nil:
			return nil
		case strings.HasPrefix(network, "udp"):
			silent = append(silent, host)
			continue
		}
		err = dial(ctx, network, address)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		refusing, said[host] = fmt.Errorf("%s: %w", address, err), true
	}
	for _, host := range silent {
		if !said[host] {
			return nil
		}
	}
	return refusing
}

// impatient makes a connection, and gives up early if all addresses of the peer refuse. connect ends with its context.
func impatient(ctx context.Context, addrs []multiaddr.Multiaddr, dial reach, connect func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		if !pause(ctx, refusedAfter) {
			return
		}
		if why := refused(ctx, addrs, dial); why != nil && pause(ctx, refusedGrace) {
			cancel(why)
		}
	}()
	err := connect(ctx)
	why := context.Cause(ctx)
	cancel(nil)
	<-looked
	if err != nil && errors.Is(why, syscall.ECONNREFUSED) {
		return why
	}
	return err
}

// pause is false if ctx ends before it is over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
