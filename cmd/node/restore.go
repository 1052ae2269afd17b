package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newRestoreCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore SET@REV DEST",
		Short: "Bring an earlier revision back, into another folder",
		Long: "Write an earlier revision of a set into DEST. The folder of the set stays as it is. What this node\n" +
			"no longer has of the revision is asked of peers.",
		Example:           "  " + a.name + " restore photos@3 ./photos-as-they-were",
		Args:              a.arguments(2, 2),
		ValidArgsFunction: a.completeSet,
	}
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "overwrite files that differ")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := restoreRequest(args[0], args[1])
		if err != nil {
			return err
		}
		r.Force = force
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{flags: f, brief: true}, func(ctx context.Context, s session) error {
			update, end := a.progress("restore")
			res, err := s.Restore(ctx, r, update)
			end()
			if err != nil {
				return err
			}
			err = a.result(res, func(w io.Writer) { a.printGet(w, res) })
			a.conflicts(res.Conflicts)
			return errors.Join(err, a.skipped(res.Skipped))
		})
	}
	return cmd
}

func restoreRequest(source, dest string) (api.RestoreRequest, error) {
	i := strings.LastIndexByte(source, '@')
	if i <= 0 || dest == "" {
		e := usagef("restore needs a set, a revision and a folder")
		e.Detail = "written as SET@REV DEST"
		e.Hint = "`node history SET` lists the revisions"
		return api.RestoreRequest{}, e
	}
	rev, err := revision(source[i+1:])
	return api.RestoreRequest{Set: setArgument(source[:i]), Rev: rev, Dest: absolute(dest)}, err
}
