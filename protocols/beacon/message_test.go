package beacon

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func set(name string) cid.Cid { return blockstore.Sum(cid.Raw, []byte(name)) }

// ownerKey is the same key in every run: its seed is n, 32 times.
func ownerKey(t testing.TB, n byte) crypto.PubKey {
	t.Helper()
	_, k, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{n}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The name is the same for ever: nodes of different versions must meet.
func TestTopic(t *testing.T) {
	a, b := ownerKey(t, 1), ownerKey(t, 2)
	one, both := Topic([]crypto.PubKey{a}), Topic([]crypto.PubKey{a, b})
	if one != "/shoal/ctl/1/39ce9346c0a0752b12c74a47b21ca12e" {
		t.Errorf("topic of one owner: %s", one)
	}
	if both != Topic([]crypto.PubKey{b, a}) {
		t.Error("the order of the keys matters")
	}
	if both == one || both == Topic([]crypto.PubKey{b}) {
		t.Error("two owners share the topic of one of them")
	}
}

func TestIsTopic(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	for name, want := range map[string]bool{
		topicPrefix + hash:              true,
		"":                              false,
		topicPrefix:                     false,
		hash:                            false,
		topicPrefix + hash + "0":        false,
		topicPrefix + hash[1:]:          false,
		topicPrefix + "X" + hash[1:]:    false,
		topicPrefix + "A" + hash[1:]:    false,
		"/other/ctl/1/" + hash:          false,
		topicPrefix + "\xff" + hash[1:]: false,
	} {
		if isTopic(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Message{Boot: rapid.Uint64().Draw(t, "boot"), No: rapid.Uint64().Draw(t, "no")}
		for range rapid.IntRange(0, MaxHeads).Draw(t, "heads") {
			m.Heads = append(m.Heads, Head{
				Set:    set(rapid.String().Draw(t, "set")),
				Sealed: rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "sealed"),
			})
		}
		m.Interval = time.Duration(rapid.Int64Range(0, int64(MaxInterval/time.Millisecond)).Draw(t, "interval")) * time.Millisecond
		m.Table = rapid.Uint64().Draw(t, "table")
		m.Since = rapid.Uint64Range(0, m.Table).Draw(t, "since")
		data := func(most int) []byte {
			if n := rapid.IntRange(0, most).Draw(t, "data"); n > 0 {
				return bytes.Repeat([]byte{7}, n)
			}
			return nil
		}
		for i := range rapid.IntRange(0, MaxSeats).Draw(t, "seats") {
			if m.Table > 0 {
				m.Seats = append(m.Seats, Seat{set(fmt.Sprint(i)), rapid.Uint64Range(1, m.Table).Draw(t, "version"), data(MaxSeatsSize / MaxSeats)})
			}
		}
		for i := range rapid.IntRange(0, MaxAsks).Draw(t, "asks") {
			m.Asks = append(m.Asks, Ask{set(fmt.Sprint(i)), data(100)})
		}
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(b); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// full is a message with something in every field.
func full() Message {
	return Message{Boot: 1, No: 2, Heads: []Head{{set("a"), []byte("head")}}, Interval: 250 * time.Millisecond, Table: 9, Since: 6,
		Seats: []Seat{{set("a"), 9, []byte("primary")}, {set("b"), 7, nil}}, Asks: []Ask{{set("c"), []byte("alive?")}}}
}

// The heads of a sender that knows nothing of seats are heard, and what it does not say is nothing.
func TestOldSender(t *testing.T) {
	head := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), make([]byte, 32))
	head = protowire.AppendBytes(protowire.AppendTag(head, 2, protowire.BytesType), []byte("head"))
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5)
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 6)
	b = protowire.AppendBytes(protowire.AppendTag(b, headsField, protowire.BytesType), head)
	want := Message{Boot: 5, No: 6, Heads: []Head{{blockstore.FromDigest(cid.Raw, [32]byte{}), []byte("head")}}}
	if m, err := decode(b); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, %v", m, err)
	}
	if again, err := encode(want); err != nil || !bytes.Equal(again, b) {
		t.Errorf("the same is said in other bytes now: %x, %v", again, err)
	}
}

