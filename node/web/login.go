package web

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
	"time"
)

// policy is the Content Security Policy of every answer: scripts, styles and requests of this origin, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// login takes a code and signs the browser in. The cookie is for this site's own pages only (SameSite=Strict): after a
// redirect of a link on another site the browser would not send it yet, so the page asks for the next one itself.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	// Who only looks ahead must not use the code up.
	if r.Method != http.MethodGet || r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") != "" {
		s.deny(w, r, stale)
		return
	}
	keys := s.keys.Load() // before the code is: one of the time before a renewal must not bring what is good after it
	if !s.codes.redeem(r.URL.Query().Get("code")) {
		if s.signedIn(r) { // a bookmark of the link, or the page of it again
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			s.refusals.note(r, stale)
			writeNote(w, http.StatusForbidden, s.commanded(staleNote))
			return
		}
		s.deny(w, r, stale)
		return
	}
	http.SetCookie(w, s.cookie(keys.cookie(s.opts.Now().Add(sessionLife)), int(sessionLife/time.Second)))
	w.Header().Set("Refresh", "0;url=/")
	writeNote(w, http.StatusOK, welcomeNote)
}

// logout signs the browser out that asks for it, and no other.
func (s *Server) logout(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, s.cookie("", -1))
	w.WriteHeader(http.StatusNoContent)
}

// cookie is for age seconds; one below zero takes it away.
func (s *Server) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: s.cookieName(), Value: value, MaxAge: age, Path: "/", HttpOnly: true, Secure: s.opts.tls(),
		SameSite: http.SameSiteStrictMode}
}

// note is a page for a browser that has not signed in: it cannot load anything, so its style is in it.
type note struct{ title, text, command string }

var (
	signInNote  = note{"Sign in", "This page shows one node, to the person who runs it. On the machine of the node, type", ""}
	staleNote   = note{"This link was used", "A link to sign in is good once, and for a minute. Get another one with", ""}
	welcomeNote = note{"Signed in", "The dashboard opens by itself.", ""}
)

// command is what signs a browser in. It can name the node's home, which is nobody's business beyond this machine.
func (s *Server) command() string {
	if s.opts.Command == "" || !s.host.local {
		return "shoal dashboard"
	}
	return s.opts.Command
}

func (s *Server) commanded(n note) note {
	n.command = s.command()
	return n
}

func (s *Server) hinted(p refusal) refusal {
	p.Hint = strings.ReplaceAll(p.Hint, "COMMAND", s.command())
	return p
}

const noteStyle = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:18vh auto;padding:0 1.5rem}` +
	`h1{font-size:1.4rem}code{display:inline-block;padding:.4rem .7rem;border-radius:.4rem;background:#8883;font-size:1rem}`

// writeNote writes a page in which nothing of the request is.
func writeNote(w http.ResponseWriter, status int, n note) {
	sum := sha256.Sum256([]byte(noteStyle))
	w.Header().Set("Content-Security-Policy", strings.Replace(policy, "style-src 'self'",
		"style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", 1))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">`+
		`<title>shoal: %s</title><style>%s</style><h1>%s</h1><p>%s</p>`, n.title, noteStyle, n.title, n.text)
	if n.command != "" {
		_, _ = fmt.Fprintf(w, "<p><code>%s</code></p>", html.EscapeString(n.command))
	}
	_, _ = io.WriteString(w, "</html>\n")
}
