package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// documented lists method and path of all that the API's document has, with something in the place of each parameter.
func documented(t testing.TB) (all [][2]string) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct{}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			all = append(all, [2]string{strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path)})
		}
	}
	if len(all) < 39 {
		t.Fatalf("only %d endpoints", len(all))
	}
	return all
}

// refused checks that an answer is a problem, and one that a page of another site cannot read.
func refused(t *testing.T, what string, res *http.Response, status int) {
	t.Helper()
	var p struct {
		Type, Code, Title string
		Status            int
		ExitCode          int `json:"exit_code"`
	}
	err := json.NewDecoder(res.Body).Decode(&p)
	if err != nil || res.StatusCode != status || p.Status != status || p.Type != "urn:shoal:problem:"+p.Code || p.Code == "" || p.Title == "" || p.ExitCode != 9 ||
		res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %s, want %d: %+v %v", what, res.Status, status, p, err)
	}
	for k := range res.Header {
		if strings.HasPrefix(k, "Access-Control-") {
			t.Errorf("%s: the answer has %s", what, k)
		}
	}
}

// Each endpoint of the document is behind the guards: of all shapes of a foreign request none gets through to one, and with
// the token all are reached.
func TestEveryEndpointIsGuarded(t *testing.T) {
	b := newBench(t, nil)
	shapes := foreignShapes(b.signIn(t), b.token)
	if len(shapes) < 30 {
		t.Errorf("only %d shapes", len(shapes))
	}
	for _, e := range documented(t) {
		method, path := e[0], e[1]
		for _, s := range shapes {
			as := s.method
			switch as {
			case http.MethodPost, http.MethodPut, http.MethodDelete: // a shape of changing
				if as = method; as == http.MethodGet {
					continue
				}
			}
			refused(t, s.name+": "+as+" "+path, b.ask(as, path, s.header), s.status)
		}
		own := map[string]string{"Authorization": "Bearer " + b.token}
		refused(t, "no token: "+method+" "+path, b.ask(method, path, nil), http.StatusUnauthorized)
		before := b.changes.Load() + b.reads.Load()
		if before != 0 {
			t.Fatalf("%s %s: %d requests went through", method, path, before)
		}
		if res := b.ask(method, path, own); res.StatusCode != http.StatusOK || b.changes.Load()+b.reads.Load() != 1 {
			t.Errorf("%s %s with the token: %s", method, path, res.Status)
		}
		b.changes.Store(0)
		b.reads.Store(0)
	}
}

// FuzzGuards sends requests of any form: without a secret of this run none comes through, and none breaks the server.
func FuzzGuards(f *testing.F) {
	f.Add("GET", "/api/v1/sets", "127.0.0.1:4580", "Authorization", "Bearer x", "same-origin")
	f.Add("POST", "/api/v1/stop", "evil.example", "Cookie", "shoal-4580=x; shoal-4580=y", "cross-site")
	f.Add("OPTIONS", "//api/v1/../v1/gc", "[::1]:4580", "Origin", "null", "none")
	f.Add("GET", "/login?code=%00&code=x", "localhost", "X-Forwarded-Host", "localhost", "")
	f.Add("PROPFIND", "/metrics/../api/v1/sets", "2130706433", "X-HTTP-Method-Override", "GET", "same-origin")
	f.Add("POST", "/qr", "localhost:4580", "Authorization", "Basic Og==", "same-origin")
	b := newBench(f, nil)
	f.Fuzz(func(t *testing.T, method, path, host, name, value, site string) {
		r, err := http.NewRequest(method, "http://h", strings.NewReader("{}"))
		if err != nil {
			return
		}
		path, query, _ := strings.Cut(path, "?")
		r.URL.Path, r.URL.RawQuery, r.Host = path, query, host
		if name != "" {
			r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		}
		r.Header.Set("Sec-Fetch-Site", site)
		begun := time.Now()
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		if b.changes.Load()+b.reads.Load() != 0 || w.Code >= 500 || w.Result().Header.Get("Set-Cookie") != "" {
			t.Fatalf("%s %q of %q: %d, %d changes, %d reads", method, path, host, w.Code, b.changes.Load(), b.reads.Load())
		}
		if took := time.Since(begun); took > time.Second { // a machine under load takes milliseconds
			t.Fatalf("%s %q took %v", method, path, took)
		}
	})
}
