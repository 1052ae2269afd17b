package node

import (
	"context"
	"log/slog"
	"sync"

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

// lateTable takes part in a table from the first question on: a node that only fetches something often needs none.
type lateTable struct {
	open    func() (table, error)
	log     *slog.Logger
	once    sync.Once
	started chan struct{} // closed after table is set
	table   table
}

func newLateTable(open func() (table, error), log *slog.Logger) *lateTable {
	return &lateTable{open: open, log: log, started: make(chan struct{})}
}

func (l *lateTable) start() table {
	l.once.Do(func() {
		t, err := l.open()
		if err != nil {
			l.log.Warn("join the table", "err", err)
			t = noTable{}
		}
		l.table = t
		close(l.started)
	})
	return l.table
}

// Providers asks the table.
func (l *lateTable) Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo {
	return l.start().Providers(ctx, key)
}

// Provide tells the table.
func (l *lateTable) Provide(ctx context.Context, key cid.Cid) error {
	return l.start().Provide(ctx, key)
}

// Run runs the table once there is one.
func (l *lateTable) Run(ctx context.Context) error {
	select {
	case <-l.started:
		return l.table.Run(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the table if there is one.
func (l *lateTable) Close() error {
	select {
	case <-l.started:
		return l.table.Close()
	default:
		return nil
	}
}
