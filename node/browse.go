package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Content implements api.Browser.
func (n *Node) Content(ctx context.Context, q api.ContentRequest, w io.Writer) error {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return explain(err)
	}
	h, ok := rep.Head()
	if !ok {
		return explain(fmt.Errorf("content of %q: %w", q.Path, blockstore.ErrNotFound))
	}
	from := n.sets.Inside(rep)
	defer from.Close()
	lay, err := from.Layout(ctx, h.Root)
	if err != nil {
		return explain(err)
	}
	file, err := fileIn(lay, q)
	if err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<20) // the largest leaf
	return explain(eachLeaf(lay, file, q, func(leaf blockstore.Leaf, skip, take int64) error {
		b, err := from.Get(ctx, leaf.Cid, buf)
		if err != nil {
			return err
		}
		if int64(len(b)) < skip+take {
			return fmt.Errorf("leaf %s: %w: %d bytes", leaf.Cid, blockstore.ErrCorrupt, len(b))
		}
		_, err = w.Write(b[skip : skip+take])
		return err
	}))
}

// Peek implements api.Peeker.
func (n *Node) Peek(ctx context.Context, q api.PeekRequest, progress func(api.Progress)) (api.PeekResult, error) {
	t, err := n.ticket(q.Ticket)
	if err != nil {
		return api.PeekResult{}, explain(err)
	}
	patience, err := timeout(q.Timeout)
	if err != nil {
		return api.PeekResult{}, err
	}
	dir := strings.Trim(path.Clean("/"+q.Path), "/")
	got, err := n.sets.Peek(ctx, t, dir, api.MaxPeeked, replica.GetOptions{Revision: q.Rev, Patience: patience,
		Progress: func(p replica.Progress) { progress(api.Progress{Phase: p.Phase}) }})
	if err != nil {
		return api.PeekResult{}, explain(err)
	}
	out := api.PeekResult{Set: t.Set.String(), Name: got.Name, Revision: got.Head.Revision, Path: dir, Entries: make([]api.Entry, len(got.Entries)), Truncated: got.More}
	for i, e := range got.Entries {
		out.Entries[i] = entryOf(e)
	}
	return out, nil
}

// fileIn finds the file that is asked for, and checks that it has the bytes.
func fileIn(lay *dag.Layout, q api.ContentRequest) (dag.Entry, error) {
	name := strings.Trim(path.Clean("/"+q.Path), "/")
	i := slices.IndexFunc(lay.Entries, func(e dag.Entry) bool { return e.Path == name })
	switch {
	case i < 0:
		return dag.Entry{}, &api.Error{Code: "no_such_entry", ExitCode: api.ExitNotFound, Title: fmt.Sprintf("%q is not in this set", q.Path), Hint: "`ls SET` lists it from the top"}
	case lay.Entries[i].Kind != dag.KindFile:
		return dag.Entry{}, usage("not_a_file", "", "%q is not a file", q.Path)
	case q.Cid != "" && q.Cid != lay.Entries[i].Cid.String():
		return dag.Entry{}, &api.Error{Code: "other_revision", ExitCode: api.ExitConflict, Title: fmt.Sprintf("%q has changed meanwhile", q.Path), Hint: "ask for it again", Retryable: true}
	}
	if size := lay.Entries[i].Size; q.Offset < 0 || q.Length < 0 || q.Offset > size || q.Length > size-q.Offset {
		return dag.Entry{}, usage("bad_range", "", "%q has %d bytes", q.Path, size)
	}
	return lay.Entries[i], nil
}

// eachLeaf calls fn for the leaves of a file that hold the bytes asked for, in order, with which of their bytes those are.
func eachLeaf(lay *dag.Layout, file dag.Entry, q api.ContentRequest, fn func(leaf blockstore.Leaf, skip, take int64) error) error {
	left := q.Length
	if left == 0 {
		left = file.Size - q.Offset
	}
	skip := q.Offset
	for _, i := range file.Leaves {
		size := int64(lay.Leaves[i].Size)
		if skip >= size {
			skip -= size
			continue
		}
		take := min(size-skip, left)
		if take == 0 {
			return nil
		}
		if err := fn(lay.Leaves[i], skip, take); err != nil {
			return err
		}
		skip, left = 0, left-take
	}
	return nil
}

const (
	// maxAsked bounds the peers that one question about availability goes to: more rows no screen shows.
	maxAsked = 64
	// askedAtOnce bounds those that are asked at the same time.
	askedAtOnce = 16
	// askPatience is how long one may take to answer: a round trip and some work.
	askPatience = 2 * time.Second
	// maxColumns is more than a screen has pixels for; defaultColumns is what a strip needs to look smooth.
	maxColumns, defaultColumns = 512, 64
)

