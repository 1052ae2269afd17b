package dag

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// The tree rule "cid-1". A level is the list of a file's parts: at first its leaves, then the nodes
// above them. A level is cut into groups from left to right: a group ends behind its child number FanMax,
// or behind any child from number FanMin on whose digest says so, or with the level. A group of one
// child, which only the last can be, is that child itself; every other becomes a node of the next level.
// The level that is a single group becomes the root.
//
// Where a group ends depends on the children, not on their number, so an insertion leaves the groups
// around it as they are. A digest says so with probability 1/(FanAvg-FanMin+1): then a group has
// FanMin-1 + FanAvg-FanMin+1 = FanAvg children on average, a little less because of FanMax.

// endsGroup tells whether the digest of c says that a group ends behind it: its first eight bytes, as a
// big-endian number, are divisible by every.
func endsGroup(c cid.Cid, every int) bool {
	d := blockstore.Digest(c)
	return binary.BigEndian.Uint64(d[:8])%uint64(every) == 0
}

// groupLen is the length of the first group of level, which is not empty.
func groupLen(p Profile, level []Link) int {
	every := p.FanAvg - p.FanMin + 1
	last := min(p.FanMax, len(level))
	for n := p.FanMin; n < last; n++ {
		if endsGroup(level[n-1].Cid, every) {
			return n
		}
	}
	return last
}

// BuildFile makes the nodes above a file's leaves, which are its chunks in order, none of them empty.
// Leaves are not emitted. The Link that is returned has no Name yet. Only the root carries metadata. A
// file of one leaf is a node with one link, or, if the profile keeps no metadata, the leaf itself; an
// empty file is a node without links.
func BuildFile(p Profile, a Attr, leaves []blockstore.Leaf, emit Emit) (Link, error) {
	if err := p.Validate(); err != nil {
		return Link{}, err
	}
	level := make([]Link, len(leaves))
	for i, leaf := range leaves {
		size := uint64(leaf.Size)
		if size == 0 || size > blockstore.MaxBlockSize || !isCid(leaf.Cid, cid.Raw) {
			return Link{}, fmt.Errorf("build file: %w: leaf %d, %s, %d bytes", blockstore.ErrInvalid, i, leaf.Cid, size)
		}
		level[i] = Link{Cid: leaf.Cid, Tsize: size, Size: size}
	}
	if len(level) == 1 && p.Meta == MetaNone {
		return level[0], nil
	}
	for len(level) > 0 && groupLen(p, level) < len(level) {
		var err error
		if level, err = nextLevel(p, level, emit); err != nil {
			return Link{}, err
		}
	}
	root := Node{Kind: KindFile, Links: level}
	root.Attr, root.HasMode = p.attr(KindFile, a)
	return emitFile(&root, emit)
}

// nextLevel makes a node of every group of level. It writes over level, which it never overtakes.
func nextLevel(p Profile, level []Link, emit Emit) ([]Link, error) {
	next := level[:0]
	for len(level) > 0 {
		n := groupLen(p, level)
		part := level[0]
		if n > 1 {
			var err error
			if part, err = emitFile(&Node{Kind: KindFile, Links: level[:n]}, emit); err != nil {
				return nil, err
			}
		}
		level = level[n:]
		next = append(next, part)
	}
	return next, nil
}

// emitFile sums up the file node n and emits it.
func emitFile(n *Node, emit Emit) (Link, error) {
	for i := range n.Links {
		n.Size += n.Links[i].Size
	}
	if n.Size > math.MaxInt64 {
		return Link{}, fmt.Errorf("build file: %w: more than %d bytes", ErrLimit, int64(math.MaxInt64))
	}
	return emitNode(n, emit)
}

// emitNode encodes n and emits it.
func emitNode(n *Node, emit Emit) (Link, error) {
	b := n.block()
	if err := emit(b); err != nil {
		return Link{}, err
	}
	return n.link("", b), nil
}

// isCid tells whether c is one of ours with this codec.
func isCid(c cid.Cid, codec uint64) bool {
	return blockstore.CheckCid(c) == nil && c.Type() == codec
}
