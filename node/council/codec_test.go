package council

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	councilpb "github.com/shoal-p2p/shoal/node/council/pb"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// fork is n heads of as many stores, none of which covers another.
func fork(n int) (f election.Frontier) {
	for i := range n {
		store := make([]byte, record.InstanceSize)
		binary.BigEndian.PutUint32(store, uint32(i+1))
		e := record.Epoch{ConfigVersion: 1, N: uint64(i%7 + 1), Owner: nodeID(i % 9), Instance: store}
		v := record.Vector{record.InstanceKey(store): uint64(i + 1)}
		f = f.Add(election.NewHead(blockstore.Sum(cid.Raw, fmt.Append(nil, i)), e, v, nil))
	}
	return f
}

func finder(fs ...election.Frontier) resolver {
	m := map[cid.Cid]*election.Head{}
	for _, f := range fs {
		for _, h := range f {
			m[h.ID] = h
		}
	}
	return func(id cid.Cid) *election.Head { return m[id] }
}

func drawEpoch(t *rapid.T, name string) record.Epoch {
	switch rapid.IntRange(0, 2).Draw(t, name) {
	case 0:
		return record.Epoch{}
	case 1:
		return record.Epoch{ConfigVersion: rapid.Uint64Range(1, 9).Draw(t, "version")}
	}
	return record.Epoch{ConfigVersion: rapid.Uint64().Draw(t, "version"), N: rapid.Uint64().Draw(t, "n"), Owner: nodeID(1), Instance: instance(1, 1)}
}

func drawFrontier(t *rapid.T, from election.Frontier, name string) (f election.Frontier) {
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(from)-1), 0, 6).Draw(t, name) {
		f = f.Add(from[i])
	}
	return f
}

func TestRowRoundTrip(t *testing.T) {
	all := fork(12)
	rapid.Check(t, func(t *rapid.T) {
		s := &election.State{
			ConfigVersion: rapid.Uint64().Draw(t, "version"), ConfigHash: rapid.StringN(0, -1, maxHash).Draw(t, "hash"),
			Epoch: drawEpoch(t, "epoch"), Granted: drawEpoch(t, "granted"), Role: election.Role(rapid.IntRange(0, 2).Draw(t, "role")),
			Known: drawFrontier(t, all, "known"), Have: drawFrontier(t, all, "have"), Durable: drawFrontier(t, all, "durable"),
		}
		if rapid.Bool().Draw(t, "backup") {
			s.Backup = nodeID(3)
		}
		b, err := encodeRow(instance(0, 0), s)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodeRow(b)
		if err != nil {
			t.Fatal(err)
		}
		got, missing := r.resolve(finder(all))
		if len(missing) > 0 || !reflect.DeepEqual(got, s) || r.instance != record.InstanceKey(instance(0, 0)) {
			t.Fatalf("%+v became %+v, missing %v", s, got, missing)
		}
		if _, missing = r.resolve(finder()); len(missing) != len(r.ids) {
			t.Fatalf("missing %d of %d", len(missing), len(r.ids))
		}
	})
}

// TestLargeRow: whatever the frontiers, a row fits, and has the newest heads.
func TestLargeRow(t *testing.T) {
	f := fork(256)
	s := &election.State{ConfigVersion: record.MaxCounter, ConfigHash: string(make([]byte, maxHash)), Known: f, Have: f[:100], Durable: f[100:]}
	s.Epoch = record.Epoch{ConfigVersion: record.MaxCounter, N: record.MaxCounter, Owner: nodeID(1), Instance: instance(1, 1)}
	s.Granted, s.Backup = s.Epoch, nodeID(2)
	b, err := encodeRow(instance(0, 0), s)
	if err != nil || len(b) > beacon.MaxSeat-200 { // real node ids are longer
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	r, err := decodeRow(b)
	if err != nil || len(r.known) != maxRowHeads {
		t.Fatal(err)
	}
	got, _ := r.resolve(finder(f))
	for _, h := range got.Known {
		if h.Epoch.N < 6 {
			t.Errorf("a head of epoch %d was preferred", h.Epoch.N)
		}
	}
}

func messages(known, have election.Frontier) []election.Message {
	e := record.Epoch{ConfigVersion: 2, N: 3, Owner: nodeID(1), Instance: instance(1, 1)}
	return []election.Message{
		election.VoteReq{Want: e, Known: known, Handed: true},
		election.VoteReq{Want: e},
		election.Vote{Want: e, Known: known, Have: have},
		election.Ack{Epoch: e, Seq: 7},
		election.WaiveReq{Epoch: e, Heads: known, Have: have},
		election.Waive{Epoch: e, Heads: idsOf(have)},
		election.HandoverReq{},
		election.Handover{Epoch: e},
		election.Seen{Instance: record.InstanceKey(instance(2, 2)), Stamp: election.Stamp{Boot: 4, No: 5}, Other: true},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	f := fork(300)
	for _, msg := range messages(f[:256], f[44:]) {
		b, err := encodeMessage(msg)
		if err != nil {
			t.Fatalf("%T: %v", msg, err)
		}
		p, err := decodeMessage(b)
		if err != nil {
			t.Fatalf("%T: %v", msg, err)
		}
		got, missing := p.message(finder(f))
		// The heads of a WaiveReq are a slice, those of the others a frontier: print, which does not tell them apart.
		if len(missing) > 0 || fmt.Sprintf("%T %+v", got, got) != fmt.Sprintf("%T %+v", msg, msg) {
			t.Errorf("%+v became %+v, missing %d", msg, got, len(missing))
		}
		_, missing = p.message(finder())
		if _, named := msg.(election.Waive); !named && len(missing) != len(p.known)+len(p.have) {
			t.Errorf("%T: missing %d of %d and %d", msg, len(missing), len(p.known), len(p.have))
		}
	}
	for _, msg := range []election.Message{&election.Beacon{}, election.Suspect{}, election.Seen{Instance: "zz"}} {
		if _, err := encodeMessage(msg); err == nil {
			t.Errorf("%T was encoded", msg)
		}
	}
}

func TestAskRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := election.Suspect{Epoch: drawEpoch(t, "epoch"), Last: election.Stamp{Boot: rapid.Uint64().Draw(t, "boot"), No: rapid.Uint64().Draw(t, "no")}}
		b, err := encodeAsk(instance(0, 0), s)
		if err != nil || len(b) > beacon.MaxAsk {
			t.Fatal(len(b), err)
		}
		key, got, err := decodeAsk(b)
		if err != nil || !reflect.DeepEqual(got, s) || key != record.InstanceKey(instance(0, 0)) {
			t.Fatalf("%+v became %+v of %s, %v", s, got, key, err)
		}
	})
}

