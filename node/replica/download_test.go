package replica

import (
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/fetch"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// A holder that completes says so in a new picture of itself; what it was asked for is not asked again.
func TestCompletionKeepsRequests(t *testing.T) {
	const leaves = 64
	root := blockstore.FromDigest(cid.DagProtobuf, [32]byte{1})
	h := &holding{v: record.Verified{Heads: []record.Head{{Root: root}}}, have: list.NewBitmap(leaves)}
	sizes, need := make([]uint32, leaves), make([]uint32, leaves)
	for i := range need {
		sizes[i], need[i] = 64<<10, uint32(i)
		if i < leaves/2 {
			h.have.Set(i)
		}
	}
	p := peer.ID("holder")
	src := &source{}
	for range lanesPerPeer {
		src.lanes = append(src.lanes, &lane{wants: make(chan []uint32, laneQueue)})
	}
	d := &download{
		g:       &get{r: &Registry{cfg: Config{Now: time.Now}}, holders: map[peer.ID]*holding{p: h}},
		s:       &session{lay: &dag.Layout{Root: root}},
		sched:   fetch.New(fetch.Config{Leaves: sizes, Need: need, InitialWindow: 4 << 20}), // all of it at once
		sources: map[fetch.Peer]*source{fetch.Peer(p): src},
		whole:   map[fetch.Peer]bool{},
	}
	src.d = d
	d.up(t.Context(), p)
	before := d.sched.Stats().InFlight
	if before == 0 {
		t.Fatal("asked for nothing")
	}
	h.complete = true
	d.up(t.Context(), p)
	d.up(t.Context(), p)
	if st := d.sched.Stats(); st.InFlight < before || !st.Peers[0].Complete {
		t.Fatalf("%d bytes in flight, then %+v", before, st)
	}
	asked := map[uint32]bool{}
	for _, l := range src.lanes {
		for len(l.wants) > 0 {
			for _, leaf := range <-l.wants {
				if asked[leaf] {
					t.Fatalf("leaf %d is asked for twice", leaf)
				}
				asked[leaf] = true
			}
		}
	}
}
