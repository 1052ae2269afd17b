package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

// completeSet completes a first argument with the sets of the node that runs, if one does. Files stay
// possible: a set may be named by its folder, and a ticket may lie in one.
func (a *app) completeSet(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const files = cobra.ShellCompDirectiveDefault
	if len(args) > 0 {
		return nil, files
	}
	paths, _ := a.sockets()
	c, err := dialAny(cmd.Context(), paths)
	if err != nil {
		return nil, files
	}
	defer c.Close()
	const patience = 300 * time.Millisecond // somebody waits for the answer to a key
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	all, err := c.Ls(ctx, api.LsRequest{})
	if err != nil {
		return nil, files
	}
	var out []cobra.Completion
	for _, s := range all.Sets {
		if name := printable(s.Name); name == s.Name {
			out = append(out, cobra.CompletionWithDesc(name, fmt.Sprintf("%s, revision %d", s.State, s.Revision)))
		}
	}
	return out, files
}
