package replica

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// maxHolders bounds the peers watched for one get: more add nothing to the speed.
	maxHolders = 16
	// maxHeard bounds the peers tried for one get. Most may be away: provider records outlive their nodes
	// by hours, and are free for anybody to make.
	maxHeard = 256
	// dialTimeout bounds one attempt to connect; a peer that needs longer is tried again.
	dialTimeout = 5 * time.Second
	// maxFails in a row are some minutes: a peer that was away for so long makes room for another.
	maxFails = 20
)

// sighting is what the lookout reports of one peer.
type sighting struct {
	peer     peer.ID
	verified *record.Verified // with info: the peer answered, or started over
	info     list.Info
	have     []uint32 // more leaves of info's head
	complete bool
	err      error // the peer is gone, cannot be reached, or showed false records
}

// searchDelay is how long the peers that a ticket or an earlier get names are left to answer before others are
// searched for: a small change has arrived by then, for less bytes than the search takes.
const searchDelay = 150 * time.Millisecond

// turn is the time between the first questions to the peers that are known from the beginning: a round trip of a
// local network and some work. The answers of the later ones are short.
const turn = 20 * time.Millisecond

// lookout finds the holders of one set and watches what they have, until its context ends.
type lookout struct {
	net  *Network
	set  cid.Cid
	cap  []byte
	have func() *record.Bundle // the records that are here, so that nobody sends them again; nil = none
	log  *slog.Logger

	wg    sync.WaitGroup
	turns map[peer.ID]time.Duration // how long each of those that are known from the beginning is left alone

	mu      sync.Mutex                        // guards what follows
	addrs   map[peer.ID][]multiaddr.Multiaddr // where a peer was last said to be
	known   map[peer.ID]bool                  // every peer that was heard of
	waiting []peer.AddrInfo                   // of these, the ones that are not watched yet
	failed  map[peer.ID]bool                  // of these, the ones whose last try failed: they are tried on, and do not count
	queue   []sighting                        // what was reported and not taken: at most one of each peer
	at      map[peer.ID]int                   // where in queue a peer's is
	latest  *record.Bundle                    // the newest that was shown
	newest  record.Verified                   // latest, verified
	asleep  map[peer.ID]chan struct{}         // closed to try a peer again at once
	wide    chan struct{}                     // holds one token when more holders are wanted
	lost    chan struct{}                     // holds one token when all who were heard of have failed
	signal  chan struct{}                     // holds one token when queue is not empty
}

// look starts looking; the caller cancels ctx and then calls wg.Wait.
func look(ctx context.Context, net *Network, t record.Ticket, have func() *record.Bundle, log *slog.Logger) *lookout {
	l := newLook(net, t, have, log)
	l.search(ctx, t)
	return l
}

// newLook makes a lookout that is told of holders, and looks for none itself.
func newLook(net *Network, t record.Ticket, have func() *record.Bundle, log *slog.Logger) *lookout {
	return &lookout{net: net, set: t.Set, cap: t.Cap, have: have, log: log,
		addrs: map[peer.ID][]multiaddr.Multiaddr{}, known: map[peer.ID]bool{}, failed: map[peer.ID]bool{}, at: map[peer.ID]int{}, asleep: map[peer.ID]chan struct{}{}, turns: map[peer.ID]time.Duration{}, wide: make(chan struct{}, 1), lost: make(chan struct{}, 1), signal: make(chan struct{}, 1)}
}

// search looks for holders until ctx ends.
func (l *lookout) search(ctx context.Context, t record.Ticket) {
	for i, p := range t.Addrs {
		l.turns[p.ID] = time.Duration(i) * turn
	}
	for _, p := range t.Addrs {
		l.consider(ctx, p)
	}
	l.wg.Go(func() {
		if len(t.Addrs) > 0 && !l.content(ctx) {
			return
		}
		for p := range l.net.Finder.Providers(ctx, t.Set) {
			l.consider(ctx, p)
		}
	})
}

// content waits as long as the peers that are known do; false when ctx ends.
func (l *lookout) content(ctx context.Context) bool {
	select {
	case <-time.After(searchDelay):
	case <-l.lost:
		return true
	case <-l.wide:
		return true
	case <-ctx.Done():
		return false
	}
	l.mu.Lock()
	served := l.latest != nil
	l.mu.Unlock()
	if !served {
		return true
	}
	select { // somebody has it: whether one is enough shows later
	case <-l.lost:
	case <-l.wide:
	case <-ctx.Done():
		return false
	}
	return true
}

// widen says that the more holders there are the better.
func (l *lookout) widen() {
	select {
	case l.wide <- struct{}{}:
	default:
	}
}

// consider watches a peer that was not heard of before, now or when one of those being watched fails.
func (l *lookout) consider(ctx context.Context, p peer.AddrInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.ID == l.net.Self().ID || !l.known[p.ID] && len(l.known) >= maxHeard {
		return
	}
	if len(p.Addrs) > 0 {
		l.addrs[p.ID] = p.Addrs // the last word: it may have moved
	}
	if l.known[p.ID] {
		return
	}
	l.known[p.ID] = true
	l.waiting = append(l.waiting, p)
	l.start(ctx)
}

