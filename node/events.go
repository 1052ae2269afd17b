package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// hub tells whoever listens what happens at the node. Listeners must not block.
type hub struct {
	mu        sync.Mutex // guards what follows
	last      int
	listeners map[int]func(api.Event)
}

// tell stamps an event and passes it on.
func (h *hub) tell(now time.Time, e api.Event) {
	e.Time = now.UTC().Format(time.RFC3339Nano)
	h.mu.Lock()
	all := slices.Collect(maps.Values(h.listeners))
	h.mu.Unlock()
	for _, fn := range all {
		fn(e)
	}
}

// listen adds a listener until the function returned is called.
func (h *hub) listen(fn func(api.Event)) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = map[int]func(api.Event){}
	}
	h.last++
	id := h.last
	h.listeners[id] = fn
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.listeners, id)
	}
}

// Events implements api.Follower.
func (n *Node) Events(ctx context.Context, q api.EventsRequest, fn func(api.Event)) error {
	only := ""
	if q.Set != "" {
		t, err := n.ticket(q.Set)
		if errors.Is(err, record.ErrBadTicket) {
			err = fmt.Errorf("events of %q: %w", q.Set, replica.ErrUnknownSet)
		}
		if err != nil {
			return explain(err)
		}
		only = t.Set.String()
	}
	leave := n.events.listen(func(e api.Event) {
		if only == "" || e.Set == only || e.Set == "" {
			fn(e)
		}
	})
	defer leave()
	fn(api.Event{Time: n.now().UTC().Format(time.RFC3339Nano), Kind: api.EventReady, Set: only})
	<-ctx.Done()
	return ctx.Err()
}

func (n *Node) tell(e api.Event) {
	n.note(e)
	now := n.now()
	n.life.note(now, e)
	n.events.tell(now, e)
}

// note writes what happened to a set into the log.
func (n *Node) note(e api.Event) {
	level := slog.LevelInfo
	switch e.Kind {
	case api.EventProgress, api.EventFailed, api.EventNotice, api.EventPublished: // too many; or logged where more is known
		return
	case api.EventAvailable:
		level = slog.LevelDebug
	case api.EventConflict, api.EventAlarm:
		level = slog.LevelWarn
	}
	about := []any{"set", e.Set, "name", e.Name}
	if e.Revision > 0 {
		about = append(about, "revision", e.Revision)
	}
	if r := e.Result; r != nil {
		about = append(about, "bytes", r.BytesTotal, "fetched", r.BytesFetched+r.BytesPatched, "sources", r.Sources, "seconds", r.Seconds)
	}
	if p := e.Primary; p != nil {
		about = append(about, "from", p.From, "to", p.To, "reason", p.Reason, "seconds", p.Seconds)
	}
	if e.Detail != "" {
		about = append(about, "detail", e.Detail)
	}
	n.cfg.Log.Log(context.Background(), level, e.Kind, about...)
}
