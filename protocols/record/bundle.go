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
// proposals by writers; where a head's parent is in the bundle, revision and vector follow from it.
// Not checked, because it takes the parents' content: the root of a merge (Head.Merged). Not checked,
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

// named is a head with its CID.
type named struct {
	Head
	id cid.Cid
}

// openHead opens a head under the config that it names, which must be one of v's.
func (v Verified) openHead(sealed []byte) (named, error) {
	h, o, err := openHead(sealed)
	if err == nil && h.ConfigVersion > uint64(len(v.Configs)) {
		err = fmt.Errorf("%w: made under config %d, which is not there", ErrForged, h.ConfigVersion)
	}
	if err == nil {
		err = h.authorised(o.signer, v.Configs[h.ConfigVersion-1], v.ConfigHashes[h.ConfigVersion-1])
	}
	if err != nil {
		return named{}, fmt.Errorf("open head: %w", err)
	}
	return named{h, o.id}, nil
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

// checkParents holds heads against those of their parents that are there.
func checkParents(heads []named) error {
	byID := make(map[cid.Cid]Head, len(heads))
	for _, h := range heads {
		if _, twice := byID[h.id]; twice {
			return fmt.Errorf("%w: head %s twice", ErrMalformed, h.id)
		}
		byID[h.id] = h.Head
	}
	for _, h := range heads {
		known, most := 0, uint64(0)
		for _, id := range h.Parents {
			p, ok := byID[id]
			if !ok {
				continue
			}
			known, most = known+1, max(most, p.Revision)
			if !h.Vector.Covers(p.Vector) {
				return fmt.Errorf("%w: head %s does not include its parent %s", ErrForged, h.id, id)
			}
		}
		if h.Revision <= most || (known == len(h.Parents) && h.Revision != most+1) {
			return fmt.Errorf("%w: head %s has revision %d after %d", ErrForged, h.id, h.Revision, most)
		}
	}
	return nil
}

// OpenChain opens heads before v's newest, newest first: each must be a parent of the one before it in the
// list, and the first one of v.Heads[0]. A parent is named by its CID in a signed head, which is the proof that
// it was a revision of the set; besides, each is checked as VerifyBundle checks the heads of a bundle, under
// the config it names, which must be one of v's. The heads that verify are returned with their CIDs even if
// one after them does not. Errors: ErrForged, ErrMalformed.
func OpenChain(v Verified, sealed [][]byte) (heads []Head, ids []cid.Cid, err error) {
	if len(sealed) > 0 && len(v.Heads) == 0 {
		return nil, nil, fmt.Errorf("open chain of %s: %w: there is no head to begin at", v.Set, ErrForged)
	}
	var child named
	for i, b := range sealed {
		if i == 0 {
			child = named{v.Heads[0], v.HeadCids[0]}
		}
		h, err := v.openHead(b)
		if err == nil && !slices.Contains(child.Parents, h.id) {
			err = fmt.Errorf("%w: head %s is no parent of %s", ErrForged, h.id, child.id)
		}
		if err == nil {
			err = checkParents([]named{child, h})
		}
		if err != nil {
			return heads, ids, fmt.Errorf("open chain of %s: head %d: %w", v.Set, i+1, err)
		}
		heads, ids = append(heads, h.Head), append(ids, h.id)
		child = h
	}
	return heads, ids, nil
}
