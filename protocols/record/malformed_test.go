package record

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Payloads that are signed by the right key, but are not in the one encoding, or break a limit.
func TestMalformedIsRefused(t *testing.T) {
	w := newWorld(t)
	pbConfig := func(change func(*recordpb.Config)) []byte {
		m := must(w.config.encode())(t)
		change(m)
		return must(seal(kindConfig, m, w.owner.key))(t)
	}
	pbHead := func(change func(*recordpb.Head)) []byte {
		m := must(w.head.encode())(t)
		change(m)
		return must(seal(kindHead, m, w.voter.key))(t)
	}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	many := make([][]byte, MaxMembers+1)
	for i := range many {
		many[i] = append([]byte{0x12, 0x20, byte(i >> 8), byte(i)}, make([]byte, 30)...) // sha2-256 ids
	}
	configs := map[string][]byte{
		"unknown field": pbConfig(func(m *recordpb.Config) { m.ProtoReflect().SetUnknown(unknown) }),
		"unsorted voters": pbConfig(func(m *recordpb.Config) {
			m.Voters = [][]byte{[]byte(w.voter.id), []byte(w.owner.id)}
			slices.SortFunc(m.Voters, func(a, b []byte) int { return bytes.Compare(b, a) })
		}),
		"a voter twice":         pbConfig(func(m *recordpb.Config) { m.Voters = [][]byte{[]byte(w.voter.id), []byte(w.voter.id)} }),
		"no voters":             pbConfig(func(m *recordpb.Config) { m.Voters = nil }),
		"1,001 readers":         pbConfig(func(m *recordpb.Config) { m.Readers = many }),
		"reader is no peer id":  pbConfig(func(m *recordpb.Config) { m.Readers = [][]byte{[]byte("x")} }),
		"version 0":             pbConfig(func(m *recordpb.Config) { m.Version = 0 }),
		"version 2^63":          pbConfig(func(m *recordpb.Config) { m.Version, m.Prev = 1<<63, m.Set }),
		"version 1 has a prev":  pbConfig(func(m *recordpb.Config) { m.Prev = m.Set }),
		"version 2 has no prev": pbConfig(func(m *recordpb.Config) { m.Version = 2 }),
		"mode":                  pbConfig(func(m *recordpb.Config) { m.Mode = "cp" }),
		"name with a slash":     pbConfig(func(m *recordpb.Config) { m.Name = "../x" }),
		"no name":               pbConfig(func(m *recordpb.Config) { m.Name = "" }),
		"interval 2^63":         pbConfig(func(m *recordpb.Config) { m.IntervalNs = 1 << 63 }),
		"set is no CID":         pbConfig(func(m *recordpb.Config) { m.Set = []byte{1, 2, 3} }),
		"set is a CIDv0":        pbConfig(func(m *recordpb.Config) { m.Set = m.Set[2:] }),
		"secp256k1 owner":       otherKeyConfig(t, w),
	}
	for name, b := range configs {
		if _, _, err := OpenConfig(b, w.genesis); !errors.Is(err, ErrMalformed) {
			t.Errorf("config, %s: %v, want ErrMalformed", name, err)
		}
	}
	cids := make([][]byte, MaxAbandoned+1)
	for i := range cids {
		cids[i] = rootOf(string(rune('a' + i))).Bytes() // distinct
	}
	slices.SortFunc(cids, bytes.Compare)
	sealed := slices.Repeat(w.head.Proposals, MaxProposals+1)
	heads := map[string][]byte{
		"unknown field":            pbHead(func(m *recordpb.Head) { m.ProtoReflect().SetUnknown(unknown) }),
		"unknown field in epoch":   pbHead(func(m *recordpb.Head) { m.Epoch.ProtoReflect().SetUnknown(unknown) }),
		"unknown field in vector":  pbHead(func(m *recordpb.Head) { m.Vector[0].ProtoReflect().SetUnknown(unknown) }),
		"vector twice":             pbHead(func(m *recordpb.Head) { m.Vector = append(m.Vector, m.Vector[0]) }),
		"vector with 0":            pbHead(func(m *recordpb.Head) { m.Vector[0].Seq = 0 }),
		"vector with 2^63":         pbHead(func(m *recordpb.Head) { m.Vector[0].Seq = 1 << 63 }),
		"short instance":           pbHead(func(m *recordpb.Head) { m.Vector[0].Instance = []byte("x") }),
		"revision 0":               pbHead(func(m *recordpb.Head) { m.Revision = 0 }),
		"revision 2^63":            pbHead(func(m *recordpb.Head) { m.Revision, m.Parents = 1<<63, cids[:1] }),
		"revision 1 with a parent": pbHead(func(m *recordpb.Head) { m.Parents = cids[:1] }),
		"revision 2 without one":   pbHead(func(m *recordpb.Head) { m.Revision = 2 }),
		"17 parents":               pbHead(func(m *recordpb.Head) { m.Revision, m.Parents = 2, cids[:MaxParents+1] }),
		"unsorted parents":         pbHead(func(m *recordpb.Head) { m.Revision, m.Parents = 2, [][]byte{cids[1], cids[0]} }),
		"33 abandoned":             pbHead(func(m *recordpb.Head) { m.Abandoned = cids }),
		"unsorted abandoned":       pbHead(func(m *recordpb.Head) { m.Abandoned = [][]byte{cids[1], cids[0]} }),
		"a parent is abandoned":    pbHead(func(m *recordpb.Head) { m.Revision, m.Parents, m.Abandoned = 2, cids[:2], cids[1:2] }),
		"no proposal":              pbHead(func(m *recordpb.Head) { m.Proposals = nil }),
		"17 proposals":             pbHead(func(m *recordpb.Head) { m.Proposals = sealed }),
		"the same proposal twice":  pbHead(func(m *recordpb.Head) { m.Proposals = append(m.Proposals, m.Proposals[0]) }),
		"epoch of another config":  pbHead(func(m *recordpb.Head) { m.Epoch.ConfigVersion = 9 }),
		"no epoch":                 pbHead(func(m *recordpb.Head) { m.Epoch = nil }),
		"epoch 0":                  pbHead(func(m *recordpb.Head) { m.Epoch.N = 0 }),
		"time 2^63":                pbHead(func(m *recordpb.Head) { m.TimeNs = 1 << 63 }),
		"time 2^64-1":              pbHead(func(m *recordpb.Head) { m.TimeNs = 1<<64 - 1 }),
		"too large":                make([]byte, MaxSealed+1),
	}
	for name, b := range heads {
		if _, _, err := OpenHead(b, w.config, w.configHash); !errors.Is(err, ErrMalformed) {
			t.Errorf("head, %s: %v, want ErrMalformed", name, err)
		}
	}
	if _, err := SealHead(w.headWithVector(MaxVector+1), w.voter.key); !errors.Is(err, ErrMalformed) {
		t.Errorf("vector of %d: %v", MaxVector+1, err)
	}
	if b, err := SealHead(w.headWithVector(MaxVector), w.voter.key); err != nil || len(b) > MaxSealed {
		t.Errorf("vector of %d: %v", MaxVector, err)
	}
	full := w.config
	full.Readers = nil
	for _, id := range many[:MaxMembers] {
		full.Readers = append(full.Readers, peer.ID(id))
	}
	full.Voters, full.Writers = full.Readers, full.Readers
	full.Instances = map[peer.ID][]byte{}
	for _, id := range full.Voters {
		full.Instances[id] = []byte("instance")
	}
	for i := range MaxRevoked {
		full.Revoked = append(full.Revoked, append(make([]byte, NonceSize-2), byte(i>>8), byte(i)))
	}
	if _, err := SealConfig(full, w.owner.key); err != nil {
		t.Errorf("full config: %v", err)
	}
}