// An interval is never announced shorter than it is, and never as none.
func TestIntervalIsRoundedUp(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond, MaxInterval: MaxInterval,
	} {
		b, err := encode(Message{Boot: 1, Interval: in})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := decode(b); err != nil || m.Interval != want {
			t.Errorf("%v became %v, %v", in, m.Interval, err)
		}
	}
}

// A field of a later version is passed over, wherever it stands.
func TestUnknownFields(t *testing.T) {
	m := full()
	b, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	later := protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 7)
	for _, b := range [][]byte{slices.Concat(later, b), slices.Concat(b, later)} {
		if again, err := decode(b); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v, %v", again, err)
		}
	}
}

func TestLimits(t *testing.T) {
	fits := make([]Head, MaxHeads)
	for i := range fits {
		fits[i] = Head{set(string(rune(i))), make([]byte, 900)}
	}
	if b, err := encode(Message{Heads: fits}); err != nil {
		t.Errorf("%d heads: %v", len(fits), err)
	} else if _, err := decode(b); err != nil {
		t.Errorf("%d heads: %v", len(fits), err)
	}
	// All that a node may have to say of its seats fits into one message.
	seats := Message{Boot: math.MaxUint64, No: math.MaxUint64, Interval: MaxInterval, Table: math.MaxUint64,
		Seats: slices.Repeat([]Seat{{set("a"), 1, make([]byte, MaxSeatsSize/MaxSeats)}}, MaxSeats),
		Asks:  slices.Repeat([]Ask{{set("a"), make([]byte, MaxAsk)}}, MaxAsks)}
	if b, err := encode(seats); err != nil {
		t.Error(err)
	} else if _, err := decode(b); err != nil {
		t.Error(err)
	}
	node := blockstore.Sum(cid.DagProtobuf, nil)
	for name, m := range map[string]Message{
		"too many heads":    {Heads: append(fits, fits[0])},
		"too large":         {Heads: []Head{{set("a"), make([]byte, MaxMessage)}}},
		"empty head":        {Heads: []Head{{Set: set("a")}}},
		"undefined set":     {Heads: []Head{{Sealed: []byte("x")}}},
		"too many seats":    {Table: 9, Seats: slices.Repeat([]Seat{{set("a"), 9, nil}}, MaxSeats+1)},
		"seat too large":    {Table: 9, Seats: []Seat{{set("a"), 9, make([]byte, MaxSeat+1)}}},
		"seats too large":   {Table: 9, Seats: slices.Repeat([]Seat{{set("a"), 9, make([]byte, MaxSeat)}}, MaxSeatsSize/MaxSeat+1)},
		"seat of no table":  {Seats: []Seat{{set("a"), 1, nil}}},
		"no seat's version": {Table: 9, Seats: []Seat{{Set: set("a")}}},
		"seat of no set":    {Table: 9, Seats: []Seat{{Version: 9}}},
		"since the future":  {Table: 9, Since: 10},
		"too many asks":     {Asks: slices.Repeat([]Ask{{set("a"), nil}}, MaxAsks+1)},
		"ask too large":     {Asks: []Ask{{set("a"), make([]byte, MaxAsk+1)}}},
		"ask about nothing": {Asks: []Ask{{Data: []byte("x")}}},
		"negative interval": {Interval: -1},
		"long interval":     {Interval: MaxInterval + 1},
		"foreign set id":    {Heads: []Head{{cid.NewCidV0(node.Hash()), []byte("x")}}},
	} {
		if _, err := encode(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// malformed are messages that no peer may make us hear or pass on.
func malformed() map[string][]byte {
	head := func(set, sealed []byte) []byte {
		var h []byte
		h = protowire.AppendBytes(protowire.AppendTag(h, 1, protowire.BytesType), set)
		h = protowire.AppendBytes(protowire.AppendTag(h, 2, protowire.BytesType), sealed)
		return protowire.AppendBytes(protowire.AppendTag(nil, headsField, protowire.BytesType), h)
	}
	digest := make([]byte, 32)
	number := func(field protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), n)
	}
	seat := func(set []byte, age uint64) []byte {
		s := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), set)
		s = append(s, number(2, age)...)
		return slices.Concat(number(5, 3), protowire.AppendBytes(protowire.AppendTag(nil, seatsField, protowire.BytesType), s)) // table 3
	}
	nothing := func(field protowire.Number) []byte {
		return bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), nil), 30000)
	}
	return map[string][]byte{
		"no protobuf":    []byte("hello"),
		"cut off":        head(digest, []byte("head"))[:20],
		"short set id":   head(digest[1:], []byte("head")),
		"empty head":     head(digest, nil),
		"too many heads": bytes.Repeat(head(digest, []byte("head")), MaxHeads+1),
		"nothing heads":  nothing(headsField),
		"nothing seats":  nothing(seatsField),
		"nothing asks":   nothing(asksField),
		"old seat":       seat(digest, 3),
		"older seat":     seat(digest, math.MaxUint64),
		"seat, short id": seat(digest[1:], 0),
		"many changes":   slices.Concat(number(5, 3), number(6, 4)),
		"long interval":  number(4, uint64(MaxInterval/time.Millisecond)+1),
		"too large":      head(digest, make([]byte, MaxMessage)),
		"a group":        protowire.AppendTag(nil, headsField, protowire.StartGroupType),
	}
}

