//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// cluster is one set and the nodes that vote on it.
type cluster struct {
	lab    *lab
	set    string
	ticket string
	voters []*node // the first made the set
}

const (
	askTime   = 2 * time.Second // a node answers its socket in milliseconds
	settleFor = 60 * time.Second
	poll      = 20 * time.Millisecond
)

// setup says what set a cluster has.
type setup struct {
	names  []string
	strict bool
	bytes  int64 // of one large file beside the small ones; 0 = none
}

// cluster starts nodes, all of them voters and writers of one small set, and waits until they agree.
func (l *lab) cluster(ctx context.Context, s setup) (*cluster, error) {
	c := &cluster{lab: l}
	for _, name := range s.names {
		n, err := l.node(name)
		if err != nil {
			return nil, err
		}
		if err := n.start(ctx); err != nil {
			return nil, err
		}
		c.voters = append(c.voters, n)
	}
	if err := l.fill(c.voters[0].dest, s.bytes); err != nil {
		return nil, err
	}
	shared, err := c.voters[0].client.Share(ctx, api.ShareRequest{Path: c.voters[0].dest, Name: "data", Strict: s.strict}, nil)
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	c.set, c.ticket = shared.Set, shared.Ticket
	for _, n := range c.voters[1:] {
		if err := c.join(ctx, n); err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return c, c.whole(ctx)
}

// fill makes the folder that is shared.
func (l *lab) fill(dir string, large int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range 8 {
		if err := writeRandom(filepath.Join(dir, fmt.Sprintf("file-%d", i)), 4096, l.random.Uint64()); err != nil {
			return err
		}
	}
	if large == 0 {
		return nil
	}
	return writeRandom(filepath.Join(dir, "large"), large, l.random.Uint64())
}

// writeRandom makes a file of bytes that do not compress, the same for the same seed.
func writeRandom(path string, size int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	source, buf := rand.NewChaCha8(key), make([]byte, 1<<20)
	for size > 0 {
		piece := buf[:min(size, int64(len(buf)))]
		_, _ = source.Read(piece) // never fails
		if _, err := f.Write(piece); err != nil {
			return err
		}
		size -= int64(len(piece))
	}
	return f.Close()
}

// join makes a node a replica and a writer.
func (c *cluster) join(ctx context.Context, n *node) error {
	f, err := n.client.Follow(ctx, api.FollowRequest{Ticket: c.ticket, Dest: n.dest, Replicate: true}, nil)
	if err != nil {
		return err
	}
	err = until(ctx, settleFor, "it has the set", func() error {
		return c.complete(ctx, n)
	})
	if err != nil {
		return err
	}
	for _, g := range []api.GrantRequest{{Set: c.set, Peer: n.id, Right: api.RightWriter}, {Set: c.set, Peer: f.Member, Right: api.RightReplica}} {
		err := until(ctx, settleFor, "it is granted "+g.Right, func() error {
			_, err := c.voters[0].client.Grant(ctx, g)
			return err
		})
		if err != nil {
			return err
		}
	}
	return until(ctx, settleFor, "the change of voters took hold", func() error { return c.known(ctx, n) })
}

func (c *cluster) complete(ctx context.Context, n *node) error {
	i, err := c.show(ctx, n)
	if err == nil && i.State != "complete" {
		err = fmt.Errorf("it is %s", i.State)
	}
	return err
}

// known waits, one member after the other, for the new voter to be seen; a strict set asks for a durable revision, too.
func (c *cluster) known(ctx context.Context, n *node) error {
	i, err := c.show(ctx, n)
	if err == nil && (i.Role == api.RoleReader || i.Primary == "") {
		err = fmt.Errorf("it is %s, primary %q", i.Role, i.Primary)
	}
	if err == nil && i.Mode == "strict" && !i.Durable {
		err = errors.New("nothing is durable")
	}
	return err
}

// show asks a node about the set.
func (c *cluster) show(ctx context.Context, n *node) (api.SetInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return n.client.Show(ctx, c.set)
}

// until tries again and again; what it waits for is part of the error.
func until(ctx context.Context, most time.Duration, what string, try func() error) error {
	limit := time.Now().Add(most)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("waited %v until %s: %w", most, what, err)
		}
		if stopped := pass(ctx, poll); stopped != nil {
			return stopped
		}
	}
}

