package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/shoal-p2p/shoal/node/api"
)

// Every endpoint asks the service for what the path, the query and the body say.
func TestEndpoints(t *testing.T) {
	f := &fake{sets: manySets(1), files: map[string]string{"a": "x"}}
	a := serve(t, f, Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int // 0 = 200
		want               any
	}{
		{"GET", "/sets/set0000", "", 0, "set0000"},
		{"GET", "/sets/name%200", "", 0, "name 0"},
		{"GET", "/sets/a%2Fb", "", 404, "a/b"},
		{"DELETE", "/sets/s", "", 0, api.RmRequest{Set: "s"}},
		{"DELETE", "/sets/s?files=true", "", 0, api.RmRequest{Set: "s", Files: true}},
		{"GET", "/sets/s/revisions?verify=true", "", 0, api.HistoryRequest{Set: "s", Verify: true}},
		{"GET", "/sets/s/diff?a=1&b=3", "", 0, api.DiffRequest{Set: "s", A: 1, B: 3}},
		{"GET", "/sets/set0000/files?path=a", "", 0, api.LsRequest{Set: "set0000", Path: "a"}},
		{"GET", "/sets/s/availability", "", 0, api.AvailabilityRequest{Set: "s", Columns: 64}},
		{"GET", "/sets/s/availability?columns=7", "", 0, api.AvailabilityRequest{Set: "s", Columns: 7}},
		{"GET", "/sets/s/members", "", 0, api.MembersRequest{Set: "s"}},
		{"POST", "/sets/s/members", `{"peer":"p","right":"writer"}`, 0, api.GrantRequest{Set: "s", Peer: "p", Right: "writer"}},
		{"DELETE", "/sets/s/members?peer=p&right=reader&own=true", "", 0, api.RevokeRequest{Set: "s", Peer: "p", Right: "reader", Own: true}},
		{"POST", "/sets/s/invites", `{"expires":"1h"}`, 0, api.InviteRequest{Set: "s", Expires: "1h"}},
		{"POST", "/sets/s/invites", "", 0, api.InviteRequest{Set: "s"}},
		{"DELETE", "/sets/s/invites/abcd", "", 0, api.InviteRequest{Set: "s", Revoke: "abcd"}},
		{"POST", "/sets/s/rename", `{"name":"n"}`, 0, api.RenameRequest{Set: "s", Name: "n"}},
		{"POST", "/sets/s/promote", `{"peer":"p"}`, 0, api.PromoteRequest{Set: "s", Peer: "p"}},
		{"POST", "/sets/s/unfollow", `{}`, 0, api.UnfollowRequest{Set: "s"}},
		{"POST", "/owner-key/export", "", 0, "export"},
		{"POST", "/owner-key/import", `{"key":"k","replace":true}`, 0, api.ImportOwnerRequest{Key: "k", Replace: true}},
		{"POST", "/sets", `{"path":"/","private":true}`, 202, api.ShareRequest{Path: "/", Private: true}},
		{"POST", "/fetches", `{"ticket":"t","dest":"/d","using":["/"]}`, 202, api.GetRequest{Ticket: "t", Dest: "/d", Using: []string{"/"}}},
		{"POST", "/fetches", `{"ticket":"t","dest":"/d","only":["a/b","*.c"]}`, 202, api.GetRequest{Ticket: "t", Dest: "/d", Only: []string{"a/b", "*.c"}}},
		{"POST", "/peek", `{"ticket":"t","path":"a/b","rev":2}`, 202, api.PeekRequest{Ticket: "t", Path: "a/b", Rev: 2}},
		{"POST", "/follows", `{"ticket":"t","dest":"/d"}`, 202, api.FollowRequest{Ticket: "t", Dest: "/d"}},
		{"POST", "/follows", `{"ticket":"t","replicate":true}`, 202, api.FollowRequest{Ticket: "t", Replicate: true}},
		{"POST", "/sets/s/follow", `{"dest":"/d"}`, 202, api.FollowRequest{Ticket: "s", Dest: "/d"}},
		{"POST", "/sets/s/publish", `{"note":"n"}`, 202, api.PublishRequest{Target: "s", Note: "n"}},
		{"POST", "/sets/s/verify", "", 202, api.VerifyRequest{Set: "s"}},
		{"POST", "/sets/s/restore", `{"rev":2,"dest":"/d"}`, 202, api.RestoreRequest{Set: "s", Rev: 2, Dest: "/d"}},
		{"POST", "/sets/s/failover", `{"back":true}`, 202, api.FailoverRequest{Set: "s", Back: true}},
		{"POST", "/gc", "", 202, "gc"},
		{"POST", "/why", `{"ticket":"t","deep":true}`, 202, api.WhyRequest{Ticket: "t", Deep: true}},
		{"GET", "/doctor", "", 0, "doctor"},
		{"GET", "/limits", "", 0, "limits"},
		{"PUT", "/limits", `{"up":0,"set":"s"}`, 0, api.LimitsRequest{Set: "s", Up: new(int64)}},
		{"GET", "/search?q=*.txt&set=s&limit=7&cursor=c", "", 0, api.SearchRequest{Pattern: "*.txt", Set: "s", Limit: 7, Cursor: "c"}},
	} {
		r := call(t, a, tt.method, prefix+tt.path, tt.body)
		if r.status != cmp.Or(tt.status, 200) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, r.status, r.body)
			continue
		}
		if r.status == 202 {
			if op := settle(t, a, r); op.State != StateDone || op.Result == nil || op.Progress == nil && op.Kind != "gc" {
				t.Errorf("%s %s: %+v", tt.method, tt.path, op)
			}
		}
		if diff := gocmp.Diff(tt.want, f.last()); diff != "" {
			t.Errorf("%s %s: %s", tt.method, tt.path, diff)
		}
	}
}

