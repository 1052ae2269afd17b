// Package dag turns files and folders into a Merkle DAG that every IPFS tool can read, and back.
//
// Terms: a leaf is a raw block, one chunk of a file. A node is a dag-pb block with UnixFS 1.5 data: a
// file, a folder, a shard of a large folder, or a symlink. A link is a node's reference to a child, with
// the child's Tsize: the bytes of all blocks below and including the child, counted once per path.
//
// Every tree of files has one DAG under one import profile, and every DAG this package makes or accepts
// has one encoding, so equal trees have equal roots:
//
//   - leaves are cut by content (package chunk) and so is the tree above them (tree.go), so that an
//     insertion into a file makes O(log n) new nodes;
//   - a folder is one node with its entries in byte order, or, above a size the profile gives, a hash
//     trie of 256-way shards (hamt.go), bit-exact with the one IPFS implementations build;
//   - mode and mtime stand in the node where they are not the default (profile.go says which).
//
// Decode is strict: a node that this package would encode differently is malformed. ReadLayout flattens
// a whole revision under limits that hold before memory is spent.
//
// The package is pure: no I/O, no goroutine, no clock; blocks come from a function that is passed in.
package dag

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Errors, returned wrapped; test with errors.Is.
var (
	// ErrMalformed: bytes that this package would never have made.
	ErrMalformed = errors.New("malformed node")
	// ErrLimit: a DAG with more levels, entries, nodes or bytes than Limits allow.
	ErrLimit = errors.New("revision exceeds a limit")
	// ErrName: a name that no folder may hold, or holds already.
	ErrName = errors.New("invalid name")
)

// Kind is what a node stands for.
type Kind uint8

// The kinds of nodes. A folder may consist of several shards; see Node.Shard.
const (
	KindFile Kind = iota + 1
	KindDir
	KindSymlink
)

// Modes that are not written down.
const (
	DefaultFileMode = 0o644
	DefaultDirMode  = 0o755
)

const modeBits = 0o777 // what of a mode is kept

// Attr is the metadata of a file or folder.
type Attr struct {
	Mode  uint32    // permission bits, the low nine; 0 is a mode like any other
	Mtime time.Time // the zero Time if absent; folders and symlinks have none
}

// Link is what a parent needs to know of a finished child.
type Link struct {
	Name  string  // in its folder; empty inside files and between shards
	Cid   cid.Cid // raw for a leaf, else dag-pb
	Tsize uint64  // bytes of all blocks below and including the child, once per path
	Size  uint64  // file bytes below. Decode knows it only for children of files and for leaves
}

// Emit receives every node block that is made, children first; an error stops the build.
type Emit func(blockstore.Block) error

// maxName is the longest name of an entry in bytes: what the common file systems hold.
const maxName = 255

// maxTarget is the longest target of a symlink in bytes: Linux holds paths of 4096 with their final NUL.
const maxTarget = 4095

// CheckName refuses names that no folder may hold: empty, ".", "..", with "/" or NUL, not UTF-8, longer
// than 255 bytes. The error is ErrName.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("%w: %q", ErrName, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: %.32q... has more than %d bytes", ErrName, name, maxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: %q contains / or NUL", ErrName, name)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrName, name)
	}
	return nil
}

// checkTarget refuses targets that no symlink may have. Where a target leads is for whoever makes the
// symlink to judge.
func checkTarget(target string) error {
	if target == "" || len(target) > maxTarget || strings.IndexByte(target, 0) >= 0 || !utf8.ValidString(target) {
		return fmt.Errorf("symlink target %.32q: want 1 to %d bytes of UTF-8 without NUL", target, maxTarget)
	}
	return nil
}
