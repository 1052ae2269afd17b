package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/web"
)

// ledger stands for the API: it counts what would have changed something.
type ledger struct{ changes, reads atomic.Int64 }

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		l.reads.Add(1)
	} else {
		l.changes.Add(1)
	}
	_, _ = io.WriteString(w, "{}")
}

type bench struct {
	*ledger
	server *web.Server
	token  string
	now    time.Time
}

const port = "4580"

// newBench is a server on loopback whose clock stands still.
func newBench(t testing.TB, edit func(*web.Options)) *bench {
	t.Helper()
	b := &bench{ledger: &ledger{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	o := web.Options{API: b.ledger, Version: "v1", Listen: "127.0.0.1:" + port, TokenFile: filepath.Join(t.TempDir(), "api.token"),
		AllowedHosts: []string{"node.example"}, Now: func() time.Time { return b.now },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "# metrics\n") })}
	if edit != nil {
		edit(&o)
	}
	s, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(o.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	b.server, b.token = s, strings.TrimSpace(string(raw))
	return b
}

// ask sends a request as a browser or a script would.
func (b *bench) ask(method, path string, header map[string]string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Host = "127.0.0.1:" + port
	for k, v := range header {
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	return w.Result()
}

// signIn is the cookie of a browser that used a link.
func (b *bench) signIn(t *testing.T) string {
	t.Helper()
	link, err := b.server.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	res := b.ask("GET", strings.TrimPrefix(link, "http://127.0.0.1:"+port), nil)
	if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
		t.Fatalf("login: %s, %d cookies", res.Status, len(res.Cookies()))
	}
	c := res.Cookies()[0]
	if c.Name != "shoal-"+port || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Fatalf("cookie %v", c)
	}
	return c.Name + "=" + c.Value
}

func TestForeignRequests(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range foreignShapes(b.signIn(t), b.token) {
		for _, path := range []string{"/api/v1/sets", "/api/v1/stop"} {
			res := b.ask(c.method, path, c.header)
			if res.StatusCode != c.status {
				t.Errorf("%s: %s %s answers %d, not %d", c.name, c.method, path, res.StatusCode, c.status)
			}
			for k := range res.Header {
				if strings.HasPrefix(k, "Access-Control-") {
					t.Errorf("%s: the answer has %s", c.name, k)
				}
			}
		}
	}
	if b.changes.Load() != 0 || b.reads.Load() != 0 {
		t.Fatalf("%d changes and %d reads went through", b.changes.Load(), b.reads.Load())
	}
}

// TestOwnRequests holds the guards to letting in whom they should.
func TestOwnRequests(t *testing.T) {
	b := newBench(t, nil)
	cookie := b.signIn(t)
	const own = "http://127.0.0.1:" + port
	type h = map[string]string
	for _, c := range []struct {
		name, method string
		header       h
	}{
		{"page of ours", "POST", h{"Cookie": cookie, "Origin": own, "Sec-Fetch-Site": "same-origin"}},
		{"page of ours, old browser", "POST", h{"Cookie": cookie, "Origin": own}},
		{"page of ours deletes", "DELETE", h{"Cookie": cookie, "Origin": own, "Sec-Fetch-Site": "same-origin"}},
		{"typed", "GET", h{"Cookie": cookie, "Sec-Fetch-Site": "none"}},
		{"script with the token", "POST", h{"Authorization": "Bearer " + b.token}},
		{"script, small letters", "POST", h{"Authorization": "bearer " + b.token}},
		{"localhost", "POST", h{"Host": "LocalHost:" + port, "Authorization": "Bearer " + b.token}},
		{"IPv6", "POST", h{"Host": "[::1]:" + port, "Authorization": "Bearer " + b.token}},
		{"another loopback address", "POST", h{"Host": "127.0.0.2", "Authorization": "Bearer " + b.token}},
		{"through a tunnel", "POST", h{"Host": "localhost:9999", "Authorization": "Bearer " + b.token}},
		{"a name that was allowed", "POST", h{"Host": "Node.Example:" + port, "Authorization": "Bearer " + b.token}},
	} {
		before := b.changes.Load() + b.reads.Load()
		if res := b.ask(c.method, "/api/v1/sets", c.header); res.StatusCode != http.StatusOK || b.changes.Load()+b.reads.Load() != before+1 {
			t.Errorf("%s: %s", c.name, res.Status)
		}
	}
}

