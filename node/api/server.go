package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	// maxBody bounds a request: the largest is a ticket and a few paths, some KiB.
	maxBody = 1 << 20
	// headerPatience bounds a client that connects and says nothing.
	headerPatience = 5 * time.Second
	// shutdownPatience leaves Serve time to break what is still open and return within a second.
	shutdownPatience = 700 * time.Millisecond
)

// ServerOptions says what the server tells about itself and what it may do to its process.
type ServerOptions struct {
	Version string          // of the program, for GET /version
	Log     *slog.Logger    // nil = silent
	Stop    func()          // ends the process after POST stop; nil = refused
	Ready   <-chan struct{} // operations wait until it is closed; nil = ready
	Metrics http.Handler    // of GET /metrics; nil = there are none
	// Warnings are what a node that is ready should be looked at for; nil = nothing is known.
	Warnings func() []string
	// Resources serves what is no endpoint here, once the node is ready: package rest's; nil = nothing.
	Resources http.Handler
	Dashboard Dashboard // nil = there is none
	Offline   bool      // this host has no network: what needs it is refused with CodeOfflineHost
	// Transient: this host is a command that ends by itself; who needs a node for longer has to stay.
	Transient bool
	Yield     func()            // leaves the home to another host after POST yield; nil = refused
	Settings  map[string]string // what the host goes by, for GET /version; it is not changed any more
}

// Serve answers requests on l until ctx ends, then cancels the operations that are open, waits for them
// for less than a second, closes l and returns nil. Any other end is an error. l is always closed.
func Serve(ctx context.Context, l net.Listener, s Service, o ServerOptions) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h := newHandler(s, o, base)
	srv := &http.Server{
		Handler:           h.routes(),
		ReadHeaderTimeout: headerPatience,
		MaxHeaderBytes:    64 << 10, // no header of ours is longer than a path
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	// Shutdown waits for running requests, and a get can run for hours: they have to be told.
	srv.RegisterOnShutdown(cancel)

	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the local API: %w", err)
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer done()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close() // breaks the connections of operations that did not end
	}
	<-served
	return nil
}

type handler struct {
	service Service
	opts    ServerOptions
	log     *slog.Logger
	stop    context.Context // ends when the server does
}

func newHandler(s Service, o ServerOptions, stop context.Context) *handler {
	h := &handler{service: s, opts: o, log: o.Log, stop: stop}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, VersionInfo{Version: h.opts.Version, API: Major, Transient: h.opts.Transient, Settings: h.opts.Settings})
	})
	if h.opts.Metrics != nil {
		mux.Handle("GET /metrics", h.opts.Metrics)
	}
	h.dashboard(mux)
	mux.HandleFunc("GET /cli/v1/show", plain(h, func(ctx context.Context, r *http.Request, _ none) (SetInfo, error) {
		return h.service.Show(ctx, r.URL.Query().Get("set"))
	}))
	mux.HandleFunc("POST /cli/v1/ls", plain(h, requested(h.service.Ls)))
	mux.HandleFunc("POST /cli/v1/rm", plain(h, requested(h.service.Rm)))
	mux.HandleFunc("POST /cli/v1/gc", plain(h, func(ctx context.Context, _ *http.Request, _ none) (GCResult, error) {
		return h.service.GC(ctx)
	}))
	mux.HandleFunc("POST /cli/v1/history", plain(h, requested(h.service.History)))
	mux.HandleFunc("POST /cli/v1/diff", plain(h, requested(h.service.Diff)))
	mux.HandleFunc("POST /cli/v1/unfollow", plain(h, requested(h.service.Unfollow)))
	h.governance(mux)
	h.browsing(mux)
	h.limiting(mux)
	h.examining(mux)
	h.peeking(mux)
	h.streams(mux)
	h.leaving(mux)
	if h.opts.Resources != nil {
		mux.Handle("/", h.opts.Resources)
		return mux
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, &Error{Code: CodeNoEndpoint, ExitCode: ExitUsage,
			Title: fmt.Sprintf("no such endpoint: %s %q", r.Method, r.URL.Path)})
	})
	return mux
}

// governance are the endpoints about who takes part in a set.
func (h *handler) governance(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/members", plain(h, requested(h.service.Members)))
	mux.HandleFunc("POST /cli/v1/grant", plain(h, requested(h.service.Grant)))
	mux.HandleFunc("POST /cli/v1/revoke", plain(h, requested(h.service.Revoke)))
	mux.HandleFunc("POST /cli/v1/invite", plain(h, requested(h.service.Invite)))
	mux.HandleFunc("POST /cli/v1/rename", plain(h, requested(h.service.Rename)))
	mux.HandleFunc("POST /cli/v1/promote", plain(h, requested(h.service.Promote)))
	mux.HandleFunc("POST /cli/v1/import-owner", plain(h, requested(h.service.ImportOwner)))
	mux.HandleFunc("POST /cli/v1/export-owner", plain(h, func(ctx context.Context, _ *http.Request, _ none) (OwnerKey, error) {
		return h.service.ExportOwner(ctx)
	}))
}

