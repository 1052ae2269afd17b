package node

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
)

// bandwidth bounds what a node sends and receives of sets, blocks and patches with what frames them: all of it, and that of
// single sets within it. Whoever moves bytes asks before every piece, and who waits hears of a change, so that it counts at
// once; a token of the node is taken only when the set has given its own, so that a set that has to wait keeps no other from
// going on.
type bandwidth struct {
	mu        sync.RWMutex  // guards what follows; never held while somebody waits
	changed   chan struct{} // closed at the next change of a limit; nil = there has been none
	lanExempt bool
	node      rates
	sets      map[cid.Cid]rates // those that have limits
}

// rates are limits in bytes a second, and what holds them; nil = no limit.
type rates struct {
	up, down         int64
	sending, getting *rate.Limiter
}

// newRates takes up new limits. One that stays keeps its limiter, and with it what was used of it; one that changes
// begins afresh, so that nobody waits for what was promised at the old rate.
func newRates(old rates, up, down int64) rates {
	r := rates{up: up, down: down, sending: old.sending, getting: old.getting}
	if up != old.up {
		r.sending = newLimiter(up)
	}
	if down != old.down {
		r.getting = newLimiter(down)
	}
	return r
}

// newLimiter is nil for no limit. The burst is a tenth of a second: over ten seconds that is one percent too much at
// most, and pieces are large where rates are. It begins without: what was under way at the old rate still comes.
func newLimiter(perSecond int64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	burst := int(max(perSecond/10, 1))
	l := rate.NewLimiter(rate.Limit(perSecond), burst)
	l.AllowN(time.Now(), burst)
	return l
}

// set changes the limits of one set, or with cid.Undef those of the node.
func (b *bandwidth) set(set cid.Cid, up, down int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake()
	switch {
	case !set.Defined():
		b.node = newRates(b.node, up, down)
	case up == 0 && down == 0:
		delete(b.sets, set)
	default:
		if b.sets == nil {
			b.sets = map[cid.Cid]rates{}
		}
		b.sets[set] = newRates(b.sets[set], up, down)
	}
}

func (b *bandwidth) exempt(lan bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake()
	b.lanExempt = lan
}

// wake tells whoever waits that limits change. mu is held.
func (b *bandwidth) wake() {
	if b.changed != nil {
		close(b.changed)
	}
	b.changed = make(chan struct{})
}

// in are the limiters that bytes of a set have to pass now, one after the other, nil ones being none, and what is closed when
// that changes.
func (b *bandwidth) in(set cid.Cid, lan, down bool) (in [2]*rate.Limiter, changed <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case lan && b.lanExempt:
	case down:
		in = [2]*rate.Limiter{b.sets[set].getting, b.node.getting}
	default:
		in = [2]*rate.Limiter{b.sets[set].sending, b.node.sending}
	}
	return in, b.changed
}

// sending is chunks.ServerOptions.Limit.
func (b *bandwidth) sending(c libnet.Conn, set cid.Cid) chunks.Limiter {
	return valve{b: b, set: set, lan: isLAN(c.RemoteMultiaddr())}
}

// items is delta.ServerOptions.Limit.
func (b *bandwidth) items(c libnet.Conn, set cid.Cid) delta.Limiter { return b.sending(c, set) }

// receiving bounds what comes from a peer for a set.
func (b *bandwidth) receiving(w *network, p peer.ID, set cid.Cid) chunks.Limiter {
	lan := true
	for _, c := range w.host.Network().ConnsToPeer(p) {
		lan = lan && isLAN(c.RemoteMultiaddr())
	}
	return valve{b: b, set: set, lan: lan, down: true}
}

// isLAN tells whether an address is of this machine or of a network that belongs to no provider, and not a relay's.
func isLAN(a multiaddr.Multiaddr) bool {
	if _, err := a.ValueForProtocol(multiaddr.P_CIRCUIT); err == nil {
		return false
	}
	ip, err := manet.ToIP(a)
	return err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// valve is a chunks.Limiter and a delta.Limiter for the bytes of one session.
type valve struct {
	b         *bandwidth
	set       cid.Cid
	lan, down bool
}

// Wait implements chunks.Limiter. Limits that change meanwhile count from then on.
func (v valve) Wait(ctx context.Context, n int) (int, error) {
	for {
		in, changed := v.b.in(v.set, v.lan, v.down)
		if in == [2]*rate.Limiter{} {
			return n, ctx.Err()
		}
		most := min(n, chunks.Piece)
		for _, l := range in {
			if l != nil {
				most = min(most, l.Burst())
			}
		}
		passed, err := await(ctx, in[0], most, changed)
		if passed && err == nil {
			passed, err = await(ctx, in[1], most, changed)
		}
		if passed || err != nil {
			return most, err
		}
	}
}

// Rate is what is let pass in a second now; 0 = there is no limit.
func (v valve) Rate() int64 {
	in, _ := v.b.in(v.set, v.lan, v.down)
	var rate int64
	for _, l := range in {
		if l != nil && (rate == 0 || int64(l.Limit()) < rate) {
			rate = int64(l.Limit())
		}
	}
	return rate
}

// await takes n tokens when they are there; false if changed came first.
func await(ctx context.Context, l *rate.Limiter, n int, changed <-chan struct{}) (bool, error) {
	if l == nil {
		return true, ctx.Err()
	}
	turn := l.ReserveN(time.Now(), n)
	if turn.Delay() == 0 {
		return true, ctx.Err()
	}
	clock := time.NewTimer(turn.Delay())
	defer clock.Stop()
	select {
	case <-clock.C:
		return true, nil
	case <-changed:
	case <-ctx.Done():
	}
	turn.Cancel()
	return false, ctx.Err()
}