// TestOpenDoors lists all that needs no token, and checks the headers of every answer.
func TestOpenDoors(t *testing.T) {
	b := newBench(t, nil)
	for path, status := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/version": 200, "/metrics": 200, "/favicon.ico": 204,
		"/": 401, "/index.html": 401, "/app.mjs": 401, "/vendor/preact.mjs": 401, "/about.json": 401, "/openapi.json": 401,
		"/openapi-3.0.json": 401, "/api/v1/status": 401, "/api": 401, "/no/such": 401, "/login": 403, "/login?code=x": 403,
	} {
		res := b.ask("GET", path, nil)
		if res.StatusCode != status {
			t.Errorf("%s answers %d, not %d", path, res.StatusCode, status)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if res := b.ask("POST", "/qr", nil); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("/qr answers %s", res.Status)
	}
	if b.reads.Load() != 0 {
		t.Errorf("%d reads went through", b.reads.Load())
	}
}

func TestCodeIsGoodOnceAndForAMinute(t *testing.T) {
	b := newBench(t, nil)
	link := func() string {
		u, err := b.server.LoginURL()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(u, "http://127.0.0.1:"+port)
	}
	first := link()
	for _, look := range []map[string]string{{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"Host": "evil.example"}} {
		if res := b.ask("GET", first, look); len(res.Cookies()) != 0 {
			t.Errorf("%v got a cookie", look)
		}
	}
	if res := b.ask("HEAD", first, nil); len(res.Cookies()) != 0 {
		t.Error("HEAD got a cookie")
	}
	if res := b.ask("GET", first, nil); res.StatusCode != 200 || len(res.Cookies()) != 1 {
		t.Errorf("first use: %s", res.Status)
	}
	if res := b.ask("GET", first, map[string]string{"Accept": "text/html"}); res.StatusCode != 403 || len(res.Cookies()) != 0 {
		t.Errorf("second use: %s", res.Status)
	}
	late, later := link(), link()
	b.now = b.now.Add(59 * time.Second)
	if res := b.ask("GET", late, nil); res.StatusCode != 200 {
		t.Errorf("after 59 s: %s", res.Status)
	}
	b.now = b.now.Add(time.Second)
	if res := b.ask("GET", later, nil); res.StatusCode != 403 {
		t.Errorf("after 60 s: %s", res.Status)
	}
	oldest := link()
	for range 16 {
		link()
	}
	if res := b.ask("GET", oldest, nil); res.StatusCode != 403 {
		t.Errorf("the oldest of 17 codes: %s", res.Status)
	}
}

