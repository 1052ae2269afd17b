package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newLsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls [SET[/PATH] | TICKET[/PATH]]",
		Short: "List the sets of this node, or the files of one",
		Long: "List the sets of this node, or what lies in a folder of one. With a ticket the set need not be here: the\n" +
			"folder is listed as those who hold the set have it, and nothing is kept of it, so that one can see what\n" +
			"there is before any of it is fetched. The ticket may be \"-\" (stdin) or \"@FILE\".",
		Example: fmt.Sprintf("  %[1]s ls photos/2024\n"+
			"  %[1]s ls TICKET/2024      # then: %[1]s get TICKET ./some --only 2024/may", a.name),
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeSet,
	}
	addSettingFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var r api.LsRequest
		if len(args) == 1 {
			file, inside := ticketFile(args[0])
			arg, err := a.ticket(file)
			if err != nil {
				return err
			}
			if inside != "" {
				arg += "/" + inside
			}
			if ticket, path, _ := strings.Cut(arg, "/"); strings.HasPrefix(strings.ToLower(ticket), ticketBegins) {
				return a.peek(cmd, api.PeekRequest{Ticket: ticket, Path: strings.Trim(path, "/")})
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
	}
	return cmd
}

// ticketBegins tells a ticket from the name of a set.
const ticketBegins = "shoal1"

// ticketFile cuts @FILE/PATH where a file ends; anything else has no such path.
func ticketFile(arg string) (file, path string) {
	if !strings.HasPrefix(arg, "@") {
		return arg, ""
	}
	for i := range arg {
		if arg[i] != '/' || i == 1 {
			continue
		}
		if info, err := os.Stat(arg[1:i]); err == nil && info.Mode().IsRegular() {
			return arg[:i], arg[i+1:]
		}
	}
	return arg, ""
}

// peek lists a folder of a set that need not be here.
func (a *app) peek(cmd *cobra.Command, r api.PeekRequest) error {
	if a.opts.timeout > 0 {
		r.Timeout = a.opts.timeout.String()
	}
	return a.withNode(cmd.Context(), attach{flags: cmd.Flags(), brief: true}, func(ctx context.Context, s session) error {
		res, err := s.Peek(ctx, r, nil)
		if err != nil {
			return err
		}
		err = a.result(res, func(w io.Writer) { printEntries(w, res.Entries, "~") })
		if res.Truncated {
			a.say("there is more: %d entries are listed; fetch by pattern with --only", len(res.Entries))
		}
		return err
	})
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
	printEntries(w, res.Entries, "")
}

// printEntries prints a folder; about goes before the sizes of the folders in it.
func printEntries(w io.Writer, entries []api.Entry, about string) {
	rows := make([][]string, 0, len(entries))
	for _, e := range entries {
		path, bytes := printable(e.Path), size(e.Size)
		switch e.Kind {
		case "dir":
			path += "/"
			bytes = about + bytes
		case "symlink":
			path = fmt.Sprintf("%s -> %s", path, printable(e.Target))
		}
		rows = append(rows, []string{e.Mode, bytes, e.Mtime, path})
	}
	table(w, rows)
}