// What is refused is a Problem that says what to mend, and reaches no service.
func TestRefusals(t *testing.T) {
	f := &fake{sets: manySets(1)}
	a := serve(t, f, Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		code, location     string
	}{
		{"GET", "/nowhere", "", 404, api.CodeNoEndpoint, ""},
		{"DELETE", "/status", "", 405, api.CodeNoEndpoint, ""},
		{"POST", "/stop", "", 403, api.CodeNoEndpoint, ""},
		{"GET", "/sets?limit=0", "", 422, api.CodeBadRequest, "query.limit"},
		{"GET", "/sets?limit=1001", "", 422, api.CodeBadRequest, "query.limit"},
		{"GET", "/sets?limit=x", "", 422, api.CodeBadRequest, "query.limit"},
		{"GET", "/sets?cursor=!", "", 400, "bad_cursor", ""},
		{"GET", "/sets?cursor=YQ", "", 400, "bad_cursor", ""},
		{"GET", "/sets?filter=x", "", 422, api.CodeBadRequest, "query.filter"},
		{"GET", "/sets/" + strings.Repeat("x", 600), "", 422, api.CodeBadRequest, "path.set"},
		{"GET", "/sets/nope", "", 404, "unknown_set", ""},
		{"GET", "/operations/nope", "", 404, "unknown_operation", ""},
		{"DELETE", "/operations/nope", "", 404, "unknown_operation", ""},
		{"GET", "/search", "", 422, api.CodeBadRequest, "query.q"},
		{"PUT", "/limits", `{"up":"1MB"}`, 422, api.CodeBadRequest, "body.up"},
		{"POST", "/sets", "", 400, api.CodeBadRequest, ""},
		{"POST", "/sets", "null", 422, api.CodeBadRequest, "body"},
		{"POST", "/sets", "[]", 422, api.CodeBadRequest, "body"},
		{"POST", "/sets", `{"path":1}`, 422, api.CodeBadRequest, "body.path"},
		{"POST", "/sets", `{}`, 422, api.CodeBadRequest, "body"},
		{"POST", "/sets", `{"path":"/x"`, 400, api.CodeBadRequest, "body"},
		{"POST", "/sets", `{"path":"/x"}{}`, 400, api.CodeBadRequest, "body"},
		{"POST", "/sets", `{"path":"/x","nope":1}`, 422, api.CodeBadRequest, "body.nope"},
		{"POST", "/sets/s/verify", `{"set":"other"}`, 422, api.CodeBadRequest, "body.set"},
		{"POST", "/sets/s/verify", `{"SET":"other"}`, 422, api.CodeBadRequest, "body.SET"},
		{"POST", "/sets/s/invites", `{"revoke":"all"}`, 422, api.CodeBadRequest, "body.revoke"},
		{"DELETE", "/sets/s/members", "", 422, api.CodeBadRequest, "query.peer"},
		{"DELETE", "/sets/s/members?peer=p&right=king", "", 422, api.CodeBadRequest, "query.right"},
		{"POST", "/sets", `{"path":"` + strings.Repeat("x", 2<<20) + `"}`, 413, api.CodeTooLarge, ""},
	} {
		f.asked = nil
		r := call(t, a, tt.method, prefix+tt.path, tt.body)
		var p Problem
		r.into(t, &p)
		location := ""
		if len(p.Errors) > 0 {
			location = p.Errors[0].Location
		}
		if r.status != tt.status || p.Status != tt.status || p.Code != tt.code || location != tt.location || p.Type != "urn:shoal:problem:"+tt.code {
			t.Errorf("%s %.80s %.40s: %d %s", tt.method, tt.path, tt.body, r.status, r.body)
		}
		if r.header.Get("Content-Type") != "application/problem+json" || f.last() != nil && f.last() != "nope" && tt.code != "bad_cursor" {
			t.Errorf("%s %.80s: %v, asked %v", tt.method, tt.path, r.header, f.last())
		}
	}
	if r := call(t, a, "DELETE", prefix+"/status", ""); r.header.Get("Allow") != "GET" {
		t.Errorf("Allow: %v", r.header)
	}
	for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		if r := call(t, a, "POST", prefix+"/sets", `{"path":"/x"}`, "Content-Type", ct); r.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d", ct, r.status)
		}
	}
}

