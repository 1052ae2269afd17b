package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
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
	noted := w.proposal
	noted.Note = "a note"
	got = append(got, sum(must(SealProposal(noted, w.writer.key))(t)))
	// What was added later: the sums above it stay.
	noted.From = rootOf("origin")
	got = append(got, sum(must(SealProposal(noted, w.writer.key))(t)), sum(must(SealConfig(fullConfig(w), w.owner.key))(t)),
		sum(w.child(t, w.merge(t))), sum(must(SealInvite(w.invite(), w.owner.key))(t)))
	want := []string{
		"bafkreih2ao6ewana6espisgqyjwcih73vkxui53mkhjww2zyi2qouoffra", "3605eb55fa39e074", "fbd91abe195bc99f", "e250f7df9d2ef49b", "2f93a25f34203621",
		"41b3e8b26964c861",
		"a60dc606660a3b4f", "6d82a577fdf21eae", "e44aaa1f7044e7ae", "4ff835a4288b998a",
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
	// A bundle may have no head yet.
	if v, err := VerifyBundle(w.set, Bundle{w.bundle.Genesis, w.bundle.Configs, nil}); err != nil || len(v.Heads) != 0 {
		t.Errorf("no heads: %v", err)
	}
}
