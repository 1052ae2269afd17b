package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newGCCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "gc",
		Short: "Give back the disk space of what no set needs any more",
		Args:  a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				res, err := s.GC(ctx)
				if err != nil {
					return err
				}
				return a.result(res, func(w io.Writer) {
					fmt.Fprintf(w, "%s, %s freed; own state is %s\n", count(res.Blocks, "block"), size(res.Bytes), size(res.DiskBytes))
				})
			})
		},
	}
}
