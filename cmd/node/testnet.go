package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
)

// demoOptions are the flags of `testnet demo`.
type demoOptions struct {
	Exit   bool   // end with the checks instead of leaving the swarm running
	Data   string // absolute folder to share; "" = the Go toolchain's own sources
	Keep   bool   // leave the homes on disk
	JSON   bool
	Stdout io.Writer
	Stderr io.Writer
}

func newTestnetCommand(a *app) *cobra.Command {
	group := &cobra.Command{
		Use:   "testnet",
		Short: "Run a swarm of nodes on this machine",
		Args:  a.arguments(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(newDemoCommand(a))
	return group
}

func newDemoCommand(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all: six nodes, real data, the primary killed, everything compared",
		Args:  a.arguments(0, 0),
	}
	f := cmd.Flags()
	f.BoolVar(&o.Exit, "exit", !isTerminal(a.stdout), "end with 0 or 1 after the checks (default off a terminal)")
	f.StringVar(&o.Data, "data", "", "folder to share (default: the sources of Go)")
	f.BoolVar(&o.Keep, "keep", false, "keep the nodes' homes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.demo == nil {
			return errors.New("this build has no test network")
		}
		if o.Data != "" {
			o.Data = absolute(o.Data)
		}
		o.JSON, o.Stdout, o.Stderr = a.opts.json, a.stdout, a.stderr
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.demo(ctx, o)
	}
	return cmd
}
