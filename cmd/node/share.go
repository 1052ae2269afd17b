package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newShareCommand(a *app) *cobra.Command {
	c := sharing{app: a}
	cmd := &cobra.Command{
		Use:   "share PATH",
		Short: "Make a file set of a folder or a file and print its ticket",
		Long: "Make a file set of a folder or a single file, or update the one it already is, and print its\n" +
			"ticket as the last line. With a running node it returns at once; else it stays and serves until\n" +
			"Ctrl-C. With --watch whatever changes in the folder is published as the next revision.",
		Args: a.arguments(1, 1),
	}
	f := cmd.Flags()
	r := &c.request
	f.StringVar(&r.Name, "name", "", "name of the set (default: that of the folder)")
	f.StringVar(&r.Set, "set", "", "re-link a moved folder to this set")
	f.StringVarP(&r.Note, "message", "m", "", "what to say of the revision, shown by history")
	f.BoolVar(&r.Watch, "watch", false, "from now on publish what changes")
	f.BoolVar(&r.Private, "private", false, "of a new set: only members and who is invited may read it")
	f.BoolVar(&r.Strict, "strict", false, "of a new set: never publish on a side without a majority of the replicas")
	f.BoolVar(&r.AllowDeletions, "allow-deletions", false, "publish although more than half of the files are gone")
	f.BoolVar(&c.once, "once", false, "stop after the first peer has it all")
	f.BoolVar(&c.wait, "wait", false, "stay also when a running node shares")
	f.BoolVar(&c.qr, "qr", false, "show the ticket as a QR code too")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := c.check(args[0]); err != nil {
			return err
		}
		return a.withNode(cmd.Context(), attach{flags: f}, c.share)
	}
	return cmd
}

// sharing is one share command; it may go through several nodes.
type sharing struct {
	app            *app
	request        api.ShareRequest
	once, wait, qr bool
	printed        bool // a host that goes away later does not make a second result
}

func (c *sharing) check(path string) error {
	switch {
	case path == "":
		return usagef("share needs a folder or file, got an empty name")
	case c.once && c.request.Watch:
		return usagef("--once and --watch exclude each other: one ends, the other goes on")
	}
	if err := checkNote(c.request.Note); err != nil {
		return err
	}
	c.request.Path = absolute(path)
	return readable(c.request.Path)
}

// share shares with one node, and stays when that is what keeps the set shared.
func (c *sharing) share(ctx context.Context, s session) error {
	stays := c.wait || !s.outlives()
	var news *feed
	if c.request.Watch && stays {
		var err error
		if news, err = listen(ctx, s, api.EventsRequest{}); err != nil {
			return err
		}
		defer news.close()
	}
	res, err := c.app.shareOnce(ctx, s, c.request)
	if err != nil {
		return err
	}
	if !c.printed {
		err = c.app.printShare(res, c.qr)
		c.printed = true
	}
	partial := c.app.skipped(res.Skipped)
	switch {
	case err != nil:
	case news != nil:
		err = c.app.watch(ctx, news, res.Set)
	case stays:
		err = c.app.seed(ctx, s, res.Set, c.once)
	case c.request.Watch && !c.app.opts.json:
		c.app.say("the running node publishes what changes: `%s events` shows it", c.app.name)
	}
	return errors.Join(err, partial)
}

// watch prints each new revision until a signal, which is a clean end.
func (a *app) watch(ctx context.Context, news *feed, set string) error {
	a.say("sharing what changes; Ctrl-C stops")
	for {
		e, err := news.next()
		switch {
		case err != nil && ctx.Err() != nil:
			return seedEnd(ctx)
		case err != nil:
			return err
		case e.Set != "" && e.Set != set:
		case a.opts.json:
			err = a.emit("event", e)
		default:
			a.say("%s", eventLine(e))
		}
		if err == nil && e.Kind == api.EventEnded && e.Set == set {
			return ended("the folder is not watched any more", e)
		}
		if err != nil {
			return err
		}
	}
}

// readable tells a wrong path before any node is started. A folder that only the node's user can read is
// left to the node.
func readable(path string) error {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return &api.Error{Code: "no_such_path", ExitCode: api.ExitNotFound, Title: "no such file or folder", Detail: printable(path),
			Hint: "check the spelling; a relative path starts at the working folder"}
	}
	return nil
}

// shareOnce is the part that --timeout bounds; seeding afterwards is not.
func (a *app) shareOnce(ctx context.Context, s session, r api.ShareRequest) (api.ShareResult, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	update, end := a.progress("share")
	res, err := s.Share(ctx, r, update)
	end()
	return res, err
}

func (a *app) printShare(r api.ShareResult, qr bool) error {
	if !a.opts.json {
		a.say("shared %s: %s, %s, revision %d", printable(r.Name), count(r.Files, "file"), size(r.Bytes), r.Revision)
		if qr {
			qrterminal.GenerateHalfBlock(r.Ticket, qrterminal.L, a.stderr)
		}
		if !r.Alone && !r.Durable {
			a.say("local only: no other replica has it yet")
		}
		a.sayTicket(r)
	}
	return a.result(r, func(w io.Writer) { fmt.Fprintln(w, r.Ticket) })
}

// sayTicket tells what to do with the ticket.
func (a *app) sayTicket(r api.ShareResult) {
	if !r.Private {
		a.say("on the other machine:\n\n  %s get %s\n", a.name, r.Ticket)
		return
	}
	a.say("private: the ticket opens it to members only. To let somebody in:\n\n  %[1]s invite %[2]s             # a ticket for whoever holds it\n"+
		"  %[1]s grant %[2]s PEER reader  # then the ticket below\n", a.name, r.Set)
	a.say("the owner key of this home decides who takes part: `%s id export-owner FILE` keeps a copy", a.name)
}

// seed stays while a node that would else end serves the set: until a signal, which is a clean end, or
// with once until somebody else holds it all. If the node is another command's and ends, this one starts
// over, and hosts.
func (a *app) seed(ctx context.Context, s session, set string, once bool) error {
	a.say("sharing; Ctrl-C stops")
	if !once && s.hosted != nil {
		<-ctx.Done()
		return seedEnd(ctx)
	}
	const every = 500 * time.Millisecond
	for {
		if pause(ctx, every) != nil {
			return seedEnd(ctx)
		}
		info, err := s.Show(ctx, set)
		var e *api.Error
		switch {
		case errors.As(err, &e) && e.ExitCode == api.ExitNotFound:
			a.say("not shared any more")
			return nil
		case err == nil && once && info.Holders > 1:
			a.say("a peer has it all; done")
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		}
	}
}

// seedEnd is nil for an end that somebody asked for: what was promised is done.
func seedEnd(ctx context.Context) error {
	cause := context.Cause(ctx)
	var i interrupted
	if errors.As(cause, &i) || errors.Is(cause, errStopped) {
		return nil
	}
	return cause
}
