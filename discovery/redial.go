package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

const (
	// redialTimeout bounds one attempt; longer than that and the next one is as good.
	redialTimeout = 5 * time.Second
	// redialAtOnce attempts run at a time, each using at most a few sockets.
	redialAtOnce = 16
	// steady is how long a connection lasts before its loss counts as news; a peer that accepts and
	// hangs up (we may be banned there) is dialled ever more seldom instead of five times a second.
	steady = 10 * time.Second
	// redialTag is the name under which kept peers are protected from the connection manager.
	redialTag = "redial"
)

// errHostClosed ends Run when the host was closed under it.
var errHostClosed = errors.New("redial: host is closed")

// BackoffClearer forgets that dialling a peer failed, so that the next dial really happens: the network
// layer refuses dials for up to five minutes after failures.
type BackoffClearer interface{ ClearBackoff(peer.ID) }

// Redial keeps connections to the peers it is told to keep: it connects at once and again with Backoff
// whenever the connection is lost. Create it with NewRedial; all methods are safe for concurrent use.
type Redial struct {
	host   host.Host
	clear  BackoffClearer
	random func() float64
	log    *slog.Logger
	wake   chan struct{} // capacity 1: the state changed under a sleeping Run

	mu    sync.Mutex // guards peers and what it points to
	peers map[peer.ID]*kept
}

// kept is the state of one peer.
type kept struct {
	info  peer.AddrInfo
	try   int       // attempts since the last steady connection
	next  time.Time // when to dial
	since time.Time // when up became true
	busy  bool      // being dialled
	up    bool      // connected: no dial is due
}

// NewRedial makes a Redial for h. random returns uniform numbers in [0, 1) and is called from one
// goroutine at a time. clear may be nil.
func NewRedial(h host.Host, clear BackoffClearer, random func() float64, log *slog.Logger) *Redial {
	return &Redial{
		host: h, clear: clear, random: random, log: log,
		wake: make(chan struct{}, 1), peers: make(map[peer.ID]*kept),
	}
}

// Keep connects to a peer and stays connected. Keeping a peer again replaces its addresses; a peer
// without any is dialled at those that the host knows.
func (r *Redial) Keep(info peer.AddrInfo) {
	if info.ID == r.host.ID() {
		return
	}
	r.mu.Lock()
	if k, ok := r.peers[info.ID]; ok {
		k.info = info
	} else {
		r.peers[info.ID] = &kept{info: info}
	}
	r.mu.Unlock()
	r.host.ConnManager().Protect(info.ID, redialTag)
	r.poke()
}

// Forget stops keeping a peer. A connection that is open stays open.
func (r *Redial) Forget(id peer.ID) {
	r.mu.Lock()
	delete(r.peers, id)
	r.mu.Unlock()
	r.host.ConnManager().Unprotect(id, redialTag)
}

func (r *Redial) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // already awake
	}
}

// Run dials until ctx ends and returns its error, after the last attempt under way ended.
func (r *Redial) Run(ctx context.Context) error {
	// A burst of 256 changes does not make the bus wait for this loop, which does no I/O.
	sub, err := r.host.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged), eventbus.BufSize(256), eventbus.Name("shoal-redial"))
	if err != nil {
		return fmt.Errorf("redial: subscribe: %w", err)
	}
	defer sub.Close()
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, redialAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := r.dialDue(ctx, &group, slots)
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-r.wake:
		case e, ok := <-sub.Out():
			if !ok {
				return errHostClosed
			}
			r.settle(e.(event.EvtPeerConnectednessChanged).Peer, time.Now())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dialDue starts a dial to every peer that is due, as far as slots go, and returns how long to sleep.
func (r *Redial) dialDue(ctx context.Context, group *sync.WaitGroup, slots chan struct{}) time.Duration {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := time.Hour // an idle loop looks once an hour
	for id, k := range r.peers {
		if k.busy || k.up {
			continue
		}
		if d := k.next.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			return wait // the end of any dial pokes
		}
		k.busy = true
		info := peer.AddrInfo{ID: id, Addrs: k.info.Addrs}
		group.Go(func() {
			err := r.dial(ctx, info)
			<-slots
			r.dialled(info.ID, err, time.Now())
		})
	}
	return wait
}

func (r *Redial) dial(ctx context.Context, info peer.AddrInfo) error {
	if r.clear != nil {
		r.clear.ClearBackoff(info.ID)
	}
	tctx, cancel := context.WithTimeout(ctx, redialTimeout)
	defer cancel()
	return r.host.Connect(tctx, info)
}

// dialled takes the end of an attempt in.
func (r *Redial) dialled(id peer.ID, err error, now time.Time) {
	r.mu.Lock()
	if k, ok := r.peers[id]; ok {
		k.busy = false
		if err != nil {
			k.try++
			k.next = now.Add(Backoff(k.try, r.random()))
			r.log.Debug("redial failed", "peer", id, "try", k.try, "err", err)
		}
	}
	r.mu.Unlock()
	r.settle(id, now)
	r.poke()
}

// settle compares what is remembered of a peer with the connections there are: events come late, and
// two in a row may be about the same moment, so the network itself is asked.
func (r *Redial) settle(id peer.ID, now time.Time) {
	up := r.host.Network().Connectedness(id) == network.Connected
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.peers[id]
	if !ok || k.up == up {
		return
	}
	k.up = up
	if up {
		k.since = now
		return
	}
	if now.Sub(k.since) >= steady {
		k.try = 0
	} else {
		k.try++
	}
	k.next = now.Add(Backoff(k.try, r.random()))
}
