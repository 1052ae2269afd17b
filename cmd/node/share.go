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
	var r api.ShareRequest
	var qr, once bool
	cmd := &cobra.Command{
		Use:   "share PATH",
		Short: "Make a file set of a folder or a file and print its ticket",
		Long: "Make a file set of a folder or a single file, or update the one it already is, and print its\n" +
			"ticket as the last line. With a running node it returns at once; else it stays and serves until\n" +
			"Ctrl-C.",
		Args: a.arguments(1, 1),
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "name of the set (default: that of the folder)")
	f.StringVar(&r.Set, "set", "", "re-link a moved folder to this set")
	f.BoolVar(&r.AllowDeletions, "allow-deletions", false, "publish although more than half of the files are gone")
	f.BoolVar(&once, "once", false, "stop after the first peer has it all")
	f.BoolVar(&qr, "qr", false, "show the ticket as a QR code too")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "" {
			return usagef("share needs a folder or file, got an empty name")
		}
		r.Path = absolute(args[0])
		if err := readable(r.Path); err != nil {
			return err
		}
		printed := false // a host that goes away later does not make a second result
		return a.withNode(cmd.Context(), attach{flags: f}, func(ctx context.Context, s session) error {
			res, err := a.shareOnce(ctx, s, r)
			if err != nil {
				return err
			}
			if !printed {
				err = a.printShare(res, qr)
				printed = true
			}
			partial := a.skipped(res.Skipped)
			if err == nil && !s.outlives() {
				err = a.seed(ctx, s, res.Set, once)
			}
			return errors.Join(err, partial)
		})
	}
	return cmd
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
		a.say("on the other machine:\n\n  %s get %s\n", a.name, r.Ticket)
	}
	return a.result(r, func(w io.Writer) { fmt.Fprintln(w, r.Ticket) })
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
