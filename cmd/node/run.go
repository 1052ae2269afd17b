package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/link"
)

func newRunCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the node: join the swarm and serve until stopped",
		Long: "Start the node: join the swarm, serve what is shared, and answer the other commands. A command that is\n" +
			"the node of this home until now goes on through it.\n" +
			"It runs in the foreground; SIGTERM and Ctrl-C end it cleanly with exit 0, SIGHUP makes it read its\n" +
			"configuration again. With --api it serves that socket too.",
		Args: a.arguments(0, 0),
	}
	addSettingFlags(cmd.Flags())
	addServiceFlags(cmd.Flags())
	cmd.Flags().Bool("testnet", false, "be a node of a testnet: go by HOME/testnet.json")
	_ = cmd.Flags().MarkHidden("testnet") // it exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := a.run(cmd)
		var stopped interrupted
		if errors.As(interruption(cmd.Context(), err), &stopped) {
			return nil // while it started, perhaps: as clean as later
		}
		return err
	}
	return cmd
}

func (a *app) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	cfg, err := a.loadConfig(cmd.Flags(), slog.LevelInfo) // a service tells what it does
	if err != nil {
		return err
	}
	cfg.Resume = true
	a.looking.Store(cfg.Logs.json) // who collects the log reads there that the node stops
	svc, rest := a.newService(cmd.Flags(), &cfg)
	defer rest()
	if err := a.supervisor.adopt(&cfg); err != nil {
		return err
	}
	bed, err := testbed(cmd, &cfg)
	if err != nil {
		return err
	}
	extra := ""
	if a.opts.api != "" {
		extra = absolute(a.opts.api)
	}
	begun := time.Now()
	h, err := a.host(ctx, cfg, hosting{extra: extra, service: true})
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) { // it was told to end while it began
			cfg.Log.Info("stopped", "seconds", time.Since(begun).Seconds())
			return nil
		}
		if !cfg.Logs.json { // a person who reads stderr is told once
			return err
		}
		return a.ended(cfg, "not started", err)
	}
	begun = time.Now()
	leave := goByPlan(ctx, bed, cfg.Log)
	if err = a.ready(ctx, h, cfg.Logs); err == nil {
		err = svc.attend(ctx, h)
	}
	leave() // while the lock of the home is held
	if closeErr := h.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return a.ended(cfg, "stopped", err, "seconds", time.Since(begun).Seconds())
	}
	cfg.Log.Info("stopped", "seconds", time.Since(begun).Seconds())
	return nil
}

// ended writes into the log why a node does not run. Where that is what a collector reads on stderr, nothing else is told.
func (a *app) ended(cfg hostConfig, what string, err error, about ...any) error {
	e := explain(err)
	cfg.Log.Error(what, append([]any{"err", err, "hint", e.Hint}, about...)...)
	if !cfg.Logs.json || a.opts.json {
		return err
	}
	return reported{max(e.ExitCode, api.ExitFailed)}
}

// testbed puts a node that is to be one of a testnet on the plan in its home; nil for any other.
func testbed(cmd *cobra.Command, cfg *hostConfig) (*link.Bed, error) {
	if on, err := cmd.Flags().GetBool("testnet"); err != nil || !on {
		return nil, err
	}
	bed, err := link.Open(cfg.Home, cfg.Log)
	if err != nil {
		return nil, &api.Error{Code: "bad_plan", ExitCode: api.ExitUsage, Title: "plan of the testnet not understood", Detail: err.Error(), Hint: cfg.Home}
	}
	cfg.Bed = &node.Bed{Network: bed.Options(), Blocks: bed.Blocks, Deltas: bed.Deltas, Full: bed.Full}
	if name, dir := bed.Network(); dir != "" {
		cfg.Testnet = netPage{name: name, dir: dir}
	}
	return bed, nil
}

// goByPlan lets the testnet tell the node of new plans, until rest is called.
func goByPlan(ctx context.Context, bed *link.Bed, log *slog.Logger) (rest func()) {
	if bed == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := bed.Run(ctx); ctx.Err() == nil {
			log.Error("nobody can change the plan of this node any more", "err", err)
		}
	}()
	select {
	case <-bed.Listening():
	case <-ended:
	}
	return func() {
		cancel()
		<-ended
	}
}

// ready says where the node is: talk for people, one line of data for scripts, one of the log for who looks for it later.
func (a *app) ready(ctx context.Context, h *hosted, log *logs) error {
	st, err := h.client.Status(ctx)
	if err != nil {
		return err
	}
	ready := struct {
		PeerID string   `json:"peer_id"`
		Listen []string `json:"listen"`
		API    string   `json:"api"`
		Home   string   `json:"home"`
		Site   string   `json:"dashboard,omitempty"`
	}{st.PeerID, st.Listen, h.client.Socket(), h.home, st.Dashboard}
	log.logger.Info("ready", "version", a.version, "peer", ready.PeerID, "listen", ready.Listen, "socket", ready.API, "home", ready.Home, "dashboard", ready.Site)
	if a.opts.json {
		return a.emit("ready", ready)
	}
	if !a.opts.quiet && !log.json {
		facts(io.Writer(a.stderr), "peer", ready.PeerID, "listen", strings.Join(ready.Listen, "\n\t"), "socket", ready.API, "home", ready.Home, "dashboard", ready.Site)
		a.say("ready; Ctrl-C stops")
	}
	return nil
}
