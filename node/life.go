package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/meter"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// life is what is counted from the start of a node to its end.
type life struct {
	start                    time.Time
	meter                    *meter.Meter
	reused, patched, fetched atomic.Int64

	mu     sync.Mutex        // guards what follows
	sets   map[string]ledger // by id
	reigns map[cid.Cid]reign
}

// ledger is what is counted of one set.
type ledger struct {
	synced    time.Time // when its folder was last known to be at the newest revision; zero = never
	downloads int64     // times that a peer said it has all of it
	newest    uint64    // revision that a peer was seen to have
}

func newLife(start time.Time) *life {
	return &life{start: start, sets: map[string]ledger{}, reigns: map[cid.Cid]reign{}}
}

// moved is replica.Config.Moved.
func (l *life) moved(m replica.Moved) {
	l.reused.Add(m.Reused)
	l.patched.Add(m.Patched)
	l.fetched.Add(m.Fetched)
}

// note takes from an event what is counted.
func (l *life) note(now time.Time, e api.Event) {
	switch e.Kind {
	case api.EventComplete, api.EventPublished:
		l.enter(e.Set, func(t *ledger) { t.synced = now })
	}
}

// enter changes what is counted of a set.
func (l *life) enter(set string, change func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.sets[set]
	change(&t)
	l.sets[set] = t
}

// ledger is what was counted of a set.
func (l *life) ledger(set string) ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sets[set]
}

// forget drops what is kept of sets that are not here any more.
func (l *life) forget(here map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for set := range l.sets {
		if !here[set] {
			delete(l.sets, set)
		}
	}
	for set := range l.reigns {
		if !here[set.String()] {
			delete(l.reigns, set)
		}
	}
}

// reigned looks at the elections of a set, and tells whether they have another outcome than the last time. Looking is
// part of what is locked: of two who are told at once the later one must not have looked earlier.
func (l *life) reigned(rep *replica.Replica, sets *replica.Registry, now func() time.Time) (change, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	view, ok := sets.View(rep)
	if !ok {
		return change{}, false
	}
	next, c, changed := l.reigns[rep.Set()].after(view, now())
	l.reigns[rep.Set()] = next
	return c, changed
}

// since is since when the primary of a set is seen to be that one; zero if it is not.
func (l *life) since(set cid.Cid, primary peer.ID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.reigns[set]
	if r.primary != primary || !r.missed.IsZero() {
		return time.Time{}
	}
	return r.since
}

// connected notes that there is a connection to a peer again, or none any more.
func (l *life) connected(p peer.ID, yes bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for set, r := range l.reigns {
		if yes {
			l.reigns[set] = r.met(p)
		} else {
			l.reigns[set] = r.parted(p, now)
		}
	}
}

// watched is told when something has changed in the elections of a set.
func (n *Node) watched(rep *replica.Replica) {
	c, changed := n.life.reigned(rep, n.sets, n.now)
	if !changed {
		return
	}
	if c.reason != "" {
		n.life.meter.Failover(c.reason, c.gap)
	}
	e := c.event()
	e.Set, e.Name = rep.Set().String(), rep.State().Name
	n.tell(e)
}

// downloaded counts a revision that was brought here, or was not because of err.
func (l *life) downloaded(err error) { l.meter.Download(resultOf(err)) }

// resultOf is how something ended, as one of few words.
func resultOf(err error) string {
	var e *api.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case !errors.As(explain(err), &e):
		return "failed"
	}
	switch e.ExitCode {
	case api.ExitNotFound:
		return "not_found"
	case api.ExitTimeout:
		return "timeout"
	case api.ExitIntegrity:
		return "integrity"
	case api.ExitConflict:
		return "conflict"
	case api.ExitDenied:
		return "denied"
	case api.ExitNoSpace:
		return "no_space"
	}
	return "failed"
}

// answered counts a request of another node, and returns err.
func (l *life) answered(protocol string, err error) error {
	result := meter.Served
	switch {
	case errors.Is(err, list.ErrNotFound), errors.Is(err, blockstore.ErrNotFound):
		result = meter.Refused
	case err != nil:
		result = meter.Failed
	}
	l.meter.Request(protocol, result)
	return err
}

// countedChunks counts who opens a set.
type countedChunks struct {
	chunks.Source
	life *life
}

// Open implements chunks.Source.
func (c countedChunks) Open(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (chunks.Reader, error) {
	r, err := c.Source.Open(ctx, p, set, invite)
	return r, c.life.answered("chunks", err)
}

// countedDeltas counts who opens a set.
type countedDeltas struct {
	delta.Source
	life *life
}

// Open implements delta.Source.
func (c countedDeltas) Open(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (delta.Reader, error) {
	r, err := c.Source.Open(ctx, p, set, invite)
	return r, c.life.answered("delta", err)
}

// countedCatalog counts who asks for what is here.
type countedCatalog struct {
	replica.Catalog
	life *life
}

// Sets implements list.Catalog.
func (c countedCatalog) Sets(ctx context.Context, p peer.ID) ([]list.SetEntry, error) {
	all, err := c.Catalog.Sets(ctx, p)
	return all, c.life.answered("list", err)
}

// Info implements list.Catalog.
func (c countedCatalog) Info(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (list.Info, error) {
	i, err := c.Catalog.Info(ctx, p, set, invite)
	return i, c.life.answered("list", err)
}

// Watch implements list.Catalog.
func (c countedCatalog) Watch(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (<-chan list.Update, error) {
	ch, err := c.Catalog.Watch(ctx, p, set, invite)
	return ch, c.life.answered("list", err)
}

// Confirm implements list.Confirmer.
func (c countedCatalog) Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, invite []byte) error {
	err := c.Catalog.Confirm(ctx, p, set, root, invite)
	if err == nil {
		c.life.enter(set.String(), func(t *ledger) { t.downloads++ })
	}
	return c.life.answered("list", err)
}

// History implements list.Historian.
func (c countedCatalog) History(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) ([][]byte, error) {
	all, err := c.Catalog.History(ctx, p, set, invite)
	return all, c.life.answered("list", err)
}
