package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whatever the path, the query, the headers and the body of an endpoint's request are: the answer comes soon, and is the
// endpoint's own or a problem that does not blame the node.
func FuzzEndpoint(f *testing.F) {
	fk := &fake{sets: manySets(3), files: map[string]string{"a": "x"}}
	a := serve(f, fk, Options{Stop: func() {}})
	all := endpoints(f, a)
	for i, e := range all {
		f.Add(uint16(i), "set0000", "", e.body, "")
		f.Add(uint16(i), "%2e%2e", "limit=1000&cursor=Lw&path=%00&q=a&peer=p", `{"set":"x","rev":-1,"up":9e99}`, "*")
		f.Add(uint16(i), "é\x00", "limit=-1&limit=5&a=18446744073709551616", `[[[{"`, `W/"", "a.b"`)
	}
	f.Fuzz(func(t *testing.T, which uint16, name, query, body, header string) {
		e := all[int(which)%len(all)]
		path, _, _ := strings.Cut(e.path, "?")
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		if strings.HasSuffix(path, "/events") {
			leave() // one round is enough
		}
		r := httptest.NewRequestWithContext(ctx, e.method, "http://h/", strings.NewReader(body))
		r.URL = &url.URL{Path: strings.Replace(path, "set0000", name, 1), RawPath: strings.Replace(path, "set0000", url.PathEscape(name), 1), RawQuery: query}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for _, h := range []string{"If-Match", "If-None-Match", "Idempotency-Key", "Range", "If-Range", "Last-Event-Id"} {
			r.Header[h] = []string{header}
		}
		begun := time.Now()
		w := &sink{ResponseRecorder: *httptest.NewRecorder()}
		a.Handler().ServeHTTP(w, r)
		if took := time.Since(begun); took > 10*time.Second { // milliseconds are usual; this one hangs, or does more than was asked
			t.Fatalf("%s %s took %v", e.method, r.URL, took)
		}
		media := w.Header().Get("Content-Type")
		switch {
		case w.Code >= http.StatusInternalServerError:
			t.Fatalf("%s %s %q: %d %s", e.method, r.URL, body, w.Code, w.Body)
		case w.Code >= http.StatusBadRequest:
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || media != "application/problem+json" || p.Type != "urn:shoal:problem:"+p.Code || p.Status != w.Code || p.ExitCode == 0 {
				t.Fatalf("%s %s %q: %d %s %s", e.method, r.URL, body, w.Code, media, w.Body)
			}
		case w.Code == http.StatusOK && media == "application/json", w.Code == http.StatusAccepted:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %s: %q", e.method, r.URL, w.Body)
			}
		}
	})
}
