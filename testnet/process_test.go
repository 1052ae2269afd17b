package testnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/process"
)

// running is one real node: a child process with its own home, identity and ports on loopback.
type running struct {
	*process.Process

	name   string
	home   string
	addrs  []string // dialable, with /p2p/
	client *api.Client
}

// startNode starts `exe run` and waits until it listens and answers.
func startNode(ctx context.Context, s *process.Starter, exe, dir, name string, bootstrap []string, flags ...string) (*running, error) {
	home := filepath.Join(dir, name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := s.Start(ctx, process.Spec{Exe: exe, Home: home, Log: home + ".log", Bootstrap: bootstrap, Flags: flags,
		Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &running{Process: p, name: name, home: home, addrs: p.Listen, client: p.Client}, nil
}
