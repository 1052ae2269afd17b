package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/api"
)

// supervisor is who started the process and looks after it, in the words of systemd. The zero value is nobody.
type supervisor struct {
	notify   func(state string) error                  // tells it the state; nil = it does not ask
	watchdog time.Duration                             // it ends a process that is silent for so long; 0 = never
	sockets  func() (map[string][]net.Listener, error) // what it opened, by name
	reloads  func() (c <-chan os.Signal, stop func())  // asks, from then on, to read the configuration again
}

// tellEvery is how often the supervisor is told how the node is when it does not ask for more.
const tellEvery = 30 * time.Second

// adopt hands the listeners of the supervisor to whom they are for.
func (s supervisor) adopt(cfg *hostConfig) error {
	if s.sockets == nil {
		return nil
	}
	all, err := s.sockets()
	if err != nil {
		return fmt.Errorf("take the sockets of the service manager: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, l := range all[name] {
			switch {
			case name == "api" && cfg.API.Listener == nil:
				cfg.API.Listener = l
			case name == "metrics" && cfg.Metrics.Listener == nil:
				cfg.Metrics.Listener = l
			default:
				cfg.Log.Warn("a socket of the service manager is not used: its name is neither api nor metrics, or it is one too many", "name", name, "addr", l.Addr())
				_ = l.Close()
			}
		}
	}
	return nil
}

// tell is told in any case: a supervisor that cannot be reached does not keep a node from its work.
func (s supervisor) tell(log *slog.Logger, state ...string) {
	if s.notify == nil {
		return
	}
	if err := s.notify(strings.Join(state, "\n")); err != nil {
		log.Debug("tell the service manager", "err", err)
	}
}

// beat is the pause between two signs of life: two of them may be lost.
func (s supervisor) beat() time.Duration {
	if s.watchdog > 0 {
		return min(s.watchdog/3, tellEvery)
	}
	return tellEvery
}

// service is what a node that stays does for who looks after it.
type service struct {
	app     *app
	flags   *pflag.FlagSet
	cfg     *hostConfig
	people  bool             // somebody started it at a terminal
	reloads <-chan os.Signal // nil = nobody asks
}

// newService hears from now on that the configuration is to be read again, until rest is called.
func (a *app) newService(flags *pflag.FlagSet, cfg *hostConfig) (s *service, rest func()) {
	s, rest = &service{app: a, flags: flags, cfg: cfg, people: isTerminal(a.stderr)}, func() {}
	if a.supervisor.reloads != nil {
		s.reloads, rest = a.supervisor.reloads()
	}
	return s, rest
}

// attend stays with a node that is up until it is to end, and says why it ended by itself.
func (s *service) attend(ctx context.Context, h *hosted) error {
	sup, log := s.app.supervisor, s.cfg.Log
	var beats <-chan time.Time
	if sup.notify != nil {
		clock := time.NewTicker(sup.beat())
		defer clock.Stop()
		beats = clock.C
	}
	sup.tell(log, "READY=1", sup.summary(ctx, h))
	defer sup.tell(log, "STOPPING=1", "STATUS=stopping")
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.stopAsked:
			return nil
		case <-h.nodeEnded:
			return h.endError()
		case <-s.reloads:
			if s.people && !isTerminal(s.app.stderr) {
				return nil // nobody asked for anything: the terminal is gone
			}
			sup.tell(log, "RELOADING=1")
			s.app.reload(ctx, s.flags, h, s.cfg)
			sup.tell(log, "READY=1", sup.summary(ctx, h))
		case <-beats:
			if text := sup.summary(ctx, h); text != "" {
				sup.tell(log, "WATCHDOG=1", text)
			}
		}
	}
}

// summary is the node in a line, or "" when it does not answer in time: then there is no sign of life either.
func (s supervisor) summary(ctx context.Context, h *hosted) string {
	if s.notify == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, s.beat())
	defer cancel()
	st, err := h.client.Status(ctx)
	if err != nil {
		return ""
	}
	return "STATUS=" + statusLine(st)
}

func statusLine(st api.Status) string {
	return fmt.Sprintf("%s, %s, %s sent, %s received", count(len(st.Sets), "set"), count(len(st.Peers), "peer"), size(st.WireOut), size(st.WireIn))
}
