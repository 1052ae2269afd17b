package record

import (
	"bytes"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Nonce sizes in bytes: 16 make two sets of one owner differ for certain, 32 is what a hash gives.
const (
	minNonce = 16
	maxNonce = 32
)

// maxWord is the longest word of a profile (names of algorithms and policies), in bytes.
const maxWord = 32

// Genesis is the first record of a set. Its payload's hash is the set id.
type Genesis struct {
	Owners  []crypto.PubKey // one or two Ed25519 keys; any of them signs configs
	Nonce   []byte          // 16 to 32 random bytes
	Profile dag.Profile     // how folders of this set become blocks, for ever
}

// ID is the set id: the CID (raw, sha2-256) of the payload.
func (g Genesis) ID() (cid.Cid, error) {
	m, err := g.encode()
	if err != nil {
		return cid.Undef, err
	}
	b, err := encode(m)
	if err != nil {
		return cid.Undef, err
	}
	return blockstore.Sum(cid.Raw, b), nil
}

// owns tells whether key is one of the owners'.
func (g Genesis) owns(key crypto.PubKey) bool {
	for _, o := range g.Owners {
		if o.Equals(key) {
			return true
		}
	}
	return false
}

// SealGenesis signs g with the key of one of its owners. The profile must be valid. Errors: ErrMalformed,
// ErrForged if owner is not among the owners.
func SealGenesis(g Genesis, owner crypto.PrivKey) ([]byte, error) {
	if err := g.Profile.Validate(); err != nil {
		return nil, fmt.Errorf("seal genesis: %w", err)
	}
	m, err := g.encode()
	if err != nil {
		return nil, fmt.Errorf("seal genesis: %w", err)
	}
	if owner == nil || !g.owns(owner.GetPublic()) {
		return nil, fmt.Errorf("seal genesis: %w: the key is not an owner's", ErrForged)
	}
	b, err := seal(kindGenesis, m, owner)
	if err != nil {
		return nil, fmt.Errorf("seal genesis: %w", err)
	}
	return b, nil
}

// OpenGenesis opens a sealed genesis and tells the id of the set it founds. The profile is checked for
// shape only: a set that was cut in a way we do not know can still be read, only not written.
// Errors: ErrMalformed, ErrForged.
func OpenGenesis(b []byte) (Genesis, cid.Cid, error) {
	var m recordpb.Genesis
	o, err := open(kindGenesis, b, &m)
	if err != nil {
		return Genesis{}, cid.Undef, fmt.Errorf("open genesis: %w", err)
	}
	g, err := decodeGenesis(&m)
	if err != nil {
		return Genesis{}, cid.Undef, fmt.Errorf("open genesis: %w", err)
	}
	again, err := g.encode()
	if err == nil {
		err = o.canonical(again)
	}
	if err != nil {
		return Genesis{}, cid.Undef, fmt.Errorf("open genesis: %w", err)
	}
	if !g.owns(o.signer) {
		return Genesis{}, cid.Undef, fmt.Errorf("open genesis: %w: not signed by an owner", ErrForged)
	}
	return g, o.id, nil
}

func (g Genesis) encode() (*recordpb.Genesis, error) {
	if len(g.Owners) == 0 || len(g.Owners) > MaxOwners {
		return nil, fmt.Errorf("%w: %d owners, 1 to %d", ErrMalformed, len(g.Owners), MaxOwners)
	}
	if len(g.Nonce) < minNonce || len(g.Nonce) > maxNonce {
		return nil, fmt.Errorf("%w: nonce has %d bytes, %d to %d", ErrMalformed, len(g.Nonce), minNonce, maxNonce)
	}
	m := &recordpb.Genesis{Nonce: g.Nonce}
	for _, k := range g.Owners {
		if k == nil || k.Type() != crypto.Ed25519 {
			return nil, fmt.Errorf("%w: an owner key is not Ed25519", ErrMalformed)
		}
		b, err := crypto.MarshalPublicKey(k)
		if err != nil {
			return nil, fmt.Errorf("%w: owner key: %v", ErrMalformed, err)
		}
		m.Owners = append(m.Owners, b)
	}
	if len(m.Owners) == 2 && bytes.Equal(m.Owners[0], m.Owners[1]) {
		return nil, fmt.Errorf("%w: owners: the same one twice", ErrMalformed)
	}
	var err error
	m.Profile, err = encodeProfile(g.Profile)
	return m, err
}

func decodeGenesis(m *recordpb.Genesis) (Genesis, error) {
	g := Genesis{Nonce: m.GetNonce()}
	for _, b := range m.GetOwners() {
		k, err := crypto.UnmarshalPublicKey(b)
		if err != nil {
			return Genesis{}, fmt.Errorf("%w: owner key: %v", ErrMalformed, err)
		}
		g.Owners = append(g.Owners, k)
	}
	var err error
	g.Profile, err = decodeProfile(m.GetProfile())
	return g, err
}

func encodeProfile(p dag.Profile) (*recordpb.Profile, error) {
	for _, w := range []string{p.Chunker, p.Tree, string(p.Meta), p.Unicode} {
		if len(w) > maxWord || !isWord(w) {
			return nil, fmt.Errorf("%w: profile has the word %q", ErrMalformed, w)
		}
	}
	for _, n := range []int{p.Min, p.Avg, p.Max, p.FanMin, p.FanAvg, p.FanMax, p.HAMTThreshold} {
		if n < 0 || n > blockstore.MaxBlockSize {
			return nil, fmt.Errorf("%w: profile has the number %d", ErrMalformed, n)
		}
	}
	return &recordpb.Profile{
		Chunker: p.Chunker, Min: uint64(p.Min), Avg: uint64(p.Avg), Max: uint64(p.Max),
		Tree: p.Tree, FanMin: uint64(p.FanMin), FanAvg: uint64(p.FanAvg), FanMax: uint64(p.FanMax),
		HamtThreshold: uint64(p.HAMTThreshold), Meta: string(p.Meta), Unicode: p.Unicode,
	}, nil
}

func decodeProfile(m *recordpb.Profile) (dag.Profile, error) {
	for _, n := range []uint64{m.GetMin(), m.GetAvg(), m.GetMax(), m.GetFanMin(), m.GetFanAvg(), m.GetFanMax(), m.GetHamtThreshold()} {
		// No number of a profile is larger than a block; checked here so that it fits an int.
		if n > blockstore.MaxBlockSize {
			return dag.Profile{}, fmt.Errorf("%w: profile has the number %d", ErrMalformed, n)
		}
	}
	return dag.Profile{
		Chunker: m.GetChunker(), Min: int(m.GetMin()), Avg: int(m.GetAvg()), Max: int(m.GetMax()),
		Tree: m.GetTree(), FanMin: int(m.GetFanMin()), FanAvg: int(m.GetFanAvg()), FanMax: int(m.GetFanMax()),
		HAMTThreshold: int(m.GetHamtThreshold()), Meta: dag.Meta(m.GetMeta()), Unicode: m.GetUnicode(),
	}, nil
}

// isWord tells whether s is made of printable ASCII without spaces.
func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
