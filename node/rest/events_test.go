package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

// message is one message of a stream.
type message struct{ id, event, data, retry string }

// stream connects; next blocks until a message of one of the kinds comes.
func stream(t *testing.T, srv *httptest.Server, lastID string) (next func(kinds ...string) message, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+prefix+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", lastID)
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, ct)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	next = func(kinds ...string) message {
		t.Helper()
		var m message
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
			case "retry":
				m.retry = value
			case "":
				if slices.Contains(kinds, m.event) {
					return m
				}
				m = message{}
			}
		}
		return message{event: "end"}
	}
	return next, func() {
		cancel()
		resp.Body.Close()
	}
}

func into[T any](t *testing.T, m message) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.data), &v); err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	return v
}

func TestStream(t *testing.T) {
	var mu sync.Mutex
	st := api.Status{PeerID: "me", Listen: []string{}, Sets: manySets(2), Peers: []api.PeerInfo{}}
	f := &fake{status: func() (api.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		return st, nil
	}}
	a := serve(t, f, Options{})
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	f.tell(api.Event{Kind: api.EventNotice, Detail: "before"})
	next, leave := stream(t, srv, "")
	defer leave()

	first := next("snapshot", "status", "operation", "event")
	snap := into[Snapshot](t, first)
	if first.event != "snapshot" || first.retry != "1000" || first.id != "" || len(snap.Status.Sets) != 2 || snap.Operations == nil {
		t.Errorf("the first message: %+v", first)
	}
	if e := into[api.Event](t, next("event")); e.Detail != "before" {
		t.Errorf("what was before: %+v", e)
	}
	f.tell(api.Event{Kind: api.EventNotice, Detail: "line\nbreak"})
	m := next("event")
	if e := into[api.Event](t, m); e.Detail != "line\nbreak" || m.id == "" {
		t.Errorf("an event: %+v", m)
	}
	op := settle(t, a, call(t, a, "POST", prefix+"/gc", ""))
	if got := into[Operation](t, next("operation")); got.ID != op.ID {
		t.Errorf("an operation: %+v", got)
	}
	mu.Lock()
	changed := manySets(2)[1:]
	changed[0].Revision = 9
	st.Sets, st.WireIn, st.Peers = append(changed, api.SetInfo{Set: "new"}), 5, []api.PeerInfo{{PeerID: "p"}}
	mu.Unlock()
	c := into[StatusChange](t, next("status"))
	if len(c.Sets) != 2 || c.Sets[0].Revision != 9 || c.Sets[1].Set != "new" || !slices.Equal(c.Gone, []string{"set0000"}) || c.WireIn != 5 || c.Peers == nil || c.Listen != nil {
		t.Errorf("a change: %+v", c)
	}

	f.tell(api.Event{Kind: api.EventNotice, Detail: "missed"})
	last, _ := strconv.Atoi(m.id)
	for id, want := range map[string]string{m.id: "missed", "": "before", "x": "before", "-1": "before", "99999999999999999999999999999": "before",
		fmt.Sprint(last + 1<<40): "before", fmt.Sprint(last - 1<<40): "before"} {
		next, leave := stream(t, srv, id)
		if first := next("snapshot", "event"); first.event != "snapshot" {
			t.Errorf("back with %q: %+v", id, first)
		}
		if e := into[api.Event](t, next("event")); e.Detail != want {
			t.Errorf("back with %q: %+v, want %q", id, e, want)
		}
		leave()
	}
	a.Close()
	if m := next("event"); m.event != "end" {
		t.Errorf("after the end: %+v", m)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	a := serve(t, &fake{}, Options{})
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	for range maxStreams {
		next, leave := stream(t, srv, "")
		defer leave()
		next("snapshot")
	}
	if r := call(t, a, "GET", prefix+"/events", ""); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "too_many_streams") {
		t.Errorf("one too many: %d %s", r.status, r.body)
	}
}

// sink is a client that only counts.
type sink struct {
	httptest.ResponseRecorder
	deadline time.Time
}

