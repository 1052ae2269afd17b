package meter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// otherRoute is the label of a request that no route takes, so that nobody can make labels by asking for paths.
const otherRoute = "other"

// Instrument measures what next answers. The route is the pattern of the http.ServeMux that took the request, which
// must see the request itself and not a copy. An answer that goes on for long, as a stream of events, counts until it
// begins.
func (m *Meter) Instrument(next http.Handler, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := now()
		a := &answer{ResponseWriter: w, now: now}
		next.ServeHTTP(a, r)
		if a.status == 0 { // nothing was written: an empty answer
			a.began(http.StatusOK)
		}
		m.http.WithLabelValues(route(r.Pattern), method(r.Method), strconv.Itoa(a.status)).Observe(a.at.Sub(begun).Seconds())
	})
}

// route is the path of a pattern of http.ServeMux, [METHOD ][HOST]/PATH.
func route(pattern string) string {
	at := strings.IndexByte(pattern, '/')
	if at < 0 || pattern[at:] == "/" {
		return otherRoute
	}
	return pattern[at:]
}

// method keeps a client from making labels of its own.
func method(text string) string {
	switch text {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return text
	}
	return otherRoute
}

// answer notes when an answer begins, and its status.
type answer struct {
	http.ResponseWriter
	now    func() time.Time
	at     time.Time
	status int // 0 = it has not begun
}

func (a *answer) began(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) { // others announce an answer
		a.status, a.at = status, a.now()
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.began(status)
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.began(http.StatusOK)
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
