package council

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

func set(name string) cid.Cid { return blockstore.Sum(cid.Raw, []byte(name)) }

var instance = []byte("instance")

// somebody is the id of nobody's key.
func somebody(n byte) peer.ID {
	return peer.ID(slices.Concat([]byte{0, 36, 8, 1, 18, 32}, bytes.Repeat([]byte{n}, 32)))
}

// through encodes and decodes a message as the wire does, within a cap.
func through[M proto.Message](t interface{ Fatalf(string, ...any) }, m, empty M, most int) M {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(b) > most {
		t.Fatalf("%d bytes on the wire, at most %d are read", len(b), most)
	}
	if err := proto.Unmarshal(b, empty); err != nil {
		t.Fatalf("%v", err)
	}
	return empty
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Frame{set(rapid.String().Draw(t, "set")), rapid.SliceOfN(rapid.Byte(), InstanceSize, InstanceSize).Draw(t, "instance"),
			make([]byte, rapid.SampledFrom([]int{1, 100, MaxPayload}).Draw(t, "size"))}
		m, err := encodeFrame(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeFrame(through(t, m, &councilpb.Frame{}, maxFrame)); err != nil || !reflect.DeepEqual(got, f) {
			t.Fatalf("%+v became %+v, %v", f, got, err)
		}
	})
}

// A table too large for one answer comes in several, each of which goes on where the one before ended.
func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := map[cid.Cid]Seat{}
		version := uint64(0)
		for i := range rapid.IntRange(0, 1000).Draw(t, "seats") {
			version += rapid.Uint64Range(1, math.MaxUint64/2000).Draw(t, "step")
			id := set(fmt.Sprint(i))
			seats[id] = Seat{id, version, make([]byte, rapid.SampledFrom([]int{0, 300, MaxSeat}).Draw(t, "size"))}
		}
		got := map[cid.Cid]Seat{}
		for since := uint64(0); since < version; {
			var changed []Seat
			for _, s := range seats { // in any order
				if s.Version > since {
					changed = append(changed, s)
				}
			}
			pages, err := encodeTable(version, changed)
			if err != nil {
				t.Fatal(err)
			}
			var all table
			for i, page := range pages {
				page = through(t, page, &councilpb.TableReply{}, wire.MaxControl)
				if err := all.add(page); err != nil || page.GetMore() != (i < len(pages)-1) {
					t.Fatalf("page %d of %d: %v, %v", i, len(pages), page.GetMore(), err)
				}
			}
			if all.version <= since {
				t.Fatalf("no progress after %d", since)
			}
			since = all.version
			for _, s := range all.seats {
				if s.Data == nil {
					s.Data = []byte{}
				}
				got[s.Set] = s
			}
		}
		if !reflect.DeepEqual(got, seats) {
			t.Fatalf("%d of %d seats came", len(got), len(seats))
		}
	})
}

func TestOutcomeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Outcome{
			Code:    OutcomeCode(rapid.IntRange(1, 4).Draw(t, "code")),
			Head:    make([]byte, rapid.SampledFrom([]int{1, 600, record.MaxSealed}).Draw(t, "head")),
			Holders: rapid.IntRange(0, record.MaxMembers).Draw(t, "holders"),
			Text:    rapid.StringMatching(`[ -~äöü]{0,300}`).Draw(t, "text"),
		}
		for i := range rapid.IntRange(0, MaxHolders).Draw(t, "on") {
			o.On = append(o.On, somebody(byte(i)))
		}
		if rapid.Bool().Draw(t, "primary") {
			o.Primary = somebody(200)
		}
		m, err := encodeOutcome(o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeOutcome(through(t, m, &councilpb.OutcomeReply{}, maxOutcome)); err != nil || !reflect.DeepEqual(got, o) {
			t.Fatalf("%+v became %+v, %v", o, got, err)
		}
	})
}