// Availability implements api.Browser. It asks the peers that are connected.
func (n *Node) Availability(ctx context.Context, q api.AvailabilityRequest) (api.AvailabilityResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.AvailabilityResult{}, explain(err)
	}
	if q.Columns < 0 || q.Columns > maxColumns {
		return api.AvailabilityResult{}, usage("bad_columns", "", "a strip has 1 to %d columns", maxColumns)
	}
	h, _ := rep.Head()
	mine, st := n.sets.Intact(ctx, rep), rep.State()
	out := api.AvailabilityResult{Set: st.Set, Name: st.Name, Revision: h.Revision, Root: h.Root.String(), Leaves: mine.Leaves,
		Columns: min(cmp.Or(q.Columns, defaultColumns), mine.Leaves)}
	self := has(mine, out)
	self.PeerID, self.Self = n.self.String(), true
	out.Peers = append(append(out.Peers, self), n.survey(ctx, rep, h, out)...)
	out.Copies = copies(out.Peers, out.Columns)
	return out, ctx.Err()
}

// survey asks the peers that may have something of a set. One that does not know the set is left out, unless it is a
// member of it or watches it here.
func (n *Node) survey(ctx context.Context, rep *replica.Replica, h record.Head, a api.AvailabilityResult) []api.PeerHave {
	w := n.network()
	if w == nil {
		return nil
	}
	involved := slices.Concat(listed(rep.Verified().Config), rep.Crowd())
	var ask []peer.ID
	for _, p := range slices.Concat(involved, w.listers()) {
		if p != n.self && !slices.Contains(ask, p) && len(ask) < maxAsked {
			ask = append(ask, p)
		}
	}
	rows := make([]api.PeerHave, len(ask))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, p := range ask {
		group.Go(func() error {
			if row, ok := w.have(ctx, p, rep, h, a); ok || slices.Contains(involved, p) {
				row.PeerID = p.String()
				row.RTTms = float64(w.host.Peerstore().LatencyEWMA(p).Microseconds()) / 1000
				rows[i] = row
			}
			return nil
		})
	}
	_ = group.Wait() // nobody fails
	for _, r := range rows {
		n.life.enter(rep.Set().String(), func(t *ledger) { t.newest = max(t.newest, r.Revision) })
	}
	return slices.DeleteFunc(rows, func(r api.PeerHave) bool { return r.PeerID == "" })
}

// listers are the connected peers that answer questions about sets, in order of their ids.
func (w *network) listers() []peer.ID {
	var out []peer.ID
	for _, p := range w.host.Network().Peers() {
		if ids, err := w.host.Peerstore().SupportsProtocols(p, list.ID); err == nil && len(ids) > 0 {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// have asks one peer; false if it does not answer, or knows nothing of the set.
func (w *network) have(ctx context.Context, p peer.ID, rep *replica.Replica, h record.Head, a api.AvailabilityResult) (api.PeerHave, bool) {
	unknown := api.PeerHave{State: api.HaveUnknown, Have: []int{}}
	if w.host.Network().Connectedness(p) != libnet.Connected {
		return unknown, false
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	st := rep.State()
	info, err := list.GetInfo(ctx, w.host, p, rep.Set(), st.Cap, &st.Bundle)
	if err != nil {
		return unknown, !errors.Is(err, list.ErrNotFound) && ctx.Err() == nil
	}
	v, err := record.VerifyBundle(rep.Set(), info.Bundle)
	if err != nil || len(v.Heads) == 0 {
		return unknown, true
	}
	if v.Heads[0].Root != h.Root {
		return api.PeerHave{State: api.HaveOther, Have: []int{}, Revision: v.Heads[0].Revision}, true
	}
	return has(info, a), true
}

// has is the row of a peer that is at the same revision.
func has(info list.Info, a api.AvailabilityResult) api.PeerHave {
	row := api.PeerHave{State: api.HaveSome, Have: make([]int, a.Columns)}
	if info.Complete {
		row.State = api.HaveAll
	}
	for c := range row.Have {
		// Columns are of equal length, but for one leaf; there are never more of them than leaves.
		from, to := c*a.Leaves/a.Columns, (c+1)*a.Leaves/a.Columns
		held := 0
		for leaf := from; leaf < to; leaf++ {
			if info.Has(leaf) {
				held++
			}
		}
		row.Leaves += held
		row.Have[c] = 100 * held / (to - from)
	}
	return row
}

// copies counts, for each column, who has all of it.
func copies(rows []api.PeerHave, columns int) []int {
	out := make([]int, columns)
	for _, r := range rows {
		for c, percent := range r.Have {
			if percent == 100 {
				out[c]++
			}
		}
	}
	return out
}