func TestExposureIsRefused(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "t")
	for _, c := range []struct {
		name string
		o    web.Options
		want error
	}{
		{"every interface", web.Options{Listen: ":4580", TokenFile: token}, web.ErrExposed},
		{"every interface, in words", web.Options{Listen: "0.0.0.0:4580", TokenFile: token}, web.ErrExposed},
		{"every interface, IPv6", web.Options{Listen: "[::]:4580", TokenFile: token}, web.ErrExposed},
		{"an address of the network", web.Options{Listen: "192.168.1.5:4580", TokenFile: token}, web.ErrExposed},
		{"a name", web.Options{Listen: "node.example:4580", TokenFile: token}, web.ErrExposed},
		{"TLS without a token", web.Options{Listen: ":4580", CertFile: "c", KeyFile: "k"}, web.ErrExposed},
		{"half of TLS", web.Options{Listen: ":4580", TokenFile: token, CertFile: "c"}, web.ErrExposed},
		{"no port", web.Options{Listen: "127.0.0.1", TokenFile: token}, web.ErrAddress},
		{"a URL for a host", web.Options{Listen: "127.0.0.1:1", TokenFile: token, AllowedHosts: []string{"http://x"}}, web.ErrAddress},
		{"any host", web.Options{Listen: "127.0.0.1:1", TokenFile: token, AllowedHosts: []string{"*"}}, web.ErrAddress},
	} {
		if _, err := web.New(c.o); err == nil || !errorsIs(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := os.Stat(token); err == nil {
		t.Error("a token was written for a listener that was refused")
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.token")
	local := func(o *web.Options) { o.TokenFile = path }
	before := newBench(t, local)
	first, cookie := before.token, before.signIn(t)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	after := newBench(t, local)
	if first != after.token || len(first) != 43 {
		t.Fatalf("tokens %q and %q", first, after.token)
	}
	if res := after.ask("GET", "/about.json", map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}); res.StatusCode != http.StatusOK {
		t.Errorf("a browser that signed in before the node was started anew: %s", res.Status)
	}
	elsewhere := newBench(t, func(o *web.Options) { o.TokenFile, o.Listen = path, "127.0.0.1:4581" })
	moved := strings.Replace(cookie, "shoal-"+port, "shoal-4581", 1)
	if res := elsewhere.ask("GET", "/about.json", map[string]string{"Cookie": moved, "Sec-Fetch-Site": "same-origin"}); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the cookie of another port: %s", res.Status)
	}
	beyond := func(o *web.Options) { o.TokenFile, o.Listen, o.CertFile, o.KeyFile = path, "0.0.0.0:4580", "c", "k" }
	if kept := newBench(t, beyond); kept.token != first {
		t.Error("the operator's token was replaced")
	} else if res := kept.ask("GET", "/metrics", nil); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics beyond loopback: %s", res.Status)
	}
	o := web.Options{API: &ledger{}, TokenFile: path, Listen: "0.0.0.0:4580", CertFile: "c", KeyFile: "k"}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{o.Listen, "127.0.0.1:4580"} {
		o.Listen = listen
		if _, err := web.New(o); !errorsIs(err, web.ErrToken) || !strings.Contains(err.Error(), "0644") {
			t.Errorf("a token that others can read, at %s: %v", listen, err)
		}
	}
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.New(o); !errorsIs(err, web.ErrToken) {
		t.Errorf("a token of six letters: %v", err)
	}
}

func TestTokenOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api.token")
	if err := os.WriteFile(path, []byte(strings.Repeat("t", 43)), 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = 65532
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Skip("only root gives files away:", err)
	}
	o := web.Options{API: &ledger{}, TokenFile: path, Listen: "127.0.0.1:4580"}
	if _, err := web.New(o); !errorsIs(err, web.ErrToken) || !strings.Contains(err.Error(), "another user") {
		t.Errorf("taken: %v", err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil { // the home of a service, and root looks after it
		t.Fatal(err)
	}
	if _, err := web.New(o); err != nil {
		t.Error(err)
	}
}

// TestRenewedToken: nobody who was in stays in, also not in a stream that goes on.
func TestRenewedToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.token")
	begun := make(chan struct{})
	stream := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			close(begun)
			<-r.Context().Done()
		}
	})
	b := newBench(t, func(o *web.Options) { o.TokenFile, o.API = path, stream })
	cookie, bearer := b.signIn(t), "Bearer "+b.token
	link, err := b.server.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.ask("GET", "/api/v1/events", map[string]string{"Authorization": bearer})
	}()
	<-begun
	if err := b.server.Renew(); err != nil {
		t.Fatal(err)
	}
	<-ended
	for name, res := range map[string]*http.Response{
		"token":  b.ask("GET", "/about.json", map[string]string{"Authorization": bearer}),
		"cookie": b.ask("GET", "/about.json", map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}),
		"link":   b.ask("GET", strings.TrimPrefix(link, "http://127.0.0.1:"+port), nil),
	} {
		if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
			t.Errorf("the old %s: %s", name, res.Status)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if res := b.ask("GET", "/about.json", map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(text))}); res.StatusCode != http.StatusOK {
		t.Errorf("the new token: %s", res.Status)
	}
	b.signIn(t)
}