// requested is an operation that needs nothing of the request but its body.
func requested[Req, Res any](do func(context.Context, Req) (Res, error)) func(context.Context, *http.Request, Req) (Res, error) {
	return func(ctx context.Context, _ *http.Request, q Req) (Res, error) { return do(ctx, q) }
}

// streams are the endpoints that answer in lines, each with the requests of it that need the network.
func (h *handler) streams(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/share", stream(h, h.service.Share, always))
	mux.HandleFunc("POST /cli/v1/get", stream(h, h.service.Get, always))
	mux.HandleFunc("POST /cli/v1/publish", stream(h, h.service.Publish, func(q PublishRequest) bool { return !q.DryRun }))
	mux.HandleFunc("POST /cli/v1/restore", stream(h, h.service.Restore, always))
	mux.HandleFunc("POST /cli/v1/follow", stream(h, h.service.Follow, always))
	mux.HandleFunc("POST /cli/v1/verify", stream(h, h.service.Verify, never))
	mux.HandleFunc("POST /cli/v1/failover", stream(h, h.service.Failover, always))
	mux.HandleFunc("POST /cli/v1/events", h.events)
}

func always[Req any](Req) bool { return true }
func never[Req any](Req) bool  { return false }

// none is the request of an endpoint that needs none: no body, or {}.
type none struct{}

// VersionInfo is the answer of GET /version.
type VersionInfo struct {
	Version   string `json:"version"`
	API       int    `json:"api"`                 // major version of the API
	Transient bool   `json:"transient,omitempty"` // the host ends with the command that it is
	// Settings are those keys of the configuration that say how the host meets network and disk, as text: for who takes its
	// place when it is gone. They are told on the socket only.
	Settings map[string]string `json:"settings,omitempty"`
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-h.stop.Done():
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "stopping"})
		return
	default:
	}
	if h.opts.Ready != nil {
		select {
		case <-h.opts.Ready:
		default:
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "starting"})
			return
		}
	}
	warnings := []string{}
	if h.opts.Warnings != nil {
		warnings = append(warnings, h.opts.Warnings()...)
	}
	writeJSON(w, http.StatusOK, map[string]any{"ready": true, "warnings": warnings})
}

// errOffline refuses an operation that needs the network where there is none.
func errOffline() *Error {
	return &Error{Code: CodeOfflineHost, ExitCode: ExitNeedsNode, Title: "the node in this home runs without network",
		Detail: "it belongs to a command that only reads and ends soon", Retryable: true}
}

// ready waits until the node serves; false: the request or the server ended before.
func (h *handler) ready(ctx context.Context) bool {
	if h.opts.Ready != nil {
		select {
		case <-h.opts.Ready:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func plain[Req, Res any](h *handler, do func(context.Context, *http.Request, Req) (Res, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Req
		if e := decode(w, r, &q); e != nil {
			writeProblem(w, httpStatus(e), e)
			return
		}
		var res Res
		err := context.Cause(r.Context())
		if h.ready(r.Context()) {
			res, err = guard(h, r, func() (Res, error) { return do(r.Context(), r, q) })
		}
		switch {
		case err == nil && r.Context().Err() == nil:
			writeJSON(w, http.StatusOK, res)
		case h.stop.Err() != nil:
			writeProblem(w, statusStopping, &Error{Code: CodeStopping, ExitCode: ExitNeedsNode, Title: "the node is stopping", Retryable: true})
		case err == nil:
			writeJSON(w, http.StatusOK, res)
		default:
			e := AsError(err)
			writeProblem(w, httpStatus(e), e)
		}
	}
}

// guard turns a panic of the service into an error: one broken request must not take the swarm's node
// down, and the stack belongs in the log, not in the answer.
func guard[Res any](h *handler, r *http.Request, do func() (Res, error)) (res Res, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("panic in an operation", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &Error{Code: CodeBug, ExitCode: ExitBug, Title: "the node ran into a bug", Detail: fmt.Sprint(p)}
		}
	}()
	return do()
}

// decode reads one JSON value that fills the body. Reading to the end matters twice: it refuses
// trailing bytes, and only then does net/http notice a client that leaves.
func decode(w http.ResponseWriter, r *http.Request, into any) *Error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if _, empty := into.(*none); empty && errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("more than one JSON value")
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{Code: CodeTooLarge, ExitCode: ExitUsage, Title: "request too large", Detail: fmt.Sprintf("the limit is %d bytes", large.Limit)}
	}
	return &Error{Code: CodeBadRequest, ExitCode: ExitUsage, Title: "request not understood", Detail: err.Error()}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		e := &Error{Code: CodeBug, ExitCode: ExitBug, Title: "the answer could not be encoded", Detail: err.Error()}
		writeProblem(w, httpStatus(e), e)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left does not care
}
