package discovery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

const (
	// announceTimeout bounds one announcement: the slowest honest one waits 30 s for a dead peer's
	// slot, and by then the record lies at all the living ones.
	announceTimeout = 40 * time.Second
	// announceAtOnce keys are announced at a time; each asks at most some 20 peers.
	announceAtOnce = 8
	// nudgeDelay collects the peers that join together (a lab that starts) into one announcement.
	nudgeDelay = 500 * time.Millisecond
	// nudgeGap is the least time between two announcements of a key that peers cause by joining.
	nudgeGap = 30 * time.Second
)

// Announcements keeps keys announced: each at once when it is added, again a few times soon after and
// then every two to three hours; failures are tried again after seconds. Create it with
// NewAnnouncements; all methods are safe for concurrent use.
type Announcements struct {
	to     Announcer
	random func() float64
	log    *slog.Logger
	wake   chan struct{} // capacity 1: something became due earlier than Run sleeps for

	mu   sync.Mutex // guards keys and what it points to
	keys map[cid.Cid]*announcement
}

// announcement is the state of one key.
type announcement struct {
	next         time.Time // when it is due
	last         time.Time // of the last success
	done, failed int       // in a row
	busy         bool      // being announced right now
	nudged       bool      // while busy
}

// NewAnnouncements announces through to. random returns uniform numbers in [0, 1) and is called from
// one goroutine at a time; it spreads the repeats of many nodes.
func NewAnnouncements(to Announcer, random func() float64, log *slog.Logger) *Announcements {
	return &Announcements{
		to: to, random: random, log: log,
		wake: make(chan struct{}, 1), keys: make(map[cid.Cid]*announcement),
	}
}

// Add starts announcing key; adding it again changes nothing.
func (a *Announcements) Add(key cid.Cid) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.keys[key]; !ok {
		a.keys[key] = &announcement{} // the zero time is due at once
		a.poke()
	}
}

// Remove stops announcing key. Records that are out there expire by themselves.
func (a *Announcements) Remove(key cid.Cid) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.keys, key)
}

// Nudge tells that peers joined: keys that failed are announced within half a second, the others too
// unless that happened in the last half minute, and then as soon as that has passed.
func (a *Announcements) Nudge() {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.keys {
		k.nudge(now)
	}
	a.poke()
}

func (k *announcement) nudge(now time.Time) {
	if k.busy {
		k.nudged = true
		return
	}
	at := now.Add(nudgeDelay)
	if !k.last.IsZero() && k.last.Add(nudgeGap).After(at) {
		at = k.last.Add(nudgeGap)
	}
	if at.Before(k.next) {
		k.next = at
	}
}

func (a *Announcements) poke() {
	select {
	case a.wake <- struct{}{}:
	default: // already awake
	}
}

// Run announces until ctx ends and returns its error, after the last announcement under way ended.
func (a *Announcements) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, announceAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		key, wait := a.take(time.Now())
		if key.Defined() {
			select {
			case slots <- struct{}{}:
				group.Go(func() {
					defer func() { <-slots }()
					a.announce(ctx, key)
				})
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take marks the key that is due longest as busy and returns it, or says how long nothing will be.
func (a *Announcements) take(now time.Time) (cid.Cid, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first cid.Cid
	at := now.Add(time.Hour) // an idle loop looks once an hour
	for key, k := range a.keys {
		if !k.busy && k.next.Before(at) {
			first, at = key, k.next
		}
	}
	if wait := at.Sub(now); wait > 0 {
		return cid.Undef, wait
	}
	a.keys[first].busy = true
	return first, 0
}

func (a *Announcements) announce(ctx context.Context, key cid.Cid) {
	tctx, cancel := context.WithTimeout(ctx, announceTimeout)
	err := a.to.Provide(tctx, key)
	cancel()
	if ctx.Err() != nil {
		return
	}
	a.finish(key, err, time.Now())
	if err != nil {
		a.log.Debug("announcing failed", "key", key, "err", err)
	}
}

func (a *Announcements) finish(key cid.Cid, err error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.keys[key]
	if !ok {
		return // removed meanwhile
	}
	k.busy = false
	if err != nil {
		k.failed++
	} else {
		k.done, k.failed, k.last = k.done+1, 0, now
	}
	k.next = now.Add(announcePause(k.done, k.failed, a.random()))
	if k.nudged {
		k.nudged = false
		k.nudge(now)
	}
	a.poke()
}
