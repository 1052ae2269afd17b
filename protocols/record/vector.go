package record

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Epoch is one term of a primary. Epochs are totally ordered, and each is owned by construction: only
// one store can ever make it.
type Epoch struct {
	ConfigVersion uint64
	N             uint64
	Owner         peer.ID
	Instance      []byte // of the owner's store, InstanceSize bytes
}

// Compare is negative, zero or positive as e is before, the same as, or after o: by config version,
// then number, then owner, then store instance.
func (e Epoch) Compare(o Epoch) int {
	return cmp.Or(
		cmp.Compare(e.ConfigVersion, o.ConfigVersion),
		cmp.Compare(e.N, o.N),
		cmp.Compare(e.Owner, o.Owner),
		bytes.Compare(e.Instance, o.Instance),
	)
}

func (e Epoch) encode() (*recordpb.Epoch, error) {
	if err := checkCounter("epoch's config version", e.ConfigVersion); err != nil {
		return nil, err
	}
	if err := checkCounter("epoch", e.N); err != nil {
		return nil, err
	}
	if err := checkInstance(e.Instance); err != nil {
		return nil, err
	}
	owner, err := encodePeerID("epoch's owner", e.Owner)
	if err != nil {
		return nil, err
	}
	return &recordpb.Epoch{ConfigVersion: e.ConfigVersion, N: e.N, Owner: owner, Instance: e.Instance}, nil
}

func decodeEpoch(m *recordpb.Epoch) (Epoch, error) {
	owner, err := decodePeerID("epoch's owner", m.GetOwner())
	return Epoch{ConfigVersion: m.GetConfigVersion(), N: m.GetN(), Owner: owner, Instance: m.GetInstance()}, err
}

// Vector is a version vector: for each store instance (InstanceKey) the number of its last revision
// that is included. An instance that is absent counts as 0.
type Vector map[string]uint64

// InstanceKey is how a store instance is written as a key of a Vector: lower-case hex.
func InstanceKey(instance []byte) string { return hex.EncodeToString(instance) }

// Order is how two vectors lie to each other.
type Order int

// The orders there are.
const (
	Equal      Order = iota // the same history
	Before                  // the receiver lacks something the other has
	After                   // the receiver has all of the other and more
	Concurrent              // each has something the other lacks
)

// Covers tells whether v includes everything o includes.
func (v Vector) Covers(o Vector) bool {
	for k, n := range o {
		if v[k] < n {
			return false
		}
	}
	return true
}

// Compare tells how v lies to o.
func (v Vector) Compare(o Vector) Order {
	switch a, b := v.Covers(o), o.Covers(v); {
	case a && b:
		return Equal
	case a:
		return After
	case b:
		return Before
	}
	return Concurrent
}

// Merge is the least vector that covers both, a new one.
func (v Vector) Merge(o Vector) Vector {
	out := make(Vector, max(len(v), len(o)))
	maps.Copy(out, v)
	for k, n := range o {
		out[k] = max(out[k], n)
	}
	return out
}

func (v Vector) encode() ([]*recordpb.VectorEntry, error) {
	if len(v) > MaxVector {
		return nil, fmt.Errorf("%w: vector has %d instances, at most %d", ErrMalformed, len(v), MaxVector)
	}
	var out []*recordpb.VectorEntry
	for _, k := range slices.Sorted(maps.Keys(v)) { // hex sorts as the bytes do
		b, err := hex.DecodeString(k)
		if err != nil || len(b) != InstanceSize || InstanceKey(b) != k {
			return nil, fmt.Errorf("%w: vector has the instance %q", ErrMalformed, k)
		}
		if err := checkCounter("sequence number", v[k]); err != nil {
			return nil, err
		}
		out = append(out, &recordpb.VectorEntry{Instance: b, Seq: v[k]})
	}
	return out, nil
}

// decodeVector does not mind the order or doubles: encoding again shows them.
func decodeVector(m []*recordpb.VectorEntry) Vector {
	v := make(Vector, len(m))
	for _, e := range m {
		v[InstanceKey(e.GetInstance())] = e.GetSeq()
	}
	return v
}
