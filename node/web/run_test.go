package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/node/web"
)

func errorsIs(err, target error) bool { return errors.Is(err, target) }

// served runs a server in front of api until cancel is called; ended tells how it ended.
func served(t *testing.T, api http.Handler) (s *web.Server, token string, cancel func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := web.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "api.token")
	if s, err = web.New(web.Options{API: api, Listen: l.Addr().String(), TokenFile: file}); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx, l) }()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s, strings.TrimSpace(string(raw)), cancel, end
}

// TestRunEndsStreams: a stream of events has no end of its own, and must not hold the process.
func TestRunEndsStreams(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	open := make(chan struct{})
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(open)
		<-r.Context().Done()
	})
	s, token, cancel, ended := served(t, stream)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	<-open
	began := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the end took %v", took)
	}
	_ = res.Body.Close()
	client.CloseIdleConnections()
}

func TestTakenPort(t *testing.T) {
	first, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := web.Listen(t.Context(), first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.Addr().String() == second.Addr().String() {
		t.Error("one port twice")
	}
	if _, err := web.Listen(t.Context(), "192.0.2.1:1"); err == nil {
		t.Error("an address of somebody else was opened")
	}
}

func TestReadiness(t *testing.T) {
	ready := make(chan struct{})
	b := newBench(t, func(o *web.Options) { o.Ready = ready })
	if res := b.ask("GET", "/readyz", nil); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before: %s", res.Status)
	}
	close(ready)
	res := b.ask("GET", "/readyz", nil)
	var got struct {
		Ready    bool
		Warnings []string
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK || !got.Ready || got.Warnings == nil || len(got.Warnings) > 0 {
		t.Errorf("after: %s %+v %v", res.Status, got, err)
	}
	ill := newBench(t, func(o *web.Options) { o.Warnings = func() []string { return []string{"the disk is full"} } })
	res = ill.ask("GET", "/readyz", nil)
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != `{"ready":true,"warnings":["the disk is full"]}`+"\n" {
		t.Errorf("ill: %s %v", body, err)
	}
}

// TestVendoredFiles holds the files of others to the list that says where they are from.
func TestVendoredFiles(t *testing.T) {
	list, err := os.ReadFile("static/vendor/THIRD_PARTY")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.Glob(os.DirFS("static/vendor"), "*.*")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Fatal("no files")
	}
	for _, name := range entries {
		body, err := os.ReadFile(filepath.Join("static/vendor", name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if !strings.Contains(string(list), hex.EncodeToString(sum[:])+"  "+name+"\n") {
			t.Errorf("%s is not the file that THIRD_PARTY lists: sha256 %x", name, sum)
		}
	}
	if n := strings.Count(string(list), "\nsha256 "); n != len(entries) {
		t.Errorf("THIRD_PARTY lists %d files, there are %d", n, len(entries))
	}
}

// TestPagesFetchNothingFromOutside reads what is served: no address of another machine, no script or style in line, no
// evaluation of text.
func TestPagesFetchNothingFromOutside(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(src|href|import|from|fetch|url)\s*[=(]?\s*["'(]\s*(https?:)?//`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=["']|\bstyle="|innerHTML|dangerouslySet|\beval\(|new Function`)
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		body, err := os.ReadFile(filepath.Join("static", name))
		if err != nil {
			return err
		}
		for _, re := range []*regexp.Regexp{outside, inline} {
			if found := re.Find(body); found != nil {
				t.Errorf("%s: %q", name, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreKeptAndAskedForAgain(t *testing.T) {
	b := newBench(t, nil)
	auth := map[string]string{"Authorization": "Bearer " + b.token}
	res := b.ask("GET", "/app.mjs", auth)
	tag := res.Header.Get("ETag")
	if res.StatusCode != 200 || tag == "" || res.Header.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/javascript") {
		t.Fatalf("%s %v", res.Status, res.Header)
	}
	auth["If-None-Match"] = tag
	if res := b.ask("GET", "/app.mjs", auth); res.StatusCode != http.StatusNotModified {
		t.Errorf("again: %s", res.Status)
	}
	for _, path := range []string{"/static/app.mjs", "/../web.go", "/vendor/", "/vendor", "//app.mjs"} {
		if res := b.ask("GET", "http://127.0.0.1"+path, auth); res.StatusCode == 200 || res.StatusCode == http.StatusNotModified {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestQR(t *testing.T) {
	b := newBench(t, nil)
	ask := func(body string) (int, map[string]any) {
		r := httptest.NewRequest("POST", "/qr", strings.NewReader(body))
		r.Host, r.Header = "localhost", http.Header{"Authorization": {"Bearer " + b.token}}
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		var v map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		return w.Code, v
	}
	status, v := ask("shoal1" + strings.Repeat("x", 300))
	path, _ := v["path"].(string)
	size, _ := v["size"].(float64)
	if status != 200 || size < 21 || !strings.HasPrefix(path, "M0 0h7v1h-7z") { // the corner mark of every code
		t.Errorf("%d %v", status, v)
	}
	for _, bad := range []string{"", strings.Repeat("x", 2901)} {
		if status, _ := ask(bad); status != http.StatusBadRequest {
			t.Errorf("%d bytes: %d", len(bad), status)
		}
	}
}

// FuzzHost: no name but those that were allowed, and loopback addresses, get past the first guard.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost", "127.0.0.1:4580", "[::1]", "[::1]:1", "evil", "localhost.", "[::1", "::1", "[::ffff:127.0.0.1]:1", "a@localhost", "localhost:x", "node.example", "[127.0.0.0]:", "[::ffff:7f00:1]", "[0:0::1]:80"} {
		f.Add(s)
	}
	s, err := web.New(web.Options{API: &ledger{}, Listen: "127.0.0.1:4580", TokenFile: filepath.Join(f.TempDir(), "t"), AllowedHosts: []string{"node.example"}})
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler()
	four := `127(\.\d{1,3}){3}`
	good := regexp.MustCompile(`(?i)^(localhost|node\.example|` + four + `|\[([0:]*:0*1|[0:]*:ffff:(` + four + `|7f[0-9a-f]{2}:[0-9a-f]{1,4}))\])(:\d{0,5})?$`)
	f.Fuzz(func(t *testing.T, host string) {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK && !good.MatchString(host) {
			t.Errorf("%q was let in", host)
		}
		if w.Code != http.StatusOK && w.Code != http.StatusMisdirectedRequest {
			t.Errorf("%q: %d", host, w.Code)
		}
	})
}

// FuzzCredentials: nothing but the token and the cookie opens.
func FuzzCredentials(f *testing.F) {
	f.Add("Bearer x", "shoal-4580=x", "same-origin", "/api/v1/sets", "POST")
	f.Add("", "shoal-4580=", "none", "/login?code=", "GET")
	api := &ledger{}
	s, err := web.New(web.Options{API: api, Listen: "127.0.0.1:4580", TokenFile: filepath.Join(f.TempDir(), "t")})
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler()
	f.Fuzz(func(t *testing.T, authorization, cookie, site, path, method string) {
		r, err := http.NewRequest(method, "http://localhost/"+strings.TrimPrefix(path, "/"), http.NoBody)
		if err != nil || strings.ContainsAny(authorization+cookie+site, "\r\n\x00") {
			t.Skip()
		}
		r.Header = http.Header{"Authorization": {authorization}, "Cookie": {cookie}, "Sec-Fetch-Site": {site}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if api.changes.Load()+api.reads.Load() != 0 || len(w.Result().Cookies()) != 0 {
			t.Errorf("let in: %q %q %q %q %q", authorization, cookie, site, path, method)
		}
		_, _ = io.Copy(io.Discard, w.Result().Body)
	})
}

// FuzzQR: whatever text is posted, the answer is a picture or a refusal.
func FuzzQR(f *testing.F) {
	f.Add([]byte("shoal1abc"))
	f.Add([]byte("0123456789"))
	f.Add([]byte{0, 255, '\n'})
	path := filepath.Join(f.TempDir(), "t")
	s, err := web.New(web.Options{API: &ledger{}, Listen: "127.0.0.1:4580", TokenFile: path})
	if err != nil {
		f.Fatal(err)
	}
	token, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler()
	f.Fuzz(func(t *testing.T, text []byte) {
		r := httptest.NewRequest("POST", "/qr", bytes.NewReader(text))
		r.Host, r.Header = "localhost", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := len(text) > 0 && len(text) <= 2900; (w.Code == http.StatusOK) != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %d %s", text, w.Code, w.Body)
		}
	})
}

// TestStrangersDoNotStay: who has no token cannot keep a connection by never ending a body; a stream that was let in stays.
func TestStrangersDoNotStay(t *testing.T) {
	t.Parallel()
	stream := make(chan context.Context, 1)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		stream <- r.Context()
		<-r.Context().Done()
	})
	s, token, cancel, ended := served(t, api)
	defer func() {
		cancel()
		<-ended
	}()
	say := func(text string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	say("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	let := <-stream
	for _, line := range []string{"POST /api/v1/gc", "GET /healthz", "POST /qr"} {
		c := say(line + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: still connected", line)
		}
	}
	if let.Err() != nil {
		t.Error("the stream ended with them")
	}
}
