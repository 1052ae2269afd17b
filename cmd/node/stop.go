package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newStopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "End the running node cleanly and wait for it",
		Long: "End the running node cleanly and wait until its home is free. Where none runs there is nothing to\n" +
			"do, which is no error.",
		Args: a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			stopped, err := a.stop(ctx)
			if err != nil {
				return err
			}
			if !a.opts.json {
				a.say("%s", map[bool]string{true: "stopped", false: "no node is running"}[stopped])
			}
			return a.result(struct {
				Stopped bool `json:"stopped"`
			}{stopped}, func(io.Writer) {})
		},
	}
}

// stop reports whether there was a node to stop.
func (a *app) stop(ctx context.Context) (bool, error) {
	paths, _ := a.sockets()
	c, err := dialAny(ctx, paths)
	if errors.Is(err, api.ErrNoNode) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	home := a.homeDir()
	// The socket may belong to another home; a node that cannot tell is stopped all the same.
	const patience = 2 * time.Second
	quick, cancel := context.WithTimeout(ctx, patience)
	if st, err := c.Status(quick); err == nil && st.Home != "" {
		home = st.Home
	}
	cancel()
	if err := c.Stop(ctx); err != nil && !errors.Is(err, api.ErrHostGone) {
		return false, err
	}
	return true, awaitFree(ctx, home)
}

// awaitFree waits until nobody holds the home any more, a little longer than a drain may take.
func awaitFree(ctx context.Context, home string) error {
	ctx, cancel := context.WithTimeout(ctx, drainPatience+lockPatience)
	defer cancel()
	for {
		lock, err := lockHome(home)
		var locked *lockedError
		switch {
		case err == nil:
			return lock.Close()
		case !errors.As(err, &locked):
			return err
		}
		if err := pause(ctx, redialEvery); err != nil {
			return err
		}
	}
}
