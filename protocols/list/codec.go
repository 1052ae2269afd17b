package list

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// setDigest is a set id on the wire.
func setDigest(set cid.Cid) ([]byte, error) {
	if err := blockstore.CheckCid(set); err != nil {
		return nil, err
	}
	d := blockstore.Digest(set)
	return d[:], nil
}

// setID is the inverse of setDigest.
func setID(digest []byte) (cid.Cid, error) {
	if len(digest) != sha256.Size {
		return cid.Undef, fmt.Errorf("%w: set id of %d bytes", ErrMalformed, len(digest))
	}
	return blockstore.FromDigest(cid.Raw, [sha256.Size]byte(digest)), nil
}

func encodeSets(sets []SetEntry) (*listpb.SetsReply, error) {
	m := &listpb.SetsReply{}
	for _, e := range sets[:min(len(sets), MaxSets)] {
		d, err := setDigest(e.Set)
		if err != nil {
			return nil, err
		}
		m.Sets = append(m.Sets, &listpb.SetEntry{Set: d, Name: e.Name, Revision: e.Revision, Bytes: e.Bytes, Files: e.Files})
	}
	return m, nil
}

func decodeSets(m *listpb.SetsReply) ([]SetEntry, error) {
	if len(m.GetSets()) > MaxSets {
		return nil, fmt.Errorf("%w: %d sets, at most %d", ErrMalformed, len(m.GetSets()), MaxSets)
	}
	var out []SetEntry
	for _, e := range m.GetSets() {
		set, err := setID(e.GetSet())
		if err != nil {
			return nil, err
		}
		if err := record.CheckName(e.GetName()); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		if n := max(e.GetRevision(), e.GetBytes(), e.GetFiles()); n > record.MaxCounter {
			return nil, fmt.Errorf("%w: a total is %d", ErrMalformed, n)
		}
		out = append(out, SetEntry{Set: set, Name: e.GetName(), Revision: e.GetRevision(), Bytes: e.GetBytes(), Files: e.GetFiles()})
	}
	return out, nil
}

// encodeInfo leaves out the records in k, and tells what the other side has when it has got the rest.
func encodeInfo(i Info, k known) (*listpb.Info, known) {
	m := &listpb.Info{Complete: i.Complete, Peers: record.EncodePeers(i.Peers, MaxPeers)}
	next := k.leaveOut(m, i.Bundle)
	if i.Leaves > 0 && i.Leaves <= MaxLeaves {
		m.Leaves = uint32(i.Leaves)
		if !i.Complete {
			m.Have = encodeLeaves(i.Have)
		}
	}
	return m, next
}

// decodeInfo is the inverse of encodeInfo; what was left out is put back from have.
func decodeInfo(m *listpb.Info, have record.Bundle) (Info, error) {
	if m.GetLeaves() > MaxLeaves {
		return Info{}, fmt.Errorf("%w: %d leaves, at most %d", ErrMalformed, m.GetLeaves(), MaxLeaves)
	}
	i := Info{Leaves: int(m.GetLeaves()), Complete: m.GetComplete()}
	var err error
	if i.Bundle, err = putBack(m, have); err != nil {
		return Info{}, err
	}
	if i.Peers, err = record.DecodePeers(m.GetPeers(), MaxPeers); err != nil {
		return Info{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if m.GetHave() == nil {
		return i, nil
	}
	if i.Complete {
		return Info{}, fmt.Errorf("%w: leaves of a complete revision", ErrMalformed)
	}
	i.Have = NewBitmap(i.Leaves)
	err = decodeLeaves(m.GetHave(), i.Leaves, func(start, n int) {
		for k := start; k < start+n; k++ {
			i.Have.Set(k)
		}
	})
	return i, err
}
