package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/rest"
	"github.com/shoal-p2p/shoal/node/web"
)

// site is the REST API of a hosted node and, unless it is on the socket only, its dashboard.
type site struct {
	home     string
	log      *slog.Logger
	listener net.Listener  // nil = on the socket only
	server   *web.Server   // nil = on the socket only
	ready    chan struct{} // closed when the node is up

	settings func() ([]setting, error)

	// What follows is set by attach, before anybody asks.
	rest    *rest.API
	api     http.Handler
	metrics http.Handler // nil = there are none
	warn    func() []string
	testnet rest.Testnet // nil = the node is of none
	up      <-chan struct{}
}

// openSite opens the address of the API; nil for a command that ends by itself. What is wrong with the address shows here,
// before the store is opened.
func (a *app) openSite(ctx context.Context, cfg hostConfig, how hosting) (*site, error) {
	s := &site{home: cfg.Home, log: cfg.Log, listener: cfg.API.Listener, testnet: cfg.Testnet, settings: cfg.Effective, ready: make(chan struct{})}
	switch {
	case !how.service && !how.site:
		return nil, nil
	case s.listener == nil && cfg.API.Listen == "":
		return s, nil
	}
	var err error
	if err = checkCertificate(cfg.API); err != nil { // when it serves it is too late to tell
		return nil, err
	}
	if s.listener == nil {
		if s.listener, err = listenSite(ctx, cfg); err != nil {
			return nil, listenError(cfg.API.Listen, err)
		}
	}
	s.server, err = web.New(web.Options{
		API:          http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.api.ServeHTTP(w, r) }),
		Metrics:      http.HandlerFunc(s.scraped),
		Version:      cfg.Version,
		Command:      a.commandOf(cfg.Home),
		Listen:       s.listener.Addr().String(),
		AllowedHosts: cfg.API.AllowedHosts,
		TokenFile:    filepath.Join(cfg.Home, "api.token"),
		CertFile:     cfg.API.Cert,
		KeyFile:      cfg.API.Key,
		Testnet:      cfg.Bed != nil,
		Ready:        s.ready,
		Warnings:     s.warnings,
		Log:          cfg.Log,
	})
	if err != nil {
		_ = s.listener.Close()
		return nil, listenError(s.listener.Addr().String(), err)
	}
	if err := api.RecordURL(cfg.Home, s.server.URL()); err != nil {
		cfg.Log.Warn("where the dashboard is could not be written down", "err", err) // a full disk is no reason not to start
	}
	return s, nil
}

// checkCertificate loads the certificate and the key that would be served with.
func checkCertificate(c apiConfig) error {
	if c.Cert == "" || c.Listen == "" && c.Listener == nil {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(c.Cert, c.Key); err != nil {
		return &api.Error{Code: "bad_certificate", ExitCode: api.ExitUsage, Title: "the certificate of the API cannot be used", Detail: err.Error(), Hint: "see api.cert and api.key"}
	}
	return nil
}

// commandOf is what opens the dashboard of the node of a home, for a person at another prompt.
func (a *app) commandOf(home string) string {
	if !a.ownHome() {
		return a.name + " dashboard"
	}
	if strings.ContainsFunc(home, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-:", r)
	}) {
		home = "'" + strings.ReplaceAll(home, "'", `'\''`) + "'"
	}
	return a.name + " dashboard --home " + home
}

// listenSite opens the address that was chosen, and no other; the default one may be any free port where it is taken, and
// the log tells.
func listenSite(ctx context.Context, cfg hostConfig) (net.Listener, error) {
	if cfg.API.Chosen {
		return new(net.ListenConfig).Listen(ctx, "tcp", cfg.API.Listen)
	}
	l, err := web.Listen(ctx, cfg.API.Listen)
	if err == nil && l.Addr().String() != cfg.API.Listen {
		cfg.Log.Warn("the dashboard's port is taken, it is at another one", "wanted", cfg.API.Listen, "at", l.Addr().String())
	}
	return l, err
}

func listenError(at string, err error) error {
	e := &api.Error{Code: "bad_listen", ExitCode: api.ExitUsage, Title: "the API cannot be served at " + printable(at), Detail: err.Error(),
		Hint: "another api.listen, or off for none"}
	switch {
	case errors.Is(err, web.ErrExposed):
		e.Code, e.Hint = "exposed", "set api.cert and api.key, or listen on 127.0.0.1"
	case errors.Is(err, web.ErrToken):
		e.Code, e.Title = "bad_token", "the token of the API cannot be used"
		e.Hint = "chmod 600 and chown the file to who runs the node, or delete it: then a new one is made"
	case errors.Is(err, web.ErrTokenWrite):
		e.Code, e.Title, e.Hint = "token_not_written", "the token of the API cannot be written", "see the space and the permissions of the home"
	}
	return e
}

