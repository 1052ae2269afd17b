package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newReplicateCommand(a *app) *cobra.Command {
	f := follower{app: a}
	f.request.Replicate = true
	var wait bool
	cmd := &cobra.Command{
		Use:   "replicate [TICKET|SET] [DEST]",
		Short: "Hold the whole set for others, and ask to be a replica",
		Long: "Hold the whole of a set at this node and keep it at the newest revision, in a folder of the node's own\n" +
			"unless DEST names one. Prints what the owner types to make this node a replica: one that can be\n" +
			"primary or backup. A running node takes this over and the command returns at once; else it stays and\n" +
			"Ctrl-C stops it. `unfollow` ends it. The ticket may be given as to get.",
		Example:           fmt.Sprintf("  %[1]s replicate TICKET", a.name),
		Args:              a.arguments(0, 2),
		ValidArgsFunction: a.completeSet,
	}
	flags := cmd.Flags()
	flags.BoolVar(&wait, "wait", false, "stay and print also when a running node does it")
	addSettingFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if f.request.Ticket, err = a.source("replicate", args); err != nil {
			return err
		}
		if len(args) > 1 {
			f.request.Dest = absolute(args[1])
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

// grantLine tells what the owner has to type, once.
func (f *follower) grantLine(set, member string, granted bool) {
	switch {
	case member == "" || f.asked || f.app.opts.json:
	case granted:
		f.app.say("this node is a replica of it")
	default:
		f.app.say("where the owner key is, to make this node a replica:\n\n  %s grant %s %s replica\n", f.app.name, set, member)
	}
	f.asked = true
}
