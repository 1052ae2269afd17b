package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// actor is somebody with a key.
type actor struct {
	key crypto.PrivKey
	id  peer.ID
}

// newActor makes the same key for the same number, every time.
func newActor(t testing.TB, n byte) actor {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8([32]byte{n}))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return actor{key, id}
}

// world is a set with one owner, a voter, a writer and a reader, and a head of revision 1.
type world struct {
	owner, voter, writer, reader, stranger actor

	genesis  Genesis
	config   Config
	proposal Proposal
	head     Head

	set, configHash, headCid cid.Cid
	bundle                   Bundle
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func rootOf(s string) cid.Cid { return blockstore.Sum(cid.DagProtobuf, []byte(s)) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		owner: newActor(t, 1), voter: newActor(t, 2), writer: newActor(t, 3), reader: newActor(t, 4), stranger: newActor(t, 5),
	}
	w.genesis = Genesis{Owners: []crypto.PubKey{w.owner.key.GetPublic()}, Nonce: bytes.Repeat([]byte{7}, 16), Profile: dag.DefaultProfile()}
	g := must(SealGenesis(w.genesis, w.owner.key))(t)
	w.set = must(w.genesis.ID())(t)
	w.config = Config{
		Set: w.set, Version: 1, Name: "photos", Voters: []peer.ID{w.voter.id}, Writers: []peer.ID{w.writer.id},
		Readers: []peer.ID{w.reader.id}, Mode: ModeAP, Interval: 250 * time.Millisecond,
	}
	c := must(SealConfig(w.config, w.owner.key))(t)
	_, hash, err := OpenConfig(c, w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	w.configHash = hash
	w.proposal = Proposal{
		Set: w.set, Root: rootOf("one"), Writer: w.writer.id, Instance: []byte("writer-1"), Seq: 1, Files: 2, Entries: 3, Bytes: 4,
	}
	w.head = Head{
		Set: w.set, ConfigVersion: 1, ConfigHash: hash,
		Epoch:  Epoch{ConfigVersion: 1, N: 1, Owner: w.voter.id, Instance: []byte("voter--1")},
		Vector: Vector{InstanceKey([]byte("voter--1")): 1}, Revision: 1, Root: w.proposal.Root,
		Proposals: [][]byte{must(SealProposal(w.proposal, w.writer.key))(t)},
		Time:      time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC),
	}
	h := must(SealHead(w.head, w.voter.key))(t)
	_, w.headCid, err = OpenHead(h, w.config, hash)
	if err != nil {
		t.Fatal(err)
	}
	w.bundle = Bundle{Genesis: g, Configs: [][]byte{c}, Heads: [][]byte{h}}
	return w
}

// child is a head after w.head, with the change applied before it is sealed.
func (w *world) child(t testing.TB, change func(*Head)) []byte {
	h := w.head
	h.Revision, h.Parents = 2, []cid.Cid{w.headCid}
	h.Vector = Vector{InstanceKey([]byte("voter--1")): 2}
	change(&h)
	return must(SealHead(h, w.voter.key))(t)
}

func TestOpenGivesWhatWasSealed(t *testing.T) {
	w := newWorld(t)
	v, err := VerifyBundle(w.set, w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Set.Equals(w.set) || !v.ConfigHash.Equals(w.configHash) || len(v.Heads) != 1 || !v.HeadCids[0].Equals(w.headCid) {
		t.Errorf("verified %+v", v)
	}
	if v.Config.Name != "photos" || v.Config.Interval != 250*time.Millisecond || !slices.Equal(v.Config.Readers, w.config.Readers) || v.Genesis.Profile != w.genesis.Profile {
		t.Errorf("config %+v, genesis %+v", v.Config, v.Genesis)
	}
	h := v.Heads[0]
	if !h.Root.Equals(w.head.Root) || h.Epoch.Compare(w.head.Epoch) != 0 || h.Vector.Compare(w.head.Vector) != Equal || !h.Time.Equal(w.head.Time) || h.Merged() {
		t.Errorf("head %+v, want %+v", h, w.head)
	}
	p, _, err := OpenProposal(h.Proposals[0], v.Config)
	if err != nil || p.Seq != 1 || p.Files != 2 || p.Entries != 3 || p.Bytes != 4 || !bytes.Equal(p.Instance, w.proposal.Instance) {
		t.Errorf("proposal %+v, %v", p, err)
	}
	for id, want := range map[peer.ID]bool{w.voter.id: true, w.writer.id: true, w.reader.id: true, w.stranger.id: false} {
		if got := v.Config.MayRead(id); got != want {
			t.Errorf("MayRead(%s) = %v, want %v", id, got, want)
		}
	}
	b := must(w.bundle.Marshal())(t)
	again := must(UnmarshalBundle(b))(t)
	if _, err := VerifyBundle(w.set, again); err != nil {
		t.Errorf("after storing: %v", err)
	}
}

// The bytes are for ever: a set id is a hash over them.
func TestGoldenBytes(t *testing.T) {
	w := newWorld(t)
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:8]) }
	got := []string{w.set.String(), sum(w.bundle.Genesis), sum(w.bundle.Configs[0]), sum(w.head.Proposals[0]), sum(w.bundle.Heads[0])}
	want := []string{
		"bafkreih2ao6ewana6espisgqyjwcih73vkxui53mkhjww2zyi2qouoffra", "3605eb55fa39e074", "fbd91abe195bc99f", "e250f7df9d2ef49b", "2f93a25f34203621",
	}
	if !slices.Equal(got, want) {
		t.Errorf("records are encoded otherwise than they were:\n got %q\nwant %q", got, want)
	}
}

