package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

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
		{"unknown member", "/cli/v1/ls", `{"sett":"x"}`, 400, CodeBadRequest},
		{"unknown member, stream", "/cli/v1/get", `{"tickets":"x"}`, 400, CodeBadRequest},
		{"no JSON", "/cli/v1/ls", `hello`, 400, CodeBadRequest},
		{"empty", "/cli/v1/get", ``, 400, CodeBadRequest},
		{"wrong type", "/cli/v1/get", `{"force":"yes"}`, 400, CodeBadRequest},
		{"two values", "/cli/v1/ls", `{} {}`, 400, CodeBadRequest},
		{"rubbish after it", "/cli/v1/ls", `{} x`, 400, CodeBadRequest},
		{"members where none are known", "/cli/v1/gc", `{"now":true}`, 400, CodeBadRequest},
		{"too large", "/cli/v1/get", `{"ticket":"` + strings.Repeat("x", maxBody) + `"}`, 400, CodeTooLarge},
		{"too large behind it", "/cli/v1/get", `{}` + strings.Repeat(" ", maxBody), 400, CodeTooLarge},
		{"no such path", "/cli/v1/lss", `{}`, 404, CodeNoEndpoint},
		{"wrong method", "/cli/v1/status", `{}`, 404, CodeNoEndpoint},
		{"no stop", "/cli/v1/stop", `{}`, 403, CodeNoEndpoint},
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
	if w := post(h, "/cli/v1/gc", nil); w.Code != 200 {
		t.Errorf("gc without a body: %d %s", w.Code, w.Body)
	}
}

// Any body gets either the operation's answer, if it is strictly its request, or a problem.
func FuzzRequestBody(f *testing.F) {
	paths := []string{"/cli/v1/share", "/cli/v1/get", "/cli/v1/verify", "/cli/v1/ls", "/cli/v1/rm", "/cli/v1/gc",
		"/cli/v1/publish", "/cli/v1/restore", "/cli/v1/history", "/cli/v1/diff", "/cli/v1/follow", "/cli/v1/unfollow", "/cli/v1/events",
		"/cli/v1/members", "/cli/v1/revoke", "/cli/v1/invite", "/cli/v1/rename", "/cli/v1/promote", "/cli/v1/failover", "/cli/v1/import-owner", "/cli/v1/export-owner",
		"/cli/v1/grant", "/cli/v1/why", "/cli/v1/limits", "/cli/v1/limit", "/cli/v1/search", "/cli/v1/availability", "/cli/v1/peek"}
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
		case 403: // so the stub answers a grant
			if path != "/cli/v1/grant" || !json.Valid(body) {
				t.Fatalf("%s: %s", path, answer)
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
	f.Add([]byte(`{"type":"event","v":1,"kind":"complete","result":{"set":"s"}}`))
	f.Add([]byte(`{"type":"later"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var res GetResult
		done, err := line(b, &res, listener{progress: func(Progress) {}, event: func(Event) {}})
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
	for _, v := range []any{ShareResult{}, GetResult{}, LsResult{}, SetInfo{}, Status{}, VerifyResult{}, RmResult{}, GCResult{}, Progress{}, Error{},
		PublishResult{}, Change{}, HistoryResult{}, Revision{}, DiffResult{}, FollowResult{}, UnfollowResult{}, Event{}, Conflict{},
		MembersResult{}, Member{}, Invite{}, GrantResult{}, RevokeResult{}, InviteResult{}, RenameResult{}, PromoteResult{}, FailoverResult{}, FailoverStage{},
		OwnerKey{}, ImportOwnerResult{}, Limits{}, SetLimits{}, SearchResult{}, SearchHit{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if field.Anonymous {
				continue // its members are listed too
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" || name == "type" || name == "v" {
				t.Errorf("%T: member %q", v, name)
			}
		}
	}
}
