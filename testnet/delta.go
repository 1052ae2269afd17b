package testnet

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/node/api"
)

// delta publishes a second revision: it is durable when a replica has it, and with whoever follows moments later.
func (d *demo) delta(ctx context.Context) error {
	if err := d.change(ctx); err != nil {
		return err
	}
	var err error
	names := append(replicas(), follower)
	ears := make([]*ear, len(names))
	for i, name := range names {
		if ears[i], err = listen(ctx, d.nodes[name]); err != nil {
			return err
		}
		defer ears[i].close()
	}
	if d.second, err = d.publish(ctx, "origin", d.authors, d.made.what); err != nil {
		return err
	}
	published := time.Now()
	results, err := each(ctx, names, func(ctx context.Context, i int) (api.GetResult, error) {
		return ears[i].complete(ctx, d.shared.Set, d.second.Revision)
	})
	if err != nil {
		return err
	}
	d.say("[4/8] delta   revision %d: %s; durable on %s in %.1f s, in all folders %.1f s later", d.second.Revision, d.made.what,
		d.names(d.second.On), d.second.Seconds, time.Since(published).Seconds())
	d.check("the author's second revision is durable", d.second.Durable, "on %s", d.names(d.second.On))
	for i, r := range results {
		if names[i] == follower { // a replica has fetched it before it is in its folder
			for _, line := range picture(d.second.Bytes, d.made.bytes, r.WireIn+r.WireOut) {
				d.say("        %s", line)
			}
			d.checkDelta(follower, r)
		}
		d.checkTree(names[i], r, d.second, d.source)
	}
	return nil
}

// publish makes a node's folder the next revision, and waits for it to be durable. A publish that fails is tried
// again: the primary may have gone.
func (d *demo) publish(ctx context.Context, name, dir, note string) (r api.PublishResult, err error) {
	err = until(ctx, name+" publishes", func(ctx context.Context) (err error) {
		r, err = d.nodes[name].client.Publish(ctx, api.PublishRequest{Target: dir, Note: note, AllowLocal: true, Wait: settle.String()}, nil)
		return err
	})
	return r, err
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

// checkDelta holds what a node received and sent for the second revision against what changed.
func (d *demo) checkDelta(name string, r api.GetResult) {
	sent := r.WireIn + r.WireOut
	d.check(name+" was sent less than half of the changed files", sent < d.made.bytes/2+formalities, "%d of %d bytes", sent, d.made.bytes)
}

// checkTree compares a node's folder with a revision, by its root and by an independent hash.
func (d *demo) checkTree(name string, r api.GetResult, want api.PublishResult, source string) {
	d.check(fmt.Sprintf("%s has the root of revision %d", name, want.Revision), r.Root == want.Root, "%s", r.Root)
	sum, err := treeHash(d.tree(name))
	d.check(fmt.Sprintf("%s equals revision %d", name, want.Revision), err == nil && sum == source, "%s %v", sum, err)
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
