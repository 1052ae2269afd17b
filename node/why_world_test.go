package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// world is a network in which anything can be broken. Its zero value has nobody in it.
type world struct {
	known    []peer.AddrInfo
	size     int
	off      bool
	records  []peer.AddrInfo
	connect  error
	infos    map[peer.ID]list.Info // of the peers that show the set
	refusal  error                 // of those that do not
	blocks   func(c cid.Cid) ([]byte, error)
	silentAt int     // the reply from which on a peer says nothing; 0 = none
	silentOf peer.ID // who is silent then; "" = all
	hangUp   error   // of opening a stream for blocks, without blocks
}

func (w *world) entries() ([]peer.AddrInfo, int)                   { return w.known, 0 }
func (w *world) table(context.Context) (int, bool)                 { return w.size, !w.off }
func (w *world) recorded(context.Context, cid.Cid) []peer.AddrInfo { return w.records }
func (w *world) Connect(context.Context, peer.AddrInfo) error      { return w.connect }
func (w *world) Blocks(_ context.Context, p peer.ID, _ cid.Cid, _ []byte) (blockReader, error) {
	if w.blocks == nil {
		return nil, cmp.Or(w.hangUp, fmt.Errorf("no blocks here: %w", chunks.ErrNotFound))
	}
	return &wornReader{w: w, mute: w.silentAt > 0 && (w.silentOf == "" || w.silentOf == p)}, nil
}

func (w *world) Info(_ context.Context, p peer.ID, _ cid.Cid, _ []byte) (list.Info, error) {
	if i, ok := w.infos[p]; ok {
		return i, nil
	}
	return list.Info{}, w.refusal
}

func (w *world) History(context.Context, peer.ID, cid.Cid, []byte) ([][]byte, error) {
	return nil, w.refusal
}

// wornReader is a session at a peer of a world.
type wornReader struct {
	w     *world
	queue []chunks.Reply
	told  int
	mute  bool // from silentAt on
}

func (r *wornReader) Want(cids []cid.Cid) error {
	for _, c := range cids {
		b, err := r.w.blocks(c)
		reply := chunks.Reply{Cid: c, Data: b}
		if err != nil {
			reply = chunks.Reply{Cid: c, Code: wire.NotFound}
		}
		r.queue = append(r.queue, reply)
	}
	return nil
}

func (r *wornReader) Walk(root cid.Cid) error {
	err := chunks.WalkNodes(context.Background(), root, func(_ context.Context, c cid.Cid, _ []byte) ([]byte, error) {
		return r.w.blocks(c)
	}, func(b blockstore.Block) error {
		r.queue = append(r.queue, chunks.Reply{Cid: b.Cid(), Data: b.Data()})
		return nil
	})
	r.queue = append(r.queue, chunks.Reply{})
	return err
}

func (r *wornReader) Next([]byte) (chunks.Reply, error) {
	if r.told++; r.mute && r.told >= r.w.silentAt || len(r.queue) == 0 {
		return chunks.Reply{}, errors.New("stream reset")
	}
	reply := r.queue[0]
	r.queue = r.queue[1:]
	return reply, nil
}

func (r *wornReader) Close() error { return nil }

// specimen is a set of a real node: what is shown of it, its blocks, and its layout.
func specimen(t *testing.T) (set cid.Cid, info list.Info, blocks func(cid.Cid) ([]byte, error), lay *dag.Layout) {
	t.Helper()
	a := start(t, t.TempDir())
	rep, err := a.sets.Resolve(a.share(newFolder(t)).Set)
	if err != nil {
		t.Fatal(err)
	}
	from := a.sets.Inside(rep)
	t.Cleanup(func() { from.Close() })
	h, _ := rep.Head()
	if lay, err = from.Layout(t.Context(), h.Root); err != nil {
		t.Fatal(err)
	}
	return rep.Set(), rep.Picture(), func(c cid.Cid) ([]byte, error) { return from.Get(context.Background(), c, nil) }, lay
}

// ownOf is a set that is shared from here, whole.
func ownOf(v record.Verified, info list.Info, blocks func(cid.Cid) ([]byte, error), lay *dag.Layout) *ownCopy {
	return &ownCopy{verified: v, shared: true, picture: info,
		layout: func(context.Context, cid.Cid) (*dag.Layout, error) { return lay, nil },
		read:   func(_ context.Context, c cid.Cid, _ []byte) ([]byte, error) { return blocks(c) },
		harm:   func(context.Context) (string, string) { return "", "" }}
}

func (w *world) why(t *testing.T, k record.Ticket, mine *ownCopy) api.WhyResult {
	t.Helper()
	i := &inquiry{self: "self", find: func(string) (record.Ticket, *ownCopy, error) { return k, mine, nil }, routes: w, peers: w,
		now: time.Now, shuffle: func(int, func(a, b int)) {}, tell: quiet}
	res, err := i.walk(t.Context(), whySteps())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range res.Steps {
		t.Logf("%s %v %s", s.Name, s.OK, s.Detail)
	}
	return res
}
