package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub answers with the request it was given, or what its funcs do. The zero value works.
type stub struct {
	get    func(context.Context, GetRequest, func(Progress)) (GetResult, error)
	status func(context.Context) (Status, error)
	events func(context.Context, EventsRequest, func(Event)) error
}

func (s *stub) Share(_ context.Context, r ShareRequest, progress func(Progress)) (ShareResult, error) {
	progress(Progress{Phase: "scan", BytesDone: 1})
	return ShareResult{Set: r.Set, Name: r.Name, Bytes: 1 << 60}, nil
}

func (s *stub) Get(ctx context.Context, r GetRequest, progress func(Progress)) (GetResult, error) {
	if s.get != nil {
		return s.get(ctx, r, progress)
	}
	return GetResult{Set: r.Ticket, Dest: r.Dest}, nil
}

func (s *stub) Verify(_ context.Context, r VerifyRequest, _ func(Progress)) (VerifyResult, error) {
	return VerifyResult{Set: r.Set, Damaged: 1}, nil
}

func (s *stub) Ls(_ context.Context, r LsRequest) (LsResult, error) {
	return LsResult{Entries: []Entry{{Path: r.Path}}}, nil
}

func (s *stub) Show(_ context.Context, set string) (SetInfo, error) { return SetInfo{Set: set}, nil }

func (s *stub) Status(ctx context.Context) (Status, error) {
	if s.status != nil {
		return s.status(ctx)
	}
	return Status{PeerID: "me"}, nil
}

func (s *stub) Rm(_ context.Context, r RmRequest) (RmResult, error) { return RmResult{Set: r.Set}, nil }

func (s *stub) GC(context.Context) (GCResult, error) { return GCResult{Blocks: 7}, nil }

// node serves s at a socket until stop is called, which waits for Serve.
func node(t *testing.T, s Service, o ServerOptions) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(shortDir(t), "api.sock")
	l, err := ListenAt(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, s, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return socket, stop
}

