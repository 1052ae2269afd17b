package rest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	// tick lets four states a second through: smooth to the eye, nothing to the wire.
	tick = 250 * time.Millisecond
	// maxQuiet is how seldom a node that does nothing is looked at.
	maxQuiet = 2 * time.Second
	// beat is how often a silent stream shows that it is alive: below the minute after which proxies give up.
	beat = 15 * time.Second
	// retryMs is how soon a browser comes back, in milliseconds.
	retryMs = 1000
	// maxStreams bounds the streams: tabs share one.
	maxStreams = 64
	// maxRing is how many events are remembered for who comes back, or comes late.
	maxRing = 1000
	// maxFirst bounds the operations of a snapshot.
	maxFirst = 100
)

// numbered is an event with its place in the stream.
type numbered struct {
	id int
	api.Event
}

// ring remembers the newest events, of those about progress only the newest of each set. It has no clock; its caller
// serialises.
type ring struct {
	last     int
	kept     []numbered
	progress map[string]numbered
}

// newRing begins to count where no ring before has come to, so that an id of another run is older than all.
func newRing(now time.Time) *ring {
	return &ring{last: int(now.UnixMilli()), progress: map[string]numbered{}}
}

func (r *ring) add(e api.Event) {
	if e.Kind == api.EventReady { // of this listening, not of the node
		return
	}
	r.last++
	if e.Kind == api.EventProgress {
		r.progress[e.Set] = numbered{r.last, e}
		return
	}
	switch e.Kind {
	case api.EventComplete, api.EventFailed, api.EventEnded:
		delete(r.progress, e.Set)
	}
	r.kept = append(r.kept, numbered{r.last, e})
	if len(r.kept) > 2*maxRing {
		r.kept = slices.Clone(r.kept[len(r.kept)-maxRing:])
	}
}

// after lists what came after an id, in order.
func (r *ring) after(id int) []numbered {
	kept := r.kept[max(0, len(r.kept)-maxRing):]
	from, _ := slices.BinarySearchFunc(kept, id+1, func(n numbered, id int) int { return cmp.Compare(n.id, id) })
	out := slices.Clone(kept[from:])
	for n := range maps.Values(r.progress) {
		if n.id > id {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(x, y numbered) int { return cmp.Compare(x.id, y.id) })
	return out
}

// Snapshot is the first message of a stream.
type Snapshot struct {
	Time       string      `json:"time" format:"date-time"`
	Status     api.Status  `json:"status"`
	Operations []Operation `json:"operations" nullable:"false" doc:"the newest 100"`
	Samples    []Sample    `json:"samples" nullable:"false" doc:"of the last 15 minutes, in order"`
}

// StatusChange is what is new since the snapshot or the change before it.
type StatusChange struct {
	Time          string          `json:"time" format:"date-time"`
	UptimeSeconds float64         `json:"uptime_seconds"`
	WireIn        int64           `json:"wire_in"`
	WireOut       int64           `json:"wire_out"`
	DiskBytes     int64           `json:"disk_bytes"`
	Traffic       *api.Traffic    `json:"traffic,omitempty"`
	Sets          []api.SetInfo   `json:"sets,omitempty" doc:"those that are new or changed"`
	Gone          []string        `json:"gone,omitempty" doc:"ids of sets that are not here any more"`
	Peers         *[]api.PeerInfo `json:"peers,omitempty" doc:"all of them, if anything about them changed"`
	Listen        *[]string       `json:"listen,omitempty" doc:"if it changed"`
}

// changeOf compares two states of the node; false if they differ in nothing but their age.
func changeOf(before, now api.Status) (StatusChange, bool) {
	c := StatusChange{UptimeSeconds: now.UptimeSeconds, WireIn: now.WireIn, WireOut: now.WireOut, DiskBytes: now.DiskBytes, Traffic: now.Traffic}
	changed := !reflect.DeepEqual(before.Traffic, now.Traffic) || before.WireIn != now.WireIn || before.WireOut != now.WireOut || before.DiskBytes != now.DiskBytes
	known := map[string]api.SetInfo{}
	for _, s := range before.Sets {
		known[s.Set] = s
	}
	for _, s := range now.Sets {
		if old, ok := known[s.Set]; !ok || !reflect.DeepEqual(old, s) {
			c.Sets = append(c.Sets, s)
		}
		delete(known, s.Set)
	}
	c.Gone = slices.Sorted(maps.Keys(known))
	if !slices.Equal(before.Peers, now.Peers) {
		c.Peers = &now.Peers
	}
	if !slices.Equal(before.Listen, now.Listen) {
		c.Listen = &now.Listen
	}
	return c, changed || len(c.Sets) > 0 || len(c.Gone) > 0 || c.Peers != nil || c.Listen != nil
}

// board is the state of the node as it was last looked at, for all streams.
type board struct {
	status api.Status
	at     time.Time
	quiet  time.Duration // to the next look
}

// look answers with the state of the node, which is asked at most four times a second, and less often while it does
// not change.
func (a *API) look(ctx context.Context) (api.Status, error) {
	a.mu.Lock()
	b, now := a.board, a.opts.Now()
	a.mu.Unlock()
	if !b.at.IsZero() && now.Sub(b.at) < b.quiet {
		return b.status, nil
	}
	v, err, _ := a.asked.Do("status", func() (any, error) {
		return guard(a.base, a, "status", a.service.Status)
	})
	if err != nil {
		return api.Status{}, err
	}
	st := v.(api.Status)
	a.mu.Lock()
	defer a.mu.Unlock()
	quiet := tick
	if _, changed := changeOf(a.board.status, st); !changed {
		quiet = min(max(2*b.quiet, tick), maxQuiet)
	}
	a.board = board{st, now, quiet}
	return st, ctx.Err()
}

// listen keeps the ring for as long as the API is open.
func (a *API) listen() {
	_, err := guard(a.base, a, "events", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.service.Events(ctx, api.EventsRequest{Progress: true}, func(e api.Event) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ring.add(e)
			a.ops.heard(a.opts.Now(), e)
			a.board.quiet = 0 // whatever happened shows soon
		})
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		a.opts.Log.Warn("listen to the node's events", "err", err)
	}
}

