package dht

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// WaitReady waits until the routing table has a peer to ask. It returns ctx's error.
func (d *DHT) WaitReady(ctx context.Context) error {
	for d.Size() == 0 {
		if !sleep(ctx, tableTick) {
			return ctx.Err()
		}
	}
	return nil
}

// Provide announces key: here at once, at others as soon as there are any.
func (d *DHT) Provide(ctx context.Context, key cid.Cid) error {
	if err := d.kad.Provide(ctx, key, false); err != nil {
		return fmt.Errorf("provide %s: %w", key, err)
	}
	if err := d.WaitReady(ctx); err != nil {
		return fmt.Errorf("provide %s: no peers: %w", key, err)
	}
	if err := d.kad.Provide(ctx, key, true); err != nil {
		return fmt.Errorf("provide %s: %w", key, err)
	}
	return nil
}

// Providers looks key up again and again until ctx ends, and sends at most maxPerLookup peers of each
// lookup, never this node.
func (d *DHT) Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		if d.Size() == 0 {
			d.lookup(ctx, key, out) // what is known here needs nobody
		}
		if d.WaitReady(ctx) != nil {
			return
		}
		for i := 0; ; i++ {
			d.lookup(ctx, key, out)
			if !sleep(ctx, lookupPause(i)) {
				return
			}
		}
	}()
	return out
}

// lookupPause is the pause after lookup i: short while a set may just be on its way into the table, then
// as often as two getters may take to find each other.
func lookupPause(i int) time.Duration {
	early := [...]time.Duration{
		300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second,
	}
	if i < len(early) {
		return early[i]
	}
	return 5 * time.Second
}

// lookup asks once. Answers are gathered for a moment and sent in random order, so that who answers
// first, or most, does not choose for us.
func (d *DHT) lookup(ctx context.Context, key cid.Cid, out chan<- peer.AddrInfo) {
	begun, found, asked := time.Now(), false, ctx
	defer func() {
		if !found && asked.Err() == nil {
			d.o.Looked(time.Since(begun), false)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	heard := d.kad.FindProvidersAsync(ctx, key, maxHeard)
	defer func() {
		cancel()
		for range heard { // it closes when the lookup ended, which cancel sees to
		}
	}()
	for room := maxPerLookup; room > 0; {
		answers, open := gather(heard)
		if !found && slices.ContainsFunc(answers, func(p peer.AddrInfo) bool { return p.ID != d.host.ID() }) {
			found = true
			d.o.Looked(time.Since(begun), true)
		}
		d.o.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
		for _, info := range answers {
			if info.ID == d.host.ID() || room == 0 {
				continue
			}
			if len(info.Addrs) == 0 {
				info.Addrs = d.host.Peerstore().Addrs(info.ID)
			}
			select {
			case out <- info:
				room--
			case <-ctx.Done():
				return
			}
		}
		if !open {
			return
		}
	}
}

// gather waits for the first answer and takes in what comes until settle after it. It tells whether
// more may come.
func gather(heard <-chan peer.AddrInfo) (answers []peer.AddrInfo, open bool) {
	info, ok := <-heard
	if !ok {
		return nil, false
	}
	answers = append(answers, info)
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case info, ok := <-heard:
			if !ok {
				return answers, false
			}
			answers = append(answers, info)
		case <-timer.C:
			return answers, true
		}
	}
}
