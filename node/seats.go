package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// leaveTime bounds the hand-over of this node's roles when it ends: the successors have everything within a round
// trip, unless something was just published.
const leaveTime = 3 * time.Second

// elect runs the elections of the sets that this node votes on, until ctx ends.
func (n *Node) elect(ctx context.Context, w *network, rooms *topics) error {
	boot, err := n.home.boot()
	if err != nil {
		return err
	}
	c := council.New(council.Config{Self: n.self, Dir: n.home.seats(), Boot: boot, Bus: rooms, Wire: w.council, Swarm: w,
		Interval: n.cfg.Interval, Log: n.cfg.Log})
	n.mu.Lock()
	n.council = c
	n.mu.Unlock()
	links := &libnet.NotifyBundle{
		ConnectedF: func(_ libnet.Network, conn libnet.Conn) { n.life.connected(conn.RemotePeer(), true, n.now()) },
		DisconnectedF: func(net libnet.Network, conn libnet.Conn) {
			if p := conn.RemotePeer(); net.Connectedness(p) != libnet.Connected {
				n.life.connected(p, false, n.now()) // before what comes of it is seen
				c.Disconnected(p)
				w.bytes.flows.forget(p)
			}
		},
	}
	w.host.Network().Notify(links)
	defer w.host.Network().StopNotify(links)
	voting, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it ends after the council, which calls it
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- n.sets.Vote(voting, c, func(g record.Genesis) string { return beacon.Topic(g.Owners) })
	}()
	err = c.Run(ctx)
	cancel()
	return errors.Join(err, <-ended)
}

// resign hands this node's roles over before it ends.
func (n *Node) resign() {
	n.mu.Lock()
	c := n.council
	n.mu.Unlock()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	c.Leave(ctx)
}

// door is what others reach by the council protocol.
type door struct {
	replica.Proposals
	node *Node
}

func (d door) council() *council.Council {
	d.node.mu.Lock()
	defer d.node.mu.Unlock()
	return d.node.council
}

// Frame implements wirecouncil.Handler.
func (d door) Frame(from peer.ID, f wirecouncil.Frame) {
	if c := d.council(); c != nil {
		c.Frame(from, f)
	}
}

// Table implements wirecouncil.Handler.
func (d door) Table(from peer.ID, topic string, since uint64) (uint64, []wirecouncil.Seat, bool) {
	if c := d.council(); c != nil {
		return c.Table(from, topic, since)
	}
	return 0, nil, false
}

// seats is what knows the roles.
func (n *Node) seats() roles { return seated{n} }

// seated knows the roles from the elections that this node takes part in, and of other sets what their heads say.
type seated struct{ n *Node }

// Roles implements roles.
func (s seated) Roles(set cid.Cid) roleView {
	rep, err := s.n.sets.Resolve(set.String())
	if err != nil {
		return roleView{Role: api.RoleReader}
	}
	view, ok := s.n.sets.View(rep)
	if !ok {
		return s.bystander(rep)
	}
	out := roleView{Role: roleOf(view, s.n.self), Primary: view.Primary, Backup: view.Backup, Epoch: view.Epoch, Stale: view.Stale}
	best := slices.IndexFunc(view.Have, func(h council.SealedHead) bool { return h.ID == view.Best })
	if best >= 0 {
		head := view.Have[best].Head
		out.Durable = slices.ContainsFunc(view.Durable, func(h council.SealedHead) bool { return h.Head.Covers(head) })
	}
	out.Forks = max(0, len(view.Have)-1)
	for _, h := range view.Known {
		if !slices.ContainsFunc(view.Have, func(o council.SealedHead) bool { return o.Head.Covers(h.Head) }) {
			out.Behind++
		}
	}
	for _, a := range view.Alarms {
		out.Alarms = append(out.Alarms, alarmText(a))
	}
	if view.Halted && len(out.Alarms) == 0 {
		out.Alarms = append(out.Alarms, "this node takes no part in the elections any more")
	}
	for _, v := range view.Voters {
		holds := v.ID == s.n.self && best >= 0 || best >= 0 && v.Holds(view.Have[best].Head)
		out.Voters = append(out.Voters, voterView{ID: v.ID, Live: v.Live || v.ID == s.n.self, Durable: holds})
	}
	return out
}

// bystander is how a set stands for a node that takes no part in its elections.
func (s seated) bystander(rep *replica.Replica) roleView {
	c := rep.Verified().Config
	v := roleView{Role: api.RoleReader}
	if h, ok := rep.Head(); ok {
		v.Primary, v.Epoch = h.Epoch.Owner, h.Epoch
		if newest := s.n.life.ledger(rep.Set().String()).newest; newest > h.Revision {
			v.Behind = int(newest - h.Revision)
		}
	}
	votes := slices.Contains(c.Voters, s.n.self)
	switch {
	case votes && len(c.Voters) == 1:
		v.Role = api.RolePrimary
		if v.Primary != s.n.self { // the newest head is of the time before it was alone
			v.Primary, v.Epoch = s.n.self, record.Epoch{}
		}
	case votes:
		v.Role = api.RoleReplica
	}
	for _, p := range c.Voters {
		v.Voters = append(v.Voters, voterView{ID: p, Live: p == s.n.self, Durable: p == s.n.self && rep.State().Complete})
	}
	return v
}

func roleOf(v council.View, self peer.ID) string {
	switch {
	case v.Role == election.Primary:
		return api.RolePrimary
	case v.Role == election.Candidate:
		return api.RoleCandidate
	case v.Backup == self:
		return api.RoleBackup
	}
	return api.RoleReplica
}

func alarmText(a election.Alarm) string {
	switch a.Kind {
	case election.TwoHeads:
		return fmt.Sprintf("%s has signed two revisions with one number: both are kept", a.Peer)
	case election.TwoConfigs:
		return "the owner has signed two configs with one version"
	case election.Cloned:
		return "this node's identity is in use twice, or its home was restored from a copy: it takes no part in elections any more"
	case election.ClonedPeer:
		return fmt.Sprintf("the identity of %s is in use twice", a.Peer)
	case election.DiskFailed:
		return "the state could not be written"
	}
	return "unknown alarm"
}

// Promote implements roles.
func (s seated) Promote(ctx context.Context, set cid.Cid, to peer.ID) error {
	rep, err := s.n.sets.Resolve(set.String())
	if err != nil {
		return err
	}
	view, ok := s.n.sets.View(rep)
	switch {
	case !ok:
		return fmt.Errorf("promote %s: %w", to, errNotPrimary)
	case view.Primary != s.n.self && to != s.n.self:
		return fmt.Errorf("promote %s: %w: it is %s", to, errNotPrimary, view.Primary)
	}
	if err := s.n.sets.Promote(ctx, rep, to); err != nil {
		return fmt.Errorf("promote %s: %w: %w", to, errNotLive, err)
	}
	return nil
}
