package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/discovery/static"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Why implements api.Examiner.
func (n *Node) Why(ctx context.Context, q api.WhyRequest, progress func(api.Progress)) (api.WhyResult, error) {
	w := n.network()
	if w == nil {
		return api.WhyResult{}, explain(replica.ErrOffline)
	}
	down := func(p peer.ID, set cid.Cid) chunks.Limiter { return n.limits.receiving(w, p, set) }
	i := &inquiry{self: n.self, find: n.looked, routes: ownRoutes{n, w}, peers: ownPeers{w, down}, now: n.now, shuffle: rand.Shuffle, tell: progress, q: q}
	res, err := i.walk(ctx, whySteps())
	return res, explain(err)
}

// looked reads a ticket, and what is known here of its set. Errors: those of ticket.
func (n *Node) looked(text string) (record.Ticket, *ownCopy, error) {
	t, err := n.ticket(text)
	if errors.Is(err, record.ErrBadTicket) && !strings.HasPrefix(text, "shoal") && !strings.HasPrefix(text, "baf") {
		err = fmt.Errorf("%w: no set of that name is here, and it is no ticket", record.ErrBadTicket) // what is wrong with its letters is of no use
	}
	if err != nil {
		return t, nil, err
	}
	rep, err := n.sets.Resolve(t.Set.String())
	if err != nil {
		return t, nil, nil // it is not here
	}
	st := rep.State()
	mine := &ownCopy{name: st.Name, cap: st.Cap, verified: rep.Verified(), picture: rep.Picture(), shared: st.Shared,
		head: func(revision uint64) (record.Head, error) { return n.sets.RevisionHead(rep, revision) },
		layout: func(ctx context.Context, root cid.Cid) (*dag.Layout, error) {
			from := n.sets.Inside(rep)
			defer from.Close()
			return from.Layout(ctx, root)
		},
		read: func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
			from := n.sets.Inside(rep)
			defer from.Close()
			return from.Get(ctx, c, buf)
		},
		harm: func(ctx context.Context) (what, cure string) {
			if h := n.sets.Examine(ctx, rep); h.Any() {
				return harmText(rep.State(), h, "node ")
			}
			return "", ""
		}}
	for _, addr := range st.Holders {
		if p, err := static.Parse(addr); err == nil { // else a hint, and a damaged one
			mine.holders = append(mine.holders, p...)
		}
	}
	for _, p := range slices.Concat(mine.verified.Config.Voters, rep.Crowd()) {
		mine.holders = append(mine.holders, peer.AddrInfo{ID: p}) // addresses of it may be known
	}
	return t, mine, nil
}

const (
	// recordSettle is how long more holders are listened for after the first.
	recordSettle = time.Second
	// maxRecorded bounds them: a get watches as many.
	maxRecorded = 16
)

// ownRoutes are those of the running node.
type ownRoutes struct {
	n *Node
	w *network
}

func (r ownRoutes) entries() (known []peer.AddrInfo, connected int) {
	configured, _ := static.Parse(r.n.cfg.Bootstrap...) // a node with one that does not parse does not run
	known = slices.Concat(configured, r.w.neighbours(), r.w.good(r.n.now()))
	var out []peer.AddrInfo
	for _, p := range known {
		if p.ID != r.n.self && !slices.ContainsFunc(out, func(o peer.AddrInfo) bool { return o.ID == p.ID }) {
			out = append(out, p)
		}
	}
	return out, len(r.w.host.Network().Peers())
}

func (r ownRoutes) table(ctx context.Context) (size int, on bool) {
	t := r.w.table
	if late, ok := t.(*lateTable); ok {
		t = late.start()
	}
	counted, ok := t.(interface {
		Size() int
		WaitReady(context.Context) error
	})
	if !ok {
		return 0, false
	}
	_ = counted.WaitReady(ctx) // else it is empty
	return counted.Size(), true
}

func (r ownRoutes) recorded(ctx context.Context, set cid.Cid) []peer.AddrInfo {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []peer.AddrInfo
	for p := range r.w.table.Providers(ctx, set) {
		if slices.ContainsFunc(out, func(o peer.AddrInfo) bool { return o.ID == p.ID }) {
			continue
		}
		if out = append(out, p); len(out) == 1 {
			defer time.AfterFunc(recordSettle, cancel).Stop()
		}
		if len(out) == maxRecorded {
			cancel()
			break // Providers gives up with ctx
		}
	}
	return out
}

// ownPeers asks by the running node's host.
type ownPeers struct {
	w    *network
	down func(p peer.ID, set cid.Cid) chunks.Limiter
}

// Connect dials p unless it is connected, however often that failed before.
func (o ownPeers) Connect(ctx context.Context, p peer.AddrInfo) error {
	o.w.host.ClearBackoff(p.ID)
	addrs := multiaddr.Unique(slices.Concat(p.Addrs, o.w.host.Peerstore().Addrs(p.ID)))
	return impatient(ctx, addrs, thisMachine().dial, func(ctx context.Context) error { return o.w.Connect(ctx, p) })
}

// Info asks for the whole of a set's records: those that are known here may be what is wrong.
func (o ownPeers) Info(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (list.Info, error) {
	return list.GetInfo(ctx, o.w.host, p, set, capability, nil)
}

// History asks for the heads before the newest.
func (o ownPeers) History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error) {
	return o.w.History(ctx, p, set, capability)
}

// Blocks opens a session for reading.
func (o ownPeers) Blocks(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (blockReader, error) {
	s, err := o.w.Chunks(ctx, p, set, capability)
	if err != nil {
		return nil, err // not a nil *chunks.Session in an interface
	}
	limit := o.down(p, set)
	s.Throttle(func(n int) (int, error) { return limit.Wait(ctx, n) })
	return s, nil
}
