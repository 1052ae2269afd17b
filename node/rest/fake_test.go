package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a service that remembers what it was asked, and answers with it. The zero value works.
type fake struct {
	api.Service // what a test does not expect panics

	sets   []api.SetInfo
	files  map[string]string // of every set
	status func() (api.Status, error)
	slow   bool                                            // a follow is complete when the test tells so
	work   func(context.Context, func(api.Progress)) error // of every operation; nil = it is done at once

	mu      sync.Mutex // guards what follows
	content func(api.ContentRequest, io.Writer) error
	asked   []any
	hear    func(api.Event)
	heard   chan struct{} // closed once hear is set
}

// ask remembers a request.
func (f *fake) ask(q any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked[:min(len(f.asked), 1)], q)
}

// last is the request that came last.
func (f *fake) last() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[len(f.asked)-1]
}

func (f *fake) find(set string) (api.SetInfo, error) {
	for _, s := range f.sets {
		if s.Set == set || s.Name == set {
			return s, nil
		}
	}
	return api.SetInfo{}, &api.Error{Code: "unknown_set", ExitCode: api.ExitNotFound, Title: "no such set here", Detail: set, Hint: "`ls` lists them"}
}

func (f *fake) do(ctx context.Context, q any, progress func(api.Progress)) error {
	f.ask(q)
	progress(api.Progress{Phase: "scan", BytesDone: 1, BytesTotal: 2, Files: 1})
	if f.work != nil {
		return f.work(ctx, progress)
	}
	return nil
}

func (f *fake) Share(ctx context.Context, q api.ShareRequest, p func(api.Progress)) (api.ShareResult, error) {
	return api.ShareResult{Set: "id-of-" + q.Path, Ticket: "shoal1ticket", Name: "docs", Revision: 1, On: []string{}}, f.do(ctx, q, p)
}

func (f *fake) Get(ctx context.Context, q api.GetRequest, p func(api.Progress)) (api.GetResult, error) {
	return api.GetResult{Set: "s", Dest: q.Dest}, f.do(ctx, q, p)
}

func (f *fake) Publish(ctx context.Context, q api.PublishRequest, p func(api.Progress)) (api.PublishResult, error) {
	return api.PublishResult{ShareResult: api.ShareResult{Set: q.Target}}, f.do(ctx, q, p)
}

func (f *fake) Restore(ctx context.Context, q api.RestoreRequest, p func(api.Progress)) (api.RestoreResult, error) {
	return api.RestoreResult{Set: q.Set}, f.do(ctx, q, p)
}

func (f *fake) Follow(ctx context.Context, q api.FollowRequest, p func(api.Progress)) (api.FollowResult, error) {
	err := f.do(ctx, q, p)
	if err == nil && !f.slow {
		f.tell(api.Event{Kind: api.EventComplete, Set: q.Ticket})
	}
	return api.FollowResult{Set: q.Ticket, Following: true, Already: q.Dest == "/already"}, err
}

func (f *fake) Verify(ctx context.Context, q api.VerifyRequest, p func(api.Progress)) (api.VerifyResult, error) {
	return api.VerifyResult{Set: q.Set}, f.do(ctx, q, p)
}

func (f *fake) Failover(ctx context.Context, q api.FailoverRequest, p func(api.Progress)) (api.FailoverResult, error) {
	return api.FailoverResult{Set: q.Set}, f.do(ctx, q, p)
}

func (f *fake) GC(ctx context.Context) (api.GCResult, error) {
	return api.GCResult{Blocks: 3}, f.do(ctx, "gc", func(api.Progress) {})
}

func (f *fake) Ls(_ context.Context, q api.LsRequest) (api.LsResult, error) {
	f.ask(q)
	if q.Set == "" {
		return api.LsResult{Sets: f.sets}, nil
	}
	if _, err := f.find(q.Set); err != nil {
		return api.LsResult{}, err
	}
	out := api.LsResult{Entries: []api.Entry{}}
	for name, body := range f.files {
		if q.Path == "" || q.Path == name {
			out.Entries = append(out.Entries, api.Entry{Path: name, Kind: "file", Size: int64(len(body)), Mode: "0644", Mtime: "2026-01-02T03:04:05Z", Cid: "cid-of-" + name})
		}
	}
	return out, nil
}