func (s *sink) SetWriteDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

// A node that does nothing is looked at every two seconds, a busy one four times a second; whatever changes in between
// is told once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looked, bytesIn, perLook atomic.Int64
		f := &fake{status: func() (api.Status, error) {
			return api.Status{WireIn: bytesIn.Add(perLook.Load()), UptimeSeconds: float64(looked.Add(1))}, nil
		}}
		a := serve(t, f, Options{})
		out := &sink{ResponseRecorder: *httptest.NewRecorder()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.Handler().ServeHTTP(out, httptest.NewRequest("GET", prefix+"/events", nil).WithContext(ctx))
		}()
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if beats := bytes.Count(out.Body.Bytes(), []byte(": alive\n")); looked.Load() > 35 || beats < 3 || beats > 4 {
			t.Errorf("a silent minute: %d looks, %d beats", looked.Load(), beats)
		}
		if !out.deadline.IsZero() {
			t.Error("a silent stream has a deadline")
		}
		idle := looked.Load()
		perLook.Store(1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		told := int64(bytes.Count(out.Body.Bytes(), []byte("event: status\n")))
		if n := looked.Load() - idle; n < 30 || n > 41 || told > n || told < 30 {
			t.Errorf("ten busy seconds: %d looks, %d told", n, told)
		}
		before := looked.Load()
		for i := range 100_000 {
			f.tell(api.Event{Kind: api.EventProgress, Set: fmt.Sprint(i % 3), Progress: &api.Progress{BytesDone: int64(i)}})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := bytes.Count(out.Body.Bytes(), []byte(`"kind":"progress"`)); n != 3 || looked.Load()-before > 5 {
			t.Errorf("a storm of progress: %d told, %d looks", n, looked.Load()-before)
		}
		cancel()
		<-done
		a.Close()
	})
}

// Who reads after the mark of the time before has read everything that was kept, in order.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(time.Unix(1, 0))
		mark, n := r.last, 0
		var seen, all []string
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 80).Draw(t, "events") {
				n++
				all = append(all, fmt.Sprint(n))
				r.add(api.Event{Kind: api.EventNotice, Detail: fmt.Sprint(n)})
				r.add(api.Event{Kind: api.EventProgress, Set: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "set")})
				r.add(api.Event{Kind: api.EventReady})
			}
			if rapid.Bool().Draw(t, "done") {
				r.add(api.Event{Kind: api.EventEnded, Set: "a"})
			}
			last := mark
			progress := 0
			for _, e := range r.after(mark) {
				if e.id <= last {
					t.Fatal("out of order")
				}
				if last = e.id; e.Kind == api.EventNotice {
					seen = append(seen, e.Detail)
				}
				if e.Kind == api.EventProgress {
					progress++
				}
			}
			if mark = last; progress > 2 {
				t.Fatalf("%d states of two sets", progress)
			}
		}
		if !slices.Equal(seen, all) {
			t.Fatalf("%d of %d", len(seen), len(all))
		}
		late := r.after(0)
		if notices := len(late); notices > maxRing+2 || n > 0 && n < maxRing && notices < n {
			t.Fatalf("%d of %d for who comes late", notices, n)
		}
	})
}

func FuzzLastEventID(f *testing.F) {
	f.Add("1")
	f.Add("-9223372036854775808")
	f.Add("é\x00")
	fk := &fake{}
	a := serve(f, fk, Options{})
	fk.tell(api.Event{Kind: api.EventNotice})
	f.Fuzz(func(t *testing.T, id string) {
		ctx, cancel := context.WithCancel(t.Context())
		out := &sink{ResponseRecorder: *httptest.NewRecorder()}
		r := httptest.NewRequest("GET", prefix+"/events", nil).WithContext(ctx)
		r.Header["Last-Event-Id"] = []string{id}
		cancel() // one round is enough
		a.Handler().ServeHTTP(out, r)
		if out.Code != 200 && out.Code != 422 {
			t.Fatalf("%q: %d %s", id, out.Code, out.Body)
		}
	})
}
