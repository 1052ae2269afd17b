package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// Handler is everything behind the guards.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"version": s.opts.Version, "api": api.Major})
	})
	mux.HandleFunc("GET /login", s.login)
	// Browsers ask for it on their own, also beside the page that says how to sign in.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if s.opts.Metrics != nil {
		metrics := s.opts.Metrics
		if !s.host.local {
			metrics = s.authorised(metrics)
		}
		mux.Handle("GET /metrics", metrics)
	}
	for _, path := range []string{"/api/v1/", "GET /openapi.json", "GET /openapi-3.0.json"} {
		mux.Handle(path, s.authorised(s.opts.API))
	}
	mux.Handle("POST /logout", s.authorised(http.HandlerFunc(s.logout)))
	mux.Handle("POST /qr", s.authorised(http.HandlerFunc(qrCode)))
	mux.Handle("GET /about.json", s.authorised(http.HandlerFunc(s.about)))
	mux.Handle("/", s.authorised(http.HandlerFunc(s.page)))
	return s.guarded(s.cross.Handler(mux))
}

// guarded sets the headers of every answer and refuses names that are not ours.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		// The server would wait for ever for the rest of a body that nobody reads.
		readUntil(w, time.Now().Add(strangerPatience))
		if !s.host.allows(r.Host) {
			s.deny(w, r, misdirected)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authorised lets in who shows the token, or the cookie from a page of ours, for as long as they are good.
func (s *Server) authorised(next http.Handler) http.Handler {
	enter := func(w http.ResponseWriter, r *http.Request, keys *credentials) {
		readUntil(w, time.Time{}) // a stream of events is read from until it ends
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stop := context.AfterFunc(keys.life, cancel)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := s.keys.Load()
		if given := r.Header.Get("Authorization"); given != "" {
			scheme, token, _ := strings.Cut(given, " ")
			if !strings.EqualFold(scheme, "Bearer") || !keys.token.is(token) {
				s.deny(w, r, wrongToken)
				return
			}
			enter(w, r, keys)
			return
		}
		switch {
		case !s.hasCookie(r, keys):
			s.refuse(w, r)
		case !ownPage(r):
			s.deny(w, r, crossSite)
		default:
			enter(w, r, keys)
		}
	})
}

// readUntil bounds how long a request is read; the zero time is no bound.
func readUntil(w http.ResponseWriter, until time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(until) // tests have no connection
}

func (s *Server) signedIn(r *http.Request) bool { return s.hasCookie(r, s.keys.Load()) }

func (s *Server) hasCookie(r *http.Request, keys *credentials) bool {
	for _, c := range r.CookiesNamed(s.cookieName()) {
		if keys.signed(c.Value, s.opts.Now()) {
			return true
		}
	}
	return false
}

// cookieName has the port, because cookies have none: two nodes on one machine must not sign each other's browser out.
func (s *Server) cookieName() string { return "shoal-" + s.port }

// ownPage tells that a browser with our cookie was asked by a page of ours, or by the person in front of it. Browsers say
// so in Sec-Fetch-Site since 2023; one that does not must show an Origin where something may change, and that one has
// been compared with the Host already.
func ownPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "none": // typed, or a bookmark: never the doing of a page
		return safe(r.Method)
	case "":
		return safe(r.Method) || r.Header.Get("Origin") != ""
	default:
		return false
	}
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// refuse says in words, to a person who looks at a page, or in JSON how to get in.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	if !safe(r.Method) || strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.deny(w, r, unauthorised)
		return
	}
	s.refusals.note(r, unauthorised)
	w.Header().Set("WWW-Authenticate", challenge)
	writeNote(w, http.StatusUnauthorized, s.commanded(signInNote))
}

const challenge = `Bearer realm="shoal"`

// refusal is an answer of the guards, with the members that all errors of the API have.
type refusal struct {
	Type     string `json:"type"`
	Status   int    `json:"status"`
	Code     string `json:"code"`
	ExitCode int    `json:"exit_code"`
	Title    string `json:"title"`
	Hint     string `json:"hint,omitempty"`
}

// The guards' answers; 9 is the exit code for "not authorised". COMMAND in a hint is filled in by hinted.
var (
	misdirected  = refusal{"urn:shoal:problem:foreign_host", http.StatusMisdirectedRequest, "foreign_host", 9, "this host name is not one of the node's", "add it to api.allowed_hosts"}
	crossSite    = refusal{"urn:shoal:problem:cross_site", http.StatusForbidden, "cross_site", 9, "another site sent this request", ""}
	unauthorised = refusal{"urn:shoal:problem:not_signed_in", http.StatusUnauthorized, "not_signed_in", 9, "a token or a signed-in browser is needed", "run `COMMAND`, or send the token of the home's api.token"}
	wrongToken   = refusal{"urn:shoal:problem:wrong_token", http.StatusUnauthorized, "wrong_token", 9, "this is not the token of the node", "send that of the home's api.token"}
	stale        = refusal{"urn:shoal:problem:code_used", http.StatusForbidden, "code_used", 9, "this code was used, or is older than a minute", "run `COMMAND` again"}
	noPage       = refusal{"urn:shoal:problem:no_endpoint", http.StatusNotFound, "no_endpoint", 2, "there is nothing here", ""}
)

// deny answers with a refusal, and notes it.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, p refusal) {
	s.refusals.note(r, p)
	s.hinted(p).write(w)
}

func (p refusal) write(w http.ResponseWriter) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	body, _ := json.Marshal(p) // of strings and numbers
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left does not care
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "stopping"})
		return
	default:
	}
	if s.opts.Ready != nil {
		select {
		case <-s.opts.Ready:
		default:
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "starting"})
			return
		}
	}
	warnings := []string{}
	if s.opts.Warnings != nil {
		warnings = append(warnings, s.opts.Warnings()...)
	}
	writeJSON(w, http.StatusOK, map[string]any{"ready": true, "warnings": warnings})
}

// about tells the page what it cannot ask the API.
func (s *Server) about(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"version": s.opts.Version, "testnet": s.opts.Testnet})
}