func TestMalformed(t *testing.T) {
	owner, digest := []byte(nodeID(1)), make([]byte, 32)
	good := instance(0, 0)
	for name, m := range map[string]*councilpb.Row{
		"instance":  {Instance: good[1:]},
		"role":      {Instance: good, Role: 3},
		"hash":      {Instance: good, ConfigHash: make([]byte, maxHash+1)},
		"owner":     {Instance: good, Epoch: &councilpb.Epoch{N: 1, Owner: []byte("x"), Instance: good}},
		"epoch":     {Instance: good, Epoch: &councilpb.Epoch{N: 1, Owner: owner, Instance: good[1:]}},
		"backup":    {Instance: good, Backup: []byte("x")},
		"digest":    {Instance: good, Heads: [][]byte{digest[1:]}},
		"no head":   {Instance: good, Heads: [][]byte{digest}, Known: []uint32{1}},
		"too many":  {Instance: good, Heads: [][]byte{digest}, Have: make([]uint32, maxRowHeads+1)},
		"too large": {Instance: good, Backup: make([]byte, beacon.MaxSeat)},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRow(b); err == nil {
			t.Errorf("row with wrong %s was taken", name)
		}
	}
	for name, m := range map[string]*councilpb.Message{
		"kind":      {},
		"new kind":  {Kind: 9},
		"instance":  {Kind: councilpb.Message_SEEN, Instance: good[1:]},
		"known":     {Kind: councilpb.Message_VOTE, Known: [][]byte{nil}},
		"have":      {Kind: councilpb.Message_VOTE, Have: [][]byte{digest[1:]}},
		"epoch":     {Kind: councilpb.Message_ACK, Epoch: &councilpb.Epoch{Owner: owner}},
		"too large": {Kind: councilpb.Message_ACK, Instance: make([]byte, wirecouncil.MaxPayload)},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeMessage(b); err == nil {
			t.Errorf("message with wrong %s was taken", name)
		}
	}
	for _, b := range [][]byte{nil, {1}, make([]byte, beacon.MaxAsk+1)} {
		if _, _, err := decodeAsk(b); err == nil {
			t.Errorf("question %x was taken", b)
		}
	}
}

func FuzzRow(f *testing.F) {
	heads := fork(3)
	b, err := encodeRow(instance(0, 0), &election.State{ConfigVersion: 1, ConfigHash: "h", Known: heads, Have: heads[:1]})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(b)
		if err != nil {
			return
		}
		s, _ := r.resolve(finder(heads))
		again, err := encodeRow(instance(0, 0), s)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := decodeRow(again); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	heads := fork(3)
	for _, m := range messages(heads, heads[1:]) {
		b, err := encodeMessage(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeMessage(b)
		if err != nil {
			return
		}
		m, _ := p.message(finder(heads))
		again, err := encodeMessage(m)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := decodeMessage(again); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzAsk(f *testing.F) {
	b, err := encodeAsk(instance(0, 0), election.Suspect{Epoch: record.Epoch{ConfigVersion: 1, N: 1, Owner: nodeID(0), Instance: instance(0, 0)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, s, err := decodeAsk(b); err == nil {
			if _, err := encodeAsk(instance(0, 0), s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzState(f *testing.F) {
	heads := fork(2)
	m := &councilpb.State{Instance: instance(0, 0), Boot: 1, Seq: 2, Known: []uint32{0, 1}, Waived: []uint32{1}}
	for i, h := range heads {
		d := blockstore.Digest(h.ID)
		m.Heads = append(m.Heads, &councilpb.StoredHead{Id: d[:], Sealed: []byte{byte(i)}})
	}
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := openStore(dir, setID(0))
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		p, err := s.load(b, func(sealed []byte) (*election.Head, error) { return heads[int(sealed[0])%len(heads)], nil })
		if err == nil && len(p.Instance) != record.InstanceSize {
			t.Fatalf("instance %x", p.Instance)
		}
	})
}
