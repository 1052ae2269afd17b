package web

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// toldPerSpan and refusalSpan bound what strangers can write into the log: a person sees at once that somebody tries, and
	// a flood is some MB a month.
	toldPerSpan = 10
	refusalSpan = time.Minute
	// maxTold bounds what is told of a text that a stranger chose.
	maxTold = 100
)

// refusals writes those of the guards into the log, a few a minute with the number of the others.
type refusals struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex // guards what follows
	since  time.Time  // begin of the running span
	told   int        // in it
	silent int        // not told since the last that was
}

// note tells of one: who tried what, and never the query, in which a code may be.
func (f *refusals) note(r *http.Request, p refusal) {
	silent, tell := f.turn()
	if !tell {
		return
	}
	level := slog.LevelWarn
	if p.Code == unauthorised.Code || p.Code == stale.Code { // a person's browser that has not signed in
		level = slog.LevelInfo
	}
	about := []slog.Attr{slog.String("code", p.Code), slog.Int("status", p.Status), slog.String("remote", r.RemoteAddr),
		slog.String("method", short(r.Method)), slog.String("path", short(r.URL.Path))}
	if p.Code == misdirected.Code || p.Code == crossSite.Code {
		about = append(about, slog.String("host", short(r.Host)), slog.String("origin", short(r.Header.Get("Origin"))))
	}
	if silent > 0 {
		about = append(about, slog.Int("not_told", silent))
	}
	f.log.LogAttrs(context.WithoutCancel(r.Context()), level, "the API refused a request", about...)
}

// turn tells whether one more may be told, and how many were not before it.
func (f *refusals) turn() (silent int, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); f.since.IsZero() || now.Sub(f.since) >= refusalSpan {
		f.since, f.told = now, 0
	}
	if f.told == toldPerSpan {
		f.silent++
		return 0, false
	}
	f.told++
	silent, f.silent = f.silent, 0
	return silent, true
}

func short(text string) string {
	if len(text) > maxTold {
		return text[:maxTold] + "..."
	}
	return text
}
