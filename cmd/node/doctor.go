package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

func newDoctorCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the home, the machine and the way to the network",
		Long: "Check the home, its keys and its version, the folders of its sets, free space, the clock, ports, the limits\n" +
			"of the system, the bootstrap nodes, and the addresses, the certificate and the secrets of the dashboard and\n" +
			"the API. A node that runs is asked, so that what it sees counts; without one none is started, and of\n" +
			"bootstrap nodes it is only looked whether their port is open. Nothing is changed.\n" +
			"The exit code is 1 if something fails; what is only not as good as it could be is a warning.",
		Args: a.arguments(0, 0),
	}
	addSettingFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		res, err := a.examine(ctx, cmd)
		if err != nil {
			return err
		}
		for i := range res.Checks {
			res.Checks[i].Hint = a.called(res.Checks[i].Hint)
		}
		if err := a.result(res, func(w io.Writer) { printDoctor(w, res) }); err != nil || res.OK {
			return err
		}
		return reported{code: api.ExitFailed}
	}
	return cmd
}

// examine asks the node that runs, or looks itself where there is none or it says nothing.
func (a *app) examine(ctx context.Context, cmd *cobra.Command) (api.DoctorResult, error) {
	paths, chosen := a.sockets()
	if !a.opts.noDaemon {
		c, err := dialAny(ctx, paths)
		if err == nil {
			defer c.Close()
			res, err := c.Doctor(ctx)
			if cfg, confErr := a.loadConfig(cmd.Flags(), slog.LevelWarn); err == nil && confErr == nil {
				res = withChecks(res, doors(ctx, cfg, true, time.Now()))
			}
			return res, err
		}
		if !errors.Is(err, api.ErrNoNode) {
			return api.DoctorResult{}, err
		}
	}
	if chosen || a.opts.requireDaemon {
		return api.DoctorResult{}, noNode(paths[len(paths)-1])
	}
	settings := api.Check{Name: "configuration", State: api.CheckOK, Detail: "understood"}
	cfg, err := a.loadConfig(cmd.Flags(), slog.LevelWarn)
	if err != nil {
		e := explain(err)
		settings.State, settings.Detail, settings.Hint = api.CheckFail, oneLine(e.Error()), "`node config check`"
		cfg.Config = node.Config{Home: a.homeDir()}
	}
	res := node.Examine(ctx, cfg.Config)
	res.OK = res.OK && err == nil
	res.Checks = append([]api.Check{settings}, res.Checks...)
	if err == nil {
		res = withChecks(res, doors(ctx, cfg, false, time.Now()))
	}
	return res, ctx.Err()
}

// withChecks is r with more of them.
func withChecks(r api.DoctorResult, more []api.Check) api.DoctorResult {
	for _, c := range more {
		r.OK = r.OK && c.State != api.CheckFail
		r.Checks = append(r.Checks, c)
	}
	return r
}

func printDoctor(w io.Writer, r api.DoctorResult) {
	var rows []string
	for _, c := range r.Checks {
		state := printable(c.State)
		if c.State == api.CheckFail {
			state = "FAIL"
		}
		text := state + "  " + oneLine(c.Detail)
		if c.Hint != "" {
			text += "\n\ttry: " + oneLine(c.Hint)
		}
		rows = append(rows, c.Name, text)
	}
	facts(w, rows...)
	if r.OK {
		fmt.Fprintln(w, "nothing fails")
	}
}
