package list

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// sumSize is the bytes that name a sealed record where the other side has it: with 16, two records with one name
// take 2^64 attempts to make, and whoever made them could only keep one of them from being seen.
const sumSize = 16

// sum names a sealed record by its bytes, so that nothing must be parsed or believed for it.
func sum(sealed []byte) []byte {
	d := sha256.Sum256(sealed)
	return d[:sumSize]
}

// known is the records that the other side of a stream has. The zero value is none.
type known struct {
	configs int      // how many from version 1 on, and the genesis with them; 0 = not even that
	config  []byte   // sum of the last
	heads   [][]byte // sums
}

// bundleOf is b, which may be nil, unless it could not be put back from.
func bundleOf(b *record.Bundle) record.Bundle {
	if b == nil || len(b.Genesis) == 0 || len(b.Configs) == 0 || len(b.Configs) > record.MaxConfigs {
		return record.Bundle{}
	}
	return record.Bundle{Genesis: b.Genesis, Configs: b.Configs, Heads: b.Heads[:min(len(b.Heads), record.MaxParents)]}
}

// encodeKnown names the records in have; nil if there are none.
func encodeKnown(have record.Bundle) *listpb.Known {
	n := len(have.Configs)
	if n == 0 {
		return nil
	}
	m := &listpb.Known{Configs: uint32(n), Config: sum(have.Configs[n-1])}
	for _, h := range have.Heads {
		m.Heads = append(m.Heads, sum(h))
	}
	return m
}

// decodeKnown takes what it is told: a wrong sum is that of no record here.
func decodeKnown(m *listpb.Known) known {
	if m.GetConfigs() > record.MaxConfigs || len(m.GetHeads()) > record.MaxParents {
		return known{}
	}
	return known{configs: int(m.GetConfigs()), config: m.GetConfig(), heads: m.GetHeads()}
}

// leaveOut sets the bundle of m to b without the records in k, and tells what the other side has then. Configs
// are left out only if the chain of b begins with the one that k means: an owner may have signed two.
func (k known) leaveOut(m *listpb.Info, b record.Bundle) (next known) {
	m.Bundle = b.Encode()
	n := k.configs
	if n > 0 && n <= len(b.Configs) && bytes.Equal(k.config, sum(b.Configs[n-1])) {
		m.KnownConfigs = uint32(n)
		m.Bundle.Genesis, m.Bundle.Configs = nil, b.Configs[n:]
	}
	if n := len(b.Configs); n > 0 {
		next.configs, next.config = n, sum(b.Configs[n-1])
	}
	left := map[string][]byte{} // heads of b by their sums
	for _, h := range b.Heads {
		left[string(sum(h))] = h
	}
	for i, s := range k.heads {
		if _, ok := left[string(s)]; ok {
			m.KnownHeads = append(m.KnownHeads, uint32(i))
			next.heads = append(next.heads, s)
			delete(left, string(s))
		}
	}
	m.Bundle.Heads = nil
	for _, h := range b.Heads {
		if s := sum(h); left[string(s)] != nil {
			m.Bundle.Heads = append(m.Bundle.Heads, h)
			next.heads = append(next.heads, s)
			delete(left, string(s))
		}
	}
	return next
}

// putBack is the bundle of m with what leaveOut left out, which is in have. Errors: ErrMalformed.
func putBack(m *listpb.Info, have record.Bundle) (record.Bundle, error) {
	whole := record.Bundle{Genesis: m.GetBundle().GetGenesis(), Configs: m.GetBundle().GetConfigs()}
	if n := int64(m.GetKnownConfigs()); n > 0 {
		if n > int64(len(have.Configs)) || len(whole.Genesis) > 0 {
			return record.Bundle{}, fmt.Errorf("%w: %d known configs", ErrMalformed, n)
		}
		whole.Genesis, whole.Configs = have.Genesis, slices.Concat(have.Configs[:n], whole.Configs)
	}
	before := int64(-1)
	for _, i := range m.GetKnownHeads() {
		if int64(i) <= before || int64(i) >= int64(len(have.Heads)) {
			return record.Bundle{}, fmt.Errorf("%w: known head %d", ErrMalformed, i)
		}
		before = int64(i)
		whole.Heads = append(whole.Heads, have.Heads[i])
	}
	whole.Heads = append(whole.Heads, m.GetBundle().GetHeads()...)
	b, err := record.DecodeBundle(whole.Encode())
	if err != nil {
		return record.Bundle{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return b, nil
}