// Since asks for the stream; LastID is set by a browser that comes back.
type Since struct {
	LastID string `header:"Last-Event-ID" maxLength:"32" doc:"events after this one are told again"`

	rc *http.ResponseController
}

// Resolve keeps what ends the deadline that every message sets for itself: HTTP/2 breaks a stream whose deadline
// passes, also when nothing is being written.
func (s *Since) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	s.rc = http.NewResponseController(w)
	return nil
}

// streamRoute registers the stream of events.
func (a *API) streamRoute() {
	op := a.operation(route{id: "events", method: "GET", path: "/events",
		summary: "A snapshot, then whatever changes; events carry an id, and those of before come first"})
	slots := make(chan struct{}, maxStreams)
	op.Middlewares = huma.Middlewares{func(c huma.Context, next func(huma.Context)) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next(c)
		default:
			_, w := humago.Unwrap(c)
			e := &api.Error{Code: "too_many_streams", ExitCode: api.ExitNeedsNode, Title: "too many streams are open", Retryable: true}
			writeProblem(w, api.StatusOf(e), e)
		}
	}}
	sse.Register(a.huma, op, map[string]any{"snapshot": Snapshot{}, "status": StatusChange{}, "operation": Operation{}, "event": api.Event{}}, a.stream)
}

// stream feeds one client until it leaves or the API is closed.
func (a *API) stream(ctx context.Context, in *Since, send sse.Sender) {
	if !a.begin() {
		return
	}
	defer a.group.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.base, cancel)()

	v := viewer{send: func(m sse.Message) error {
		defer func() { _ = in.rc.SetWriteDeadline(time.Time{}) }() // not every writer has deadlines
		return send(m)
	}}
	v.event, _ = strconv.Atoi(in.LastID) // what is no number is before all
	if v.first(ctx, a) != nil {
		return
	}
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	silent := time.Duration(0)
	for {
		said, err := v.next(ctx, a)
		if silent += tick; said {
			silent = 0
		}
		if err == nil && silent >= beat {
			silent, err = 0, v.send.Comment("alive")
		}
		if err != nil {
			return
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// viewer is how far a client of the stream has been told.
type viewer struct {
	send    sse.Sender
	status  api.Status
	changes uint64 // of operations
	event   int
}

func (v *viewer) first(ctx context.Context, a *API) error {
	st, err := a.look(ctx)
	if err != nil {
		return err
	}
	ops, mark := a.listed(0)
	v.status, v.changes = st, mark
	a.mu.Lock()
	if v.event > a.ring.last { // no id of ours
		v.event = 0
	}
	samples := append([]Sample{}, a.samples.kept...)
	a.mu.Unlock()
	return v.send(sse.Message{Retry: retryMs,
		Data: Snapshot{Time: stamp(a.opts.Now()), Status: st, Operations: ops[:min(len(ops), maxFirst)], Samples: samples}})
}

// next tells what is new; said is false if nothing was.
func (v *viewer) next(ctx context.Context, a *API) (said bool, err error) {
	tell := func(m sse.Message) {
		if err == nil {
			said, err = true, v.send(m)
		}
	}
	ops, mark := a.listed(v.changes)
	v.changes = mark
	for _, op := range slices.Backward(ops) {
		tell(sse.Message{Data: op})
	}
	a.mu.Lock()
	news := a.ring.after(v.event)
	a.mu.Unlock()
	for _, n := range news {
		v.event = n.id
		tell(sse.Message{ID: n.id, Data: n.Event})
	}
	st, lookErr := a.look(ctx)
	if lookErr != nil {
		return said, errors.Join(err, ctx.Err()) // a node that cannot tell now may do so later
	}
	if c, changed := changeOf(v.status, st); changed {
		v.status = st
		c.Time = stamp(a.opts.Now())
		tell(sse.Message{Data: c})
	}
	return said, err
}
