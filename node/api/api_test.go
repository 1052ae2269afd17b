package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub answers with the request it was given, or what its funcs do. The zero value works.
type stub struct {
	get    func(context.Context, GetRequest, func(Progress)) (GetResult, error)
	status func(context.Context) (Status, error)
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
	socket, _ := node(t, new(stub), ServerOptions{Version: "v9", Transient: true, Stop: func() { close(stopped) }})
	c := dial(t, socket)
	ctx := t.Context()
	if v := c.Version(); v != (VersionInfo{"v9", Major, true}) {
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
	for _, op := range []string{"get", "status"} {
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
		}
		socket, stop := node(t, s, ServerOptions{})
		c := dial(t, socket)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			var err error
			if op == "get" {
				_, err = c.Get(ctx, GetRequest{}, nil)
			} else {
				_, err = c.Status(ctx)
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
	socket, _ := node(t, new(stub), ServerOptions{Ready: ready})
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
	if _, err := c.get(t.Context(), "/readyz"); err != nil {
		t.Errorf("readyz after: %v", err)
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
	for _, err := range []error{get, share} {
		if e := AsError(err); e.Code != CodeOfflineHost || !e.Retryable {
			t.Errorf("%+v", e)
		}
	}
	if _, err := c.Verify(t.Context(), VerifyRequest{}, nil); err != nil {
		t.Error(err)
	}
}

// other speaks a later version of the API.
func other(t *testing.T) (socket string, stopped chan struct{}) {
	socket, stopped = filepath.Join(shortDir(t), "s"), make(chan struct{})
	l, err := ListenAt(socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"version":"v2.0","api":2}`) })
	mux.HandleFunc("/api/v1/stop", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`); close(stopped) })
	srv := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return socket, stopped
}

func TestOtherMajorVersion(t *testing.T) {
	socket, stopped := other(t)
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
	<-stopped
}

func TestDialNobody(t *testing.T) {
	dir := shortDir(t)
	silent := filepath.Join(dir, "silent") // accepts and never answers
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dead := filepath.Join(dir, "dead") // a socket whose process was killed
	d, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	d.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = d.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{silent, dead, file, filepath.Join(dir, "missing")} {
		begin := time.Now()
		if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNoNode) {
			t.Errorf("%s: %v, want ErrNoNode", path, err)
		}
		if took := time.Since(begin); took > 2*dialPatience {
			t.Errorf("%s: took %v", path, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, silent); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoNode) {
		t.Errorf("cancelled: %v", err)
	}
	// Listening again replaces what a dead process left, and nothing that is no socket.
	l2, err := ListenAt(dead)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dead); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v, want 0600", st.Mode(), err)
	}
	_ = l2.Close()
	if _, err := ListenAt(file); err == nil {
		t.Error("a plain file was replaced by a socket")
	}
}

func TestLongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	path := SocketPath(home)
	if len(path) > maxSunPath || l.Addr().String() != path {
		t.Errorf("socket %s, listening at %s", path, l.Addr())
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v %v", st.Mode(), err)
	}
	b, err := os.ReadFile(filepath.Join(home, "api.json"))
	if err != nil || !bytes.Contains(b, []byte(path)) {
		t.Errorf("api.json: %s %v", b, err)
	}
	_ = l.Close()

	short := shortDir(t)
	if err := os.WriteFile(filepath.Join(short, "api.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if SocketPath(short) != path {
		t.Error("api.json is not followed")
	}
	l, err = Listen(short) // the home was moved to a shorter place
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := SocketPath(short); got != filepath.Join(short, "api.sock") {
		t.Errorf("socket %s", got)
	}
}

func TestSocketIsAlwaysShortEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := "/" + rapid.StringMatching(`[a-zé/]{0,300}`).Draw(t, "home")
		tmp := "/" + rapid.StringMatching(`[a-z/]{0,200}`).Draw(t, "tmp")
		path := chooseSocket(home, tmp, rapid.IntRange(0, 1<<31-1).Draw(t, "uid"))
		if len(path) > maxSunPath {
			t.Fatalf("%d bytes: %s", len(path), path)
		}
		if want := filepath.Join(home, "api.sock"); len(want) <= maxSunPath && path != want {
			t.Fatalf("%s, want %s", path, want)
		}
	})
}

func TestPrivateFolder(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := privateFolder(open); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(open); st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", st.Mode())
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Skip(err)
	}
	if err := privateFolder(link); err == nil {
		t.Error("a symlink was accepted")
	}
}

// post sends a body to a handler without a network.
func post(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	return w
}

func testHandler() http.Handler {
	return newHandler(new(stub), ServerOptions{}, context.Background()).routes()
}

