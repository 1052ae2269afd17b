package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/web"
)

// A browser that is signed in goes on to the dashboard with a link that was used; another one does not.
func TestUsedLinkOfASignedInBrowser(t *testing.T) {
	b := newBench(t, nil)
	cookie := b.signIn(t)
	link, err := b.server.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(link, "http://127.0.0.1:"+port)
	b.ask("GET", path, nil)
	res := b.ask("GET", path, map[string]string{"Accept": "text/html", "Cookie": cookie})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" || len(res.Cookies()) != 0 {
		t.Errorf("signed in: %s to %q with %v", res.Status, res.Header.Get("Location"), res.Cookies())
	}
	for name, cookie := range map[string]string{"no cookie": "", "a wrong cookie": "shoal-" + port + "=x", "of another port": strings.Replace(cookie, port, "4581", 1)} {
		if res := b.ask("GET", path, map[string]string{"Accept": "text/html", "Cookie": cookie}); res.StatusCode != http.StatusForbidden || len(res.Cookies()) != 0 {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
}

// A browser is signed in for a month, also if it is closed meanwhile, and the node lets nobody in with its cookie after that,
// whatever it is made to say.
func TestSessionsEnd(t *testing.T) {
	b := newBench(t, nil)
	link, err := b.server.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	c := b.ask("GET", strings.TrimPrefix(link, "http://127.0.0.1:"+port), nil).Cookies()[0]
	if c.MaxAge != 30*24*3600 {
		t.Errorf("the browser keeps it for %d s", c.MaxAge)
	}
	status := func(value string) int {
		return b.ask("GET", "/api/v1/sets", map[string]string{"Cookie": c.Name + "=" + value, "Sec-Fetch-Site": "same-origin"}).StatusCode
	}
	ends, seal, _ := strings.Cut(c.Value, ".")
	for _, other := range []string{"", ".", "x", ends, ends + ".", "9" + ends + "." + seal, "+" + ends + "." + seal, "0" + ends + "." + seal,
		ends + "." + seal + "A", "99999999999999999999." + seal, strings.Repeat("1", 1<<16) + "." + seal} {
		if got := status(other); got != http.StatusUnauthorized {
			t.Errorf("%.60q: %d", other, got)
		}
	}
	b.now = b.now.Add(30*24*time.Hour - time.Second)
	if got := status(c.Value); got == http.StatusUnauthorized {
		t.Errorf("within a month: %d", got)
	}
	b.now = b.now.Add(time.Second)
	if got := status(c.Value); got != http.StatusUnauthorized {
		t.Errorf("after a month: %d", got)
	}
}

// A browser can sign out, and no other site can do that for it.
func TestLogout(t *testing.T) {
	b := newBench(t, nil)
	cookie := b.signIn(t)
	if res := b.ask("POST", "/logout", map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site"}); res.StatusCode != http.StatusForbidden || len(res.Cookies()) != 0 {
		t.Errorf("another site: %s %v", res.Status, res.Cookies())
	}
	res := b.ask("POST", "/logout", map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
	if res.StatusCode != http.StatusNoContent || len(res.Cookies()) != 1 {
		t.Fatalf("%s %v", res.Status, res.Cookies())
	}
	name, _, _ := strings.Cut(cookie, "=")
	if c := res.Cookies()[0]; c.Name != name || c.MaxAge >= 0 || c.Value != "" || c.Path != "/" {
		t.Errorf("the cookie becomes %v", c)
	}
}

// A code that is tried and none is noted, whoever asks.
func TestWrongCodesAreNoted(t *testing.T) {
	for _, accept := range []string{"", "text/html"} {
		var log bytes.Buffer
		b := newBench(t, func(o *web.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		b.ask("GET", "/login?code=guessed", map[string]string{"Accept": accept})
		if !strings.Contains(log.String(), "code=code_used") || strings.Contains(log.String(), "guessed") {
			t.Errorf("accept %q: %s", accept, &log)
		}
	}
}