// agree tells whether nodes show one newest revision, complete and durable, and the same primary in one epoch.
func (c *cluster) agree(ctx context.Context, nodes ...*node) error {
	var first api.SetInfo
	for i, n := range nodes {
		info, err := c.show(ctx, n)
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		if i == 0 {
			first = info
		}
		switch {
		case info.Head != first.Head:
			return fmt.Errorf("%s shows revision %d %s, %s %d %s", nodes[0].name, first.Revision, tail(first.Head), n.name, info.Revision, tail(info.Head))
		case info.Epoch != first.Epoch || info.Primary != first.Primary || info.Primary == "":
			return fmt.Errorf("%s says primary %s in %s, %s says %s in %s", nodes[0].name, c.name(first.Primary), first.Epoch, n.name, c.name(info.Primary), info.Epoch)
		case info.State == "incomplete" || info.Behind > 0 || info.Forks > 0:
			return fmt.Errorf("%s is %s, %d behind, %d forks", n.name, info.State, info.Behind, info.Forks)
		case len(nodes) > 1 && (!info.Durable || info.Backup == ""):
			return fmt.Errorf("%s says durable %v, backup %s", n.name, info.Durable, c.name(info.Backup))
		}
	}
	return nil
}

// whole waits until all voters agree.
func (c *cluster) whole(ctx context.Context) error {
	return until(ctx, settleFor, "all agree", func() error { return c.agree(ctx, c.voters...) })
}

func tail(s string) string { return s[max(0, len(s)-6):] }

// name is the name of a node by its peer id.
func (c *cluster) name(id string) string {
	if n := c.byID(id); n != nil {
		return n.name
	}
	return fmt.Sprintf("%q", tail(id))
}

func (c *cluster) byID(id string) *node {
	for _, n := range c.voters {
		if n.id == id {
			return n
		}
	}
	return nil
}

// primary is the node that orders the set's revisions, by what a node says.
func (c *cluster) primary(ctx context.Context, asked *node) (*node, error) {
	var p *node
	err := until(ctx, settleFor, "there is a primary", func() error {
		i, err := c.show(ctx, asked)
		if p = c.byID(i.Primary); err == nil && p == nil {
			err = fmt.Errorf("%s says primary %q", asked.name, i.Primary)
		}
		return err
	})
	return p, err
}

// others are the voters without some.
func (c *cluster) others(not ...*node) (out []*node) {
	for _, n := range c.voters {
		keep := true
		for _, o := range not {
			keep = keep && n != o
		}
		if keep {
			out = append(out, n)
		}
	}
	return out
}

// promote makes a node primary; the one that is has to be asked.
func (c *cluster) promote(ctx context.Context, to *node) error {
	err := until(ctx, settleFor, to.name+" is promoted", func() error {
		now, err := c.primary(ctx, c.voters[0])
		if err == nil {
			_, err = now.client.Promote(ctx, api.PromoteRequest{Set: c.set, Peer: to.id})
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.whole(ctx)
}

// describe says how every voter sees the set, for a failure.
func (c *cluster) describe(ctx context.Context) string {
	var b strings.Builder
	for _, n := range c.voters {
		i, err := c.show(ctx, n)
		if err != nil {
			fmt.Fprintf(&b, "\n    %s: %v", n.name, err)
			continue
		}
		fmt.Fprintf(&b, "\n    %s: revision %d %s, %s, %s, epoch %s, primary %s, backup %s, durable %v, behind %d, forks %d, stale %v, alarms %v", n.name,
			i.Revision, tail(i.Head), i.State, i.Role, i.Epoch, c.name(i.Primary), c.name(i.Backup), i.Durable, i.Behind, i.Forks, i.Stale, i.Alarms)
	}
	return b.String()
}
