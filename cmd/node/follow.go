package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newFollowCommand(a *app) *cobra.Command {
	f := follower{app: a}
	var dest string
	var wait bool
	cmd := &cobra.Command{
		Use:   "follow [TICKET|SET] [DEST]",
		Short: "Keep a folder at the newest revision of a set",
		Long: "Keep DEST (default ./NAME) at the newest revision of a set. A running node takes this over and the\n" +
			"command returns at once; else it stays, prints each revision that is complete, and Ctrl-C stops it.\n" +
			"The ticket may be given as to get.\n\n" +
			"The command of --exec runs in DEST after each complete revision, with SHOAL_SET, SHOAL_NAME,\n" +
			"SHOAL_REVISION, SHOAL_ROOT, SHOAL_DEST and SHOAL_PREVIOUS (the revision before, or 0).",
		Example:           fmt.Sprintf("  %[1]s follow TICKET ./site --exec 'systemctl --user reload site'", a.name),
		Args:              a.arguments(0, 2),
		ValidArgsFunction: a.completeSet,
	}
	flags := cmd.Flags()
	flags.StringVar(&dest, "dest", "", "same as DEST")
	flags.BoolVar(&f.request.Force, "force", false, "overwrite files that differ")
	flags.StringVar(&f.request.Exec, "exec", "", "command for the shell, after each complete revision")
	flags.BoolVar(&wait, "wait", false, "stay and print also when a running node follows")
	addSettingFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		q := &f.request
		if q.Ticket, err = a.source("follow", args); err != nil {
			return err
		}
		if q.Dest, q.Cwd, err = destination(args, dest); err != nil {
			return err
		}
		return a.withNode(cmd.Context(), attach{flags: flags}, func(ctx context.Context, s session) error {
			if s.outlives() && !wait {
				return f.handOver(ctx, s)
			}
			return f.stay(ctx, s)
		})
	}
	return cmd
}

func newUnfollowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unfollow SET",
		Short: "Leave the folder of a set as it is from now on",
		Long: "End what follow or replicate began: the set is not brought to newer revisions any more. Its files stay and\n" +
			"are served as they are until `rm`, which deletes them where they are in the node's own folder. A replica hands\n" +
			"the role of the primary on; its vote ends when the owner takes it back, with the line that is printed.",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				res, err := s.Unfollow(ctx, api.UnfollowRequest{Set: setArgument(args[0])})
				if err != nil {
					return err
				}
				if !a.opts.json {
					a.sayUnfollowed(res)
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

func (a *app) sayUnfollowed(r api.UnfollowResult) {
	name := printable(r.Name)
	if !r.Replicated {
		a.say("%s is not followed any more; its files stay", name)
		return
	}
	a.say("%[2]s is not held for others any more; what is here stays and is served until `%[1]s rm %[2]s`", a.name, name)
	if r.To != "" {
		a.say("%s is its primary now", short(r.To))
	}
	if r.Member != "" {
		a.say("this node still votes; where the owner key is, to end that:\n\n  %s revoke %s %s replica\n", a.name, r.Set, r.Member)
	}
}

// follower is one follow command; it may go through several nodes.
type follower struct {
	app     *app
	request api.FollowRequest

	endProgress func() // of the revision being fetched; nil = none is
	update      func(api.Progress)
	shown       uint64 // newest revision that was printed
	partial     bool   // files were left out of it
	asked       bool   // what the owner has to type was said
}

// follow is the part that --timeout bounds.
func (f *follower) follow(ctx context.Context, s session) (api.FollowResult, error) {
	ctx, cancel := f.app.bounded(ctx)
	defer cancel()
	update, end := f.app.progress("follow")
	defer end()
	return s.Follow(ctx, f.request, update)
}

func (f *follower) handOver(ctx context.Context, s session) error {
	res, err := f.follow(ctx, s)
	if err != nil {
		return err
	}
	f.grantLine(res.Set, res.Member, res.Granted)
	if !f.app.opts.json {
		f.app.say("the running node keeps %s at the newest revision: `%s events` shows it, `%s unfollow` ends it", named(res), f.app.name, f.app.name)
	}
	return f.app.result(res, func(w io.Writer) {
		if res.Dest != "" {
			fmt.Fprintln(w, printable(res.Dest))
		}
	})
}

// named is what is followed and where; of a bare set id neither is known before a peer has answered.
func named(r api.FollowResult) string {
	name := printable(r.Name)
	if r.Name == "" {
		name = short(r.Set)
	}
	if r.Dest != "" {
		name += " in " + printable(r.Dest)
	}
	return name
}

// stay prints each complete revision until a signal, which is a clean end once one is complete.
func (f *follower) stay(ctx context.Context, s session) error {
	news, err := listen(ctx, s, api.EventsRequest{Progress: true})
	if err != nil {
		return err
	}
	defer news.close()
	defer f.settle()
	res, err := f.follow(ctx, s)
	if err != nil {
		return err
	}
	f.grantLine(res.Set, res.Member, res.Granted)
	switch {
	case f.app.opts.json && f.request.Replicate:
		if err := f.app.emit("replicating", res); err != nil {
			return err
		}
	case f.app.opts.json:
	default:
		f.app.say("following %s; Ctrl-C stops", named(res))
	}
	for {
		e, err := news.next()
		switch {
		case err != nil && ctx.Err() != nil && f.shown > 0:
			if !s.outlives() && !f.app.opts.json {
				f.app.say("`%[1]s run` goes on following; `%[1]s unfollow` ends it", f.app.name)
			}
			return f.end(seedEnd(ctx))
		case err != nil:
			return err
		case e.Set != "" && e.Set != res.Set:
			continue
		}
		if e.Kind == api.EventEnded {
			if e.Detail == "" {
				f.app.say("not followed any more")
			}
			return f.end(ended("the set is not followed any more", e))
		}
		if err := f.event(e); err != nil {
			return err
		}
	}
}

func (f *follower) end(err error) error {
	if err == nil && f.partial {
		return errPartial
	}
	return err
}

// event shows one event of the set.
func (f *follower) event(e api.Event) error {
	if e.Kind == api.EventProgress {
		if e.Progress != nil && (f.endProgress != nil || e.Progress.BytesTotal > 0) { // before it is known how much, there is nothing to say
			if f.endProgress == nil {
				f.update, f.endProgress = f.app.progress("follow")
			}
			f.update(*e.Progress)
		}
		return nil
	}
	f.settle()
	switch {
	case e.Kind == api.EventComplete && e.Result != nil:
		return f.complete(*e.Result)
	case f.app.opts.json:
		return f.app.emit("event", e)
	case e.Kind == api.EventConflict:
		// the result lists them
	default:
		f.app.say("%s", eventLine(e))
	}
	return nil
}

// settle ends the drawing of progress.
func (f *follower) settle() {
	if f.endProgress != nil {
		f.endProgress()
	}
	f.update, f.endProgress = nil, nil
}

func (f *follower) complete(r api.GetResult) error {
	if !r.Changed && r.Revision == f.shown {
		return nil // said before, by a node that is gone now
	}
	f.shown = r.Revision
	err := f.app.result(r, func(w io.Writer) {
		f.app.say("got %s revision %d: %s", printable(r.Name), r.Revision, gotWords(r))
		fmt.Fprintf(w, "revision %d in %s\n", r.Revision, printable(r.Dest))
	})
	f.app.conflicts(r.Conflicts)
	f.partial = f.app.skipped(r.Skipped) != nil
	return err
}
