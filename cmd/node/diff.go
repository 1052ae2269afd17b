package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newDiffCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff SET [A [B]]",
		Short: "List what changed from one revision to another",
		Long: "List what changed from revision A to revision B: + added, ~ changed, - gone, > moved. One number\n" +
			"compares that revision with the newest, none the newest with the one before it.",
		Example:           "  " + a.name + " diff photos 3 5",
		Args:              a.arguments(1, 3),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.DiffRequest{Set: setArgument(args[0])}
			for i, into := range []*uint64{&r.A, &r.B} {
				if len(args) > i+1 {
					var err error
					if *into, err = revision(args[i+1]); err != nil {
						return err
					}
				}
			}
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				res, err := s.Diff(ctx, r)
				if err != nil {
					return err
				}
				return a.result(res, func(w io.Writer) { a.printDiff(w, res) })
			})
		},
	}
}

func (a *app) printDiff(w io.Writer, r api.DiffResult) {
	printChanges(w, r.Changes, 0)
	if len(r.Changes) == 0 {
		a.say("%s: no difference from revision %d to %d", printable(r.Name), r.A, r.B)
		return
	}
	a.say("%s from revision %d to %d: %s", printable(r.Name), r.A, r.B, summary(r.Changes))
}