func TestMembersAreSorted(t *testing.T) {
	w := newWorld(t)
	c := w.config
	c.Voters = []peer.ID{w.writer.id, w.voter.id, w.reader.id}
	opened, _, err := OpenConfig(must(SealConfig(c, w.owner.key))(t), w.genesis)
	if err != nil || !slices.IsSorted(opened.Voters) || len(opened.Voters) != 3 {
		t.Errorf("voters %v, %v", opened.Voters, err)
	}
}

func TestEveryMutationIsRefused(t *testing.T) {
	w := newWorld(t)
	opens := map[string]struct {
		sealed []byte
		open   func([]byte) error
	}{
		"genesis":  {w.bundle.Genesis, func(b []byte) error { _, _, err := OpenGenesis(b); return err }},
		"config":   {w.bundle.Configs[0], func(b []byte) error { _, _, err := OpenConfig(b, w.genesis); return err }},
		"proposal": {w.head.Proposals[0], func(b []byte) error { _, _, err := OpenProposal(b, w.config); return err }},
		"head":     {w.bundle.Heads[0], func(b []byte) error { _, _, err := OpenHead(b, w.config, w.configHash); return err }},
	}
	for name, o := range opens {
		t.Run(name, func(t *testing.T) {
			if err := o.open(o.sealed); err != nil {
				t.Fatal(err)
			}
			check := func(what string, i int, b []byte) {
				if err := o.open(b); !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s at %d: %v", what, i, err)
				}
			}
			for i := range o.sealed {
				for bit := range 8 {
					b := bytes.Clone(o.sealed)
					b[i] ^= 1 << bit
					check("bit flipped", i, b)
				}
				check("cut", i, o.sealed[:i])
				check("byte removed", i, slices.Delete(bytes.Clone(o.sealed), i, i+1))
				check("byte inserted", i, slices.Insert(bytes.Clone(o.sealed), i, 0x08))
			}
			check("appended", 0, append(bytes.Clone(o.sealed), protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 1)...))
			for other, p := range opens {
				if other != name {
					check("record of kind "+other, 0, p.sealed)
				}
			}
		})
	}
}

