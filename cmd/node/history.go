package main

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newHistoryCommand(a *app) *cobra.Command {
	var r api.HistoryRequest
	cmd := &cobra.Command{
		Use:   "history SET",
		Short: "List the revisions of a set",
		Long: "List the revisions of a set, the newest first; * is the one in the folder, fork one\n" +
			"that was made apart from it and waits to be merged. KEPT says what this\n" +
			"node has of it: here is all, partly is some, nodes is names and sizes only, gone is nothing.",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	cmd.Flags().BoolVar(&r.Verify, "verify", false, "check every signature, and that each revision names the one before it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Set = setArgument(args[0])
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
			res, err := s.History(ctx, r)
			if err != nil {
				return err
			}
			return a.result(res, func(w io.Writer) { printHistory(w, res, time.Now(), a.opts.verbose) })
		})
	}
	return cmd
}

// printHistory tells how long ago a revision was made, or with exact when.
func printHistory(w io.Writer, res api.HistoryResult, now time.Time, exact bool) {
	const longest = 60 // runes of a note: what is left of a wide terminal
	rows := [][]string{{"REV", "WHEN", "FILES", "SIZE", "KEPT", "NOTE"}}
	same := map[uint64]int{} // revisions with one number: a fork
	for _, r := range res.Revisions {
		same[r.Revision]++
	}
	for _, r := range res.Revisions {
		number := strconv.FormatUint(r.Revision, 10)
		if same[r.Revision] > 1 && len(r.Head) > 4 {
			number += "-" + r.Head[len(r.Head)-4:]
		}
		switch {
		case r.Current:
			number += " *"
		case r.Fork:
			number += " fork"
		}
		when := printable(r.Time)
		if t, err := time.Parse(time.RFC3339, r.Time); err == nil && !exact {
			when = humanize.RelTime(t, now, "ago", "from now")
		}
		note := []rune(oneLine(r.Note))
		if len(note) > longest {
			note = append(note[:longest-1], '…')
		}
		rows = append(rows, []string{number, when, strconv.FormatUint(r.Files, 10), size(r.Bytes), printable(r.Kept), string(note)})
	}
	table(w, rows)
}
