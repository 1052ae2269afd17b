package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (s *stub) Publish(_ context.Context, r PublishRequest, progress func(Progress)) (PublishResult, error) {
	progress(Progress{Phase: "scan", BytesDone: 1})
	return PublishResult{ShareResult: ShareResult{Set: r.Target}, DryRun: r.DryRun}, nil
}

func (s *stub) Restore(_ context.Context, r RestoreRequest, _ func(Progress)) (RestoreResult, error) {
	return RestoreResult{Set: r.Set, Revision: r.Rev, Dest: r.Dest}, nil
}

func (s *stub) History(_ context.Context, r HistoryRequest) (HistoryResult, error) {
	return HistoryResult{Set: r.Set, Revisions: []Revision{{Revision: 1, Current: r.Verify}}}, nil
}

func (s *stub) Diff(_ context.Context, r DiffRequest) (DiffResult, error) {
	return DiffResult{Set: r.Set, A: r.A, B: r.B}, nil
}

func (s *stub) Follow(_ context.Context, r FollowRequest, _ func(Progress)) (FollowResult, error) {
	return FollowResult{Set: r.Ticket, Dest: r.Dest, Following: true}, nil
}

func (s *stub) Unfollow(_ context.Context, r UnfollowRequest) (UnfollowResult, error) {
	return UnfollowResult{Set: r.Set}, nil
}

func (s *stub) Events(ctx context.Context, r EventsRequest, fn func(Event)) error {
	if s.events != nil {
		return s.events(ctx, r, fn)
	}
	fn(Event{Kind: EventReady, Set: r.Set})
	return nil
}

func TestEventsArriveInOrderAndAtOnce(t *testing.T) {
	more := make(chan Event)
	s := &stub{events: func(ctx context.Context, _ EventsRequest, fn func(Event)) error {
		fn(Event{Kind: EventReady})
		for {
			select {
			case e := <-more:
				fn(e)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan Event), make(chan error, 1)
	go func() { ended <- c.Events(ctx, EventsRequest{}, func(e Event) { heard <- e }) }()
	if e := <-heard; e.Kind != EventReady {
		t.Fatalf("first event %+v", e)
	}
	for i := range uint64(10) {
		more <- Event{Kind: EventComplete, Set: "s", Revision: i, Result: &GetResult{Revision: i, BytesPatched: 7}}
		if e := <-heard; e.Revision != i || e.Result == nil || e.Result.Revision != i || e.Result.BytesPatched != 7 {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the end: %v", err)
	}
}

func TestEventsEndWithTheServerOrAnError(t *testing.T) {
	started := make(chan struct{})
	s := &stub{events: func(ctx context.Context, r EventsRequest, _ func(Event)) error {
		if r.Set != "" {
			return &Error{Code: "unknown_set", ExitCode: ExitNotFound, Title: "no such set here"}
		}
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}}
	socket, stop := node(t, s, ServerOptions{})
	c := dial(t, socket)
	if e := AsError(c.Events(t.Context(), EventsRequest{Set: "x"}, nil)); e == nil || e.Code != "unknown_set" {
		t.Errorf("events of an unknown set: %+v", e)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Events(t.Context(), EventsRequest{}, nil) }()
	<-started
	stop()
	if err := <-ended; !errors.Is(err, ErrHostGone) {
		t.Errorf("got %v, want ErrHostGone", err)
	}
}

// A client that connects and never reads must not hold up the node, and the server ends all the same.
func TestEventsOfAClientThatDoesNotRead(t *testing.T) {
	const events = 20_000 // some megabytes, more than socket buffers hold
	told := make(chan struct{})
	s := &stub{events: func(ctx context.Context, _ EventsRequest, fn func(Event)) error {
		for i := range uint64(events) {
			fn(Event{Kind: EventNotice, Revision: i, Detail: strings.Repeat("x", 1000)})
		}
		close(told)
		<-ctx.Done()
		return ctx.Err()
	}}
	socket, stop := node(t, s, ServerOptions{})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /cli/v1/events HTTP/1.1\r\nHost: shoal\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	<-told
	stop() // fails the test if Serve does not end
}

// Whatever is put and taken in between: order is kept, what is missing is counted where it is missing, and no
// more than maxQueued wait.
func TestEventQueueCountsWhatItDrops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &eventQueue{now: time.Now, kick: make(chan struct{}, 1), shown: map[string]time.Time{}}
		put, next := uint64(0), uint64(0)
		look := func() {
			all := q.take()
			if len(all) > maxQueued+1 {
				t.Fatalf("%d events were kept", len(all))
			}
			for i, e := range all {
				if e.Kind != EventNotice {
					if e.Revision != next {
						t.Fatalf("event %d, want %d", e.Revision, next)
					}
					next++
					continue
				}
				var n uint64
				if _, err := fmt.Sscanf(e.Detail, "%d event", &n); err != nil || n == 0 || i != len(all)-1 {
					t.Fatalf("notice %q at %d of %d: %v", e.Detail, i, len(all), err)
				}
				next += n
			}
			if next != put {
				t.Fatalf("%d events accounted for, %d were put", next, put)
			}
		}
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			for range rapid.IntRange(0, 3*maxQueued).Draw(t, "events") {
				q.put(Event{Kind: EventComplete, Revision: put})
				q.put(Event{Kind: EventProgress, Set: "s"}) // not wanted
				put++
			}
			look()
		}
	})
}

func TestEventQueueThinsProgress(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	q := &eventQueue{now: func() time.Time { return now }, progress: true, kick: make(chan struct{}, 1), shown: map[string]time.Time{}}
	tell := func(set, message string) int {
		q.put(Event{Kind: EventProgress, Set: set, Progress: &Progress{Message: message}})
		return len(q.take())
	}
	for i, tt := range []struct {
		after   time.Duration
		set     string
		message string
		want    int
	}{
		{0, "a", "", 1},
		{0, "a", "", 0},
		{0, "b", "", 1},
		{progressEvery - 1, "a", "", 0},
		{1, "a", "", 1},
		{0, "a", "a sentence", 1},
		{progressEvery, "a", "", 1},
	} {
		now = now.Add(tt.after)
		if got := tell(tt.set, tt.message); got != tt.want {
			t.Errorf("step %d: %d events, want %d", i, got, tt.want)
		}
	}
}

// The stream as bytes: every line an object with type and v, the last one a result or an error.
func TestEventLines(t *testing.T) {
	s := &stub{events: func(_ context.Context, _ EventsRequest, fn func(Event)) error {
		fn(Event{Time: "2026-01-02T03:04:05Z", Kind: EventReady})
		fn(Event{Kind: EventProgress, Progress: &Progress{BytesDone: 5}}) // not asked for
		panic("boom")
	}}
	h := newHandler(s, ServerOptions{}, context.Background()).routes()
	w := post(h, "/cli/v1/events", []byte(`{}`))
	got := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(got) != 2 || got[0] != `{"type":"event","v":1,"time":"2026-01-02T03:04:05Z","kind":"ready"}` {
		t.Fatalf("lines %q", got)
	}
	var e Error
	if err := json.Unmarshal([]byte(got[1]), &e); err != nil || e.ExitCode != ExitBug {
		t.Errorf("last line %s: %v", got[1], err)
	}
	w2 := post(h, "/cli/v1/events", []byte(`{"sets":"x"}`))
	if w2.Code != 400 {
		t.Errorf("unknown member: %d", w2.Code)
	}
}