func TestOutcomeIsCutAndCleaned(t *testing.T) {
	o := Outcome{Code: Failed, Text: "bad\x1b[31m \xff" + strings.Repeat("ä", MaxText), On: slices.Repeat([]peer.ID{somebody(1)}, MaxHolders+5)}
	m, err := encodeOutcome(o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeOutcome(through(t, m, &councilpb.OutcomeReply{}, maxOutcome))
	if err != nil || len(got.On) != MaxHolders || len(got.Text) > MaxText || len(got.Text) < MaxText-5 || !utf8.ValidString(got.Text) || !strings.HasPrefix(got.Text, "bad [31m ä") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := decodeOutcome(&councilpb.OutcomeReply{Outcome: 77}); err != nil || got.Code != Failed {
		t.Errorf("a code of a later version: %+v, %v", got, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	_, err := encodeFrame(Frame{set("a"), instance, make([]byte, MaxPayload+1)})
	refused(t, "long frame", err)
	_, err = encodeFrame(Frame{set("a"), instance[1:], nil})
	refused(t, "short instance", err)
	if _, err = encodeFrame(Frame{cid.Undef, instance, nil}); err == nil {
		t.Error("a frame about nothing is sent")
	}
	_, err = encodeTable(5, []Seat{{set("a"), 6, nil}})
	refused(t, "seat above the table", err)
	_, err = encodeTable(5, []Seat{{set("a"), 0, nil}})
	refused(t, "seat of no version", err)
	_, err = encodeTable(5, []Seat{{set("a"), 5, make([]byte, MaxSeat+1)}})
	refused(t, "long seat", err)
	_, err = encodeTable(5, slices.Repeat([]Seat{{set("a"), 5, make([]byte, MaxSeat)}}, MaxTable/MaxSeat))
	refused(t, "table that cannot be cut", err)
	_, err = encodeIDs(nil)
	refused(t, "no ids", err)
	_, err = encodeIDs(slices.Repeat([]cid.Cid{set("a")}, MaxHeads+1))
	refused(t, "too many ids", err)
	_, err = encodeOutcome(Outcome{})
	refused(t, "no outcome", err)
	_, err = encodeOutcome(Outcome{Code: Accepted, Head: make([]byte, record.MaxSealed+1)})
	refused(t, "long head", err)
}

func refused(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("%s: %v", name, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	d, err := setDigest(set("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*councilpb.Frame{
		"nothing":      {},
		"short set":    {Set: d[1:], Instance: instance},
		"no instance":  {Set: d, Payload: []byte("x")},
		"long payload": {Set: d, Instance: instance, Payload: make([]byte, MaxPayload+1)},
	} {
		_, err := decodeFrame(m)
		refused(t, name, err)
	}
	for name, m := range map[string]*councilpb.TableReply{
		"an empty page":        {Version: 5, More: true},
		"short set":            {Version: 5, Seats: []*councilpb.Seat{{Set: d[1:], Version: 5}}},
		"seat of no version":   {Version: 5, Seats: []*councilpb.Seat{{Set: d}}},
		"seat above the table": {Version: 5, Seats: []*councilpb.Seat{{Set: d, Version: 6}}},
		"long seat":            {Version: 5, Seats: []*councilpb.Seat{{Set: d, Version: 5, Data: make([]byte, MaxSeat+1)}}},
		"too many seats":       {Version: 5, Seats: slices.Repeat([]*councilpb.Seat{{Set: d, Version: 5}}, MaxTable/seatRoom+1)},
	} {
		refused(t, name, new(table).add(m))
	}
	for name, heads := range map[string][][]byte{
		"more than asked": {{1}, {2}, {3}},
		"an empty head":   {{1}, nil},
		"a long head":     {make([]byte, record.MaxSealed+1)},
	} {
		_, err := decodeHeads(&councilpb.HeadsReply{Heads: heads}, 2)
		refused(t, name, err)
	}
	for name, b := range map[string][]byte{"no ids": nil, "part of an id": d[1:], "too many ids": bytes.Repeat(d, MaxHeads+1)} {
		_, err := decodeIDs(b)
		refused(t, name, err)
	}
	for name, m := range map[string]*councilpb.OutcomeReply{
		"nothing":          {},
		"too many holders": {Outcome: 1, Holders: record.MaxMembers + 1},
		"long head":        {Outcome: 1, Head: make([]byte, record.MaxSealed+1)},
		"long text":        {Outcome: 4, Text: strings.Repeat("x", MaxText+1)},
		"no peer":          {Outcome: 3, Primary: []byte("me")},
		"long peer":        {Outcome: 3, Primary: make([]byte, maxPeerID+1)},
		"no holder":        {Outcome: 2, On: [][]byte{nil}},
		"many holders":     {Outcome: 2, On: make([][]byte, MaxHolders+1)},
	} {
		_, err := decodeOutcome(m)
		refused(t, name, err)
	}
}

// Heads that do not fit are left out, those behind them are not.
func TestHeadsThatFit(t *testing.T) {
	long := make([]byte, record.MaxSealed)
	got := encodeHeads([][]byte{long, long, nil, long, []byte("a"), long, []byte("b"), make([]byte, record.MaxSealed+1)}).GetHeads()
	if len(got) != 5 || string(got[3]) != "a" || string(got[4]) != "b" {
		t.Errorf("%d heads", len(got))
	}
}

// FuzzDecode: what any decoder accepts keeps the limits, and can be said again.
func FuzzDecode(f *testing.F) {
	d, err := setDigest(set("a"))
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []proto.Message{
		&councilpb.Frame{Set: d, Instance: instance, Payload: []byte("vote")},
		&councilpb.TableReply{Version: 7, Seats: []*councilpb.Seat{{Set: d, Version: 7, Data: []byte("row")}, {Set: d, Version: 3}}},
		&councilpb.HeadsReply{Heads: [][]byte{{1}, {2}}},
		&councilpb.OutcomeReply{Outcome: 3, Holders: 2, Primary: []byte(somebody(1)), Text: "elsewhere", On: [][]byte{[]byte(somebody(2))}},
		&councilpb.Request{Kind: councilpb.Kind_HEADS, Set: d, Ids: d},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzFrame(t, b)
		fuzzTable(t, b)
		fuzzOutcome(t, b)
		var heads councilpb.HeadsReply
		if proto.Unmarshal(b, &heads) == nil {
			if got, err := decodeHeads(&heads, MaxHeads); err == nil && len(got) > MaxHeads {
				t.Fatalf("%d heads", len(got))
			}
		}
		var req councilpb.Request
		if proto.Unmarshal(b, &req) == nil {
			if ids, err := decodeIDs(req.GetIds()); err == nil {
				if again, err := encodeIDs(ids); err != nil || !bytes.Equal(again, req.GetIds()) {
					t.Fatalf("%x became %x, %v", req.GetIds(), again, err)
				}
			}
		}
	})
}

func fuzzFrame(t *testing.T, b []byte) {
	var m councilpb.Frame
	if proto.Unmarshal(b, &m) != nil {
		return
	}
	f, err := decodeFrame(&m)
	if err != nil {
		return
	}
	again, err := encodeFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := decodeFrame(through(t, again, &councilpb.Frame{}, maxFrame)); err != nil || !twice.Set.Equals(f.Set) || !bytes.Equal(twice.Payload, f.Payload) {
		t.Fatalf("%+v became %+v, %v", f, twice, err)
	}
}

func fuzzTable(t *testing.T, b []byte) {
	var m councilpb.TableReply
	var all table
	if proto.Unmarshal(b, &m) != nil || all.add(&m) != nil {
		return
	}
	pages, err := encodeTable(all.version, all.seats)
	if err != nil {
		t.Fatal(err)
	}
	var again table
	for _, p := range pages {
		if err := again.add(through(t, p, &councilpb.TableReply{}, wire.MaxControl)); err != nil {
			t.Fatal(err)
		}
	}
	if again.version != all.version || len(again.seats) != len(all.seats) {
		t.Fatalf("%d seats of version %d became %d of %d", len(all.seats), all.version, len(again.seats), again.version)
	}
}

func fuzzOutcome(t *testing.T, b []byte) {
	var m councilpb.OutcomeReply
	if proto.Unmarshal(b, &m) != nil {
		return
	}
	o, err := decodeOutcome(&m)
	if err != nil {
		return
	}
	again, err := encodeOutcome(o)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := decodeOutcome(through(t, again, &councilpb.OutcomeReply{}, maxOutcome)); err != nil || twice.Text != o.Text || !slices.Equal(twice.On, o.On) {
		t.Fatalf("%+v became %+v, %v", o, twice, err)
	}
}