func TestForgedIsRefused(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	other.genesis.Nonce = bytes.Repeat([]byte{8}, 16)
	otherSet := must(other.genesis.ID())(t)
	// with gives the bundle with one part replaced.
	heads := func(h ...[]byte) Bundle { return Bundle{w.bundle.Genesis, w.bundle.Configs, h} }
	configs := func(c ...[]byte) Bundle { return Bundle{w.bundle.Genesis, c, nil} }
	sealConfig := func(key crypto.PrivKey, change func(*Config)) []byte {
		c := w.config
		change(&c)
		return must(SealConfig(c, key))(t)
	}
	sealHead := func(a actor, change func(*Head)) []byte {
		h := w.head
		h.Epoch.Owner = a.id
		change(&h)
		return must(SealHead(h, a.key))(t)
	}
	sealProposal := func(a actor, change func(*Proposal)) []byte {
		p := w.proposal
		p.Writer = a.id
		change(&p)
		return must(SealProposal(p, a.key))(t)
	}
	same := func(*Head) {}
	second := func(c *Config) { c.Version, c.Prev = 2, w.configHash }
	tests := map[string]Bundle{
		"genesis of another set":      {must(SealGenesis(other.genesis, w.owner.key))(t), w.bundle.Configs, nil},
		"config by a stranger":        configs(sealConfig(w.stranger.key, func(*Config) {})),
		"config by a voter":           configs(sealConfig(w.voter.key, func(*Config) {})),
		"config of another set":       configs(sealConfig(w.owner.key, func(c *Config) { c.Set = otherSet })),
		"config chain without 1":      configs(sealConfig(w.owner.key, second)),
		"config twice":                configs(w.bundle.Configs[0], w.bundle.Configs[0]),
		"config after another":        configs(w.bundle.Configs[0], sealConfig(w.owner.key, func(c *Config) { c.Version, c.Prev = 2, rootOf("x") })),
		"config skips a version":      configs(w.bundle.Configs[0], sealConfig(w.owner.key, func(c *Config) { c.Version, c.Prev = 3, w.configHash })),
		"head by a stranger":          heads(sealHead(w.stranger, same)),
		"head by a writer":            heads(sealHead(w.writer, same)),
		"head of another set":         heads(sealHead(w.voter, func(h *Head) { h.Set = otherSet })),
		"head of an unknown config":   heads(sealHead(w.voter, func(h *Head) { h.ConfigVersion, h.Epoch.ConfigVersion = 2, 2 })),
		"head of a forged config":     heads(sealHead(w.voter, func(h *Head) { h.ConfigHash = rootOf("x") })),
		"root is not the proposal's":  heads(sealHead(w.voter, func(h *Head) { h.Root = rootOf("two") })),
		"proposal by a stranger":      heads(sealHead(w.voter, func(h *Head) { h.Proposals = [][]byte{sealProposal(w.stranger, func(*Proposal) {})} })),
		"proposal by the voter":       heads(sealHead(w.voter, func(h *Head) { h.Proposals = [][]byte{sealProposal(w.voter, func(*Proposal) {})} })),
		"proposal of another set":     heads(sealHead(w.voter, func(h *Head) { h.Proposals = [][]byte{sealProposal(w.writer, func(p *Proposal) { p.Set = otherSet })} })),
		"revision jumps":              heads(w.bundle.Heads[0], w.child(t, func(h *Head) { h.Revision = 3 })),
		"revision falls behind":       heads(w.bundle.Heads[0], w.child(t, func(*Head) {}), grandchild(t, w, 2)),
		"vector forgets its parent's": heads(w.bundle.Heads[0], w.child(t, func(h *Head) { h.Vector = Vector{InstanceKey([]byte("voter--9")): 9} })),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyBundle(w.set, b); !errors.Is(err, ErrForged) {
				t.Errorf("got %v, want ErrForged", err)
			}
		})
	}
	if _, err := VerifyBundle(otherSet, w.bundle); !errors.Is(err, ErrForged) {
		t.Errorf("bundle of another set: %v", err)
	}
	if _, err := SealHead(w.head, w.writer.key); !errors.Is(err, ErrForged) {
		t.Errorf("sealing a head with another's key: %v", err)
	}
	if _, err := SealProposal(w.proposal, w.voter.key); !errors.Is(err, ErrForged) {
		t.Errorf("sealing a proposal with another's key: %v", err)
	}
	if _, err := SealGenesis(w.genesis, w.voter.key); !errors.Is(err, ErrForged) {
		t.Errorf("sealing a genesis with another's key: %v", err)
	}
}

// grandchild is a head on top of w.child, with the revision given.
func grandchild(t testing.TB, w *world, revision uint64) []byte {
	_, id, err := OpenHead(w.child(t, func(*Head) {}), w.config, w.configHash)
	if err != nil {
		t.Fatal(err)
	}
	return w.child(t, func(h *Head) { h.Revision, h.Parents = revision, []cid.Cid{id} })
}

