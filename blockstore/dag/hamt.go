package dag

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spaolacci/murmur3"
)

// A large folder is a hash array mapped trie of shards, the HAMTShard of UnixFS. An entry's place is
// given by the 64-bit murmur3 hash of its name: its first byte is the slot in the root shard, its second
// the slot in the shard below, and so on. A slot that one entry falls into holds the entry; a slot that
// several fall into holds a shard. The trie depends on the names only, not on the order of insertion.

const (
	fanout      = 256  // slots of a shard, one for each value of a byte of the hash
	hashMurmur3 = 0x22 // multicodec of murmur3-x64-64
	hamtLevels  = 8    // bytes of the hash, hence levels of the trie
)

// hashName is the hash whose bytes, highest first, are the slots of name.
func hashName(name string) uint64 { return murmur3.Sum64([]byte(name)) }

// slotAt is the slot at a level, 0 for the root shard.
func slotAt(hash uint64, level int) byte { return byte(hash >> (56 - 8*level)) }

// hashed is an entry with its hash.
type hashed struct {
	hash uint64
	link Link
}

// buildShards makes the shards of a folder, given as the node it would be without them.
func buildShards(dir *Node, emit Emit) (Link, error) {
	entries := make([]hashed, len(dir.Links))
	for i, l := range dir.Links {
		entries[i] = hashed{hash: hashName(l.Name), link: l}
	}
	slices.SortFunc(entries, func(a, b hashed) int { return cmp.Compare(a.hash, b.hash) })
	root := Node{Kind: KindDir, Shard: true, Attr: dir.Attr, HasMode: dir.HasMode}
	return buildShard(&root, entries, 0, emit)
}

// buildShard fills the shard n at a level with entries, which are sorted by hash and agree in the bytes
// above the level, and emits it and all shards below. It recurses hamtLevels deep at most.
func buildShard(n *Node, entries []hashed, level int, emit Emit) (Link, error) {
	if level == hamtLevels {
		return Link{}, fmt.Errorf("build folder: %w: %q and %q have the same murmur3 hash",
			ErrName, entries[0].link.Name, entries[1].link.Name)
	}
	for len(entries) > 0 {
		slot := slotAt(entries[0].hash, level)
		same := 1
		for same < len(entries) && slotAt(entries[same].hash, level) == slot {
			same++
		}
		link := entries[0].link
		if same > 1 {
			var err error
			sub := Node{Kind: KindDir, Shard: true, Attr: Attr{Mode: DefaultDirMode}}
			if link, err = buildShard(&sub, entries[:same], level+1, emit); err != nil {
				return Link{}, err
			}
		}
		n.Links, n.Slots = append(n.Links, link), append(n.Slots, slot)
		entries = entries[same:]
	}
	return emitNode(n, emit)
}
