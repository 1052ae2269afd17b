package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "show SET",
		Short:             "Show all about one set",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				info, err := s.Show(ctx, setArgument(args[0]))
				if err != nil {
					return err
				}
				return a.result(info, func(w io.Writer) { printSet(w, info) })
			})
		},
	}
}

func printSet(w io.Writer, s api.SetInfo) {
	facts(w,
		"name", printable(s.Name),
		"set", s.Set,
		"revision", strconv.FormatUint(s.Revision, 10),
		"root", s.Root,
		"head", s.Head,
		"folder", printable(s.Dir),
		"state", s.State,
		"role", s.Role,
		"primary", s.Primary,
		"backup", s.Backup,
		"epoch", s.Epoch,
		"mode", s.Mode,
		"not right", strings.Join(concerns(s), "\n\t"),
		"files", strconv.FormatUint(s.Files, 10),
		"size", size(s.Bytes),
		"public", yesNo(s.Public),
		"owner key here", yesNo(s.Owner),
		"follows", onlyYes(s.Following),
		"held for others", holding(s),
		"watched", onlyYes(s.Watching),
		"durable", yesNo(s.Durable),
		"peers", strconv.Itoa(s.Peers),
		"profile", s.Profile,
		"ticket", s.Ticket,
	)
}

// holding tells how a set is held for others; "" where it is not.
func holding(s api.SetInfo) string {
	switch {
	case s.Replicating && s.Role == api.RoleReader:
		return "yes, at the newest revision; `unfollow` ends it"
	case s.Replicating:
		return "yes, at the newest revision, with a vote; `unfollow` ends it"
	case s.InHome:
		return "no more: what is here is served, and `rm` gives its space back"
	}
	return ""
}
