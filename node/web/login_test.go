package web_test

import (
	"net/http"
	"strings"
	"testing"
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