func TestBadRequests(t *testing.T) {
	h := testHandler()
	for _, tt := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"unknown member", "/api/v1/ls", `{"sett":"x"}`, 400, CodeBadRequest},
		{"unknown member, stream", "/api/v1/get", `{"tickets":"x"}`, 400, CodeBadRequest},
		{"no JSON", "/api/v1/ls", `hello`, 400, CodeBadRequest},
		{"empty", "/api/v1/get", ``, 400, CodeBadRequest},
		{"wrong type", "/api/v1/get", `{"force":"yes"}`, 400, CodeBadRequest},
		{"two values", "/api/v1/ls", `{} {}`, 400, CodeBadRequest},
		{"rubbish after it", "/api/v1/ls", `{} x`, 400, CodeBadRequest},
		{"members where none are known", "/api/v1/gc", `{"now":true}`, 400, CodeBadRequest},
		{"too large", "/api/v1/get", `{"ticket":"` + strings.Repeat("x", maxBody) + `"}`, 400, CodeTooLarge},
		{"too large behind it", "/api/v1/get", `{}` + strings.Repeat(" ", maxBody), 400, CodeTooLarge},
		{"no such path", "/api/v1/lss", `{}`, 404, CodeNoEndpoint},
		{"wrong method", "/api/v1/status", `{}`, 404, CodeNoEndpoint},
		{"no stop", "/api/v1/stop", `{}`, 403, CodeNoEndpoint},
	} {
		w := post(h, tt.path, []byte(tt.body))
		var p struct {
			Type   string
			Status int
			Error
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.status || p.Status != tt.status || p.Code != tt.code ||
			p.Type != "urn:shoal:problem:"+tt.code || w.Header().Get("Content-Type") != problemMediaType {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
	if w := post(h, "/api/v1/gc", nil); w.Code != 200 {
		t.Errorf("gc without a body: %d %s", w.Code, w.Body)
	}
}

// Any body gets either the operation's answer, if it is strictly its request, or a problem.
func FuzzRequestBody(f *testing.F) {
	paths := []string{"/api/v1/share", "/api/v1/get", "/api/v1/verify", "/api/v1/ls", "/api/v1/rm", "/api/v1/gc"}
	for i := range paths {
		f.Add(byte(i), []byte(`{}`))
		f.Add(byte(i), []byte(`{"set":"s","ticket":"t","dest":"/d","max_bytes":9e99}`))
		f.Add(byte(i), []byte(`[[[[{"`))
	}
	h := testHandler()
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		path := paths[int(which)%len(paths)]
		w := post(h, path, body)
		answer := w.Body.Bytes()
		switch w.Code {
		case 200:
			if !json.Valid(body) && len(bytes.TrimSpace(body)) != 0 {
				t.Fatalf("%s took %q", path, body)
			}
			for _, l := range bytes.Split(bytes.TrimSpace(answer), []byte("\n")) {
				if !json.Valid(l) {
					t.Fatalf("%s: answer %q", path, l)
				}
			}
		case 400:
			if e := new(Error); json.Unmarshal(answer, e) != nil || e.ExitCode != ExitUsage || e.Title == "" {
				t.Fatalf("%s: problem %s", path, answer)
			}
		default:
			t.Fatalf("%s: status %d for %q", path, w.Code, body)
		}
	})
}

// A client takes any answer without a panic and never mistakes a broken one for a result.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"type":"result","v":1,"set":"s"}`))
	f.Add([]byte(`{"type":"error","v":1,"code":"x","exit_code":4}`))
	f.Add([]byte(`{"type":"progress","v":1,"bytes_done":1}`))
	f.Add([]byte(`{"type":"later"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var res GetResult
		done, err := line(b, &res, func(Progress) {})
		if err != nil && !done {
			t.Fatal("an error must be the end")
		}
		if done && err == nil && !bytes.Contains(b, []byte("result")) {
			t.Fatalf("took %q for a result", b)
		}
	})
}

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{struct{}{}, `{"type":"k","v":1}`},
		{GCResult{Blocks: 1}, `{"type":"k","v":1,"blocks":1,"bytes":0,"disk_bytes":0}`},
		{&Error{Code: "c", Title: "t"}, `{"type":"k","v":1,"code":"c","exit_code":0,"title":"t","retryable":false}`},
	} {
		if got, err := Line("k", tt.v); err != nil || string(got) != tt.want+"\n" {
			t.Errorf("%s %v, want %s", got, err, tt.want)
		}
	}
	for _, v := range []any{nil, 1, []int{1}, "s"} {
		if got, err := Line("k", v); err == nil {
			t.Errorf("%v: %s, want an error", v, got)
		}
	}
}

// The vocabulary has no member called type or v: Line would write it twice.
func TestVocabularyLeavesTypeAndVFree(t *testing.T) {
	for _, v := range []any{ShareResult{}, GetResult{}, LsResult{}, SetInfo{}, Status{}, VerifyResult{}, RmResult{}, GCResult{}, Progress{}, Error{}} {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			if name == "" || name == "type" || name == "v" {
				t.Errorf("%T: member %q", v, name)
			}
		}
	}
}
