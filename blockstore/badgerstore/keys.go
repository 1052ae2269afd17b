package badgerstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// The first byte of every key tells what the record is; see the package documentation.
const (
	kindBlock   = 'b'
	kindPiece   = 'p'
	kindRefs    = 'r'
	kindFile    = 'f'
	kindLeaves  = 'l'
	kindSet     = 's'
	kindTree    = 't'
	kindCounter = 'n'
	// kindUnused is a record that is dropped at once; see compact.
	kindUnused = 'x'
)

const (
	// inlineMax is the most bytes a block record holds itself; what is longer lies in piece records.
	// 64 KiB is the chunker's smallest regular leaf, and every DAG node is far below it.
	inlineMax = 64 << 10
	// pieceSize keeps a piece, its key and overhead well inside one Badger transaction, which may
	// hold 15 % of the memtable, and below the value threshold, so that it stays in the LSM.
	pieceSize = 256 << 10
	// leavesPerPage bounds a record of leaves: 1,024 x 36 bytes = 36 KiB, an eighth of a GiB of file.
	leavesPerPage = 1024
	// leafLen is a digest and a length.
	leafLen = sha256.Size + 4
)

// errRecord means that a record of ours does not parse, which only bit rot explains.
var errRecord = errors.New("malformed record")

// blockKey appends the key of an inline block: kind, digest, codec bit.
func blockKey(dst []byte, c cid.Cid) []byte {
	return append(appendDigest(append(dst, kindBlock), c), codecBit(c))
}

func pieceKey(c cid.Cid, i int) []byte {
	k := append(appendDigest([]byte{kindPiece}, c), codecBit(c))
	return binary.BigEndian.AppendUint16(k, uint16(i)) // at most MaxBlockSize/pieceSize = 8
}

// refsKey appends the key of the references to a leaf; leaves are always raw, so no codec.
func refsKey(dst []byte, c cid.Cid) []byte {
	return appendDigest(append(dst, kindRefs), c)
}

// appendDigest relies on CheckCid: the last 32 bytes of the CID are the digest. It does not allocate.
func appendDigest(dst []byte, c cid.Cid) []byte {
	s := c.KeyString()
	return append(dst, s[len(s)-sha256.Size:]...)
}

func codecBit(c cid.Cid) byte {
	if c.Type() == cid.Raw {
		return 0
	}
	return 1
}

func codecOf(bit byte) uint64 {
	if bit == 0 {
		return cid.Raw
	}
	return cid.DagProtobuf
}

// cidOfBlockKey is the inverse of blockKey.
func cidOfBlockKey(k []byte) (cid.Cid, error) {
	if len(k) != 1+sha256.Size+1 {
		return cid.Undef, errRecord
	}
	return blockstore.FromDigest(codecOf(k[1+sha256.Size]), [sha256.Size]byte(k[1:])), nil
}

// fileKey is ordered by path within a tree.
func fileKey(tree uint32, path string) []byte {
	k := binary.BigEndian.AppendUint32([]byte{kindFile}, tree)
	return append(k, path...)
}

// leavesKey is the key of a further page of leaves; paths hold no NUL, so it is unambiguous.
func leavesKey(tree uint32, path string, page int) []byte {
	k := binary.BigEndian.AppendUint32([]byte{kindLeaves}, tree)
	k = append(append(k, path...), 0)
	return binary.BigEndian.AppendUint32(k, uint32(page))
}

// fields reads the integers of a record one after the other. After a malformed one bad stays true and
// every further value is zero, so that a decoder checks once, at its end.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) uint() uint64 {
	v, n := binary.Uvarint(f.rest)
	return f.take(v, n)
}

func (f *fields) int() int64 {
	v, n := binary.Varint(f.rest)
	return int64(f.take(uint64(v), n))
}

