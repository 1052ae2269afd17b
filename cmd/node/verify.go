package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newVerifyCommand(a *app) *cobra.Command {
	var r api.VerifyRequest
	cmd := &cobra.Command{
		Use:               "verify SET|DIR",
		Short:             "Read every block of a set again and check it",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	cmd.Flags().BoolVar(&r.Heal, "heal", false, "fetch damaged blocks from peers")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Set = setArgument(args[0])
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		// Healing asks peers, checking does not.
		return a.withNode(ctx, attach{offline: !r.Heal}, func(ctx context.Context, s session) error {
			update, end := a.progress("verify")
			res, err := s.Verify(ctx, r, update)
			end()
			if err != nil {
				return err
			}
			if err := a.result(res, func(w io.Writer) { printVerify(w, res) }); err != nil {
				return err
			}
			return errors.Join(a.damage(res), a.skipped(res.Skipped))
		})
	}
	return cmd
}

func printVerify(w io.Writer, r api.VerifyResult) {
	for _, f := range r.Files {
		fmt.Fprintln(w, "damaged", printable(f))
	}
	fmt.Fprintf(w, "%s, %s: %d damaged, %d healed\n", count(r.Blocks, "block"), size(r.Bytes), r.Damaged, r.Healed)
}

// damage is exit 6 when damage is left. The result stays the last line of stdout; the words go to stderr.
func (a *app) damage(r api.VerifyResult) error {
	left := r.Damaged - r.Healed
	if left <= 0 {
		return nil
	}
	e := &api.Error{Title: fmt.Sprintf("%s of this set damaged", count(left, "block")), Hint: "put the files back, or `" + a.name + " verify --heal`"}
	if len(r.Skipped) > 0 {
		e.Hint = "somebody changed what was skipped; `" + a.name + " get SET --force` overwrites it"
	}
	if len(r.Files) > 0 {
		e.Detail = r.Files[0]
		if len(r.Files) > 1 {
			e.Detail += fmt.Sprintf(" and %s", count(len(r.Files)-1, "other file"))
		}
	}
	a.complain(e)
	return reported{code: api.ExitIntegrity}
}
