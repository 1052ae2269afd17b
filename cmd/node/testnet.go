package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// demoOptions are the flags of `testnet demo`.
type demoOptions struct {
	Exit    bool   // end with the checks instead of leaving the swarm running
	Data    string // absolute folder to share; "" = the Go toolchain's own sources
	Keep    bool   // leave the homes on disk
	JSON    bool
	Stdout  io.Writer
	Stderr  io.Writer
	Version string // of the program
}

// errNoNetworks: for a test that is not about them.
var errNoNetworks = errors.New("this build has no test network")

func newTestnetCommand(a *app) *cobra.Command {
	group := &cobra.Command{
		Use:   "testnet",
		Short: "Run a swarm of nodes on this machine",
		Long: "Run a swarm of real nodes on this machine, each a process with a home, an identity and a port of its\n" +
			"own, and see what becomes of it when nodes are killed, halted and cut off. Nothing leaves the machine.",
		Example: fmt.Sprintf("  %[1]s testnet demo                  # shows it all in a minute\n"+
			"  %[1]s testnet run split-brain       # one of `%[1]s testnet scenarios`, or a file of your own\n"+
			"  %[1]s testnet up -n 5               # and in a second terminal:\n"+
			"  %[1]s testnet do 'share docs at node-1 size 16MiB'\n"+
			"  %[1]s testnet kill node-1", a.name),
	}
	group.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var known []string
		for _, c := range group.Commands() {
			known = append(known, c.Name())
		}
		e := usagef("unknown command testnet %s%s", printable(args[0]), didYouMean(args[0], known))
		e.Hint = "`node testnet --help`"
		return e
	}
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	group.AddCommand(newDemoCommand(a), newScenariosCommand(a), newPlayCommand(a), newUpCommand(a), newDownCommand(a), newNetLsCommand(a), newNetDashboardCommand(a), newDoCommand(a),
		newLinkCommand(a), newCutCommand(a), newHealCommand(a))
	group.AddCommand(newLivesCommands(a)...)
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
			return errNoNetworks
		}
		if o.Data != "" {
			o.Data = absolute(o.Data)
		}
		o.JSON, o.Stdout, o.Stderr, o.Version = a.opts.json, a.stdout, a.stderr, a.version
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.foreground(ctx, "", a.demo(ctx, o))
	}
	return cmd
}
