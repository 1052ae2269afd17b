package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// A range is answered as the standard library answers it.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"", "bytes=0-", "bytes=0-0", "bytes=2-4", "bytes=-3", "bytes=-0", "bytes=11-", "bytes=99-", "bytes=4-2",
		"bytes=0-99999999999999999999", "bytes=9223372036854775807-", "bytes=-9223372036854775807", "bytes=+1-2", "bytes= 1-2", "items=0-1", "bytes=1-2,4-5", "bytes=a-b", "bytes=-"} {
		f.Add(s, 11)
	}
	plain := regexp.MustCompile(`^bytes=[0-9]*-[0-9]*$`)
	f.Fuzz(func(t *testing.T, header string, size int) {
		size = max(0, size%64)
		got, ok := parseRange(header, int64(size))
		if got.from < 0 || got.length < 0 || got.from+got.length > int64(size) {
			t.Fatalf("%q of %d: %v", header, size, got)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Range", header)
		w := httptest.NewRecorder()
		body := strings.Repeat("0123456789", 7)[:size]
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		switch w.Code {
		case http.StatusPartialContent:
			if !plain.MatchString(header) {
				if !ok || got.length != int64(size) { // several, or with spaces and signs
					t.Fatalf("%q of %d: %v, want all", header, size, got)
				}
				return
			}
			if w.Body.Len() == 0 && !ok {
				return // the last no bytes: RFC 9110 has it that there are none
			}
			if part := body[got.from : got.from+got.length]; !ok || part != w.Body.String() {
				t.Fatalf("%q of %d: %q, want %q", header, size, part, w.Body)
			}
		case http.StatusOK:
			if !ok && size > 0 || got.length != int64(size) {
				t.Fatalf("%q of %d: %v %v, want all", header, size, got, ok)
			}
		}
	})
}

func FuzzDisposition(f *testing.F) {
	f.Add("a.txt")
	f.Add("evil\"; filename=x.html\r\nX: y")
	f.Add("é\u202e\x00\xff")
	f.Fuzz(func(t *testing.T, name string) {
		v := disposition(name)
		if strings.ContainsAny(v, "\r\n\x00") {
			t.Fatalf("%q", v)
		}
		kind, params, err := mime.ParseMediaType(v)
		if err != nil || kind != "attachment" || len(params) > 1 || params["filename"] != "" && params["filename"] != name {
			t.Fatalf("%q: %q %v %v", name, v, params, err)
		}
	})
}

func TestContent(t *testing.T) {
	names := []string{"a.txt", "a b/ü&?#.txt", "empty", "-"}
	f := &fake{sets: manySets(1), files: map[string]string{names[0]: "one\ntwo\n", names[1]: "x", "empty": "", "-": "y"}}
	a := serve(t, f, Options{})
	get := func(name string, headers ...string) reply {
		return call(t, a, "GET", "/api/v1/sets/set0000/content?path="+url.QueryEscape(name), "", headers...)
	}
	for _, name := range names {
		r := get(name)
		_, params, err := mime.ParseMediaType(r.header.Get("Content-Disposition"))
		if r.status != 200 || r.body != f.files[name] || err != nil || !strings.HasSuffix("/"+name, "/"+params["filename"]) {
			t.Errorf("%s: %d %q %v %v", name, r.status, r.body, r.header, err)
		}
		for header, want := range map[string]string{"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Etag": `"cid-of-` + name + `"`} {
			if got := r.header.Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
	}
	etag := get("a.txt").header.Get("ETag")
	for _, tt := range []struct {
		headers []string
		status  int
		body    string
	}{
		{[]string{"Range", "bytes=2-4"}, 206, "e\nt"},
		{[]string{"Range", "bytes=2-4", "If-Range", etag}, 206, "e\nt"},
		{[]string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "one\ntwo\n"},
		{[]string{"Range", "bytes=8-"}, 416, ""},
		{[]string{"If-None-Match", etag}, 304, ""},
		{[]string{"If-None-Match", `"other"`}, 200, "one\ntwo\n"},
	} {
		if r := get("a.txt", tt.headers...); r.status != tt.status || tt.status != 416 && r.body != tt.body {
			t.Errorf("%q: %d %q", tt.headers, r.status, r.body)
		}
	}
	if r := call(t, a, "HEAD", "/api/v1/sets/set0000/content?path=a.txt", ""); r.status != 200 || r.header.Get("Content-Length") != "8" {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
	for path, status := range map[string]int{"nothing": 400, "": 422} {
		if r := get(path); r.status != status || r.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d %v %s", path, r.status, r.header, r.body)
		}
	}
}

// A file that cannot be read is a problem as long as nothing was said, and a broken connection after that.
func TestContentThatEnds(t *testing.T) {
	f := &fake{sets: manySets(1), files: map[string]string{"a.txt": "one\ntwo\n"}}
	a := serve(t, f, Options{})
	srv := httptest.NewServer(a.Handler())
	defer srv.Close()
	missing := &api.Error{Code: "incomplete", ExitCode: api.ExitNotFound, Title: "a part is not here"}
	for _, tt := range []struct {
		name   string
		first  string
		err    error
		status int
		broken bool
	}{
		{"nothing is here", "", missing, 404, false},
		{"a part is here", "one\n", missing, 200, true},
		{"a large part is here", strings.Repeat("one\n", 1<<16), missing, 200, true},
		{"less than there should be", "one\n", nil, 200, true},
		{"nothing, and no error", "", nil, 500, false},
		{"unknown failure", "", errors.New("disk"), 500, false},
	} {
		f.mu.Lock()
		f.content = func(_ api.ContentRequest, w io.Writer) error {
			if tt.first != "" {
				_, _ = io.WriteString(w, tt.first)
			}
			return tt.err
		}
		f.mu.Unlock()
		resp, err := srv.Client().Get(srv.URL + "/api/v1/sets/set0000/content?path=a.txt")
		if err != nil && tt.broken { // before the headers had left
			continue
		}
		if err != nil {
			t.Fatal(tt.name, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || (err != nil) != tt.broken || !tt.broken && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %q %v", tt.name, resp.StatusCode, body, err)
		}
		if resp.Header.Get("ETag") != "" && !tt.broken {
			t.Errorf("%s: a problem with an ETag", tt.name)
		}
	}
}
