package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newPublishCommand(a *app) *cobra.Command {
	var r api.PublishRequest
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "publish SET|DIR",
		Short: "Make what changed in a folder the next revision of its set",
		Long: "Scan the folder of a set now and, if something changed, publish the next revision. Prints what is\n" +
			"new: + added, ~ changed, - gone, > moved. With --dry-run nothing is published. Where other replicas\n" +
			"are listed it waits until one of them has the revision, too; if none does it is published all the\n" +
			"same, and the exit code is 12.",
		Example:           "  " + a.name + " publish ./photos -m \"the new lens\"\n  " + a.name + " publish photos --dry-run",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	f := cmd.Flags()
	f.StringVarP(&r.Note, "message", "m", "", "what to say of the revision, shown by history")
	f.BoolVar(&r.DryRun, "dry-run", false, "say what would be published and publish nothing")
	f.BoolVar(&r.AllowDeletions, "allow-deletions", false, "publish although more than half of the files are gone")
	f.BoolVar(&r.AllowLocal, "allow-local", false, "exit with 0 also when no other replica has it")
	f.DurationVar(&wait, "wait", 10*time.Second, "wait this long for another replica to have it")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkNote(r.Note); err != nil {
			return err
		}
		r.Target = setArgument(args[0])
		if wait < 0 {
			return usagef("--wait is negative")
		}
		if f.Changed("wait") {
			r.Wait = wait.String()
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{flags: f, offline: r.DryRun}, func(ctx context.Context, s session) error {
			res, err := a.publish(ctx, s, r)
			if err != nil {
				return err
			}
			err = a.result(res, func(w io.Writer) { a.printPublish(w, res) })
			if res.Changed && !res.DryRun && s.hosted != nil && !a.opts.json {
				a.say("nobody serves it after this command: `%s run`, or `%s share` of the folder", a.name, a.name)
			}
			return errors.Join(err, a.skipped(res.Skipped), notDurable(res, r.AllowLocal))
		})
	}
	return cmd
}

// publish also finds a folder of the working folder by its bare name, if no set is called so.
func (a *app) publish(ctx context.Context, s session, r api.PublishRequest) (api.PublishResult, error) {
	update, end := a.progress("publish")
	defer end()
	res, err := s.Publish(ctx, r, update)
	var e *api.Error
	if errors.As(err, &e) && e.ExitCode == api.ExitNotFound && absolute(r.Target) != r.Target {
		if _, statErr := os.Stat(r.Target); statErr == nil {
			r.Target = absolute(r.Target)
			return s.Publish(ctx, r, update)
		}
	}
	return res, err
}

// printPublish prints the changes as data and the rest as talk.
func (a *app) printPublish(w io.Writer, r api.PublishResult) {
	const shown = 20 // a screenful; `diff` and --json have them all
	printChanges(w, r.Changes, shown)
	if r.Changed {
		a.say("%s", summary(r.Changes))
	}
	what := count(r.Files, "file") + ", " + size(r.Bytes)
	switch {
	case !r.Changed:
		a.say("nothing changed: revision %d stays", r.Revision)
	case r.DryRun:
		a.say("dry run: nothing was published; %s would become revision %d: %s", printable(r.Name), r.Revision, what)
	default:
		a.say("published %s revision %d: %s", printable(r.Name), r.Revision, what)
		if r.Merged {
			a.say("merged with what was published meanwhile: a folder that follows the set gets it by itself; `%s restore %s@%d DIR` shows it elsewhere", a.name, printable(r.Name), r.Revision)
		}
		a.say("%s", strings.ReplaceAll(durability(r.ShareResult), "`node ", "`"+a.name+" "))
	}
}

// notDurable is errNotDurable for a revision that no other replica has although some are listed.
func notDurable(r api.PublishResult, allowed bool) error {
	if r.Changed && !r.DryRun && !r.Durable && !r.Alone && !allowed {
		return errNotDurable
	}
	return nil
}

// durability says who has a revision for sure.
func durability(r api.ShareResult) string {
	switch {
	case r.Durable:
		return "durable on " + peerNames(r.On) + "; " + count(r.Holders, "node") + " in all"
	case !r.Alone:
		return "local only: no other replica has it yet; it gets there when one can be reached: `node members SET`"
	case r.Holders > 1:
		return "not durable yet: " + count(r.Holders, "node") + " known to have it, none of them as its backup"
	default:
		return "not durable yet: no other node is known to have it"
	}
}

// peerNames lists peers by the ends of their ids.
func peerNames(ids []string) string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, short(id))
	}
	return strings.Join(names, ", ")
}
