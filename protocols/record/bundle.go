package record

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/proto"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Bundle is what proves a revision to a stranger: sealed records, all of one set. Nothing in it may be
// believed before VerifyBundle.
type Bundle struct {
	Genesis []byte
	Configs [][]byte // versions 1, 2, 3 ... without a gap
	Heads   [][]byte // any order; none before the first revision
}

// Verified is a bundle that was checked.
type Verified struct {
	Set          cid.Cid
	Genesis      Genesis
	Config       Config // the newest
	ConfigHash   cid.Cid
	Configs      []Config  // all, version 1 first
	ConfigHashes []cid.Cid // of Configs, in the same order
	Heads        []Head    // newest first: by revision, then epoch, then CID
	HeadCids     []cid.Cid // of Heads, in the same order
}

// Size is the bytes of the bundle's records together.
func (b Bundle) Size() int {
	n := len(b.Genesis)
	for _, c := range b.Configs {
		n += len(c)
	}
	for _, h := range b.Heads {
		n += len(h)
	}
	return n
}

// Encode gives the bundle as the message that goes over the wire and into files.
func (b Bundle) Encode() *recordpb.Bundle {
	return &recordpb.Bundle{Genesis: b.Genesis, Configs: b.Configs, Heads: b.Heads}
}

// DecodeBundle is the inverse of Encode. Errors: ErrMalformed if a limit is broken.
func DecodeBundle(m *recordpb.Bundle) (Bundle, error) {
	b := Bundle{Genesis: m.GetGenesis(), Configs: m.GetConfigs(), Heads: m.GetHeads()}
	if err := b.check(); err != nil {
		return Bundle{}, fmt.Errorf("decode bundle: %w", err)
	}
	return b, nil
}

// Marshal gives the bundle as bytes, for a file.
func (b Bundle) Marshal() ([]byte, error) { return encode(b.Encode()) }

// UnmarshalBundle is the inverse of Marshal. Errors: ErrMalformed.
func UnmarshalBundle(data []byte) (Bundle, error) {
	var m recordpb.Bundle
	if err := proto.Unmarshal(data, &m); err != nil {
		return Bundle{}, fmt.Errorf("decode bundle: %w: %v", ErrMalformed, err)
	}
	return DecodeBundle(&m)
}

func (b Bundle) check() error {
	switch {
	case b.Size() > MaxBundle:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, b.Size(), MaxBundle)
	case len(b.Configs) == 0 || len(b.Configs) > MaxConfigs:
		return fmt.Errorf("%w: %d configs, 1 to %d", ErrMalformed, len(b.Configs), MaxConfigs)
	case len(b.Heads) > MaxParents:
		return fmt.Errorf("%w: %d heads, at most %d", ErrMalformed, len(b.Heads), MaxParents)
	}
	return nil
}

// VerifyBundle checks everything in b: the genesis founds set; the configs are signed by an owner and
// chained from version 1; each head is signed by a voter of the config it names, and so are its
// proposals by writers; where what a head names is in the bundle, revision, vector and the sides of a merge follow
// from it. Not checked, because it takes the content of the sides: the root of a merge (Head.Merge). Not checked,
// because it takes memory: that this is no older than what was accepted before.
// Errors: ErrForged, ErrMalformed.
func VerifyBundle(set cid.Cid, b Bundle) (Verified, error) {
	v, err := verifyBundle(set, b)
	if err != nil {
		return Verified{}, fmt.Errorf("verify bundle of %s: %w", set, err)
	}
	return v, nil
}

func verifyBundle(set cid.Cid, b Bundle) (v Verified, err error) {
	if err := b.check(); err != nil {
		return v, err
	}
	if v.Genesis, v.Set, err = OpenGenesis(b.Genesis); err != nil {
		return v, err
	}
	if !v.Set.Equals(set) {
		return v, fmt.Errorf("%w: genesis of another set, %s", ErrForged, v.Set)
	}
	if v.Configs, v.ConfigHashes, err = openConfigs(b.Configs, v.Genesis); err != nil {
		return v, err
	}
	last := len(v.Configs) - 1
	v.Config, v.ConfigHash = v.Configs[last], v.ConfigHashes[last]
	heads, err := v.openHeads(b.Heads)
	if err != nil {
		return v, err
	}
	for _, h := range heads {
		v.Heads, v.HeadCids = append(v.Heads, h.Head), append(v.HeadCids, h.id)
	}
	return v, nil
}

func openConfigs(sealed [][]byte, g Genesis) (configs []Config, hashes []cid.Cid, err error) {
	prev := cid.Undef
	for i, b := range sealed {
		c, hash, err := OpenConfig(b, g)
		if err != nil {
			return nil, nil, err
		}
		if c.Version != uint64(i+1) || !c.Prev.Equals(prev) {
			return nil, nil, fmt.Errorf("%w: config %d does not follow the one before", ErrForged, c.Version)
		}
		configs, hashes = append(configs, c), append(hashes, hash)
		prev = hash
	}
	return configs, hashes, nil
}

func (v Verified) openHeads(sealed [][]byte) ([]named, error) {
	out := make([]named, 0, len(sealed))
	for _, b := range sealed {
		h, err := v.openHead(b)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.Revision, a.Revision), b.Epoch.Compare(a.Epoch), compareCids(a.id, b.id))
	})
	return out, checkParents(out)
}
