// Package discovery finds out where peers are: who might hold the set behind a key, and how to stay
// connected to those that matter. It never knows what a peer holds, and nothing it says is trusted: an
// answer is a hint to go and ask, whoever gives it.
//
// Terms: a key is the CID of a file set; a finder names peers for a key; an announcer makes this node
// one of the answers. The sub-packages are the sources: the distributed hash table (dht), multicast on
// the local network (mdns), a fixed list (static) and the memory of good peers (peerbook). Here are the
// parts that join them: Merge, the Announcements loop and Redial.
package discovery

import (
	"context"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Finder names peers that may hold a set.
type Finder interface {
	// Providers sends peers that say they hold key, possibly the same one many times, and closes the
	// channel when it knows no more or soon after ctx ends. The receiver reads until it is closed or
	// ends ctx; a finder that cannot send gives up when ctx ends.
	Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo
}

// Announcer makes this node known as a holder of a set.
type Announcer interface {
	// Provide announces key once. It may take seconds, and wait for the first peer until ctx ends.
	Provide(ctx context.Context, key cid.Cid) error
}

const (
	// maxMerged peers are told apart in one search; what a flood of made-up peers can cost in memory.
	maxMerged = 4096
	// maxMergedAddrs addresses are remembered for each of them; an honest host has fewer than ten.
	maxMergedAddrs = 32
)

// Merge asks all finders at once. A peer is passed on when it is first heard of and again when a new
// address of it appears, never otherwise. The channel closes when every finder's has.
func Merge(finders ...Finder) Finder { return merged(finders) }

type merged []Finder

func (m merged) Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo {
	in, out := make(chan peer.AddrInfo), make(chan peer.AddrInfo)
	var readers sync.WaitGroup
	for _, f := range m {
		readers.Go(func() { forward(ctx, f.Providers(ctx, key), in) })
	}
	go func() {
		readers.Wait()
		close(in)
	}()
	go func() {
		defer close(out)
		heard := make(dedup)
		for info := range in { // runs until the readers ended, so none of them is left behind
			if heard.fresh(info) {
				send(ctx, out, info)
			}
		}
	}()
	return out
}

func forward(ctx context.Context, from <-chan peer.AddrInfo, to chan<- peer.AddrInfo) {
	for {
		select {
		case info, ok := <-from:
			if !ok || !send(ctx, to, info) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func send(ctx context.Context, to chan<- peer.AddrInfo, info peer.AddrInfo) bool {
	select {
	case to <- info:
		return true
	case <-ctx.Done():
		return false
	}
}

// dedup is what has been passed on already: the addresses by peer, in their binary form.
type dedup map[peer.ID]map[string]struct{}

// fresh records info and tells whether it says anything new.
func (d dedup) fresh(info peer.AddrInfo) bool {
	known, old := d[info.ID]
	if !old {
		if len(d) >= maxMerged {
			return false
		}
		known = make(map[string]struct{}, len(info.Addrs))
		d[info.ID] = known
	}
	fresh := !old
	for _, a := range info.Addrs {
		if _, ok := known[string(a.Bytes())]; ok || len(known) >= maxMergedAddrs {
			continue
		}
		known[string(a.Bytes())] = struct{}{}
		fresh = true
	}
	return fresh
}
