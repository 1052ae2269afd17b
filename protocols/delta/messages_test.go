package delta

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

func drawCids(t *rapid.T, codec uint64, least, most int) []cid.Cid {
	one := rapid.Custom(func(t *rapid.T) cid.Cid {
		return blockstore.Sum(codec, rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "data"))
	})
	return rapid.SliceOfN(one, least, most).Draw(t, "cids")
}

func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Request{
			Set: drawCids(t, cid.Raw, 1, 1)[0], Capability: rapid.SliceOf(rapid.Byte()).Draw(t, "capability"),
			Want: drawCids(t, cid.DagProtobuf, 1, 1)[0], Have: drawCids(t, cid.DagProtobuf, 0, MaxHave),
			Push: rapid.Int64Min(0).Draw(t, "push"), Dry: rapid.Bool().Draw(t, "dry"),
		}
		got, err := parseRequest(must(q.message())(discard{}))
		q.Push = min(q.Push, MaxPush)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(q) {
			t.Fatalf("%v, %v\nwant %v", got, err, q)
		}
	})
}

// discard makes must usable where only panics are: inside rapid.
type discard struct{ testing.TB }

func (discard) Helper()           {}
func (discard) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestAskRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Ask{Cid: drawCids(t, cid.Raw, 1, 1)[0], Bases: drawCids(t, cid.Raw, 0, MaxBases)}
		if len(a.Bases) > 0 {
			a.Signature = rapid.SliceOf(rapid.Byte()).Draw(t, "signature")
		}
		got, err := parseAsk(must(a.message())(discard{}))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(a) {
			t.Fatalf("%v, %v\nwant %v", got, err, a)
		}
	})
}

// The layout is documented; these are its bytes.
func TestBytesOnTheWire(t *testing.T) {
	leaf, base := blockstore.Sum(cid.Raw, []byte("leaf")), blockstore.Sum(cid.Raw, []byte("base"))
	l, b := blockstore.Digest(leaf), blockstore.Digest(base)
	item := frames(t, &deltapb.Item{Cids: must(refs(leaf, []cid.Cid{base}))(t), Size: 300, Patch: []byte{2, 9, 9}})
	if want := slices.Concat([]byte{74, 0x12, 64}, l[:], b[:], []byte{0x18, 0xac, 2, 0x22, 3, 2, 9, 9}); !bytes.Equal(item, want) {
		t.Errorf("item %x", item)
	}
	ask := frames(t, must(Ask{Cid: leaf, Size: 300, Bases: []cid.Cid{base}, Signature: []byte{7}}.message())(t))
	if want := slices.Concat([]byte{69, 0x0a, 64}, l[:], b[:], []byte{0x12, 1, 7}); !bytes.Equal(ask, want) {
		t.Errorf("ask %x", ask)
	}
	if end := frames(t, &deltapb.Item{}); !bytes.Equal(end, []byte{0}) {
		t.Errorf("end %x", end)
	}
}

// An item that is accepted is one that Apply and the caller can rely on.
func FuzzItem(f *testing.F) {
	digest := must(refs(blockstore.Sum(cid.Raw, nil), nil))(f)
	for _, m := range []*deltapb.Item{
		{}, {Code: 1}, {Cids: digest, Size: 3, Patch: []byte{0, 1, 2, 3}},
		{Cids: bytes.Repeat(digest, 2), Size: 300, Patch: []byte{2}, Length: 200},
		{Cids: bytes.Repeat(digest, 5), Code: 6, Size: 300}, {Cids: digest, Size: 4 << 20, Length: 1 << 31},
	} {
		b := must(proto.Marshal(m))(f)
		f.Add(b, false, false)
		f.Add(b, true, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, leaf, dry bool) {
		var m deltapb.Item
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		kind, codec := Node, uint64(cid.DagProtobuf)
		if leaf {
			kind, codec = Leaf, cid.Raw
		}
		i, err := parseItem(&m, kind, dry)
		if err != nil {
			return
		}
		if i.Kind == kind+1 {
			if i.Cid.Defined() || i.Length+i.Size+len(i.Patch)+len(i.Bases) > 0 || cost(len(b), &m) != int64(len(b)) {
				t.Fatalf("end %+v", i)
			}
			return
		}
		if i.Kind != kind || blockstore.CheckCid(i.Cid) != nil || i.Cid.Type() != codec || i.Code > wire.NoBase || len(i.Bases) > MaxBases {
			t.Fatalf("%+v", i)
		}
		if (i.Code == wire.OK) != (i.Length > 0) || i.Length > 1+i.Size || i.Size > blockstore.MaxBlockSize {
			t.Fatalf("%+v", i)
		}
		if whole := len(i.Patch) == i.Length; !whole && !(dry && leaf && len(i.Patch) == 1) {
			t.Fatalf("%d of %d bytes", len(i.Patch), i.Length)
		}
		if cost(len(b), &m) < int64(len(i.Patch)) {
			t.Fatalf("%d bytes for %d", cost(len(b), &m), len(i.Patch))
		}
	})
}

// A request or an ask that is accepted is one that the other end could have sent.
func FuzzRequests(f *testing.F) {
	node, leaf := blockstore.Sum(cid.DagProtobuf, nil), blockstore.Sum(cid.Raw, nil)
	f.Add(must(proto.Marshal(must(Request{Set: leaf, Want: node, Have: []cid.Cid{node}, Push: 9}.message())(f)))(f))
	f.Add(must(proto.Marshal(must(Ask{Cid: leaf, Bases: []cid.Cid{leaf}, Signature: []byte{1}}.message())(f)))(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > wire.MaxControl {
			return
		}
		var r deltapb.Request
		if proto.Unmarshal(b, &r) == nil {
			if q, err := parseRequest(&r); err == nil {
				if _, err := q.message(); err != nil || q.Push > MaxPush {
					t.Fatalf("%+v: %v", q, err)
				}
			}
		}
		var m deltapb.Ask
		if proto.Unmarshal(b, &m) == nil {
			if a, err := parseAsk(&m); err == nil {
				if _, err := a.message(); err != nil {
					t.Fatalf("%+v: %v", a, err)
				}
			}
		}
	})
}
