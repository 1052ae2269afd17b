package node

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// flowMemory is how fast a peer's rate forgets: over some readings, so that a figure can be read, and no longer than a person
// waits for it.
const flowMemory = 2 * time.Second

// flows count the bytes of each peer, and tell how fast they go. The zero value works.
type flows struct {
	mu  sync.RWMutex // guards what follows, not the counts
	all map[peer.ID]*pace
	at  time.Time // of the last reading
}

// pace is the bytes of one peer. Counts grow at any time, the rest belongs to flows.
type pace struct {
	in, out         atomic.Int64
	lastIn, lastOut int64
	rateIn, rateOut float64 // bytes a second
}

// of finds the counts of a peer. It is called for every read and write of a stream.
func (f *flows) of(p peer.ID) *pace {
	f.mu.RLock()
	one := f.all[p]
	f.mu.RUnlock()
	if one != nil {
		return one
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[peer.ID]*pace{}
	}
	if f.all[p] == nil {
		f.all[p] = &pace{}
	}
	return f.all[p]
}

// forget drops the counts of a peer that has gone.
func (f *flows) forget(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, p)
}

// read brings the rates up to date, and forgets who is not connected any more: bytes may have come after forget.
func (f *flows) read(now time.Time, connected func(peer.ID) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := now.Sub(f.at).Seconds()
	first := f.at.IsZero()
	f.at = now
	for p, one := range f.all {
		if !connected(p) {
			delete(f.all, p)
			continue
		}
		in, out := one.in.Load(), one.out.Load()
		if !first && since > 0 {
			keep := math.Exp(-since / flowMemory.Seconds())
			one.rateIn = one.rateIn*keep + float64(in-one.lastIn)/since*(1-keep)
			one.rateOut = one.rateOut*keep + float64(out-one.lastOut)/since*(1-keep)
		}
		one.lastIn, one.lastOut = in, out
	}
}

// rate is how fast bytes of a peer came and went when that was read.
func (f *flows) rate(p peer.ID) (in, out int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if one := f.all[p]; one != nil {
		return int64(one.rateIn), int64(one.rateOut)
	}
	return 0, 0
}
