package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newWhyCommand(a *app) *cobra.Command {
	var r api.WhyRequest
	var rev string
	cmd := &cobra.Command{
		Use:   "why TICKET|SET",
		Short: "Find out why a set cannot be had, and what to do",
		Long: "Walk the way from a ticket to the bytes: link, key, bootstrap, table, record, dial, authorisation,\n" +
			"revision, chunk. It stops at the first step that is broken, with what to type next; the exit code is\n" +
			"that of a get that fails there, and 0 if nothing is broken. Nothing is written, but for the keys of a home\n" +
			"that is not there yet. Of a set of this node its own bytes are read.\n" +
			"Of a set with more than 8 MiB some chunks are asked for, --deep asks for all.\n" +
			"The ticket may be \"-\" (stdin), \"@FILE\", or come from SHOAL_TICKET when no argument is given.",
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeSet,
	}
	f := cmd.Flags()
	f.StringVar(&rev, "rev", "", "ask for this revision (default: the newest)")
	f.BoolVar(&r.Deep, "deep", false, "ask for every chunk")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if rev != "" {
			if r.Rev, err = revision(rev); err != nil {
				return err
			}
		}
		if r.Ticket, err = a.source("why", args); err != nil {
			return err
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.withNode(ctx, attach{flags: f}, func(ctx context.Context, s session) error {
			update, end := a.steps("why")
			res, err := s.Why(ctx, r, update)
			end()
			if err != nil {
				return err
			}
			for i := range res.Steps {
				res.Steps[i].Hint = a.called(res.Steps[i].Hint)
			}
			if err := a.result(res, func(w io.Writer) { printWhy(w, res) }); err != nil || res.OK {
				return err
			}
			return reported{code: max(res.ExitCode, api.ExitFailed)} // what is broken never looks like success
		})
	}
	return cmd
}

// steps is progress for a verb that does one thing after the other: people who watch are told which, and no amounts. In a
// log the result says it all once more, so there it is told only who asks for it.
func (a *app) steps(verb string) (update func(api.Progress), end func()) {
	switch how := chooseProgress(a.opts, isTerminal(a.stderr)); {
	case how == "json":
		return a.progress(verb)
	case how == "none", how == "plain" && a.opts.progress == "auto":
		return func(api.Progress) {}, func() {}
	}
	last := ""
	return func(p api.Progress) {
		if p.Phase != last {
			last = p.Phase
			a.say("%s: %s", verb, printable(p.Phase))
		}
		if p.Message != "" {
			a.say("%s: %s", verb, oneLine(p.Message))
		}
	}, func() {}
}

// called names the program in a hint as it was called.
func (a *app) called(hint string) string { return strings.ReplaceAll(hint, "`node ", "`"+a.name+" ") }

func printWhy(w io.Writer, r api.WhyResult) {
	var rows []string
	for _, s := range r.Steps {
		state := "ok"
		if !s.OK {
			state = "BROKEN"
		}
		rows = append(rows, s.Name, state+"  "+oneLine(s.Detail))
	}
	facts(w, rows...)
	if last := len(r.Steps) - 1; !r.OK && last >= 0 {
		fmt.Fprintf(w, "%s is broken (%s)\n  try: %s\n", r.Steps[last].Name, printable(r.Code), oneLine(r.Steps[last].Hint))
		return
	}
	fmt.Fprintln(w, "nothing is broken")
}