// TestRefusalsAreTold: a few a minute, whoever tries how often, with nothing of a secret.
func TestRefusalsAreTold(t *testing.T) {
	var log strings.Builder
	b := newBench(t, func(o *web.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	b.ask("GET", "/login?code=SECRET", nil)
	b.ask("GET", "/about.json", map[string]string{"Authorization": "Bearer SECRET"})
	b.ask("GET", "/api/v1/"+strings.Repeat("x", 5000), map[string]string{"Host": "evil.example"})
	for range 100 {
		b.ask("GET", "/about.json", nil)
	}
	for _, want := range []string{"level=INFO", "code=code_used", "level=WARN", "code=wrong_token", "code=foreign_host", "host=evil.example", "remote=192.0.2.1:1234"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 10 || strings.Contains(log.String(), "SECRET") || log.Len() > 4000 {
		t.Errorf("%d lines: %s", n, log.String())
	}
	log.Reset()
	b.now = b.now.Add(time.Minute)
	b.ask("POST", "/api/v1/gc", map[string]string{"Origin": "https://evil.example"})
	if !strings.Contains(log.String(), "not_told=93") || !strings.Contains(log.String(), "origin=https://evil.example") {
		t.Errorf("after a minute: %s", log.String())
	}
}

// TestLinkOfAnExposedNode: localhost leads nowhere from another machine, and no certificate is for it.
func TestLinkOfAnExposedNode(t *testing.T) {
	for listen, want := range map[string]string{"0.0.0.0:4580": "https://box.example:4580", "192.0.2.7:4580": "https://box.example:4580", "127.0.0.1:4580": "https://127.0.0.1:4580"} {
		b := newBench(t, func(o *web.Options) {
			o.Listen, o.CertFile, o.KeyFile, o.AllowedHosts = listen, "c", "k", []string{"Box.example", "other.example"}
		})
		if got := b.server.URL(); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

// Where nobody says under which names a node is asked for, its certificate does.
func TestNamesOfTheCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"*.shoal.test", "Shoal.test"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 2)}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		listen, url string
		allowed     []string
		good, bad   []string
	}{
		"none":        {"0.0.0.0:4580", "https://shoal.test:4580", nil, []string{"shoal.test:4580", "192.0.2.2", "localhost"}, []string{"other.shoal.test", "evil.example", "192.0.2.3"}},
		"some":        {"0.0.0.0:4580", "https://box.example:4580", []string{"box.example"}, []string{"box.example"}, []string{"shoal.test", "192.0.2.2"}},
		"on loopback": {"127.0.0.1:4580", "https://127.0.0.1:4580", nil, []string{"localhost"}, []string{"shoal.test"}},
	} {
		b := newBench(t, func(o *web.Options) {
			o.Listen, o.CertFile, o.KeyFile, o.AllowedHosts = tt.listen, cert, "k", tt.allowed
		})
		if got := b.server.URL(); got != tt.url {
			t.Errorf("%s: %s", name, got)
		}
		for _, host := range slices.Concat(tt.good, tt.bad) {
			refused := b.ask("GET", "/healthz", map[string]string{"Host": host}).StatusCode == http.StatusMisdirectedRequest
			if refused != slices.Contains(tt.bad, host) {
				t.Errorf("%s: %s refused %v", name, host, refused)
			}
		}
	}
}

func TestCommandToSignIn(t *testing.T) {
	for name, c := range map[string]struct {
		edit         func(*web.Options)
		page, answer string
	}{
		"none":   {nil, "<code>shoal dashboard</code>", "`shoal dashboard`"},
		"a home": {func(o *web.Options) { o.Command = "shoal dashboard --home '/<b>'" }, "--home &#39;/&lt;b&gt;&#39;</code>", "/\\u003cb\\u003e"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, c.edit)
			for accept, want := range map[string]string{"text/html": c.page, "application/json": c.answer} {
				r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
				r.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				b.server.Handler().ServeHTTP(w, r)
				if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s: %d, %s lacks %s", accept, w.Code, w.Body, want)
				}
			}
		})
	}
}

func TestExposed(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "0.0.0.0:1": true, "[::]:1": true, ":1": true, "nas:1": true, "4580": false} {
		if got := web.Exposed(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// TestTokenStaysWhereNoneCanBeWritten: a node must start on a full disk. A name as long as names may be leaves no room for
// that of the temporary file.
func TestTokenStaysWhereNoneCanBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("t", 255))
	const token = "0123456789012345678901234567890123456789012"
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Skip("names are shorter here")
	}
	b := newBench(t, func(o *web.Options) { o.TokenFile = path })
	if b.token != token {
		t.Fatal("the token was replaced")
	}
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/about.json", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	if b.server.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestLocalNames(t *testing.T) {
	h := web.LocalNames(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{"localhost:9": 200, "127.0.0.1": 200, "[::1]:9": 200, "evil.example:9": 421, "192.0.2.1": 421, "": 421} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}