func (f *fields) take(v uint64, n int) uint64 {
	if n <= 0 || f.bad {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) bytes(n uint64) []byte {
	if f.bad || n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// inline is the record of an inline block.
type inline struct {
	sets []uint32 // ascending
	size int      // of the block, bytes
	data []byte   // the block's bytes if size <= inlineMax, otherwise empty
}

// parseInline decodes a block record; sets is memory to use, data lies in v.
func parseInline(v []byte, sets []uint32) (inline, error) {
	f := fields{rest: v}
	n := f.uint()
	if n > uint64(len(v)) { // each takes a byte at least
		return inline{}, errRecord
	}
	for range n {
		sets = append(sets, uint32(f.uint()))
	}
	size := f.uint()
	if f.bad || size > blockstore.MaxBlockSize || (size <= inlineMax && size != uint64(len(f.rest))) {
		return inline{}, errRecord
	}
	return inline{sets: sets, size: int(size), data: f.rest}, nil
}

// encode makes the record; of a long block only the size is in it.
func (in inline) encode() []byte {
	v := make([]byte, 0, binary.MaxVarintLen32*(2+len(in.sets))+min(in.size, inlineMax))
	v = binary.AppendUvarint(v, uint64(len(in.sets)))
	for _, s := range in.sets {
		v = binary.AppendUvarint(v, uint64(s))
	}
	v = binary.AppendUvarint(v, uint64(in.size))
	if in.size > inlineMax {
		return v
	}
	return append(v, in.data...)
}

// withSet returns the sets and set, ascending; a new slice unless it is in already.
func withSet(sets []uint32, set uint32) []uint32 {
	i, found := slices.BinarySearch(sets, set)
	if found {
		return sets
	}
	return slices.Insert(slices.Clone(sets), i, set)
}

// fileRecord is what is kept of a file, leaves apart.
type fileRecord struct {
	set       uint32
	stamp     blockstore.Stamp
	scannedNs int64
	cid       cid.Cid
	leaves    int
}

// encodeFile makes a file's record; page is the encoded first page of its leaves.
func encodeFile(r fileRecord, page []byte) []byte {
	v := make([]byte, 0, 96+len(page)) // the integers take 20 to 60 bytes
	v = binary.AppendUvarint(v, uint64(r.set))
	v = binary.AppendUvarint(v, uint64(r.stamp.Size))
	v = binary.AppendVarint(v, r.stamp.MtimeNs)
	v = binary.AppendVarint(v, r.stamp.CtimeNs)
	v = binary.AppendUvarint(v, r.stamp.Inode)
	v = binary.AppendUvarint(v, uint64(r.stamp.Mode))
	v = binary.AppendVarint(v, r.scannedNs)
	v = appendDigest(append(v, codecBit(r.cid)), r.cid)
	v = binary.AppendUvarint(v, uint64(r.leaves))
	return append(v, page...)
}

// parseFile decodes a file's record; page lies in v.
func parseFile(v []byte) (r fileRecord, page []byte, err error) {
	f := fields{rest: v}
	r.set = uint32(f.uint())
	r.stamp.Size = int64(f.uint())
	r.stamp.MtimeNs = f.int()
	r.stamp.CtimeNs = f.int()
	r.stamp.Inode = f.uint()
	r.stamp.Mode = uint32(f.uint())
	r.scannedNs = f.int()
	id := f.bytes(1 + sha256.Size)
	leaves := f.uint()
	if f.bad || len(f.rest) != leafLen*int(min(leaves, leavesPerPage)) {
		return fileRecord{}, nil, errRecord
	}
	r.cid = blockstore.FromDigest(codecOf(id[0]), [sha256.Size]byte(id[1:]))
	r.leaves = int(leaves)
	return r, f.rest, nil
}

func encodeLeaves(leaves []blockstore.Leaf) []byte {
	v := make([]byte, 0, leafLen*len(leaves))
	for _, l := range leaves {
		v = binary.BigEndian.AppendUint32(appendDigest(v, l.Cid), l.Size)
	}
	return v
}

func pages(leaves int) int { return (leaves + leavesPerPage - 1) / leavesPerPage }
