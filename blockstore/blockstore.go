// Package blockstore is the vocabulary of content-addressed bytes: what a block is, what a store of
// blocks can do, and what its errors mean. It knows bytes and never peers.
//
// Terms: a block is bytes with a CID (CIDv1, sha2-256); leaves have the codec raw, nodes dag-pb. A store
// maps a CID either to inline bytes or to places in the files of a worktree, a folder on disk that
// materialises a revision of a file set. A block belongs to the sets it was put under; a reader that is
// allowed one set is never given a block of another.
//
// Every role is an interface of one or two methods; a store implements several, and whoever needs one
// asks for just that. The contract of all of them is the suite in package storetest.
package blockstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// MaxBlockSize is the most bytes one block may have: what every IPFS implementation accepts. The
// chunker's largest leaf is 1 MiB and the largest node of our profile is far smaller.
const MaxBlockSize = 2 << 20

// Errors of a store. They are returned wrapped; test with errors.Is.
var (
	// ErrNotFound: the store has no bytes for this CID (or not under the set that was named).
	ErrNotFound = errors.New("block not found")
	// ErrCorrupt: bytes were there but do not hash to the CID. They are never handed out.
	ErrCorrupt = errors.New("block is corrupt")
	// ErrNoSpace: writing would eat into the free-space reserve; nothing was written.
	ErrNoSpace = errors.New("not enough disk space")
	// ErrInvalid: the CID or the block's size is one that this project never uses.
	ErrInvalid = errors.New("invalid block")
)

// Getter reads blocks.
type Getter interface {
	// Get returns the bytes of c, verified against c at this very call. The result may use the memory
	// of buf (its length is ignored, its capacity used) and is valid until buf is used again.
	// Errors: ErrNotFound, ErrCorrupt.
	Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error)
}

// SetGetter reads blocks on behalf of a reader who is allowed one set only.
type SetGetter interface {
	// GetFrom is Get for a block that belongs to set; a block that only other sets hold is ErrNotFound.
	GetFrom(ctx context.Context, set, c cid.Cid, buf []byte) ([]byte, error)
}

// Haser tells what a store claims to have, from its index, without reading the bytes.
type Haser interface {
	Has(ctx context.Context, c cid.Cid) (bool, error)
}

// Putter keeps bytes inline.
type Putter interface {
	// Put stores blocks inline as members of set, all or (on error) possibly some of them. Putting a
	// block again, or under a second set, is cheap and safe. Blocks come from NewBlock or Receive, so
	// they are verified. On return they are on stable storage. Errors: ErrNoSpace.
	Put(ctx context.Context, set cid.Cid, blocks ...Block) error
}

// FilePutter keeps references into files, so that a user's bytes are stored once.
type FilePutter interface {
	// PutFiles records files and the leaves that lie in them as members of each file's set. A file
	// already recorded under the same Tree and Path is replaced, references and all.
	PutFiles(ctx context.Context, files ...File) error
}

// FileDropper forgets files.
type FileDropper interface {
	// DropFiles forgets the named files (slash-separated, relative to tree) and every reference into
	// them; with no path, every file of the tree.
	DropFiles(ctx context.Context, tree string, paths ...string) error
}

// FileLister lists the files that are recorded below a tree.
type FileLister interface {
	// Files calls fn for each recorded file of the tree in path order, without Leaves, until fn
	// returns an error, which it returns.
	Files(ctx context.Context, tree string, fn func(File) error) error
}

// Deleter removes a set.
type Deleter interface {
	// DeleteSet takes every block and file out of set; bytes no other set holds are deleted.
	DeleteSet(ctx context.Context, set cid.Cid) error
}

// Block is bytes together with the CID they were verified against.
type Block struct {
	c    cid.Cid
	data []byte
}

// Cid is the content address of the block.
func (b Block) Cid() cid.Cid { return b.c }

// Data is the bytes of the block; the caller must not change them.
func (b Block) Data() []byte { return b.data }

// NewBlock makes a block of our own bytes by hashing them. codec is cid.Raw or cid.DagProtobuf.
func NewBlock(codec uint64, data []byte) Block {
	return Block{c: Sum(codec, data), data: data}
}

// Receive verifies bytes that came from outside, and is the only door for them. Errors: ErrInvalid for
// a CID that is not CIDv1 sha2-256 raw or dag-pb or for too many bytes, ErrCorrupt for a wrong hash.
func Receive(c cid.Cid, data []byte) (Block, error) {
	if err := Verify(c, data); err != nil {
		return Block{}, err
	}
	return Block{c: c, data: data}, nil
}

// Verify tells whether data hashes to c. Errors as Receive.
func Verify(c cid.Cid, data []byte) error {
	if err := CheckCid(c); err != nil {
		return err
	}
	if len(data) > MaxBlockSize {
		return fmt.Errorf("verify %s: %w: %d bytes", c, ErrInvalid, len(data))
	}
	if sha256.Sum256(data) != Digest(c) {
		return fmt.Errorf("verify %s: %w", c, ErrCorrupt)
	}
	return nil
}

// CheckCid refuses every CID but CIDv1, sha2-256 of 32 bytes, codec raw or dag-pb.
func CheckCid(c cid.Cid) error {
	if !c.Defined() {
		return fmt.Errorf("check cid: %w: undefined", ErrInvalid)
	}
	p := c.Prefix()
	if p.Version != 1 || p.MhType != mh.SHA2_256 || p.MhLength != sha256.Size ||
		(p.Codec != cid.Raw && p.Codec != cid.DagProtobuf) {
		return fmt.Errorf("check cid %s: %w: want CIDv1 sha2-256 raw or dag-pb", c, ErrInvalid)
	}
	return nil
}

// Sum is the CID of data: CIDv1, sha2-256, with the codec given.
func Sum(codec uint64, data []byte) cid.Cid {
	return FromDigest(codec, sha256.Sum256(data))
}

// FromDigest makes a CID of a SHA-256 digest.
func FromDigest(codec uint64, digest [sha256.Size]byte) cid.Cid {
	h := make([]byte, 2, 2+sha256.Size)
	h[0], h[1] = mh.SHA2_256, sha256.Size // the multihash header of sha2-256
	return cid.NewCidV1(codec, append(h, digest[:]...))
}

// Digest is the SHA-256 digest inside c, which must have passed CheckCid.
func Digest(c cid.Cid) (d [sha256.Size]byte) {
	h := c.Hash()
	copy(d[:], h[len(h)-sha256.Size:])
	return d
}