// shortDir is a folder whose name leaves room for a socket: that of t.TempDir holds the test's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func dial(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestEveryMethodArrives(t *testing.T) {
	stopped := make(chan struct{})
	settings := map[string]string{"p2p.mdns": "false"}
	socket, _ := node(t, new(stub), ServerOptions{Version: "v9", Transient: true, Settings: settings, Stop: func() { close(stopped) }})
	c := dial(t, socket)
	ctx := t.Context()
	if v := c.Version(); !reflect.DeepEqual(v, VersionInfo{"v9", Major, true, settings}) {
		t.Errorf("version %+v", v)
	}
	if r, err := c.Share(ctx, ShareRequest{Path: "/p", Name: "n", Set: "s"}, nil); err != nil || r.Set != "s" || r.Name != "n" || r.Bytes != 1<<60 {
		t.Errorf("share: %+v %v", r, err)
	}
	if r, err := c.Get(ctx, GetRequest{Ticket: "t", Dest: "/d"}, nil); err != nil || r.Set != "t" || r.Dest != "/d" {
		t.Errorf("get: %+v %v", r, err)
	}
	if r, err := c.Verify(ctx, VerifyRequest{Set: "s"}, nil); err != nil || r.Set != "s" || r.Damaged != 1 {
		t.Errorf("verify: %+v %v", r, err)
	}
	if r, err := c.Ls(ctx, LsRequest{Set: "s", Path: "a/b"}); err != nil || len(r.Entries) != 1 || r.Entries[0].Path != "a/b" {
		t.Errorf("ls: %+v %v", r, err)
	}
	if r, err := c.Show(ctx, "a b&c/ü%"); err != nil || r.Set != "a b&c/ü%" {
		t.Errorf("show: %+v %v", r, err)
	}
	if r, err := c.Status(ctx); err != nil || r.PeerID != "me" {
		t.Errorf("status: %+v %v", r, err)
	}
	if r, err := c.Rm(ctx, RmRequest{Set: "s"}); err != nil || r.Set != "s" {
		t.Errorf("rm: %+v %v", r, err)
	}
	if r, err := c.GC(ctx); err != nil || r.Blocks != 7 {
		t.Errorf("gc: %+v %v", r, err)
	}
	if r, err := c.Publish(ctx, PublishRequest{Target: "s", DryRun: true}, nil); err != nil || r.Set != "s" || !r.DryRun {
		t.Errorf("publish: %+v %v", r, err)
	}
	if r, err := c.Restore(ctx, RestoreRequest{Set: "s", Rev: 3, Dest: "/d"}, nil); err != nil || r.Set != "s" || r.Revision != 3 || r.Dest != "/d" {
		t.Errorf("restore: %+v %v", r, err)
	}
	if r, err := c.History(ctx, HistoryRequest{Set: "s", Verify: true}); err != nil || r.Set != "s" || len(r.Revisions) != 1 || !r.Revisions[0].Current {
		t.Errorf("history: %+v %v", r, err)
	}
	if r, err := c.Diff(ctx, DiffRequest{Set: "s", A: 1, B: 2}); err != nil || r.Set != "s" || r.A != 1 || r.B != 2 {
		t.Errorf("diff: %+v %v", r, err)
	}
	if r, err := c.Follow(ctx, FollowRequest{Ticket: "t", Dest: "/d"}, nil); err != nil || r.Set != "t" || r.Dest != "/d" || !r.Following {
		t.Errorf("follow: %+v %v", r, err)
	}
	if r, err := c.Unfollow(ctx, UnfollowRequest{Set: "s"}); err != nil || r.Set != "s" {
		t.Errorf("unfollow: %+v %v", r, err)
	}
	var heard []Event
	if err := c.Events(ctx, EventsRequest{Set: "s"}, func(e Event) { heard = append(heard, e) }); err != nil || len(heard) != 1 || heard[0].Set != "s" {
		t.Errorf("events: %+v %v", heard, err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	<-stopped
}

func TestErrorsKeepTheirMembers(t *testing.T) {
	want := &Error{Code: "conflict", ExitCode: ExitConflict, Title: "would overwrite", Detail: "a.txt", Hint: "--force", Retryable: true}
	s := &stub{
		get: func(context.Context, GetRequest, func(Progress)) (GetResult, error) {
			return GetResult{}, fmt.Errorf("get set: %w", want)
		},
		status: func(context.Context) (Status, error) { return Status{}, want },
	}
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	_, streamed := c.Get(t.Context(), GetRequest{}, nil)
	_, plain := c.Status(t.Context())
	for name, err := range map[string]error{"stream": streamed, "plain": plain} {
		var got *Error
		if !errors.As(err, &got) || *got != *want {
			t.Errorf("%s: %#v, want %#v", name, err, want)
		}
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	s := &stub{
		get:    func(context.Context, GetRequest, func(Progress)) (GetResult, error) { panic("boom") },
		status: func(context.Context) (Status, error) { panic("boom") },
	}
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	_, streamed := c.Get(t.Context(), GetRequest{}, nil)
	_, plain := c.Status(t.Context())
	for _, err := range []error{streamed, plain} {
		if e := AsError(err); e.ExitCode != ExitBug || e.Detail != "boom" {
			t.Errorf("%+v", e)
		}
	}
}

// A node that ends in the middle of an operation is told from an operation that failed, and it ends
// within a second although the operation would run for ever.
func TestServerEndsInTheMiddle(t *testing.T) {
	started := make(chan struct{}, 2)
	s := &stub{
		get: func(ctx context.Context, _ GetRequest, _ func(Progress)) (GetResult, error) {
			started <- struct{}{}
			<-ctx.Done()
			return GetResult{}, ctx.Err()
		},
		status: func(ctx context.Context) (Status, error) {
			started <- struct{}{}
			<-ctx.Done()
			return Status{}, ctx.Err()
		},
	}
	socket, stop := node(t, s, ServerOptions{})
	c := dial(t, socket)
	errs := make(chan error, 2)
	go func() { _, err := c.Get(t.Context(), GetRequest{}, nil); errs <- err }()
	go func() { _, err := c.Status(t.Context()); errs <- err }()
	<-started
	<-started
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Serve took %v to end", took)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, ErrHostGone) {
			t.Errorf("got %v, want ErrHostGone", err)
		}
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrHostGone) {
		t.Errorf("after the end: %v, want ErrHostGone", err)
	}
	if _, err := Dial(t.Context(), socket); !errors.Is(err, ErrNoNode) {
		t.Errorf("dial after the end: %v, want ErrNoNode", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// An operation that ignores its context cannot keep the server from ending.
func TestServerEndsDespiteADeafOperation(t *testing.T) {
	started, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := &stub{get: func(context.Context, GetRequest, func(Progress)) (GetResult, error) {
		defer close(ended)
		close(started)
		<-release
		return GetResult{}, nil
	}}
	socket, stop := node(t, s, ServerOptions{})
	c := dial(t, socket)
	errs := make(chan error, 1)
	go func() { _, err := c.Get(t.Context(), GetRequest{}, nil); errs <- err }()
	<-started
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Serve took %v to end", took)
	}
	if err := <-errs; !errors.Is(err, ErrHostGone) {
		t.Errorf("got %v, want ErrHostGone", err)
	}
	close(release)
	<-ended
}

func TestOperationEndsWithItsClient(t *testing.T) {
	for _, op := range []string{"get", "status", "events"} {
		started, ended := make(chan struct{}), make(chan struct{})
		wait := func(ctx context.Context) error {
			close(started)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		}
		s := &stub{
			get: func(ctx context.Context, _ GetRequest, _ func(Progress)) (GetResult, error) {
				return GetResult{}, wait(ctx)
			},
			status: func(ctx context.Context) (Status, error) { return Status{}, wait(ctx) },
			events: func(ctx context.Context, _ EventsRequest, _ func(Event)) error { return wait(ctx) },
		}
		socket, stop := node(t, s, ServerOptions{})
		c := dial(t, socket)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			var err error
			switch op {
			case "get":
				_, err = c.Get(ctx, GetRequest{}, nil)
			case "status":
				_, err = c.Status(ctx)
			case "events":
				err = c.Events(ctx, EventsRequest{}, nil)
			}
			errs <- err
		}()
		<-started
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) || errors.Is(err, ErrHostGone) {
			t.Errorf("%s: %v, want context.Canceled", op, err)
		}
		<-ended
		stop()
	}
}

