package testnet

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/node/api"
)

// rejoin starts the author's node again: it takes part as before, and gets what was published without it. Its own
// folder stays as it is; what is newer lies beside it.
func (d *demo) rejoin(ctx context.Context) error {
	start := time.Now()
	if err := d.start(ctx, "origin"); err != nil {
		return err
	}
	info, err := d.show(ctx, "origin", "has caught up", func(i api.SetInfo) string {
		if i.Root != d.third.Root || i.Behind > 0 || i.Primary == "" || i.Role != api.RoleBackup && i.Role != api.RoleReplica {
			return fmt.Sprintf("it is %s at revision %d, %d behind, primary %s", i.Role, i.Revision, i.Behind, d.name(i.Primary))
		}
		return ""
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	r, err := d.nodes["origin"].client.Restore(ctx, api.RestoreRequest{Set: d.shared.Set, Rev: d.third.Revision, Dest: d.tree("origin")}, nil)
	if err != nil {
		return fmt.Errorf("restore at origin: %w", err)
	}
	d.say("[7/8] rejoin  origin is back: revision %d and %s %.1f s after its start; %s is primary", info.Revision, info.Role, took.Seconds(), d.name(info.Primary))
	d.check("origin leaves the role with whom it is now", info.Primary == d.third.Primary, "%s", d.name(info.Primary))
	d.check("origin had everything by itself", r.BytesFetched == 0, "%d bytes fetched", r.BytesFetched)
	_, err = each(ctx, readers(), func(ctx context.Context, i int) (api.GetResult, error) {
		return d.get(ctx, readers()[i], nil)
	})
	return err
}

// verify compares every copy with the folder that was published last by an independent hash, and lets the nodes
// re-read themselves.
func (d *demo) verify(ctx context.Context) error {
	for _, name := range roster() {
		sum, err := treeHash(d.tree(name))
		if err != nil {
			return err
		}
		d.check(name+" equals the folder that was published last", sum == d.source, "%s", sum)
		verdict := "equal to what was published last"
		if sum != d.source {
			verdict = "differs from what was published last"
		}
		if err := d.reread(ctx, name, verdict); err != nil {
			return err
		}
	}
	for _, name := range roster() {
		d.check(name+" is still running", d.nodes[name].alive(), "%s", d.nodes[name].log)
	}
	return nil
}

func (d *demo) reread(ctx context.Context, name, verdict string) error {
	info, err := d.nodes[name].client.Show(ctx, d.shared.Set)
	if err != nil {
		return fmt.Errorf("show at %s: %w", name, err)
	}
	d.check(name+" has the last root", info.Root == d.third.Root, "%s", info.Root)
	v, err := d.nodes[name].client.Verify(ctx, api.VerifyRequest{Set: d.shared.Set}, nil)
	if err != nil {
		return fmt.Errorf("verify on %s: %w", name, err)
	}
	d.check(name+" verifies", v.Damaged == 0, "%d of %d blocks damaged", v.Damaged, v.Blocks)
	own, err := diskUsage(d.nodes[name].home)
	if err != nil {
		return err
	}
	d.say("[8/8] verify  %-8s  %s, %s, %s blocks re-read, %s of own state", name, info.Role, verdict, humanize.Comma(int64(v.Blocks)), humanize.Bytes(uint64(own)))
	return nil
}