func (w *world) headWithVector(n int) Head {
	h := w.head
	h.Vector = Vector{}
	for i := range n {
		h.Vector[InstanceKey([]byte{byte(i >> 8), byte(i), 0, 0, 0, 0, 0, 0})] = MaxCounter
	}
	return h
}

func otherKeyConfig(t testing.TB, w *world) []byte {
	key, _, err := crypto.GenerateSecp256k1Key(rand.NewChaCha8([32]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	// seal refuses the key, so go round it.
	return must(sealWithAnyKey(kindConfig, must(w.config.encode())(t), key))(t)
}

func TestBundleLimits(t *testing.T) {
	w := newWorld(t)
	tests := map[string]Bundle{
		"empty":         {},
		"no configs":    {Genesis: w.bundle.Genesis},
		"1,001 configs": {Genesis: w.bundle.Genesis, Configs: make([][]byte, MaxConfigs+1)},
		"17 heads":      {Genesis: w.bundle.Genesis, Configs: w.bundle.Configs, Heads: make([][]byte, MaxParents+1)},
		"too large":     {Genesis: w.bundle.Genesis, Configs: [][]byte{make([]byte, MaxBundle)}},
		"a head twice":  {w.bundle.Genesis, w.bundle.Configs, [][]byte{w.bundle.Heads[0], w.bundle.Heads[0]}},
		"garbage":       {[]byte("garbage"), w.bundle.Configs, nil},
	}
	for name, b := range tests {
		if _, err := VerifyBundle(w.set, b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	for _, bad := range [][]byte{nil, {0xff}, must(proto.Marshal(&recordpb.Bundle{}))(t)} {
		if _, err := UnmarshalBundle(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("unmarshal %x: %v", bad, err)
		}
	}
}

func TestGenesisRefuses(t *testing.T) {
	w := newWorld(t)
	tests := map[string]func(*Genesis){
		"no owner":        func(g *Genesis) { g.Owners = nil },
		"three owners":    func(g *Genesis) { g.Owners = append(g.Owners, w.voter.key.GetPublic(), w.writer.key.GetPublic()) },
		"an owner twice":  func(g *Genesis) { g.Owners = append(g.Owners, g.Owners[0]) },
		"short nonce":     func(g *Genesis) { g.Nonce = g.Nonce[:15] },
		"long nonce":      func(g *Genesis) { g.Nonce = make([]byte, 33) },
		"negative number": func(g *Genesis) { g.Profile.Min = -1 },
		"strange word":    func(g *Genesis) { g.Profile.Chunker = "a b" },
	}
	for name, change := range tests {
		g := w.genesis
		g.Owners = slices.Clone(g.Owners)
		change(&g)
		if _, err := g.encode(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	g := w.genesis
	g.Owners = append(slices.Clone(g.Owners), w.stranger.key.GetPublic())
	b := must(SealGenesis(g, w.stranger.key))(t)
	if _, _, err := OpenGenesis(b); err != nil {
		t.Errorf("signed by the second owner: %v", err)
	}
	big := must(w.genesis.encode())(t)
	big.Profile.Max = 1 << 63
	if _, _, err := OpenGenesis(must(seal(kindGenesis, big, w.owner.key))(t)); !errors.Is(err, ErrMalformed) {
		t.Errorf("number of 2^63: %v", err)
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "Fotos 2026", "größe", "日本", "...", strings.Repeat("x", MaxName)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a\\b", "a\x00", "a\nb", "\x1b[31m", "a\u202eb", "a\u2066b", "a\u2028b", "a\x7f", "\xff", "a\u0085", strings.Repeat("x", MaxName+1)} {
		if err := CheckName(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