func (s *site) scraped(w http.ResponseWriter, r *http.Request) {
	if s.metrics == nil {
		http.NotFound(w, r)
		return
	}
	s.metrics.ServeHTTP(w, r)
}

// warnings are asked for when the node is up, that is after attach.
func (s *site) warnings() []string {
	if s.warn == nil {
		return nil
	}
	return s.warn()
}

// instrumented is a host that measures requests.
type instrumented interface {
	Instrument(http.Handler) http.Handler
}

// moving is a host that tells how many bytes came and went, and how many did not have to.
type moving interface {
	Moved() (in, out, saved int64)
}

// attach gives the site its node. What commands ask of the service that it answers is among the site's operations.
func (s *site) attach(n host, o *api.ServerOptions) api.Service {
	options := rest.Options{Version: o.Version, Log: o.Log, Stop: o.Stop, Testnet: s.testnet, Settings: s.settings, Ready: o.Ready}
	if m, ok := n.(moving); ok {
		options.Moved = func() (b rest.Moved) { b.In, b.Out, b.Saved = m.Moved(); return b }
	}
	s.rest = rest.New(n, options)
	s.api, s.metrics, s.up = s.rest.Handler(), o.Metrics, o.Ready
	s.warn = o.Warnings
	if i, ok := n.(instrumented); ok {
		s.api = i.Instrument(s.api)
	}
	o.Resources = s.api
	if s.server != nil {
		o.Dashboard = s.server
	}
	return s.rest.Noted()
}

// run serves until ctx ends, then ends what was begun through the API.
func (s *site) run(ctx context.Context) (err error) {
	var group sync.WaitGroup
	group.Go(func() {
		select {
		case <-s.up:
			close(s.ready)
		case <-ctx.Done():
		}
	})
	defer group.Wait()
	if s.server != nil {
		if err := s.server.Run(ctx, s.listener); err != nil {
			s.log.Error("the dashboard is not served any more", "err", err) // now, and not when the node stops
		}
		err = api.RecordURL(s.home, "")
	}
	<-ctx.Done()
	s.rest.Close()
	return err
}

// close gives up a site that was not run.
func (s *site) close() {
	if s != nil && s.listener != nil {
		_ = s.listener.Close()
	}
}

func newDashboardCommand(a *app) *cobra.Command {
	var printOnly, renew bool
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Open the dashboard in a browser, and start the node if none runs",
		Long: "Print a link to the dashboard and, on a terminal, open it. The link signs one browser in, once and within\n" +
			"a minute: get another one for another browser. Where no node runs this command is one, until Ctrl-C.\n" +
			"Browsers that signed in stay so for 30 days, also when the node is started anew, and scripts keep the\n" +
			"token of HOME/api.token. --new-token makes another one: every browser and script that was let in is out.",
		Args: a.arguments(0, 0),
	}
	addSettingFlags(cmd.Flags())
	cmd.Flags().BoolVar(&printOnly, "no-open", false, "only print the link")
	cmd.Flags().BoolVar(&renew, "new-token", false, "make a new token first: who was let in is out, everywhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withNode(cmd.Context(), attach{site: true, flags: cmd.Flags()}, func(ctx context.Context, s session) error {
			if renew {
				if err := s.RenewToken(ctx); err != nil {
					return err
				}
				a.say("there is a new token; every browser has to sign in again")
			}
			d, err := s.Dashboard(ctx)
			if err != nil {
				return err
			}
			err = a.result(d, func(w io.Writer) { fmt.Fprintln(w, d.Login) })
			if err == nil && !printOnly && !a.opts.json && isTerminal(a.stdout) {
				a.browse(d.Login)
			}
			if s.hosted == nil || err != nil {
				return err
			}
			a.say("this command is the node; Ctrl-C stops it")
			<-ctx.Done()
			return seedEnd(ctx)
		})
	}
	return cmd
}

// browse opens a link as the desktop does, or says that it cannot. The link is in the arguments of a process for a moment:
// it is good once, and whoever was faster shows.
func (a *app) browse(link string) {
	words := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if words == nil {
		words = []string{"xdg-open"}
	}
	words = slices.Concat(words, []string{link})
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		a.say("open this link in a browser within a minute")
		return
	}
	_ = cmd.Process.Release() // it hands over to the browser and is not waited for
}
