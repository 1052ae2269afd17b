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

// shape is a form that a request can have, and how it is answered.
type shape struct {
	name, method string
	header       map[string]string
	status       int
}

// foreignShapes are the shapes in which another site, or a name that was pointed here, can send a request. Each one comes
// with whatever the browser of a signed-in person would add, the cookie included where a browser might.
func foreignShapes(cookie, token string) []shape {
	type h = map[string]string
	with := func(pairs ...string) h {
		m := h{"Cookie": cookie}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	const evil, own = "https://evil.example", "http://127.0.0.1:" + port
	form := "application/x-www-form-urlencoded"
	return []shape{
		{"form of another site", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Content-Type", form), 403},
		{"form as text", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"), 403},
		{"multipart form", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Content-Type", "multipart/form-data"), 403},
		{"fetch without CORS", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), 403},
		{"fetch with JSON", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"), 403},
		{"beacon", "POST", with("Origin", evil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "empty"), 403},
		{"old browser, Origin alone", "POST", with("Origin", evil), 403},
		{"old browser, Referer alone", "POST", with("Referer", evil+"/"), 403},
		{"neither Origin nor Sec-Fetch-Site", "POST", with(), 403},
		{"Origin null of a sandboxed frame", "POST", with("Origin", "null"), 403},
		{"Origin null and cross-site", "POST", with("Origin", "null", "Sec-Fetch-Site", "cross-site"), 403},
		{"another port of this machine", "POST", with("Origin", "http://127.0.0.1:3000", "Sec-Fetch-Site", "same-site"), 403},
		{"another port, old browser", "POST", with("Origin", "http://127.0.0.1:3000"), 403},
		{"localhost asks 127.0.0.1", "POST", with("Origin", "http://localhost:"+port, "Sec-Fetch-Site", "cross-site"), 403},
		{"a name that begins as ours", "POST", with("Origin", "http://127.0.0.1:"+port+".evil.example"), 403},
		{"user info in the Origin", "POST", with("Origin", "http://127.0.0.1:"+port+"@evil.example"), 403},
		{"PUT", "PUT", with("Origin", evil, "Sec-Fetch-Site", "cross-site"), 403},
		{"DELETE", "DELETE", with("Origin", evil, "Sec-Fetch-Site", "cross-site"), 403},
		{"PATCH", "PATCH", with("Origin", evil, "Sec-Fetch-Site", "cross-site"), 403},
		{"method of its own", "SHARE", with("Origin", evil, "Sec-Fetch-Site", "cross-site"), 403},
		{"method of its own, old browser", "SHARE", with(), 403},
		{"preflight", "OPTIONS", with("Origin", evil, "Access-Control-Request-Method", "POST", "Sec-Fetch-Site", "cross-site"), 403},
		{"method override", "GET", with("X-HTTP-Method-Override", "DELETE", "Sec-Fetch-Site", "cross-site"), 403},
		{"navigation that posts, as if typed", "POST", with("Sec-Fetch-Site", "none"), 403},
		{"image", "GET", with("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image", "Sec-Fetch-Mode", "no-cors"), 403},
		{"script of another port", "GET", with("Sec-Fetch-Site", "same-site", "Sec-Fetch-Dest", "script"), 403},
		{"frame", "GET", with("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe"), 403},
		{"rebinding: a foreign name", "POST", with("Host", "evil.example:"+port, "Origin", "http://evil.example:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: read", "GET", with("Host", "evil.example:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: a name that begins as ours", "POST", with("Host", "127.0.0.1.evil.example", "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: a name that ends as ours", "POST", with("Host", "evil.localhost:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: a final dot", "POST", with("Host", "localhost.:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: the address of no interface", "POST", with("Host", "0.0.0.0:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: a number for an address", "POST", with("Host", "2130706433:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: an address in octal", "POST", with("Host", "0177.0.0.1:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: an address of the network", "POST", with("Host", "192.168.1.5:"+port, "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: no host", "POST", with("Host", "", "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding: user info", "POST", with("Host", "localhost@evil.example", "Sec-Fetch-Site", "same-origin"), 421},
		{"rebinding with a stolen token's form", "POST", h{"Host": "evil.example", "Authorization": "Bearer " + token}, 421},
		{"forwarded for us", "POST", with("Host", "evil.example", "X-Forwarded-Host", "localhost", "Sec-Fetch-Site", "same-origin"), 421},
		{"no cookie", "POST", h{"Origin": own, "Sec-Fetch-Site": "same-origin"}, 401},
		{"cookie of another port", "POST", h{"Cookie": strings.Replace(cookie, port, "4581", 1), "Sec-Fetch-Site": "same-origin"}, 401},
		{"cookie without value", "POST", h{"Cookie": "shoal-" + port + "=", "Sec-Fetch-Site": "same-origin"}, 401},
		{"the token as a cookie", "POST", h{"Cookie": "shoal-" + port + "=" + token, "Sec-Fetch-Site": "same-origin"}, 401},
		{"the cookie as a token", "POST", h{"Authorization": "Bearer " + cookie[len("shoal-"+port+"="):]}, 401},
		{"wrong token beside a good cookie", "POST", with("Authorization", "Bearer x", "Sec-Fetch-Site", "same-origin"), 401},
		{"token as a password", "POST", h{"Authorization": "Basic " + token}, 401},
		{"no token at all", "GET", h{}, 401},
		{"page of another site shows the token", "POST", h{"Authorization": "Bearer " + token, "Origin": evil, "Sec-Fetch-Site": "cross-site"}, 403},
	}
}

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
		if took := time.Since(begun); took > 10*time.Second { // milliseconds are usual; this one hangs, or does more than was asked
			t.Fatalf("%s %q took %v", method, path, took)
		}
	})
}
