// Package static is the finder of addresses that somebody wrote down: in a ticket, on the command line
// or in the configuration.
package static

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Peers answers every search with itself, once.
type Peers []peer.AddrInfo

// Providers sends all peers and closes; see discovery.Finder.
func (p Peers) Providers(ctx context.Context, _ cid.Cid) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		for _, info := range p {
			select {
			case out <- info:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Parse reads addresses that end in /p2p/<peer id>; several of one peer become one entry.
func Parse(texts ...string) (Peers, error) {
	addrs := make([]multiaddr.Multiaddr, 0, len(texts))
	for _, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err != nil {
			return nil, fmt.Errorf("parse address %q: %w", t, err)
		}
		if _, err := peer.AddrInfoFromP2pAddr(a); err != nil {
			return nil, fmt.Errorf("parse address %q: %w", t, err)
		}
		addrs = append(addrs, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, fmt.Errorf("parse addresses: %w", err)
	}
	return infos, nil
}
