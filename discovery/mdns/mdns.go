// Package mdns finds peers on the local network by multicast DNS. It names peers, not holders: whoever
// runs this software nearby, under a service name of our own.
package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// Service is the name that is advertised and browsed.
const Service = "_shoal._udp"

// ErrNoMulticast: no network interface is up that can carry multicast, so there is nobody to find this
// way. The node works without.
var ErrNoMulticast = errors.New("no multicast network interface")

// maxAtOnce calls of found run at a time; answers beyond that are dropped, mDNS repeats them.
const maxAtOnce = 16

// Run advertises h and calls found, from several goroutines, for each other peer that is heard of, until
// ctx ends; the same peer comes again and again. found may block, but not beyond ctx. It returns ctx's
// error, or at once ErrNoMulticast (or another error) when multicast cannot work here. h must be
// listening already.
func Run(ctx context.Context, h host.Host, found func(peer.AddrInfo)) error {
	if !multicast() {
		return fmt.Errorf("mdns: %w", ErrNoMulticast)
	}
	s := mdns.NewMdnsService(h, Service, &notifee{slots: make(chan struct{}, maxAtOnce), ctx: ctx, found: found})
	if err := s.Start(); err != nil {
		return errors.Join(fmt.Errorf("mdns: %w", err), s.Close())
	}
	<-ctx.Done()
	return errors.Join(ctx.Err(), s.Close())
}

type notifee struct {
	slots chan struct{}
	ctx   context.Context
	found func(peer.AddrInfo)
}

// HandlePeerFound is called by the service in a goroutine of its own for every answer.
func (n *notifee) HandlePeerFound(info peer.AddrInfo) {
	if n.ctx.Err() != nil {
		return
	}
	select {
	case n.slots <- struct{}{}:
		n.found(info)
		<-n.slots
	default: // a flood
	}
}

// multicast tells whether an interface other than loopback is up, multicast and has an address.
func multicast() bool {
	ifaces, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range ifaces {
		const want = net.FlagUp | net.FlagMulticast
		if i.Flags&want != want || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		if addrs, err := i.Addrs(); err == nil && len(addrs) > 0 {
			return true
		}
	}
	return false
}
