package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newLimitCommand(a *app) *cobra.Command {
	var up, down string
	var lan bool
	cmd := &cobra.Command{
		Use:   "limit [SET]",
		Short: "Show or change how fast the running node sends and receives",
		Long: "Show or change how fast the running node sends and receives, all in all or for one set. A change counts\n" +
			"at once. The limits of sets are remembered; those of the node hold until it ends, `config set\n" +
			"transfer.up` and the like are for good. They are of files' content and what describes it; a command that goes\n" +
			"on with its work when the node stops keeps to them. What nodes say to find each other is little.",
		Example:           fmt.Sprintf("  %[1]s limit --up 5MB/s --down 0     # 0 is no limit\n  %[1]s limit photos --up 500kB/s", a.name),
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeSet,
	}
	cmd.Flags().StringVar(&up, "up", "", "send at most this, as 5MB/s (0 = no limit)")
	cmd.Flags().StringVar(&down, "down", "", "receive at most this, as 5MB/s (0 = no limit)")
	cmd.Flags().BoolVar(&lan, "lan-exempt", false, "peers of the local network are outside of the limits")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var q api.LimitsRequest
		if len(args) == 1 {
			q.Set = setArgument(args[0])
		}
		for _, f := range []struct {
			name, text string
			into       **int64
		}{{"up", up, &q.Up}, {"down", down, &q.Down}} {
			if !cmd.Flags().Changed(f.name) {
				continue
			}
			n, err := parseRate(f.text)
			if err != nil {
				return usagef("--%s: %s", f.name, err)
			}
			*f.into = &n
		}
		if cmd.Flags().Changed("lan-exempt") {
			q.LANExempt = &lan
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{needsNode: true}, func(ctx context.Context, s session) error {
			res, err := a.limit(ctx, s, q)
			if err != nil {
				return err
			}
			return a.result(res, func(w io.Writer) { printLimits(w, res) })
		})
	}
	return cmd
}

// limit asks for what the command line says: without anything to change, for the limits as they are.
func (a *app) limit(ctx context.Context, s session, q api.LimitsRequest) (api.Limits, error) {
	if q.Up == nil && q.Down == nil && q.LANExempt == nil && q.Set == "" {
		return s.Limits(ctx)
	}
	return s.SetLimits(ctx, q) // with a set alone this changes nothing, and tells whether there is one
}

func printLimits(w io.Writer, l api.Limits) {
	quota := ""
	if l.MaxSize > 0 {
		quota = size(l.Size) + " of " + size(l.MaxSize)
	}
	facts(w, "up", rateWords(l.Up), "down", rateWords(l.Down), "local network exempt", yesNo(l.LANExempt),
		"connections", fmt.Sprint(l.MaxConnections), "own state", quota)
	if len(l.Sets) == 0 {
		return
	}
	_, _ = io.WriteString(w, "\n")
	rows := [][]string{{"NAME", "UP", "DOWN", "SET"}}
	for _, s := range l.Sets {
		rows = append(rows, []string{printable(s.Name), rateWords(s.Up), rateWords(s.Down), short(s.Set)})
	}
	table(w, rows)
}

// rateWords is a limit in words, in the units in which it comes out rounder: those it was written in, most likely.
func rateWords(perSecond int64) string {
	if perSecond == 0 {
		return "no limit"
	}
	if perSecond%1024 == 0 {
		return size(perSecond) + "/s"
	}
	return humanize.Bytes(uint64(perSecond)) + "/s"
}