// start watches those who wait, as far as there is room. l.mu is held.
func (l *lookout) start(ctx context.Context) {
	for len(l.waiting) > 0 && len(l.known)-len(l.waiting)-len(l.failed) < maxHolders && ctx.Err() == nil {
		p := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.wg.Go(func() { l.watch(ctx, p) })
	}
}

// watch keeps a watch stream to one peer open, reconnecting with growing pauses.
func (l *lookout) watch(ctx context.Context, p peer.AddrInfo) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 300*time.Millisecond, 10*time.Second // quick after a restart, cheap for a dead peer
	if wait := l.turns[p.ID]; wait > 0 {                                            // what the one before says need not be said again
		l.sleep(ctx, p.ID, wait)
	}
	for fails := 0; ctx.Err() == nil; fails++ {
		if fails > maxFails {
			l.forget(ctx, p.ID)
			return
		}
		l.mu.Lock()
		p.Addrs = l.addrs[p.ID]
		l.mu.Unlock()
		err := l.stream(ctx, p, func() {
			pause.Reset()
			fails = 0
		})
		if ctx.Err() != nil {
			return
		}
		l.log.Debug("holder", "peer", p.ID, "err", err)
		l.report(ctx, sighting{peer: p.ID, err: err})
		l.sleep(ctx, p.ID, pause.NextBackOff())
	}
}

func (l *lookout) stream(ctx context.Context, p peer.AddrInfo, answered func()) error {
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := l.net.Swarm.Connect(dial, p); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return l.net.Streams.Watch(ctx, p.ID, l.set, l.cap, l.records(), func(u list.Update) error {
		for _, other := range u.Peers {
			l.consider(ctx, other)
		}
		s := sighting{peer: p.ID, have: u.Have, complete: u.Complete}
		if u.Info != nil {
			v, err := record.VerifyBundle(l.set, u.Info.Bundle)
			if err == nil && len(v.Heads) == 0 {
				err = ErrNobody
			}
			if err != nil {
				return fmt.Errorf("records: %w", err)
			}
			s.verified, s.info = &v, *u.Info
			l.learn(v, u.Info.Bundle)
			for _, other := range u.Info.Peers {
				l.consider(ctx, other)
			}
			answered()
		}
		l.report(ctx, s)
		return nil
	})
}

// records are the newest that are known, so that nobody sends them again.
func (l *lookout) records() *record.Bundle {
	l.mu.Lock()
	latest := l.latest
	l.mu.Unlock()
	if latest != nil {
		return latest
	}
	return l.have()
}

// learn keeps the newest records that were shown.
func (l *lookout) learn(v record.Verified, b record.Bundle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil || newer(v, l.newest) {
		l.latest, l.newest = &b, v
	}
}

// forget makes room for others in the place of a peer that is gone; if it is named again it is tried again.
func (l *lookout) forget(ctx context.Context, p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, p)
	delete(l.failed, p)
	delete(l.addrs, p)
	l.start(ctx)
}

// nudge watches a peer that is said to have news, at once.
func (l *lookout) nudge(ctx context.Context, p peer.AddrInfo) {
	l.consider(ctx, p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if again := l.asleep[p.ID]; again != nil {
		close(again)
		delete(l.asleep, p.ID)
	}
}

// sleep waits until it is time to try a peer again, or it is nudged.
func (l *lookout) sleep(ctx context.Context, p peer.ID, d time.Duration) {
	again := make(chan struct{})
	l.mu.Lock()
	l.asleep[p] = again
	l.mu.Unlock()
	select {
	case <-time.After(d):
	case <-again:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asleep, p)
}

// heard lists the peers that were heard of so far.
func (l *lookout) heard() []peer.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.known))
}

func (l *lookout) report(ctx context.Context, s sighting) {
	l.mu.Lock()
	if i, ok := l.at[s.peer]; ok {
		l.queue[i] = l.queue[i].then(s)
	} else {
		l.at[s.peer] = len(l.queue)
		l.queue = append(l.queue, s)
	}
	if s.err != nil {
		l.failed[s.peer] = true
		l.start(ctx)
		if len(l.failed) == len(l.known) {
			select {
			case l.lost <- struct{}{}:
			default:
			}
		}
	} else {
		delete(l.failed, s.peer)
	}
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// take returns what was reported since the last call; it never blocks. Wait for signal first.
func (l *lookout) take() []sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue
	l.queue, l.at = nil, map[peer.ID]int{}
	return q
}

// then joins what a peer said with what it says next, so that one that talks while nobody listens takes no
// more memory than what it may have.
func (s sighting) then(next sighting) sighting {
	if next.verified != nil || next.err != nil || s.err != nil {
		return next
	}
	s.complete = s.complete || next.complete
	s.have = append(s.have, next.have...)
	if len(s.have) > list.MaxLeaves/16 { // half a MiB of numbers: time to drop those said twice
		slices.Sort(s.have)
		s.have = slices.Compact(s.have)
	}
	return s
}
