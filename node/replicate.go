package node

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// replicaDest is the folder a replica is kept in: what was asked, else where the set lies already, else one of the
// home's own.
func (n *Node) replicaDest(q api.FollowRequest, t record.Ticket) string {
	if q.Dest != "" {
		return q.Dest
	}
	if rep, err := n.sets.Resolve(t.Set.String()); err == nil && rep.State().Dir != "" {
		return rep.State().Dir
	}
	return filepath.Join(n.home.dir, "sets", t.Set.String())
}

// standDown hands on the role of the primary of a set that is not held for others any more. It tells who this node is to
// the owner, if it votes, and to whom the role went: no node can give its vote back by itself, as the config is the
// owner's. That nobody takes the role is no failure: whoever hears that this node is gone takes it.
func (n *Node) standDown(ctx context.Context, set cid.Cid) (member, to string) {
	if !n.votes(set.String()) {
		return "", ""
	}
	member = n.self.String()
	v := n.seats().Roles(set)
	if v.Primary != n.self || n.network() == nil {
		return member, ""
	}
	heir := v.Backup
	for _, o := range v.Voters { // who the backup is may not be known yet
		if heir == "" && o.Live && o.ID != n.self {
			heir = o.ID
		}
	}
	if heir == "" {
		return member, ""
	}
	if _, err := handOver(ctx, n.seats(), set, heir, n.now, func() {}); err != nil {
		n.cfg.Log.Warn("hand the role of the primary on", "set", set, "peer", heir, "err", err)
		return member, ""
	}
	return member, heir.String()
}

// votes tells whether the newest config of a set that is known here makes this node a voter, with the store it has.
func (n *Node) votes(set string) bool {
	rep, err := n.sets.Resolve(set)
	if err != nil {
		return false
	}
	c := rep.Verified().Config
	if !slices.Contains(c.Voters, n.self) {
		return false
	}
	instance, pinned := c.Instances[n.self]
	return !pinned || slices.Equal(instance, rep.State().Instance)
}

// reconfigured is to be called when a newer config of a set may have arrived: a replica that was waiting to be
// granted says that it is.
func (n *Node) reconfigured(set cid.Cid) {
	id := set.String()
	w, ok := n.jobs.list().Follow[id]
	if !ok || !w.Replicate || w.Granted || !n.votes(id) {
		return
	}
	err := n.jobs.change(func(all *wishes) {
		if was, ok := all.Follow[id]; ok {
			was.Granted = true
			all.Follow[id] = was
		}
	})
	if err != nil {
		n.cfg.Log.Warn("granted: remember it", "set", id, "err", err)
	}
	e := api.Event{Kind: api.EventGranted, Set: id, Detail: "this node is a replica of the set now: it can be primary or backup"}
	if rep, err := n.sets.Resolve(id); err == nil {
		e.Name = rep.State().Name
	}
	n.tell(e)
}

// sameKind refuses to share what is a set already as one of another kind: what a set is, its owner decided when it
// was made.
func (n *Node) sameKind(o replica.ShareOptions) error {
	for _, rep := range n.sets.Replicas() {
		st, c := rep.State(), rep.Verified().Config
		if !st.Shared || st.Dir != o.Dir || st.Only != o.Only {
			continue
		}
		switch {
		case o.Private && c.Public:
			return usage("made_public", "`rm` the set and share it again: it gets another id", "%s is a public set already", st.Name)
		case o.Strict && c.Mode != record.ModeStrict:
			return usage("made_ap", "`rm` the set and share it again: it gets another id", "%s is a set already, and not a strict one", st.Name)
		}
	}
	return nil
}

// waitFor reads how long to wait for a revision to be durable; 0 is the default. What is not to be waited for at all
// is given a moment that is over at once.
func waitFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, usage("bad_wait", "write it like 30s or 1m", "%q is no time to wait", text)
	}
	return max(d, time.Nanosecond), nil
}
