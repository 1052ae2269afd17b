package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	// maxTakeovers bounds how often one command starts over: each needs a host that was lost, so ten
	// mean that something else is wrong.
	maxTakeovers = 10
	// lockPatience is how long a home may be locked without an answer at its socket; opening a large
	// store takes a second or two.
	lockPatience = 5 * time.Second
	// redialEvery keeps a waiting command prompt at no cost.
	redialEvery = 100 * time.Millisecond
)

// attach says how a verb wants its node.
type attach struct {
	offline   bool           // if hosted, then without network
	brief     bool           // if hosted, then only to fetch something
	needsNode bool           // only somebody else's node will do
	site      bool           // if hosted, then with its dashboard
	flags     *pflag.FlagSet // of the verb, for the settings among them

	after *api.VersionInfo // the host that went away; if hosted, then as that was. nil = none did
	back  bool             // a node is expected to take the place of that
}

// session is a node at the other end of a client: somebody else's, or the one hosted here.
type session struct {
	*api.Client
	hosted *hosted // nil: somebody else's
}

// withNode runs op with a node, and again with another one when the first goes away in the middle.
func (a *app) withNode(ctx context.Context, how attach, op func(context.Context, session) error) error {
	patience, cancel := a.bounded(ctx)
	defer cancel()
	waiting := false
	for try := 1; ; try++ {
		s, err := a.connect(ctx, how)
		if err == nil {
			a.tellUnused(how.flags, s)
			err = a.with(ctx, s, op)
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, errYielded) && try < maxTakeovers:
			a.say("`%s run` takes this home over; starting over through it", a.name)
			how.lost(s, true)
		case s.Client != nil && s.hosted == nil && errors.Is(err, api.ErrHostGone) && try < maxTakeovers:
			how.lost(s, !s.Version().Transient)
			a.sayLost(how)
		case isOfflineHost(err) && s.hosted == nil:
			try-- // such a host ends by itself: only --timeout bounds the wait
			if !waiting {
				a.say("waiting for another command that uses this home without network")
				waiting = true
			}
			if err := pause(patience, redialEvery); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// tellUnused says that settings of this command line mean nothing to a node that runs already.
func (a *app) tellUnused(flags *pflag.FlagSet, s session) {
	if flags == nil || s.hosted != nil {
		return
	}
	keys := settingFlags()
	flags.Visit(func(f *pflag.Flag) {
		if keys[f.Name] != "" {
			a.say("a node is running already: --%s has no effect", f.Name)
		}
	})
}

// outlives tells that the node goes on after this command.
func (s session) outlives() bool { return s.hosted == nil && !s.Version().Transient }

// with runs op and ends the session; the end of a hosted node ends op.
func (a *app) with(ctx context.Context, s session, op func(context.Context, session) error) error {
	if s.hosted == nil {
		defer s.Close()
		return op(ctx, s)
	}
	opCtx, cancel := context.WithCancelCause(ctx)
	release := s.hosted.onEnd(cancel)
	err := op(opCtx, s)
	release()
	if cause := context.Cause(opCtx); cause != nil && ctx.Err() == nil &&
		(errors.Is(err, context.Canceled) || errors.Is(err, api.ErrHostGone)) {
		err = cause // not "cancelled" but why
	}
	cancel(nil)
	if closeErr := s.hosted.close(); err == nil || closeErr != nil && errors.Is(err, errYielded) {
		err = closeErr // the operation's own error says more, but a node that does not end cannot be left behind
	}
	return err
}

// connect dials the node, or hosts one.
func (a *app) connect(ctx context.Context, how attach) (session, error) {
	paths, chosen := a.sockets()
	needsNode := a.neverHosts(how, chosen)
	var patience time.Duration
	if how.back || how.after != nil && needsNode { // which has nothing better to do than to wait
		patience = comebackPatience
	}
	if !a.opts.noDaemon {
		c, err := reach(ctx, paths, patience)
		if err == nil || !errors.Is(err, api.ErrNoNode) {
			return session{Client: c}, err
		}
	}
	if needsNode {
		return session{}, noNode(paths[len(paths)-1])
	}
	// Only now: a configuration that is not understood is no reason not to ask a node that runs.
	cfg, err := a.heirConfig(how.flags, how.heritage(), slog.LevelWarn)
	if err != nil {
		return session{}, err
	}
	cfg.Offline, cfg.Brief, cfg.Transfer.Inherit = how.offline, how.brief, how.after != nil
	return a.hostOrJoin(ctx, cfg, how, paths)
}

// hostOrJoin hosts a node, or dials one if somebody was faster.
func (a *app) hostOrJoin(ctx context.Context, cfg hostConfig, how attach, paths []string) (session, error) {
	giveUp := time.Now().Add(lockPatience)
	if how.after != nil {
		giveUp = time.Now().Add(startPatience)
	}
	for {
		h, err := a.host(ctx, cfg, hosting{site: how.site})
		if err == nil {
			s := session{Client: h.client, hosted: h}
			if err := ownLimits(ctx, h.client, how, cfg.Transfer); err != nil {
				return session{}, errors.Join(err, h.close())
			}
			return s, nil
		}
		var locked *lockedError
		if !errors.As(err, &locked) || a.opts.noDaemon || time.Now().After(giveUp) {
			return session{}, err
		}
		// Somebody was faster and opens the node just now, or closes it.
		if err := pause(ctx, redialEvery); err != nil {
			return session{}, err
		}
		c, err := dialAny(ctx, paths)
		if err == nil || !errors.Is(err, api.ErrNoNode) {
			return session{Client: c}, err
		}
	}
}

// neverHosts tells that only somebody else's node will do; chosen: so does its socket.
func (a *app) neverHosts(how attach, chosen bool) bool {
	return how.needsNode || a.opts.requireDaemon || chosen
}

// sockets lists where a node may answer, best first. chosen: the user named one, so there is no other
// and no hosting in its place.
func (a *app) sockets() (paths []string, chosen bool) {
	home := api.SocketPath(a.homeDir())
	switch {
	case a.opts.api != "":
		return []string{absolute(a.opts.api)}, true
	case a.opts.home != "":
		return []string{home}, false
	case a.env("SHOAL_API") != "":
		return []string{absolute(a.env("SHOAL_API"))}, true
	}
	// A home of one's own must not be answered by the node of another home.
	if run := a.env("XDG_RUNTIME_DIR"); filepath.IsAbs(run) && !a.ownHome() {
		paths = append(paths, filepath.Join(run, "shoal", "api.sock"))
	}
	return append(paths, home), false
}

func dialAny(ctx context.Context, paths []string) (*api.Client, error) {
	var last error
	for _, p := range paths {
		c, err := api.Dial(ctx, p)
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

func isOfflineHost(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == api.CodeOfflineHost
}

// pause waits for d or the end of ctx, which is its error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the node: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}
