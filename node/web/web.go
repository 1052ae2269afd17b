package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headerPatience bounds a client that connects and says nothing.
	headerPatience = 5 * time.Second
	// strangerPatience bounds a body of who has shown no token: the answer does not depend on it, and its headers came.
	strangerPatience = 2 * time.Second
	// idlePatience closes connections that browsers keep for later.
	idlePatience = 2 * time.Minute
	// shutdownPatience leaves Run time to break what is still open and return within a second.
	shutdownPatience = 700 * time.Millisecond
	// maxHeader is many times what a browser sends: none of ours is longer than a token.
	maxHeader = 64 << 10
)

var (
	// ErrExposed is answered by New when others than this machine could connect and no token file or no TLS is set.
	ErrExposed = errors.New("listening beyond this machine needs a token file and TLS")
	// ErrAddress is answered by New when Listen is not HOST:PORT, or AllowedHosts has an entry that is no host.
	ErrAddress = errors.New("not an address")
	// ErrToken is answered by New when there is a token file that cannot be taken: others can read it, say.
	ErrToken = errors.New("the token file is not good")
	// ErrTokenWrite is answered by New and Renew when a new token could not be written.
	ErrTokenWrite = errors.New("the token could not be written")
)

// Options is what a Server is made of. API, Listen and TokenFile are required.
type Options struct {
	API          http.Handler // serves /api/v1/, /openapi.json and /openapi-3.0.json
	Metrics      http.Handler // serves /metrics; nil = not there
	Version      string       // of the program
	Command      string       // what to type on this machine for a link that signs in; "" = the program's usual name
	Listen       string       // HOST:PORT that the listener has
	AllowedHosts []string     // more names and addresses that a Host header may have, without port; none = those of the certificate
	TokenFile    string       // where the token is, or is written if there is none; mode 0600
	CertFile     string       // PEM; with KeyFile TLS is served
	KeyFile      string
	Testnet      bool             // the page says that the node is one of a test network
	Ready        <-chan struct{}  // closed when the node is up; nil = it is
	Log          *slog.Logger     // nil = silent
	Warnings     func() []string  // what a node that is ready should be looked at for; nil = nothing is known
	Now          func() time.Time // nil = time.Now
	Random       io.Reader        // of token and codes; nil = crypto/rand
}

// Server guards the API and serves the dashboard. Create it with New; its methods are safe for concurrent use.
type Server struct {
	opts     Options
	host     hosts
	port     string
	keys     atomic.Pointer[credentials]
	renewing sync.Mutex // of Renew; held while the file is written
	codes    codes
	refusals refusals
	files    map[string]file
	cross    *http.CrossOriginProtection
}

// New checks o and reads the token, or writes the file of a new one. Errors are ErrExposed, ErrAddress, ErrToken,
// ErrTokenWrite or those of the files.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	host, port, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("serve the dashboard on %q: %w", o.Listen, err)
	}
	s := &Server{opts: o, host: host, port: port, cross: http.NewCrossOriginProtection()}
	s.cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.deny(w, r, crossSite) }))
	s.codes = codes{now: o.Now, random: o.Random}
	s.refusals = refusals{log: o.Log, now: o.Now}
	token, err := keepToken(o.TokenFile, o.Random)
	if err != nil {
		return nil, fmt.Errorf("open the API: %w", err)
	}
	s.keys.Store(newCredentials(token, port))
	if s.files, err = loadFiles(); err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	return s, nil
}

// check reads the address and refuses one that would expose the API.
func (o Options) check() (hosts, string, error) {
	name, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return hosts{}, "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	more := o.AllowedHosts
	if len(more) == 0 && !isLoopback(name) { // who has the certificate's key chose its names
		more = Named(o.CertFile)
	}
	h, err := allowed(name, more)
	switch {
	case err != nil:
		return hosts{}, "", err
	case o.TokenFile == "" && h.local:
		return hosts{}, "", errors.New("no token file is named")
	case !h.local && (o.TokenFile == "" || !o.tls()):
		return hosts{}, "", ErrExposed
	case (o.CertFile == "") != (o.KeyFile == ""):
		return hosts{}, "", errors.New("a certificate and its key belong together")
	}
	return h, port, nil
}

func (o Options) tls() bool { return o.CertFile != "" && o.KeyFile != "" }

// Listen opens address; if its port is taken and the address is of this machine alone, any free port of it.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	name, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil || !isLoopback(name) {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(name, "0")); err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	return l, nil
}

// Run serves on l, which is closed when it returns. It returns nil within a second after ctx ended: requests that are
// open are told so, and broken off if they do not listen. Any other end is an error.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(cancel) // Shutdown waits for streams of events, which have no end of their own
	served := make(chan error, 1)
	go func() {
		if s.opts.tls() {
			served <- srv.ServeTLS(l, s.opts.CertFile, s.opts.KeyFile)
			return
		}
		served <- srv.Serve(l)
	}()
	select {
	case err := <-served:
		_ = l.Close() // ServeTLS leaves it open if the certificate is unreadable
		return fmt.Errorf("serve the dashboard: %w", err)
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer done()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	<-served
	return nil
}

// URL is where the dashboard is.
func (s *Server) URL() string {
	scheme, host := "http", s.host.own
	if s.opts.tls() {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, s.port)
}

// Renew replaces the token: whoever had the old one, or signed in with a link of its time, is out, also out of requests
// that go on. Errors: ErrTokenWrite; then everything stays as it is.
func (s *Server) Renew() error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	token, err := writeToken(s.opts.TokenFile, s.opts.Random)
	if err != nil {
		return fmt.Errorf("renew the token of the API: %w", err)
	}
	s.codes.forget()
	s.keys.Swap(newCredentials(token, s.port)).end()
	s.opts.Log.Info("the token of the API is another one, every browser has to sign in again", "file", s.opts.TokenFile)
	return nil
}

// LoginURL is a URL that signs one browser in, once and within the next minute.
func (s *Server) LoginURL() (string, error) {
	code, err := s.codes.issue()
	if err != nil {
		return "", fmt.Errorf("make a code to sign in: %w", err)
	}
	return s.URL() + "/login?code=" + code, nil
}
