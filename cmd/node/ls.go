package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newLsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "ls [SET[/PATH]]",
		Short:             "List the sets of this node, or the files of one",
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.LsRequest
			if len(args) == 1 {
				arg, err := a.ticket(args[0])
				if err != nil {
					return err
				}
				r.Set, r.Path = splitSet(arg)
			}
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				res, err := s.Ls(ctx, r)
				if err != nil {
					return err
				}
				return a.result(res, func(w io.Writer) { printLs(w, r, res) })
			})
		},
	}
}

// splitSet cuts SET/PATH; the path of a folder on this disk is a set as a whole.
func splitSet(arg string) (set, path string) {
	if set := setArgument(arg); filepath.IsAbs(set) {
		return set, ""
	}
	set, path, _ = strings.Cut(arg, "/")
	return set, strings.Trim(path, "/")
}

func printLs(w io.Writer, r api.LsRequest, res api.LsResult) {
	if r.Set == "" {
		if len(res.Sets) == 0 {
			return
		}
		rows := [][]string{{"NAME", "REV", "FILES", "SIZE", "STATE", "SET"}}
		for _, s := range res.Sets {
			rows = append(rows, []string{printable(s.Name), strconv.FormatUint(s.Revision, 10), strconv.FormatUint(s.Files, 10), size(s.Bytes), s.State, s.Set})
		}
		table(w, rows)
		return
	}
	rows := make([][]string, 0, len(res.Entries))
	for _, e := range res.Entries {
		path := printable(e.Path)
		switch e.Kind {
		case "dir":
			path += "/"
		case "symlink":
			path = fmt.Sprintf("%s -> %s", path, printable(e.Target))
		}
		rows = append(rows, []string{e.Mode, size(e.Size), e.Mtime, path})
	}
	table(w, rows)
}