func TestDecodeMalformed(t *testing.T) {
	for name, b := range malformed() {
		if m, err := decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := encode(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, b := range malformed() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(m.Heads) > MaxHeads || len(m.Seats) > MaxSeats || len(m.Asks) > MaxAsks {
			t.Fatalf("%d heads, %d seats, %d asks", len(m.Heads), len(m.Seats), len(m.Asks))
		}
		again, err := encode(m) // what is accepted can be said: it is no longer, nothing in it is repeated
		if err != nil || len(again) > len(b) {
			t.Fatalf("%d bytes became %d, %v", len(b), len(again), err)
		}
		if twice, err := decode(again); err != nil || !reflect.DeepEqual(twice, m) {
			t.Fatalf("%+v became %+v, %v", m, twice, err)
		}
	})
}

// What a node sends all the time must stay small. The largest numbers here are those after years.
func TestQuietBeaconIsSmall(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{1}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	wire := func(m Message) (payload, frame int) {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		topic := topicNo(1)
		signed := &pubsubpb.Message{From: []byte(from), Data: b, Seqno: make([]byte, 8), Topic: &topic, Signature: make([]byte, 64)}
		rpc := &pubsubpb.RPC{Publish: []*pubsubpb.Message{signed}}
		n := proto.Size(rpc)
		return len(b), n + protowire.SizeVarint(uint64(n))
	}
	state := make([]byte, 300)
	for name, test := range map[string]struct {
		m           Message
		most, frame int // bytes
	}{
		"young": {Message{Boot: 3, No: 1000, Interval: 250 * time.Millisecond, Table: 40, Since: 40}, 12, 190},
		"old":   {Message{Boot: 1e4, No: 1e9, Interval: 2 * time.Second, Table: 1e6, Since: 1e6}, 20, 200},
		"one seat": {Message{Boot: 3, No: 1000, Interval: 250 * time.Millisecond, Table: 41, Since: 40,
			Seats: []Seat{{set("a"), 41, state}}}, 360, 540},
	} {
		payload, frame := wire(test.m)
		t.Logf("%s: %d bytes, %d with the envelope", name, payload, frame)
		if payload > test.most || frame > test.frame {
			t.Errorf("%s: %d bytes, %d with the envelope; at most %d and %d", name, payload, frame, test.most, test.frame)
		}
	}
}
