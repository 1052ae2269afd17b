package node

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/discovery"
)

// table finds and announces holders.
type table interface {
	discovery.Finder
	discovery.Announcer
	Run(ctx context.Context) error
	Close() error
}

// noTable is the table of a node that takes part in none.
type noTable struct{}

// Providers knows nobody.
func (noTable) Providers(context.Context, cid.Cid) <-chan peer.AddrInfo {
	none := make(chan peer.AddrInfo)
	close(none)
	return none
}

// Provide has nobody to tell.
func (noTable) Provide(context.Context, cid.Cid) error { return nil }

// Run waits for the end.
func (noTable) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Close has nothing to close.
func (noTable) Close() error { return nil }
