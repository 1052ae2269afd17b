package delta

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// appendDigests appends the digests of CIDs that must all have this codec.
func appendDigests(b []byte, codec uint64, cids ...cid.Cid) ([]byte, error) {
	for _, c := range cids {
		if err := blockstore.CheckCid(c); err != nil {
			return nil, err
		}
		if c.Prefix().Codec != codec {
			return nil, fmt.Errorf("%s: %w: codec is not 0x%x", c, blockstore.ErrInvalid, codec)
		}
		d := blockstore.Digest(c)
		b = append(b, d[:]...)
	}
	return b, nil
}

// refs is what an item is about: its target, and bases of the same codec.
func refs(target cid.Cid, bases []cid.Cid) ([]byte, error) {
	return appendDigests(nil, target.Type(), append([]cid.Cid{target}, bases...)...)
}

// parseDigests reads between least and most digests of CIDs with this codec.
func parseDigests(b []byte, codec uint64, least, most int) ([]cid.Cid, error) {
	n := len(b) / sha256.Size
	if len(b)%sha256.Size != 0 || n < least || n > most {
		return nil, fmt.Errorf("%w: %d bytes for %d to %d digests", ErrMalformed, len(b), least, most)
	}
	cids := make([]cid.Cid, 0, n)
	for ; len(b) > 0; b = b[sha256.Size:] {
		cids = append(cids, blockstore.FromDigest(codec, [sha256.Size]byte(b)))
	}
	return cids, nil
}

// message is q on the wire. Errors: blockstore.ErrInvalid.
func (q Request) message() (*deltapb.Request, error) {
	if err := blockstore.CheckCid(q.Set); err != nil {
		return nil, fmt.Errorf("set: %w", err)
	}
	want, err := appendDigests(nil, cid.DagProtobuf, q.Want)
	if err != nil {
		return nil, fmt.Errorf("want root: %w", err)
	}
	have, err := appendDigests(nil, cid.DagProtobuf, q.Have...)
	if err != nil {
		return nil, fmt.Errorf("have-root: %w", err)
	}
	if len(q.Have) > MaxHave || q.Push < 0 {
		return nil, fmt.Errorf("%w: %d have-roots, %d bytes to push", blockstore.ErrInvalid, len(q.Have), q.Push)
	}
	set := blockstore.Digest(q.Set)
	return &deltapb.Request{
		Set: set[:], Capability: q.Capability, Want: want, Have: have, Push: uint64(q.Push), Dry: q.Dry,
	}, nil
}

// parseRequest is the server's reading. Errors: ErrMalformed.
func parseRequest(m *deltapb.Request) (q Request, err error) {
	set, err := parseDigests(m.GetSet(), cid.Raw, 1, 1)
	if err != nil {
		return q, fmt.Errorf("set: %w", err)
	}
	want, err := parseDigests(m.GetWant(), cid.DagProtobuf, 1, 1)
	if err != nil {
		return q, fmt.Errorf("want root: %w", err)
	}
	have, err := parseDigests(m.GetHave(), cid.DagProtobuf, 0, MaxHave)
	if err != nil {
		return q, fmt.Errorf("have-roots: %w", err)
	}
	return Request{
		Set: set[0], Capability: m.GetCapability(), Want: want[0], Have: have,
		Push: int64(min(m.GetPush(), MaxPush)), Dry: m.GetDry(),
	}, nil
}

// message is a on the wire. Errors: blockstore.ErrInvalid.
func (a Ask) message() (*deltapb.Ask, error) {
	if a.Size < 0 || a.Size > blockstore.MaxBlockSize || len(a.Bases) > MaxBases || len(a.Bases) == 0 && len(a.Signature) > 0 {
		return nil, fmt.Errorf("ask for %s: %w: %d bytes, %d bases, signature of %d bytes",
			a.Cid, blockstore.ErrInvalid, a.Size, len(a.Bases), len(a.Signature))
	}
	cids, err := refs(a.Cid, a.Bases)
	if err == nil && a.Cid.Type() != cid.Raw {
		err = fmt.Errorf("%w: %s is no leaf", blockstore.ErrInvalid, a.Cid)
	}
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	m := &deltapb.Ask{Cids: cids, Signature: a.Signature}
	if n := proto.Size(m); n > wire.MaxControl {
		return nil, fmt.Errorf("ask for %s: %w: %d bytes", a.Cid, blockstore.ErrInvalid, n)
	}
	return m, nil
}

// parseAsk is the server's reading; Size is not on the wire. Errors: ErrMalformed.
func parseAsk(m *deltapb.Ask) (Ask, error) {
	cids, err := parseDigests(m.GetCids(), cid.Raw, 1, 1+MaxBases)
	if err != nil {
		return Ask{}, fmt.Errorf("ask: %w", err)
	}
	if len(cids) == 1 && len(m.GetSignature()) > 0 {
		return Ask{}, fmt.Errorf("ask: %w: a signature of nothing", ErrMalformed)
	}
	return Ask{Cid: cids[0], Bases: cids[1:], Signature: m.GetSignature()}, nil
}

// parseItem is the client's reading of an item for nodes or leaves. A pushed item names its bases. Errors:
// ErrMalformed.
func parseItem(m *deltapb.Item, kind Kind, dry bool) (Item, error) {
	i := Item{Kind: kind, Code: wire.Code(m.GetCode()), Size: int(m.GetSize()), Patch: m.GetPatch(), Length: len(m.GetPatch())}
	if i.Code > wire.NoBase {
		i.Code = wire.Internal
	}
	codec, bases := uint64(cid.DagProtobuf), 1
	if kind == Leaf {
		codec, bases = cid.Raw, MaxBases
	}
	cids, err := parseDigests(m.GetCids(), codec, 0, 1+bases)
	switch {
	case err != nil:
		return Item{}, fmt.Errorf("item: %w", err)
	case m.GetSize() > blockstore.MaxBlockSize:
		return Item{}, fmt.Errorf("item: %w: block of %d bytes", ErrMalformed, m.GetSize())
	case len(cids) == 0 || i.Code != wire.OK:
		if len(i.Patch) > 0 || m.GetLength() > 0 {
			return Item{}, fmt.Errorf("item: %w: a patch, but no target or the code %v", ErrMalformed, i.Code)
		}
	case kind == Leaf && dry:
		i.Length = int(m.GetLength())
		err = checkPatch(i, len(i.Patch) == 1)
	default:
		err = checkPatch(i, m.GetLength() == 0)
	}
	if err != nil {
		return Item{}, err
	}
	if len(cids) > 0 {
		i.Cid, i.Bases = cids[0], cids[1:]
		return i, nil
	}
	if i.Size > 0 {
		return Item{}, fmt.Errorf("item: %w: size without a target", ErrMalformed)
	}
	i.Kind++ // EndNodes behind Node, EndPush behind Leaf
	return i, nil
}

// checkPatch refuses patches of a length that no encoder makes.
func checkPatch(i Item, form bool) error {
	if !form || i.Length < 1 || i.Length > 1+i.Size {
		return fmt.Errorf("item: %w: patch of %d bytes (%d here) for %d", ErrMalformed, i.Length, len(i.Patch), i.Size)
	}
	return nil
}

// cost is what a pushed item takes from the budget: n bytes of message, and what a dry session leaves out.
func cost(n int, m *deltapb.Item) int64 {
	return int64(n) + int64(m.GetLength())
}
