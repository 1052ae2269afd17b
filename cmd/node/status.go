package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newStatusCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running node, its sets and its peers",
		Args:  a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				a.looking.Store(true)
				return a.withNode(cmd.Context(), attach{needsNode: true}, func(ctx context.Context, s session) error {
					clock := time.NewTicker(watchEvery)
					defer clock.Stop()
					return a.watchStatus(ctx, s, clock.C)
				})
			}
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{needsNode: true}, func(ctx context.Context, s session) error {
				st, err := s.Status(ctx)
				if err != nil {
					return err
				}
				return a.result(st, func(w io.Writer) { printStatus(w, st) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every second, until Ctrl-C")
	return cmd
}

func printStatus(w io.Writer, s api.Status) {
	facts(w,
		"peer", s.PeerID,
		"listen", strings.Join(s.Listen, "\n\t"),
		"version", s.Version,
		"socket", s.API,
		"dashboard", s.Dashboard,
		"home", s.Home,
		"up", time.Duration(s.UptimeSeconds*float64(time.Second)).Round(time.Second).String(),
		"peers", strconv.Itoa(len(s.Peers)),
		"received", size(s.WireIn),
		"sent", size(s.WireOut),
		"own state", size(s.DiskBytes),
	)
	if len(s.Sets) == 0 {
		return
	}
	_, _ = io.WriteString(w, "\n")
	rows := [][]string{{"NAME", "REV", "STATE", "ROLE", "EPOCH", "DURABLE", "PEERS", "SIZE", "SET"}}
	for _, t := range s.Sets {
		rows = append(rows, []string{printable(t.Name), strconv.FormatUint(t.Revision, 10), t.State, t.Role, t.Epoch, yesNo(t.Durable), strconv.Itoa(t.Peers), size(t.Bytes), short(t.Set)})
	}
	table(w, rows)
	for _, t := range s.Sets {
		for _, line := range concerns(t) {
			fmt.Fprintf(w, "%s: %s\n", printable(t.Name), line)
		}
	}
}

// concerns are what is not as it should be with a set.
func concerns(s api.SetInfo) []string {
	var out []string
	if s.Stale {
		out = append(out, "stale: not in touch with its primary")
	}
	if s.Behind > 0 {
		out = append(out, count(s.Behind, "newer revision")+" not complete here")
	}
	if s.DirRevision > 0 && !s.Following && !s.Replicating { // else it is about to be brought there
		out = append(out, fmt.Sprintf("its folder is at revision %d: `get SET` or `follow SET` brings it to %d", s.DirRevision, s.Revision))
	}
	if s.Forks > 0 {
		out = append(out, count(s.Forks, "fork")+" to be merged")
	}
	for _, a := range s.Alarms {
		out = append(out, oneLine(a))
	}
	return out
}
