package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// progressEvery allows four progress lines a second: smooth to the eye, nothing to the wire.
	progressEvery = 250 * time.Millisecond
	// maxNotes bounds the text kept for a client that does not read.
	maxNotes = 4 << 10
)

// stream serves an operation with progress as NDJSON. After the first byte the status is 200 whatever
// comes; success and failure are told apart by the last line. online tells the requests that need a network.
func stream[Req, Res any](h *handler, do func(context.Context, Req, func(Progress)) (Res, error), online func(Req) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Req
		e := decode(w, r, &q)
		if e == nil && h.opts.Offline && online(q) {
			e = errOffline()
		}
		if e != nil {
			writeProblem(w, httpStatus(e), e)
			return
		}
		lines := newLineWriter(w)
		if !h.ready(r.Context()) {
			return
		}
		finish := lines.start()
		res, err := guard(h, r, func() (Res, error) { return do(r.Context(), q, lines.progress) })
		finish()
		h.lastLine(lines, res, err)
	}
}

func (h *handler) lastLine(lines *lineWriter, res any, err error) {
	switch {
	case err == nil:
		lines.write("result", res)
	case h.stop.Err() != nil:
		// No last line: the client takes this for what it is and asks the next host.
	default:
		lines.write("error", AsError(err))
	}
}

// lineWriter coalesces progress: the operation leaves its newest state behind and goes on; one goroutine
// writes it, so a client that reads slowly never slows the operation down.
type lineWriter struct {
	w    http.ResponseWriter // used by one goroutine at a time: the writer of start, then the handler
	rc   *http.ResponseController
	kick chan struct{} // holds a token while there is something to write

	mu     sync.Mutex // guards newest and fresh
	newest Progress
	fresh  bool
}

// newLineWriter begins the answer: the client learns at once that it was understood.
func newLineWriter(w http.ResponseWriter) *lineWriter {
	w.Header().Set("Content-Type", "application/x-ndjson")
	l := &lineWriter{w: w, rc: http.NewResponseController(w), kick: make(chan struct{}, 1)}
	l.flush()
	return l
}

// progress keeps p as the newest state; a sentence that was not written yet is kept with it.
func (l *lineWriter) progress(p Progress) {
	l.mu.Lock()
	if l.fresh && l.newest.Message != "" && len(l.newest.Message) < maxNotes {
		if p.Message != "" {
			p.Message = "\n" + p.Message
		}
		p.Message = l.newest.Message + p.Message
	}
	l.newest, l.fresh = p, true
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

func (l *lineWriter) take() (Progress, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.fresh
	l.fresh = false
	return l.newest, fresh
}

// start writes progress until finish is called; finish waits for the goroutine and writes the newest
// state if it was not written yet, so that even a quick operation shows one and no sentence is lost.
func (l *lineWriter) start() (finish func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-l.kick:
			case <-end:
				return
			}
			if p, ok := l.take(); ok {
				l.write("progress", p)
			}
			select {
			case <-time.After(progressEvery):
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		if p, ok := l.take(); ok {
			l.write("progress", p)
		}
	}
}

func (l *lineWriter) write(kind string, v any) {
	line, err := Line(kind, v)
	if err != nil {
		line, _ = Line("error", &Error{Code: CodeBug, ExitCode: ExitBug, Title: err.Error()}) // always an object
	}
	_, _ = l.w.Write(line) // a client that left has cancelled the request's context already
	l.flush()
}

func (l *lineWriter) flush() { _ = l.rc.Flush() }
