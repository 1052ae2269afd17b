package beacon

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/encoding/protowire"
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
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(b); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// A field of a later version is passed over, wherever it stands.
func TestUnknownFields(t *testing.T) {
	m := Message{Boot: 1, No: 2, Heads: []Head{{set("a"), []byte("head")}}}
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
	node := blockstore.Sum(cid.DagProtobuf, nil)
	for name, m := range map[string]Message{
		"too many heads": {Heads: append(fits, fits[0])},
		"too large":      {Heads: []Head{{set("a"), make([]byte, MaxMessage)}}},
		"empty head":     {Heads: []Head{{Set: set("a")}}},
		"undefined set":  {Heads: []Head{{Sealed: []byte("x")}}},
		"foreign set id": {Heads: []Head{{cid.NewCidV0(node.Hash()), []byte("x")}}},
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
	return map[string][]byte{
		"no protobuf":    []byte("hello"),
		"cut off":        head(digest, []byte("head"))[:20],
		"short set id":   head(digest[1:], []byte("head")),
		"empty head":     head(digest, nil),
		"too many heads": bytes.Repeat(head(digest, []byte("head")), MaxHeads+1),
		"nothing heads":  bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, headsField, protowire.BytesType), nil), 30000),
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
	b, err := encode(Message{Boot: 1, No: 2, Heads: []Head{{set("a"), []byte("one")}, {set("b"), []byte("two")}}})
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
		if len(m.Heads) > MaxHeads {
			t.Fatalf("%d heads", len(m.Heads))
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
