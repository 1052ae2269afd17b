// Package rest is the REST API of a node over its api.Service: resources below /api/v1, long work as operations,
// one stream of events, and the OpenAPI document that describes all of it.
//
// Terms: an operation is work that outlives its request; it is answered with 202 and a Location, and asked for there
// until it has ended. A page is a part of a list, with the cursor of the next. A problem is an error as RFC 9457 has
// it, with the members of api.Error.
//
// The package only translates. It trusts whoever asks: tokens, hosts and origins are checked before a request comes
// here.
package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/singleflight"

	"github.com/shoal-p2p/shoal/node/api"
)

// prefix is where all paths begin.
const prefix = "/api/v1"

// Options says what the API tells about itself and what it may do to its process.
type Options struct {
	Version string           // of the program, for the OpenAPI document
	Log     *slog.Logger     // nil = silent
	Now     func() time.Time // nil = time.Now
	Stop    func()           // ends the process after POST stop; nil = refused
	Moved   func() Moved     // is called every two seconds; nil = there are no samples
	// Settings reads the node's settings, in the order of help; nil = there are none to tell.
	Settings func() ([]Setting, error)
	Testnet  Testnet         // that the node is one of; nil = of none
	Ready    <-chan struct{} // requests wait until it is closed; nil = ready
}

// API serves a node. Its methods may be called concurrently.
type API struct {
	service api.Service
	opts    Options
	mux     *http.ServeMux
	huma    huma.API

	turn   chan struct{}   // full while a change with a condition is made
	base   context.Context // ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup // operations, streams and the listener

	mu      sync.Mutex // guards what follows
	closed  bool       // nothing is added to group any more
	ops     *operations
	ring    *ring
	samples samples
	board   board
	asked   singleflight.Group
}

// New makes the API of s and begins to listen to its events; Close ends that.
func New(s api.Service, o Options) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	config := huma.DefaultConfig("Shoal", o.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{toProblem}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}

	a := &API{service: s, opts: o, mux: http.NewServeMux(), ops: newOperations(o.Now()), ring: newRing(o.Now()), turn: make(chan struct{}, 1)}
	a.base, a.cancel = context.WithCancel(context.Background())
	a.huma = humago.New(a.mux, config)
	a.routes()
	a.document()
	a.group.Go(a.listen)
	if o.Moved != nil {
		a.group.Go(a.sample)
	}
	return a
}

// Close cancels the operations, ends the streams and waits for both.
func (a *API) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.group.Wait()
}

// begin adds one to what Close waits for; false after Close.
func (a *API) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.group.Add(1)
	}
	return !a.closed
}

// OpenAPI is the document of this API, version 3.1.
func (a *API) OpenAPI() ([]byte, error) { return indented(json.Marshal(a.huma.OpenAPI())) }

// OpenAPI30 is the same document in version 3.0, for tools that know no other.
func (a *API) OpenAPI30() ([]byte, error) { return indented(a.huma.OpenAPI().Downgrade()) }

// Handler serves /api/v1/ and the OpenAPI documents.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if a.opts.Ready != nil {
			select {
			case <-a.opts.Ready:
			case <-r.Context().Done():
				return
			}
		}
		a.mux.ServeHTTP(w, r)
	})
}

// document serves what the API says of itself, and what is no endpoint.
func (a *API) document() {
	for name, of := range map[string]func() ([]byte, error){"openapi.json": a.OpenAPI, "openapi-3.0.json": a.OpenAPI30} {
		once := sync.OnceValues(of) // most nodes are never asked
		serve := func(w http.ResponseWriter, _ *http.Request) {
			spec, err := once()
			if err != nil {
				e := api.AsError(err)
				writeProblem(w, api.StatusOf(e), e)
				return
			}
			w.Header().Set("Content-Type", "application/openapi+json")
			_, _ = w.Write(spec) // a client that left does not care
		}
		a.mux.HandleFunc("GET /"+name, serve)
		a.mux.HandleFunc("GET "+prefix+"/"+name, serve)
	}
	a.mux.HandleFunc("/", a.nowhere)
}

// nowhere answers what no route takes: 405 when another method of the path is served.
func (a *API) nowhere(w http.ResponseWriter, r *http.Request) {
	e := &api.Error{Code: api.CodeNoEndpoint, ExitCode: api.ExitUsage, Title: fmt.Sprintf("no such endpoint: %s %q", r.Method, r.URL.Path)}
	status := http.StatusNotFound
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		status = http.StatusMethodNotAllowed
		w.Header().Set("Allow", strings.Join(allowed, ", "))
	}
	writeProblem(w, status, e)
}

func writeProblem(w http.ResponseWriter, status int, e *api.Error) {
	p := problemOf(e)
	p.Status = status
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, e.Title, status)
		return
	}
	w.Header().Set("Content-Type", p.ContentType("application/json"))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, string(body)+"\n") // a client that left does not care
}