// A refused request is not told again: it may hold a key.
func TestRefusalsKeepSecrets(t *testing.T) {
	a := serve(t, &fake{}, Options{})
	for _, body := range []string{`{"key":"SECRET","replace":"SECRET"}`, `{"key":"SECRET"`, `{"key":{"a":"SECRET"}}`, `"SECRET"`} {
		if r := call(t, a, "POST", prefix+"/owner-key/import", body); r.status < 400 || strings.Contains(r.body, "SECRET") {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
}

func TestDestinationsAreNamed(t *testing.T) {
	f := &fake{sets: manySets(1)}
	a := serve(t, f, Options{})
	gone := filepath.Join(t.TempDir(), "gone")
	for _, tt := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/sets", `{"path":"docs"}`, 400, "relative_path"},
		{"/sets", `{"path":""}`, 400, "relative_path"},
		{"/sets", `{"path":"GONE"}`, 404, "no_such_path"},
		{"/fetches", `{"ticket":"t"}`, 400, "no_dest"},
		{"/fetches", `{"ticket":"t","dest":"~/docs"}`, 400, "relative_path"},
		{"/fetches", `{"ticket":"t","dest":"GONE/in"}`, 409, "not_writable"},
		{"/fetches", `{"ticket":"t","cwd":"GONE"}`, 409, "not_writable"},
		{"/fetches", `{"ticket":"t","dest":"/d","using":["/","GONE"]}`, 404, "no_such_path"},
		{"/fetches", `{"ticket":"t","dest":"/d","using":["."]}`, 400, "relative_path"},
		{"/follows", `{"ticket":"t"}`, 400, "no_dest"},
		{"/follows", `{"ticket":"t","dest":"docs"}`, 400, "relative_path"},
		{"/follows", `{"ticket":"t","dest":"GONE/in","replicate":true}`, 409, "not_writable"},
		{"/sets/s/follow", `{"dest":"./x"}`, 400, "relative_path"},
		{"/sets/s/restore", `{"rev":1,"dest":"x"}`, 400, "relative_path"},
		{"/sets/s/restore", `{"rev":1,"dest":"GONE/in"}`, 409, "not_writable"},
	} {
		r := call(t, a, "POST", prefix+tt.path, strings.ReplaceAll(tt.body, "GONE", gone))
		var p Problem
		r.into(t, &p)
		if r.status != tt.status || p.Code != tt.code || p.Hint == "" || f.last() != nil {
			t.Errorf("%s %s: %d %s, asked %v", tt.path, tt.body, r.status, r.body, f.last())
		}
	}
}

func TestPages(t *testing.T) {
	f := &fake{sets: manySets(25)}
	a := serve(t, f, Options{})
	var names []string
	for next := prefix + "/sets?limit=10&q=NAME"; next != ""; {
		r := call(t, a, "GET", next, "")
		var page Page[api.SetInfo]
		r.into(t, &page)
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		if link := r.header.Get("Link"); (link == "") != (page.Next == "") {
			t.Fatalf("next %q, link %q", page.Next, link)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(r.header.Get("Link"), "<"), ">")
	}
	if len(names) != 25 {
		t.Errorf("%d of 25: %q", len(names), names)
	}
	for q, want := range map[string]int{"name 2": 6, "set001": 10, "nothing": 0, "SET": 0} {
		var page Page[api.SetInfo]
		call(t, a, "GET", prefix+"/sets?q="+strings.ReplaceAll(q, " ", "+"), "").into(t, &page)
		if len(page.Items) != want {
			t.Errorf("q=%s: %d items, want %d", q, len(page.Items), want)
		}
	}
	if r := call(t, a, "GET", prefix+"/search?q=x&limit=1", ""); r.header.Get("Link") != `</api/v1/search?cursor=the+node%27s&limit=1&q=x>; rel="next"` {
		t.Errorf("search: %v", r.header)
	}
	var revisions Page[api.Revision]
	call(t, a, "GET", prefix+"/sets/s/revisions?limit=2", "").into(t, &revisions)
	if r := revisions.Items; len(r) != 2 || r[0].Revision != 10 || r[1].Revision != 2 || revisions.Next == "" {
		t.Errorf("revisions: %+v", revisions)
	}
}

// A page goes on behind the last item that was told, also when that one and others are gone; cursors of other lists, and made
// up ones, are a place or a problem.
func TestPagesOfAListThatShrinks(t *testing.T) {
	f := &fake{sets: manySets(10)}
	a := serve(t, f, Options{})
	var page Page[api.SetInfo]
	call(t, a, "GET", prefix+"/sets?limit=4", "").into(t, &page)
	cursor := page.Next
	f.sets = f.sets[5:]
	call(t, a, "GET", prefix+"/sets?limit=4&cursor="+cursor, "").into(t, &page)
	if len(page.Items) != 4 || page.Items[0].Name != "name 5" {
		t.Errorf("after five of ten are gone: %+v", page.Items)
	}
	f.sets = nil
	if call(t, a, "GET", prefix+"/sets?limit=4&cursor="+cursor, "").into(t, &page); len(page.Items) != 0 || page.Next != "" {
		t.Errorf("after all are gone: %+v", page)
	}
	f.sets = manySets(10)
	for _, query := range []string{"limit=1", "limit=1000", "limit=1000&cursor=" + cursor, "cursor=Lw", "cursor=L__-"} {
		if r := call(t, a, "GET", prefix+"/sets?"+query, ""); r.status != 200 {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	for _, query := range []string{"cursor=%00", "cursor=Lw%3D%3D", "cursor=" + strings.Repeat("L", 8193), "cursor=a&cursor=Lw", "limit=0x10", "limit=1e3", "limit=-0", "limit=+", "limit=99999999999999999999"} {
		if r := call(t, a, "GET", prefix+"/sets?"+query, ""); r.status != 400 && r.status != 422 {
			t.Errorf("%.40s: %d %s", query, r.status, r.body)
		}
	}
}

func TestOperationsOverHTTP(t *testing.T) {
	began := make(chan struct{}, 1)
	f := &fake{work: func(ctx context.Context, progress func(api.Progress)) error {
		progress(api.Progress{Phase: "fetch", BytesDone: 7})
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	a := serve(t, f, Options{})
	body := `{"ticket":"t","dest":"/d"}`
	first := call(t, a, "POST", prefix+"/fetches", body, "Idempotency-Key", "k1")
	<-began
	var op, again Operation
	first.into(t, &op)
	call(t, a, "POST", prefix+"/fetches", body, "Idempotency-Key", "k1").into(t, &again)
	if again.ID != op.ID || again.Progress == nil || again.Progress.BytesDone != 7 {
		t.Errorf("the same key began %+v after %+v", again, op)
	}
	if r := call(t, a, "POST", prefix+"/fetches", `{"ticket":"u","dest":"/d"}`, "Idempotency-Key", "k1"); r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, `"key_reused"`) {
		t.Errorf("another request under the key: %d %s", r.status, r.body)
	}
	if r := call(t, a, "DELETE", first.header.Get("Location"), ""); r.status != 200 {
		t.Errorf("cancel: %d", r.status)
	}
	if op := settle(t, a, first); op.State != StateCancelled || op.Error.Code != api.CodeInterrupted {
		t.Errorf("cancelled: %+v", op)
	}
	if r := call(t, a, "DELETE", first.header.Get("Location"), ""); r.status != 200 {
		t.Errorf("forget: %d", r.status)
	}
	if r := call(t, a, "GET", first.header.Get("Location"), ""); r.status != 404 {
		t.Errorf("forgotten: %d", r.status)
	}
	second := call(t, a, "POST", prefix+"/fetches", body)
	<-began
	a.Close()
	if op := settle(t, a, second); op.State != StateFailed || op.Error.Code != api.CodeStopping {
		t.Errorf("closed: %+v", op)
	}
	if r := call(t, a, "POST", prefix+"/fetches", body); r.status != http.StatusServiceUnavailable {
		t.Errorf("after the end: %d %s", r.status, r.body)
	}
}

func TestBugsAreContained(t *testing.T) {
	f := &fake{work: func(context.Context, func(api.Progress)) error { panic("broken") }, status: func() (api.Status, error) { panic("broken") }}
	a := serve(t, f, Options{})
	if op := settle(t, a, call(t, a, "POST", prefix+"/gc", "")); op.State != StateFailed || op.Error.Code != api.CodeBug {
		t.Errorf("operation: %+v", op)
	}
	if r := call(t, a, "GET", prefix+"/status", ""); r.status != 500 || !strings.Contains(r.body, `"code":"bug"`) {
		t.Errorf("status: %d %s", r.status, r.body)
	}
	f.status = func() (api.Status, error) { return api.Status{}, errors.New("disk") }
	if r := call(t, a, "GET", prefix+"/status", ""); r.status != 500 || !strings.Contains(r.body, `"code":"failed"`) {
		t.Errorf("status: %d %s", r.status, r.body)
	}
}

func TestStopAndReady(t *testing.T) {
	ready, stopped := make(chan struct{}), 0
	a := serve(t, &fake{}, Options{Ready: ready, Stop: func() { stopped++ }})
	done := make(chan reply)
	go func() { done <- call(t, a, "POST", prefix+"/stop", "") }()
	select {
	case r := <-done:
		t.Fatalf("answered before it was ready: %d", r.status)
	default:
	}
	close(ready)
	if r := <-done; r.status != 200 || stopped != 1 {
		t.Errorf("stop: %d %s, %d", r.status, r.body, stopped)
	}
}

// The document says what is served: it is checked in, so that who builds on it sees a change. To write it: go test -update.
func TestDocument(t *testing.T) {
	a := serve(t, &fake{}, Options{Version: "v1"})
	got, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is not what is served: go test ./node/rest -update (%v)", err)
	}
	other := serve(t, &fake{}, Options{Version: "v1"})
	if again, _ := other.OpenAPI(); !bytes.Equal(got, again) {
		t.Error("the document depends on chance")
	}
	old, err := a.OpenAPI30()
	if err != nil || !json.Valid(old) || !bytes.Contains(old, []byte(`"openapi": "3.0.3"`)) {
		t.Errorf("version 3.0: %v %.200s", err, old)
	}
	for path, want := range map[string][]byte{"/openapi.json": got, prefix + "/openapi.json": got, "/openapi-3.0.json": old} {
		if r := call(t, a, "GET", path, ""); r.status != 200 || r.body != string(want) {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if bytes.Contains(got, []byte("$schema")) {
		t.Error("answers have $schema members")
	}
}

var update = flag.Bool("update", false, "write docs/openapi.json")

// Whatever is asked, the answer is JSON (or bytes, or a redirect), of a status that the request deserves.
func FuzzRequest(f *testing.F) {
	for _, path := range []string{"/status", "/sets", "/sets/s", "/sets/s/files?path=../..", "/sets/s/diff?a=18446744073709551616", "/sets/%00/members", "/operations/x",
		"/sets/s/content?path=%ff", "/sets/s/availability?columns=-1", "//sets/..", "/sets?limit=5&limit=6", "/peers?cursor=Lw"} {
		for i, body := range []string{"", `{"path":"/x"}`, `{"rev":-1,"dest":"/d","ticket":"t","key":"k"}`, `{"peer":null,"name":"\u0000","right":"x"}`} {
			f.Add([]string{"GET", "POST", "DELETE", "PUT"}[i], path, body, "k")
		}
	}
	a := serve(f, &fake{sets: manySets(3), files: map[string]string{"a": "x"}}, Options{})
	f.Fuzz(func(t *testing.T, method, path, body, key string) {
		r, err := http.NewRequest(method, "http://h", strings.NewReader(body))
		if err != nil {
			return
		}
		path, query, _ := strings.Cut(path, "?")
		r.URL.Path, r.URL.RawQuery = prefix+path, query
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		if strings.HasPrefix(path, "/events") {
			return // without end
		}
		checkAnswer(t, a, r)
	})
}

func TestSettings(t *testing.T) {
	all := []Setting{{Key: "log.level", Value: "info", Origin: "default"}, {Key: "p2p.listen", Value: []string{"x"}, Origin: "config.yaml"}}
	a := serve(t, &fake{}, Options{Settings: func() ([]Setting, error) { return all, nil }})
	if r := call(t, a, "GET", prefix+"/settings", ""); r.status != 200 || r.body != `{"settings":[{"key":"log.level","value":"info","origin":"default"},{"key":"p2p.listen","value":["x"],"origin":"config.yaml"}]}`+"\n" {
		t.Errorf("%d %s", r.status, r.body)
	}
	a = serve(t, &fake{}, Options{})
	if r := call(t, a, "GET", prefix+"/settings", ""); r.status != 200 || r.body != `{"settings":[]}`+"\n" {
		t.Errorf("none: %d %s", r.status, r.body)
	}
}
