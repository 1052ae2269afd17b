package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

// This file is about the home of a node that goes away: who waits, who takes it, and who gives it back.
//
// A command that hosts gives way to `run`. The lock "gate" stands before the home's: `run` holds it until it has the home,
// and a command passes it before it hosts, so that none of those whose host just gave way is faster than `run`.

const (
	// comebackPatience is how long a command waits for the node of a service before it hosts in its place: the unit restarts it
	// after 2 s, and to start takes up to a second, three on a machine under load.
	comebackPatience = 5 * time.Second
	// startPatience is how long a command that lost its host waits for a home that somebody holds: a store that was not closed
	// reads its log again before it answers, and to give up would end what is under way.
	startPatience = time.Minute
)

// errYielded ends the operation of a hosting command that left the home to a node that stays; it goes on there.
var errYielded = errors.New("gave the home up to another node")

// passed is the home's lock for a command; *lockedError also when a node that stays is about to take it.
func passed(home string) (*flock.Flock, error) {
	gate, err := gateOf(home)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	ok, err := gate.TryRLock()
	if err != nil {
		return nil, storeError(err)
	}
	if !ok {
		return nil, &lockedError{home: home}
	}
	return lockHome(home)
}

// gateOf is the lock before the home's, not taken.
func gateOf(home string) (*flock.Flock, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, storeError(err)
	}
	return flock.New(filepath.Join(home, "gate"), flock.SetPermissions(0o600)), nil
}

// claim takes the home's lock for a node that stays. A command that hosts there is asked to give way; another node that stays
// is an error, and so is whoever holds the home and does not answer.
func claim(ctx context.Context, home string, log *slog.Logger) (*flock.Flock, error) {
	gate, err := gateOf(home)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	giveUp, agreed := time.Now().Add(lockPatience), false
	for {
		lock, err := claimOnce(gate, home)
		var locked *lockedError
		if !errors.As(err, &locked) {
			return lock, err
		}
		yields, err := askToYield(ctx, locked)
		if err != nil {
			return nil, err
		}
		if yields && !agreed {
			agreed, giveUp = true, time.Now().Add(drainPatience+lockPatience)
			log.Info("a command that hosted the node gives way", "process", locked.pid)
		}
		if time.Now().After(giveUp) {
			return nil, locked
		}
		// Somebody opens the node just now, or closes it.
		if err := pause(ctx, redialEvery); err != nil {
			return nil, err
		}
	}
}

// claimOnce takes the gate, unless this process has it already, and then the home.
func claimOnce(gate *flock.Flock, home string) (*flock.Flock, error) {
	ok, err := gate.TryLock()
	if err != nil {
		return nil, storeError(err)
	}
	if !ok {
		return nil, &lockedError{home: home} // a command passes, which is a moment, or another node waits
	}
	return lockHome(home)
}

// askToYield tells whether the host that holds a home gives it up; false if nobody answers yet, or any more. The error is for
// one that stays.
func askToYield(ctx context.Context, locked *lockedError) (bool, error) {
	c, err := api.Dial(ctx, api.SocketPath(locked.home))
	if err != nil {
		return false, nil
	}
	defer c.Close()
	if !c.Version().Transient {
		return false, stays(locked, "a node runs in this home already", "`node status`, or `node stop` to end it")
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var e *api.Error
	switch err := c.Yield(ctx); {
	case err == nil:
		return true, nil
	case errors.As(err, &e):
		return false, stays(locked, "a command uses this home and does not give way", "wait for it to end, or `node stop` to end it")
	default:
		return false, nil // it ends by itself
	}
}

// stays is the error for a home that is somebody else's for longer.
func stays(locked *lockedError, title, hint string) error {
	if locked.pid != "" {
		title += ", process " + locked.pid
	}
	return &api.Error{Code: "already_running", ExitCode: api.ExitStore, Title: title, Detail: locked.home, Hint: hint}
}

// reach dials until a node answers, for so long at most; without patience once.
func reach(ctx context.Context, paths []string, patience time.Duration) (*api.Client, error) {
	for giveUp := time.Now().Add(patience); ; {
		c, err := dialAny(ctx, paths)
		if err == nil || !errors.Is(err, api.ErrNoNode) || !time.Now().Before(giveUp) {
			return c, err
		}
		if err := pause(ctx, redialEvery); err != nil {
			return nil, err
		}
	}
}

// lost remembers the host that went away, for who goes on in its place; back: a node is expected in its home.
func (how *attach) lost(s session, back bool) {
	switch {
	case s.Client != nil:
		v := s.Version()
		how.after = &v
	case how.after == nil:
		how.after = new(api.VersionInfo)
	}
	how.back = back
}

// sayLost says what a command does whose host went away.
func (a *app) sayLost(how attach) {
	_, chosen := a.sockets()
	switch {
	case a.neverHosts(how, chosen):
		a.say("the node went away; waiting %v for it to come back", comebackPatience)
	case how.back:
		a.say("the node went away; starting over when it is back, or in its place after %v", comebackPatience)
	default:
		a.say("the node went away; starting over, with its settings")
	}
}

// heritage are the settings of the host whose place this command takes; nil = of nobody.
func (how *attach) heritage() map[string]string {
	if how.after == nil {
		return nil
	}
	return how.after.Settings
}

// told are the settings that say how a node meets network and disk, for who takes its place. What a process shows of itself,
// API, metrics and log, is its own.
func told(all values) map[string]string {
	out := map[string]string{}
	for key, v := range all {
		section, _, _ := strings.Cut(key, ".")
		switch section {
		case "p2p", "discovery", "transfer", "store", "share", "failover":
			out[key] = fmt.Sprint(v)
			if list, ok := v.([]string); ok {
				out[key] = strings.Join(list, " ") // of multiaddrs, which have no spaces
			}
		}
	}
	return out
}

// ownLimits makes those limits that this command line names hold again: they count more than what was set of the host before
// while it ran.
func ownLimits(ctx context.Context, to api.Limiter, how attach, own node.TransferConfig) error {
	if how.after == nil || how.flags == nil {
		return nil
	}
	var named []string
	how.flags.Visit(func(f *pflag.Flag) { named = append(named, settingFlags()[f.Name]) })
	return relimit(ctx, to, named, own)
}
