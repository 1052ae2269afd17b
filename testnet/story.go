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

// fetch lets two nodes follow the set and a third get it, all at once, knowing only its id.
func (d *demo) fetch(ctx context.Context) error {
	names := append(followers(), "edge-3")
	results, err := d.each(ctx, names, func(ctx context.Context, name string) (api.GetResult, error) {
		if name == "edge-3" {
			return d.get(ctx, name)
		}
		return d.follow(ctx, name)
	})
	if err != nil {
		return err
	}
	for i, r := range results {
		verb := "follow"
		if names[i] == "edge-3" {
			verb = "get   "
		}
		d.say("[3/6] %s  %s: %s in %.1f s (%s/s) from %s, %s on the wire", verb, names[i], humanize.Bytes(uint64(r.BytesFetched)), r.Seconds,
			humanize.Bytes(uint64(float64(r.BytesFetched)/max(r.Seconds, 0.001))), seeders(r), humanize.Bytes(uint64(r.WireIn+r.WireOut)))
		d.check(names[i]+" has the author's root", r.Root == d.shared.Root, "%s", r.Root)
	}
	return nil
}

// each does something at several nodes at once.
func (d *demo) each(ctx context.Context, names []string, do func(context.Context, string) (api.GetResult, error)) ([]api.GetResult, error) {
	results := make([]api.GetResult, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() (err error) {
			results[i], err = do(ctx, name)
			return err
		})
	}
	return results, group.Wait()
}

// follow hands the set to a node, which from then on keeps its folder at the newest revision.
func (d *demo) follow(ctx context.Context, name string) (api.GetResult, error) {
	ear, err := listen(ctx, d.nodes[name])
	if err != nil {
		return api.GetResult{}, err
	}
	defer ear.close()
	if _, err := d.nodes[name].client.Follow(ctx, api.FollowRequest{Ticket: d.shared.Set, Dest: d.tree(name)}, nil); err != nil {
		return api.GetResult{}, fmt.Errorf("follow on %s: %w", name, err)
	}
	return ear.complete(ctx, d.shared.Set, d.shared.Revision)
}

func (d *demo) get(ctx context.Context, name string) (api.GetResult, error) {
	r, err := d.nodes[name].client.Get(ctx, api.GetRequest{Ticket: d.shared.Set, Dest: d.tree(name)}, nil)
	if err != nil {
		return r, fmt.Errorf("get on %s: %w", name, err)
	}
	return r, nil
}

func (d *demo) tree(name string) string { return filepath.Join(d.dir, name+"-files") }

func seeders(r api.GetResult) string {
	if r.Sources == 1 {
		return "1 seeder"
	}
	return fmt.Sprintf("%d seeders", r.Sources)
}

// delta publishes a second revision; whoever follows has it moments later.
func (d *demo) delta(ctx context.Context) error {
	if err := d.change(ctx); err != nil {
		return err
	}
	var err error
	ears := map[string]*ear{}
	for _, name := range followers() {
		if ears[name], err = listen(ctx, d.nodes[name]); err != nil {
			return err
		}
		defer ears[name].close()
	}
	if d.second, err = d.nodes["origin"].client.Publish(ctx, api.PublishRequest{Target: d.authors, Note: d.made.what}, nil); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	published := time.Now()
	results, err := d.each(ctx, followers(), func(ctx context.Context, name string) (api.GetResult, error) {
		return ears[name].complete(ctx, d.shared.Set, d.second.Revision)
	})
	if err != nil {
		return err
	}
	d.say("[4/6] delta   revision %d: %s; published in %.1f s, at both followers %.1f s later", d.second.Revision, d.made.what,
		d.second.Seconds, time.Since(published).Seconds())
	var sent int64
	for _, r := range results {
		sent = max(sent, r.WireIn+r.WireOut)
	}
	for _, line := range picture(d.second.Bytes, d.made.bytes, sent) {
		d.say("        %s", line)
	}
	for i, r := range results {
		d.checkDelta(followers()[i], r)
	}
	return nil
}

// change makes the second revision in the author's folder.
func (d *demo) change(ctx context.Context) (err error) {
	if d.toolchain {
		if d.made, err = updateVendored(ctx, d.authors); err != nil {
			return err
		}
	}
	if d.made.bytes == 0 { // no such modules on this machine, or none newer
		if d.made, err = edit(d.authors); err != nil {
			return err
		}
	}
	d.source, err = treeHash(d.authors)
	return err
}