// The newest state and every sentence arrive; at most four lines a second do.
func TestProgressIsCoalesced(t *testing.T) {
	const states = 1000
	begin := time.Now()
	s := &stub{get: func(_ context.Context, _ GetRequest, progress func(Progress)) (GetResult, error) {
		for i := range states {
			p := Progress{Phase: "fetch", BytesDone: int64(i + 1), BytesTotal: states}
			if i == 500 || i == 501 || i == states-1 {
				p.Message = fmt.Sprintf("sentence %d", i)
			}
			progress(p)
		}
		return GetResult{}, nil
	}}
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	var got []Progress
	if _, err := c.Get(t.Context(), GetRequest{}, func(p Progress) { got = append(got, p) }); err != nil {
		t.Fatal(err)
	}
	most := int(time.Since(begin)/progressEvery) + 2 // the first and the last
	if len(got) == 0 || len(got) > most || got[len(got)-1].BytesDone != states {
		t.Fatalf("%d states, at most %d wanted, and the last: %+v", len(got), most, got)
	}
	var text []string
	for _, p := range got {
		if p.Message != "" {
			text = append(text, p.Message)
		}
	}
	if s := strings.Join(text, "\n"); s != "sentence 500\nsentence 501\nsentence 999" {
		t.Errorf("sentences %q", s)
	}
}

func TestReady(t *testing.T) {
	ready := make(chan struct{})
	socket, _ := node(t, new(stub), ServerOptions{Ready: ready, Warnings: func() []string { return []string{"the disk is full"} }})
	c := dial(t, socket) // healthy is not ready
	if _, err := c.get(t.Context(), "/readyz"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("readyz before: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1)
	go func() { _, err := c.Status(ctx); errs <- err }()
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("an operation before ready: %v", err)
	}
	close(ready)
	if body, err := c.get(t.Context(), "/readyz"); err != nil || !strings.Contains(string(body), `{"ready":true,"warnings":["the disk is full"]}`) {
		t.Errorf("readyz after: %s %v", body, err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOfflineHostRefusesTheNetwork(t *testing.T) {
	socket, _ := node(t, new(stub), ServerOptions{Offline: true})
	c := dial(t, socket)
	_, get := c.Get(t.Context(), GetRequest{}, nil)
	_, share := c.Share(t.Context(), ShareRequest{}, nil)
	_, publish := c.Publish(t.Context(), PublishRequest{}, nil)
	_, restore := c.Restore(t.Context(), RestoreRequest{}, nil)
	_, follow := c.Follow(t.Context(), FollowRequest{}, nil)
	for _, err := range []error{get, share, publish, restore, follow} {
		if e := AsError(err); e.Code != CodeOfflineHost || !e.Retryable {
			t.Errorf("%+v", e)
		}
	}
	if _, err := c.Verify(t.Context(), VerifyRequest{}, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Publish(t.Context(), PublishRequest{DryRun: true}, nil); err != nil {
		t.Errorf("a dry run: %v", err)
	}
}

// other speaks another version of the API.
func other(t *testing.T, version int) (socket string, stopped chan string) {
	socket, stopped = filepath.Join(shortDir(t), "s"), make(chan string, 1)
	l, err := ListenAt(socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"version":"v2.0","api":%d}`, version)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{}`); stopped <- r.URL.Path })
	srv := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return socket, stopped
}

func TestOtherMajorVersion(t *testing.T) {
	for version, stop := range map[int]string{1: "/api/v1/stop", Major + 1: "/cli/v1/stop"} {
		socket, stopped := other(t, version)
		c := dial(t, socket)
		_, plain := c.Status(t.Context())
		_, stream := c.Get(t.Context(), GetRequest{}, nil)
		for _, err := range []error{plain, stream} {
			if e := AsError(err); e.ExitCode != ExitNeedsNode || e.Code != CodeAPIMismatch || !strings.Contains(e.Detail, "v2.0") {
				t.Errorf("%+v", e)
			}
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("stop must work with any version: %v", err)
		}
		if got := <-stopped; got != stop {
			t.Errorf("version %d is stopped at %s", version, got)
		}
	}
}

// The first version's commands find where to stop a node of any version.
func TestFirstStop(t *testing.T) {
	stopped := false
	h := newHandler(new(stub), ServerOptions{Stop: func() { stopped = true }}, t.Context()).routes()
	if w := post(h, "/api/v1/stop", []byte(`{}`)); w.Code/100 != 2 || !stopped {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