func (f *fake) Show(_ context.Context, set string) (api.SetInfo, error) {
	f.ask(set)
	return f.find(set)
}

func (f *fake) Status(context.Context) (api.Status, error) {
	if f.status != nil {
		return f.status()
	}
	return api.Status{PeerID: "me", Sets: f.sets, Listen: []string{}, Peers: []api.PeerInfo{{PeerID: "b"}, {PeerID: "a"}}}, nil
}

func (f *fake) Rm(_ context.Context, q api.RmRequest) (api.RmResult, error) {
	f.ask(q)
	return api.RmResult{Set: q.Set}, nil
}

func (f *fake) History(_ context.Context, q api.HistoryRequest) (api.HistoryResult, error) {
	f.ask(q)
	return api.HistoryResult{Set: q.Set, Revisions: []api.Revision{{Revision: 1, Head: "h1", Kept: "here"}, {Revision: 2, Head: "h2", Kept: "here"}, {Revision: 10, Head: "h10", Kept: "here"}}}, nil
}

func (f *fake) Diff(_ context.Context, q api.DiffRequest) (api.DiffResult, error) {
	f.ask(q)
	return api.DiffResult{Set: q.Set, A: q.A, B: q.B, Changes: []api.Change{{Op: api.OpAdded, Path: "b"}, {Op: api.OpRemoved, Path: "a"}}}, nil
}

func (f *fake) Members(_ context.Context, q api.MembersRequest) (api.MembersResult, error) {
	f.ask(q)
	return api.MembersResult{Set: q.Set, Members: []api.Member{}}, nil
}

func (f *fake) Grant(_ context.Context, q api.GrantRequest) (api.GrantResult, error) {
	f.ask(q)
	return api.GrantResult{Set: q.Set, PeerID: q.Peer, Rights: []string{q.Right}}, nil
}

func (f *fake) Revoke(_ context.Context, q api.RevokeRequest) (api.RevokeResult, error) {
	f.ask(q)
	return api.RevokeResult{GrantResult: api.GrantResult{Set: q.Set, PeerID: q.Peer}}, nil
}

func (f *fake) Invite(_ context.Context, q api.InviteRequest) (api.InviteResult, error) {
	f.ask(q)
	return api.InviteResult{Set: q.Set, Invite: api.Invite{Nonce: q.Revoke, State: "open"}}, nil
}

func (f *fake) Rename(_ context.Context, q api.RenameRequest) (api.RenameResult, error) {
	f.ask(q)
	return api.RenameResult{Set: q.Set, Name: q.Name}, nil
}

func (f *fake) Promote(_ context.Context, q api.PromoteRequest) (api.PromoteResult, error) {
	f.ask(q)
	return api.PromoteResult{Set: q.Set, To: q.Peer}, nil
}

func (f *fake) Unfollow(_ context.Context, q api.UnfollowRequest) (api.UnfollowResult, error) {
	f.ask(q)
	if f.slow {
		f.tell(api.Event{Kind: api.EventEnded, Set: q.Set})
	}
	return api.UnfollowResult{Set: q.Set}, nil
}

func (f *fake) ExportOwner(context.Context) (api.OwnerKey, error) {
	f.ask("export")
	return api.OwnerKey{Owner: "o", Key: "secret"}, nil
}

func (f *fake) ImportOwner(_ context.Context, q api.ImportOwnerRequest) (api.ImportOwnerResult, error) {
	f.ask(q)
	return api.ImportOwnerResult{Owner: "o", Changed: true}, nil
}

func (f *fake) Availability(_ context.Context, q api.AvailabilityRequest) (api.AvailabilityResult, error) {
	f.ask(q)
	return api.AvailabilityResult{Set: q.Set, Columns: 2, Leaves: 8, Copies: []int{2, 1}, Peers: []api.PeerHave{
		{PeerID: "me", Self: true, State: api.HaveAll, Leaves: 8, Have: []int{100, 100}},
		{PeerID: "b", State: api.HaveSome, Leaves: 5, Have: []int{100, 25}, RTTms: 0.7}}}, nil
}

