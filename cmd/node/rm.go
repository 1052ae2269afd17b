package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newRmCommand(a *app) *cobra.Command {
	var r api.RmRequest
	cmd := &cobra.Command{
		Use:               "rm SET",
		Short:             "Forget a set; its files stay",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	cmd.Flags().BoolVar(&r.Files, "files", false, "delete its files too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.Set = setArgument(args[0])
		if r.Files {
			if err := a.confirm("delete the files of " + printable(r.Set)); err != nil {
				return err
			}
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
			res, err := s.Rm(ctx, r)
			if err != nil {
				return err
			}
			if !a.opts.json {
				a.say("forgot %s; %s deleted", printable(res.Name), count(res.FilesRemoved, "file"))
			}
			return a.result(res, func(io.Writer) {})
		})
	}
	return cmd
}

// confirm asks on a terminal; where nobody can answer, only -y is a yes.
func (a *app) confirm(what string) error {
	if a.opts.yes {
		return nil
	}
	if a.opts.noInput || !isTerminal(a.stdin) || !isTerminal(a.stderr) {
		e := usagef("%s: needs a yes and nobody can be asked", what)
		e.Hint = "the same command with -y"
		return e
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", what)
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n') // no answer is a no
	if s := strings.ToLower(strings.TrimSpace(answer)); s != "y" && s != "yes" {
		return &api.Error{Code: "declined", ExitCode: api.ExitFailed, Title: "nothing was done"}
	}
	return nil
}
