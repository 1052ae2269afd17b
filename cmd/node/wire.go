package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

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

// newHost opens the home and makes the node, which does nothing before Run.
func newHost(c hostConfig) (host, error) {
	if c.Net.MaxMemory > 0 {
		debug.SetMemoryLimit(c.Net.MaxMemory) // of the collector; connections are bound by the swarm
	}
	n, err := node.New(c.Config)
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
		Report: "testnet-report", Out: o.Stdout, Version: o.Version})
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