func (f *fake) Content(_ context.Context, q api.ContentRequest, w io.Writer) error {
	f.ask(q)
	f.mu.Lock()
	content := f.content
	f.mu.Unlock()
	if content != nil {
		return content(q, w)
	}
	for b := range bytes.SplitAfterSeq([]byte(f.files[q.Path])[q.Offset:q.Offset+q.Length], []byte("\n")) {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Why(ctx context.Context, q api.WhyRequest, p func(api.Progress)) (api.WhyResult, error) {
	return api.WhyResult{Set: "s", Steps: []api.WhyStep{}}, f.do(ctx, q, p)
}

func (f *fake) Peek(ctx context.Context, q api.PeekRequest, p func(api.Progress)) (api.PeekResult, error) {
	return api.PeekResult{Set: "s", Path: q.Path, Entries: []api.Entry{}}, f.do(ctx, q, p)
}

func (f *fake) Doctor(context.Context) (api.DoctorResult, error) {
	f.ask("doctor")
	return api.DoctorResult{OK: true, Checks: []api.Check{}}, nil
}

func (f *fake) Limits(context.Context) (api.Limits, error) {
	f.ask("limits")
	return api.Limits{Sets: []api.SetLimits{}}, nil
}

func (f *fake) SetLimits(_ context.Context, q api.LimitsRequest) (api.Limits, error) {
	f.ask(q)
	return api.Limits{Sets: []api.SetLimits{}}, nil
}

func (f *fake) Search(_ context.Context, q api.SearchRequest) (api.SearchResult, error) {
	f.ask(q)
	return api.SearchResult{Items: []api.SearchHit{}, Next: "the node's"}, nil
}

func (f *fake) Events(ctx context.Context, _ api.EventsRequest, fn func(api.Event)) error {
	f.mu.Lock()
	f.hear = fn
	close(f.heard)
	f.mu.Unlock()
	fn(api.Event{Kind: api.EventReady})
	<-ctx.Done()
	return ctx.Err()
}

// tell makes something happen at the node.
func (f *fake) tell(e api.Event) {
	<-f.heard
	f.mu.Lock()
	fn := f.hear
	f.mu.Unlock()
	fn(e)
}

// serve makes an API over f that is closed at the end of the test.
func serve(t testing.TB, f *fake, o Options) *API {
	t.Helper()
	f.heard = make(chan struct{})
	a := New(f, o)
	t.Cleanup(a.Close)
	return a
}

// reply is an answer, decoded.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
}

// call asks an API; a body makes it JSON. Headers come as name, value.
func call(t testing.TB, a *API, method, path, body string, headers ...string) reply {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r.WithContext(t.Context()))
	return reply{w.Code, w.Header(), w.Body.String()}
}

// settle waits until an operation has ended.
func settle(t testing.TB, a *API, r reply) Operation {
	t.Helper()
	if r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for {
		var op Operation
		call(t, a, "GET", r.header.Get("Location"), "").into(t, &op)
		if op.State != StateRunning {
			return op
		}
	}
}

func manySets(n int) (out []api.SetInfo) {
	for i := range n {
		out = append(out, api.SetInfo{Set: fmt.Sprintf("set%04d", i), Name: fmt.Sprintf("name %d", i), Ticket: "shoal1t"})
	}
	return out
}

// checkAnswer asks, and holds the answer against what every answer is.
func checkAnswer(t *testing.T, a *API, r *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r.WithContext(t.Context()))
	switch ct := w.Header().Get("Content-Type"); {
	case w.Code >= 300 && w.Code < 400: // ServeMux cleans paths
	case w.Code < 300 && (ct == "application/json" || ct == "application/openapi+json"), w.Code >= 400 && w.Code != http.StatusInternalServerError && ct == "application/problem+json":
		if r.Method != http.MethodHead && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %d %q", r.Method, r.URL, w.Code, w.Body)
		}
	case w.Code < 300 && ct == "application/octet-stream":
	default:
		t.Fatalf("%s %s: %d %s %q", r.Method, r.URL, w.Code, ct, w.Body)
	}
}
