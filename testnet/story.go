package testnet

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

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
	if d.size, err = diskUsage(d.authors); err != nil {
		return err
	}
	d.source, err = treeHash(d.authors)
	return err
}

func (d *demo) swarm(ctx context.Context) error {
	start := time.Now()
	d.say("testnet    %d nodes on 127.0.0.1 (%s), separate processes, nothing leaves this machine", len(roster()), strings.Join(roster(), ", "))
	for _, name := range roster() {
		if err := d.start(ctx, name); err != nil {
			return err
		}
	}
	d.check("all nodes are up", len(d.nodes) == len(roster()), "%d nodes", len(d.nodes))
	d.say("[1/8] up      %d nodes in %.1f s; a copy of %s to change", len(roster()), time.Since(start).Seconds(), d.o.Data)
	return nil
}

// unhurried is how long a reader takes at least, so that there is a middle of its fetch also on a fast machine.
const unhurried = 3 * time.Second

// start starts one node, which knows only the first of all.
func (d *demo) start(ctx context.Context, name string) error {
	var flags []string
	if slices.Contains(readers(), name) {
		flags = []string{"--down", fmt.Sprintf("%dkB/s", d.size/int64(unhurried/time.Millisecond)+1)}
	}
	p, err := startNode(ctx, d.starter, d.o.Exe, d.dir, name, d.boot, flags...)
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
	d.say("[2/8] share   %s files, %s → revision %d in %.1f s, set %s", humanize.Comma(int64(d.shared.Files)),
		humanize.Bytes(uint64(d.shared.Bytes)), d.shared.Revision, d.shared.Seconds, d.shared.Set)
	own, err := diskUsage(d.nodes["origin"].home)
	if err != nil {
		return err
	}
	d.check("nothing skipped", len(d.shared.Skipped) == 0, "%d files skipped", len(d.shared.Skipped))
	d.say("              the author's node keeps %s of its own beside them", humanize.Bytes(uint64(own)))
	return nil
}

// tree is the folder of a node; the author's node has another one for what others publish.
func (d *demo) tree(name string) string { return filepath.Join(d.dir, name+"-files") }

// settle bounds every wait: on a quiet machine none takes a tenth of it.
const settle = time.Minute

// until asks again and again until what is waited for has come; the error says what that was.
func until(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	const pace = 20 * time.Millisecond // a node answers in one
	t := time.NewTicker(pace)
	defer t.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(ctx.Err(), err))
		}
	}
}

// show waits until a node says of the set what is wanted; wrong tells what is not as it should be, "" = nothing.
func (d *demo) show(ctx context.Context, name, what string, wrong func(api.SetInfo) string) (info api.SetInfo, err error) {
	err = until(ctx, name+" "+what, func(ctx context.Context) (err error) {
		if info, err = d.nodes[name].client.Show(ctx, d.shared.Set); err != nil {
			return err
		}
		if text := wrong(info); text != "" {
			return errors.New(text)
		}
		return nil
	})
	return info, err
}

// name is the name of the node with a peer id.
func (d *demo) name(id string) string {
	for name, p := range d.nodes {
		if id != "" && p.id() == id {
			return name
		}
	}
	return fmt.Sprintf("nobody known (%q)", id)
}

// names lists nodes by their peer ids.
func (d *demo) names(ids []string) string {
	var names []string
	for _, id := range ids {
		names = append(names, d.name(id))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func seeders(r api.GetResult) string {
	if r.Sources == 1 {
		return "1 seeder"
	}
	return fmt.Sprintf("%d seeders", r.Sources)
}

// speed tells what was fetched, and how fast.
func speed(r api.GetResult) string {
	return fmt.Sprintf("%s in %.1f s (%s/s) from %s", humanize.Bytes(uint64(r.BytesFetched)), r.Seconds,
		humanize.Bytes(uint64(float64(r.BytesFetched)/max(r.Seconds, 0.001))), seeders(r))
}
