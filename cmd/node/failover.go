package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newPromoteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "promote SET PEER",
		Short: "Hand the role of the primary to another replica",
		Long: "Hand the role of the primary to another replica: at the primary, whose node must run. It takes no\n" +
			"more revisions until the other has everything and is primary.",
		Args:              a.arguments(2, 2),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{needsNode: true}, func(ctx context.Context, s session) error {
				res, err := s.Promote(ctx, api.PromoteRequest{Set: setArgument(args[0]), Peer: args[1]})
				if err != nil {
					return err
				}
				if !a.opts.json {
					if res.Changed {
						a.say("%s is primary of %s after %.2f s (epoch %s)", res.To, printable(res.Name), res.Seconds, res.Epoch)
					} else {
						a.say("nothing changed: %s is primary of %s already", res.To, printable(res.Name))
					}
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

func newFailoverCommand(a *app) *cobra.Command {
	var q api.FailoverRequest
	var drill bool
	cmd := &cobra.Command{
		Use:   "failover SET --drill",
		Short: "Rehearse the change from primary to backup",
		Long: "Rehearse the change from primary to backup: at the primary, whose node must run. The role is handed\n" +
			"to the backup while a reader reads, and with --back from there to where it was. Without a drill\n" +
			"there is nothing to type: the backup takes over when the primary is gone.",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	cmd.Flags().BoolVar(&drill, "drill", false, "rehearse")
	cmd.Flags().BoolVar(&q.Back, "back", false, "hand the role back afterwards")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !drill {
			e := usagef("failover happens by itself; --drill rehearses it")
			e.Hint = "`node failover SET --drill`, or `node promote SET PEER` to hand over for good"
			return e
		}
		q.Set = setArgument(args[0])
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{needsNode: true}, func(ctx context.Context, s session) error {
			res, err := s.Failover(ctx, q, a.drillProgress())
			if err != nil {
				return err
			}
			if err := a.result(res, func(w io.Writer) { printDrill(w, res) }); err != nil {
				return err
			}
			if !res.Passed {
				return reported{api.ExitFailed} // the result says why
			}
			return nil
		})
	}
	return cmd
}

// drillProgress prints the sentences of a drill, which has no bytes to count.
func (a *app) drillProgress() func(api.Progress) {
	if a.opts.json {
		update, _ := a.progress("failover") // lines of JSON need no end
		return update
	}
	return func(p api.Progress) {
		if p.Message != "" {
			a.say("%s", oneLine(p.Message))
		}
	}
}

func printDrill(w io.Writer, r api.FailoverResult) {
	for _, s := range r.Stages {
		fmt.Fprintf(w, "%s -> %s  %.2f s without a primary\n", short(s.From), short(s.To), s.Seconds)
	}
	verdict := fmt.Sprintf("readers saw revision %d all the time: %s", r.Revision, count(r.Reads, "read"))
	if r.ReadsFailed > 0 {
		verdict = fmt.Sprintf("%d of %s failed", r.ReadsFailed, count(r.Reads, "read"))
	}
	fmt.Fprintln(w, verdict)
	fmt.Fprintf(w, "primary %s, epoch %s\n", r.Primary, r.Epoch)
}
