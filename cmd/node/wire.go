package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet"
)

// host is a node as a hosting command sees it.
type host interface {
	api.Service
	// Run joins the swarm and serves until ctx ends; it returns after a clean drain.
	Run(ctx context.Context) error
	// Ready is closed once operations can be served.
	Ready() <-chan struct{}
}

// hostConfig is what a command tells the node it hosts.
type hostConfig struct {
	Home      string   // absolute
	Listen    []string // multiaddrs; empty = the default ports
	Bootstrap []string // multiaddrs of peers to join through
	MDNS      bool
	DHT       string        // "server", "client", "off"
	Up, Down  int64         // bytes a second, 0 = no limit
	Reserve   int64         // bytes of free disk to keep, 0 = the store's default
	Keep      int           // revisions of a set that can be given back; 0 = default
	KeepBytes int64         // bytes kept of a set's past revisions; 0 = default
	Offline   bool          // no network: for commands that only look
	Brief     bool          // it ends with a command that only fetches
	Resume    bool          // follow and watch again what was when the home was used the last time
	Interval  time.Duration // of beacons in elections; 0 = as the network asks
	Version   string
	Log       *slog.Logger
	Bed       *node.Bed // of a node in testnet mode; nil = none
}

// newHost opens the home and makes the node, which does nothing before Run.
func newHost(c hostConfig) (host, error) {
	n, err := node.New(node.Config(c))
	if err != nil {
		return nil, err
	}
	return n, nil
}

// demo is the body of `testnet demo`: its nodes are this very program.
func demo(ctx context.Context, o demoOptions) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return testnet.Demo(ctx, testnet.DemoOptions{Exe: exe, Data: o.Data, Exit: o.Exit, Keep: o.Keep, JSON: o.JSON,
		Report: "testnet-report", Out: o.Stdout})
}

// newNetworks are the real test networks; their nodes are the program that exe names.
func newNetworks(exe func() (string, error)) networks {
	return networks{
		scenarios: testnet.Scenarios,
		up: func(ctx context.Context, o testnet.UpOptions) (err error) {
			if o.Exe, err = exe(); err != nil {
				return fmt.Errorf("up: %w", err)
			}
			return testnet.Up(ctx, o)
		},
		run: func(ctx context.Context, o testnet.RunOptions) (err error) {
			if o.Exe, err = exe(); err != nil {
				return fmt.Errorf("run: %w", err)
			}
			return testnet.Run(ctx, o)
		},
	}
}
