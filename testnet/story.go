package testnet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/node/api"
)

// prepare copies the data to a folder of the author's own, where it may be changed.
func (d *demo) prepare(ctx context.Context) error {
	if d.o.Data == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("the Go toolchain's source is the demo's data, and `go env GOROOT` failed: %w; name a folder with --data", err)
		}
		d.o.Data, d.toolchain = filepath.Join(strings.TrimSpace(string(out)), "src"), true
	}
	var err error
	if d.o.Data, err = filepath.EvalSymlinks(d.o.Data); err != nil {
		return fmt.Errorf("demo data: %w", err)
	}
	if err := copyTree(d.o.Data, d.authors); err != nil {
		return err
	}
	d.source, err = treeHash(d.authors)
	return err
}

func (d *demo) swarm(ctx context.Context) error {
	start := time.Now()
	d.say("testnet    5 nodes on 127.0.0.1 (%s), separate processes, nothing leaves this machine", strings.Join(roster(), ", "))
	for _, name := range roster() {
		if err := d.start(ctx, name); err != nil {
			return err
		}
	}
	d.say("[1/6] up      5 nodes in %.1f s; a copy of %s to change", time.Since(start).Seconds(), d.o.Data)
	return nil
}

// start starts one node, which knows only the first of all.
func (d *demo) start(ctx context.Context, name string) error {
	p, err := startNode(ctx, d.starter, d.o.Exe, d.dir, name, d.boot)
	if err != nil {
		return err
	}
	d.nodes[name] = p
	if d.boot == nil {
		d.boot = p.addrs
	}
	return nil
}

func (d *demo) share(ctx context.Context) error {
	var err error
	d.shared, err = d.nodes["origin"].client.Share(ctx, api.ShareRequest{Path: d.authors}, nil)
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	d.say("[2/6] share   %s files, %s → revision %d in %.1f s, set %s", humanize.Comma(int64(d.shared.Files)),
		humanize.Bytes(uint64(d.shared.Bytes)), d.shared.Revision, d.shared.Seconds, d.shared.Set)
	own, err := diskUsage(d.nodes["origin"].home)
	if err != nil {
		return err
	}
	d.check("nothing skipped", len(d.shared.Skipped) == 0, "%d files skipped", len(d.shared.Skipped))
	d.say("              the author's node keeps %s of its own beside them", humanize.Bytes(uint64(own)))
	return nil
}

