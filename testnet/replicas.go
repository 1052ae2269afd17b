package testnet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/node/api"
)

// replicate lets two nodes hold the set and a third follow it, all at once, knowing only its id, and makes the two
// replicas.
func (d *demo) replicate(ctx context.Context) error {
	names := append(replicas(), follower)
	members := make([]string, len(names))
	results, err := each(ctx, names, func(ctx context.Context, i int) (r api.GetResult, err error) {
		r, members[i], err = d.follow(ctx, names[i])
		return r, err
	})
	if err != nil {
		return err
	}
	for i, r := range results {
		verb := "hold  "
		if names[i] == follower {
			verb, d.formal = "follow", r.WireIn-r.BytesFetched
		}
		d.say("[3/8] %s  %s: %s", verb, names[i], speed(r))
		d.check(names[i]+" has the author's root", r.Root == d.shared.Root, "%s", r.Root)
	}
	return d.grant(ctx, members[:len(replicas())])
}

// grant lets the nodes that hold the set publish, and makes them replicas, one after the other: then one of them is the
// backup of the author's node.
func (d *demo) grant(ctx context.Context, members []string) error {
	start, origin := time.Now(), d.nodes["origin"]
	var info api.SetInfo
	for i, name := range replicas() {
		for _, g := range []api.GrantRequest{{Peer: d.nodes[name].id(), Right: api.RightWriter}, {Peer: members[i], Right: api.RightReplica}} {
			g.Set = d.shared.Set
			if _, err := origin.client.Grant(ctx, g); err != nil {
				return fmt.Errorf("grant %s to %s: %w", g.Right, name, err)
			}
		}
		_, err := d.show(ctx, name, "is a replica", func(i api.SetInfo) string {
			if i.Primary != origin.id() || i.Role != api.RoleBackup && i.Role != api.RoleReplica {
				return fmt.Sprintf("it is %s, primary %s", i.Role, d.name(i.Primary))
			}
			return ""
		})
		if err != nil {
			return err
		}
		info, err = d.show(ctx, "origin", "is primary and has a backup", func(i api.SetInfo) string {
			if i.Role != api.RolePrimary || i.Backup == "" {
				return fmt.Sprintf("it is %s, its backup %s", i.Role, d.name(i.Backup))
			}
			return ""
		})
		if err != nil {
			return err
		}
	}
	backup := d.name(info.Backup)
	d.check("origin is primary and a replica its backup", slices.Contains(replicas(), backup), "%s", backup)
	d.say("      grant   %s are replicas after %.1f s: origin is primary, %s its backup", strings.Join(replicas(), " and "), time.Since(start).Seconds(), backup)
	return nil
}

// each does something at several nodes at once.
func each(ctx context.Context, names []string, do func(context.Context, int) (api.GetResult, error)) ([]api.GetResult, error) {
	results := make([]api.GetResult, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i := range names {
		group.Go(func() (err error) {
			results[i], err = do(ctx, i)
			return err
		})
	}
	return results, group.Wait()
}

// follow hands the set to a node, which from then on keeps its folder at the newest revision. member is what a node
// that is to be a replica is granted as.
func (d *demo) follow(ctx context.Context, name string) (r api.GetResult, member string, err error) {
	ear, err := listen(ctx, d.nodes[name])
	if err != nil {
		return r, "", err
	}
	defer ear.close()
	f, err := d.nodes[name].client.Follow(ctx, api.FollowRequest{Ticket: d.shared.Set, Dest: d.tree(name), Replicate: name != follower}, nil)
	if err != nil {
		return r, "", fmt.Errorf("follow on %s: %w", name, err)
	}
	r, err = ear.complete(ctx, d.shared.Set, d.shared.Revision)
	return r, f.Member, err
}