// formalities are the bytes of an update that do not depend on what changed: the records, the changed nodes
// of the DAG, announcements.
const formalities = 20 << 10

// checkDelta holds what a node received for the second revision against what changed.
func (d *demo) checkDelta(name string, r api.GetResult) {
	sent := r.WireIn + r.WireOut
	d.check(name+" has the author's second root", r.Root == d.second.Root, "%s", r.Root)
	d.check(name+" was sent less than half of the changed files", sent < d.made.bytes/2+formalities, "%d of %d bytes", sent, d.made.bytes)
	sum, err := treeHash(d.tree(name))
	d.check(name+" equals the author's second revision", err == nil && sum == d.source, "%s %v", sum, err)
}

// picture draws sizes to one scale.
func picture(whole, changed, sent int64) []string {
	draw := func(name string, n int64) string {
		return fmt.Sprintf("%-13s %8s  %s", name, humanize.Bytes(uint64(n)), bar(n, whole))
	}
	return []string{draw("whole set", whole), draw("changed files", changed),
		fmt.Sprintf("%s  ← %.2f %%", draw("sent", sent), 100*float64(sent)/float64(max(whole, 1)))}
}

// barWidth is the picture's width in characters; each has eight steps.
const barWidth = 32

// bar is a line as long as n is of whole; what is not nothing is seen.
func bar(n, whole int64) string {
	steps := int(n * barWidth * 8 / max(whole, 1))
	if n > 0 {
		steps = max(steps, 1)
	}
	steps = min(steps, barWidth*8)
	line := strings.Repeat("█", steps/8)
	if rest := steps % 8; rest > 0 {
		line += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return line
}

// lose kills the author's node; whoever has the set goes on serving it, the change alone to a node that has
// the revision before, and the whole to one that comes new.
func (d *demo) lose(ctx context.Context) error {
	d.nodes["origin"].kill()
	d.say("[5/6] kill    SIGKILL origin: the author's node is gone")
	r, err := d.get(ctx, "edge-3")
	if err != nil {
		return err
	}
	d.say("      delta   edge-3: %s on the wire in %.1f s, from %s", humanize.Bytes(uint64(r.WireIn+r.WireOut)), r.Seconds, seeders(r))
	d.checkDelta("edge-3", r)
	if err := d.start(ctx, newcomer); err != nil {
		return err
	}
	if r, err = d.get(ctx, newcomer); err != nil {
		return err
	}
	d.say("      get     %s, which is new: %s in %.1f s (%s/s) from %s", newcomer, humanize.Bytes(uint64(r.BytesFetched)), r.Seconds,
		humanize.Bytes(uint64(float64(r.BytesFetched)/max(r.Seconds, 0.001))), seeders(r))
	d.check(newcomer+" has the author's second root", r.Root == d.second.Root, "%s", r.Root)
	d.check(newcomer+" fetched from several", r.Sources >= 2, "%d sources", r.Sources)
	return nil
}

// verify compares every copy with the author's folder by an independent hash, and lets the nodes re-read
// themselves.
func (d *demo) verify(ctx context.Context) error {
	for _, name := range append(followers(), "edge-3", newcomer) {
		sum, err := treeHash(d.tree(name))
		if err != nil {
			return err
		}
		d.check(name+" equals the author's folder", sum == d.source, "%s", sum)
		verdict := "equal to the author's folder"
		if sum != d.source {
			verdict = "differs from the author's folder"
		}
		v, err := d.nodes[name].client.Verify(ctx, api.VerifyRequest{Set: d.shared.Set}, nil)
		if err != nil {
			return fmt.Errorf("verify on %s: %w", name, err)
		}
		d.check(name+" verifies", v.Damaged == 0, "%d of %d blocks damaged", v.Damaged, v.Blocks)
		own, err := diskUsage(d.nodes[name].home)
		if err != nil {
			return err
		}
		d.say("[6/6] verify  %s: %s, %s blocks re-read, %s of own state", name, verdict, humanize.Comma(int64(v.Blocks)), humanize.Bytes(uint64(own)))
	}
	for _, name := range append(roster(), newcomer) {
		if name != "origin" {
			d.check(name+" is still running", d.nodes[name].alive(), "%s", d.nodes[name].log)
		}
	}
	return nil
}

// diskUsage sums the sizes of the files below dir.
func diskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil { // one that vanished meanwhile counts nothing
			total += info.Size()
		}
		return nil
	})
	return total, err
}