func TestChainsAndOrder(t *testing.T) {
	w := newWorld(t)
	c2 := w.config
	c2.Version, c2.Prev, c2.Name = 2, w.configHash, "pictures"
	sealed2 := must(SealConfig(c2, w.owner.key))(t)
	_, hash2, err := OpenConfig(sealed2, w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	h2 := w.child(t, func(h *Head) {
		h.ConfigVersion, h.Epoch.ConfigVersion, h.ConfigHash = 2, 2, hash2
	})
	b := Bundle{w.bundle.Genesis, [][]byte{w.bundle.Configs[0], sealed2}, [][]byte{w.bundle.Heads[0], h2}}
	v, err := VerifyBundle(w.set, b)
	if err != nil {
		t.Fatal(err)
	}
	if v.Config.Version != 2 || v.Config.Name != "pictures" || len(v.Heads) != 2 || v.Heads[0].Revision != 2 || !v.HeadCids[1].Equals(w.headCid) {
		t.Errorf("config %d, heads %d and %d", v.Config.Version, v.Heads[0].Revision, v.Heads[1].Revision)
	}
	// A merge is let through: its root takes the parents to check.
	q := w.proposal
	q.Seq, q.Root = 2, rootOf("two")
	merge := w.child(t, func(h *Head) {
		h.Root, h.Proposals = rootOf("merged"), [][]byte{w.head.Proposals[0], must(SealProposal(q, w.writer.key))(t)}
	})
	h, _, err := OpenHead(merge, w.config, w.configHash)
	if err != nil || !h.Merged() {
		t.Errorf("merge: %v, %v", h.Merged(), err)
	}
	// A bundle may have no head yet.
	if v, err := VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, nil}); err != nil || len(v.Heads) != 0 {
		t.Errorf("no heads: %v", err)
	}
}

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
	cids := make([][]byte, MaxParents+1)
	for i := range cids {
		cids[i] = rootOf(string(rune('a' + i))).Bytes()
	}
	slices.SortFunc(cids, bytes.Compare)
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
		"17 parents":               pbHead(func(m *recordpb.Head) { m.Revision, m.Parents = 2, cids }),
		"unsorted parents":         pbHead(func(m *recordpb.Head) { m.Revision, m.Parents = 2, [][]byte{cids[1], cids[0]} }),
		"17 abandoned":             pbHead(func(m *recordpb.Head) { m.Abandoned = cids }),
		"no proposal":              pbHead(func(m *recordpb.Head) { m.Proposals = nil }),
		"17 proposals":             pbHead(func(m *recordpb.Head) { m.Proposals = cids }),
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

func FuzzOpen(f *testing.F) {
	w := newWorld(f)
	sealed := [][]byte{w.bundle.Genesis, w.bundle.Configs[0], w.head.Proposals[0], w.bundle.Heads[0]}
	for _, b := range sealed {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := OpenGenesis(b)
		_, _, err2 := OpenConfig(b, w.genesis)
		_, _, err3 := OpenProposal(b, w.config)
		_, _, err4 := OpenHead(b, w.config, w.configHash)
		for i, err := range []error{err, err2, err3, err4} {
			if err == nil {
				// A fuzzer may sign a genesis of its own, but never another record of ours.
				if i > 0 && !bytes.Equal(b, sealed[i]) {
					t.Fatalf("record %d was accepted, but is not ours", i)
				}
			} else if !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	})
}

// FuzzPayload signs whatever payload: shape alone must decide, and what is accepted has one encoding.
func FuzzPayload(f *testing.F) {
	w := newWorld(f)
	f.Add(must(encode(must(w.config.encode())(f)))(f))
	f.Add(must(encode(must(w.head.encode())(f)))(f))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for k, key := range map[kind]crypto.PrivKey{kindConfig: w.owner.key, kindHead: w.voter.key, kindGenesis: w.owner.key, kindProposal: w.writer.key} {
			b, err := sealRaw(k, payload, key)
			if err != nil {
				t.Fatal(err)
			}
			switch k {
			case kindConfig:
				if c, _, err := OpenConfig(b, w.genesis); err == nil {
					if !bytes.Equal(must(encode(must(c.encode())(t)))(t), payload) {
						t.Fatal("config has two encodings")
					}
				}
			case kindHead:
				if h, _, err := openHead(b); err == nil {
					if !bytes.Equal(must(encode(must(h.encode())(t)))(t), payload) {
						t.Fatal("head has two encodings")
					}
				}
			case kindGenesis:
				if g, id, err := OpenGenesis(b); err == nil && !must(g.ID())(t).Equals(id) {
					t.Fatal("genesis has two ids")
				}
			case kindProposal:
				if p, _, err := OpenProposal(b, w.config); err == nil {
					if !bytes.Equal(must(encode(must(p.encode())(t)))(t), payload) {
						t.Fatal("proposal has two encodings")
					}
				}
			}
		}
	})
}
