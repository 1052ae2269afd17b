package list

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func infoWith(leaves int, have ...int) *Info {
	i := &Info{Bundle: record.Bundle{Genesis: []byte("g"), Configs: [][]byte{{1}}}, Leaves: leaves, Have: NewBitmap(leaves)}
	for _, k := range have {
		i.Have.Set(k)
	}
	return i
}

// wholeInfo encodes i for somebody who has nothing of it.
func wholeInfo(i Info) *listpb.Info {
	m, _ := encodeInfo(i, known{})
	return m
}

// Whatever is joined, and whenever it is sent, the watcher ends up knowing what the catalog said, and
// hears of each leaf once.
func TestJoinedUpdatesLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pending
		var f follower
		const leaves = 40
		want, complete := NewBitmap(leaves), false // of the newest info
		got, gotComplete := NewBitmap(leaves), false
		send := func() {
			m := p.take()
			if m == nil {
				return
			}
			b, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var onWire listpb.Update
			if err := proto.Unmarshal(b, &onWire); err != nil {
				t.Fatal(err)
			}
			u, _, err := f.take(&onWire)
			if err != nil {
				t.Fatal(err)
			}
			if u.Info != nil {
				got = NewBitmap(leaves)
				copy(got, u.Info.Have)
			}
			for _, i := range u.Have {
				if got.Get(int(i)) {
					t.Fatalf("leaf %d twice", i)
				}
				got.Set(int(i))
			}
			gotComplete = u.Complete
		}
		p.add(Update{Info: infoWith(leaves)})
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				have := rapid.SliceOfN(rapid.IntRange(0, leaves-1), 0, 5).Draw(t, "have")
				want, complete = NewBitmap(leaves), false
				for _, i := range have {
					want.Set(i)
				}
				p.add(Update{Info: infoWith(leaves, have...)})
			case 1, 2:
				have := rapid.SliceOfN(rapid.Uint32Range(0, leaves+3), 0, 5).Draw(t, "have")
				for _, i := range have {
					if i < leaves {
						want.Set(int(i))
					}
				}
				complete = rapid.Bool().Draw(t, "complete")
				p.add(Update{Have: have, Complete: complete})
			case 3:
				send()
			}
		}
		send()
		if !slices.Equal(indexes(got), indexes(want)) || gotComplete != complete {
			t.Fatalf("got %v %v, want %v %v", indexes(got), gotComplete, indexes(want), complete)
		}
		if p.take() != nil {
			t.Fatal("something is left")
		}
	})
}

func TestCompleteHolderNeedsNoBitmap(t *testing.T) {
	i := infoWith(MaxLeaves, 1, 3, 5)
	i.Complete = true
	m := wholeInfo(*i)
	if proto.Size(m) > 100 {
		t.Errorf("%d bytes", proto.Size(m))
	}
	got, err := decodeInfo(m, record.Bundle{})
	if err != nil || !got.Complete || got.Have != nil || !got.Has(7) || got.Leaves != MaxLeaves {
		t.Errorf("%+v, %v", got, err)
	}
	// Of a set too large for bitmaps, nothing is said but that it is complete.
	i.Leaves = MaxLeaves + 1
	if got, err := decodeInfo(wholeInfo(*i), record.Bundle{}); err != nil || got.Leaves != 0 || !got.Complete {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEncodeKeepsWithinLimits(t *testing.T) {
	i := infoWith(4)
	for range MaxPeers + 10 {
		i.Peers = append(i.Peers, peer.AddrInfo{ID: "\x12\x20" + peer.ID(make([]byte, 32))})
	}
	got, err := decodeInfo(wholeInfo(*i), record.Bundle{})
	if err != nil || len(got.Peers) != MaxPeers {
		t.Errorf("%d peers, %v", len(got.Peers), err)
	}
}

func FuzzUpdates(f *testing.F) {
	seed := func(u Update) {
		var p pending
		p.add(u)
		b, err := proto.Marshal(p.take())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(Update{Info: infoWith(20, 1, 2, 3), Have: []uint32{7, 8}})
	seed(Update{Complete: true, Peers: []peer.AddrInfo{{ID: "\x12\x20" + peer.ID(make([]byte, 32))}}})
	friend := pending{sent: decodeKnown(encodeKnown(bundle("c", 3, 1, 2)))}
	friend.add(Update{Info: &Info{Bundle: bundle("c", 4, 2, 3)}})
	b, err := proto.Marshal(friend.take())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m listpb.Update
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		fo := follower{bundle: bundle("c", 3, 1, 2), begun: true, leaves: 100, have: NewBitmap(100)}
		u, _, err := fo.take(&m)
		if err != nil {
			return
		}
		if len(u.Peers) > MaxPeers || !slices.IsSorted(u.Have) || len(u.Have) > fo.leaves {
			t.Fatalf("update %+v", u)
		}
		if i := u.Info; i != nil && (i.Leaves > MaxLeaves || len(i.Have) > (i.Leaves+7)/8 || i.Bundle.Size() > record.MaxBundle) {
			t.Fatalf("info %+v", i)
		}
	})
}

func FuzzSets(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m listpb.SetsReply
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		sets, err := decodeSets(&m)
		for _, s := range sets {
			if err == nil && record.CheckName(s.Name) != nil {
				t.Fatalf("name %q", s.Name)
			}
		}
	})
}
