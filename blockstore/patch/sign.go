package patch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// minSignBlock is the shortest block that may be signed: below it the entries exceed a tenth of the bytes.
const minSignBlock = 128

// entrySize is the bytes of an entry in a signature: 4 rolling, 3 strong. Of the 2^20 places of a large leaf and the
// 2^10 blocks of a large base one pair in 2^26 leaves is equal by chance. That costs one leaf fetched whole, since the
// result is held against its CID; each byte more costs a seventh of every signature.
const entrySize = 4 + 3

// Entry is the two hashes of one block of a base.
type Entry struct {
	Rolling uint32
	Strong  uint32 // the first 3 bytes of SHA-256, big-endian
}

// Signature is the hashes of all blocks of a base: each of BlockSize bytes, the last of what is left.
type Signature struct {
	BlockSize int
	Size      int // bytes of the base
	Entries   []Entry
}

// BlockSize is the length of block to sign a base of size bytes with: the power of two nearest to
// sqrt(7*size), at least 128. There the entries sent (7 bytes a block) are as many bytes as one edit wastes by
// blocks that it touches partly (about one block), and the sum is smallest. 512 bytes for 64 KiB, 1 KiB for a leaf of
// 256 KiB, 2 KiB for 1 MiB, 4 KiB for four leaves of 1 MiB.
func BlockSize(size int) int {
	log := math.Round(math.Log2(entrySize*float64(max(size, 1))) / 2)
	return max(minSignBlock, 1<<int(log))
}

// Sign makes the signature of a base. A blockSize below 128 is taken as 128.
func Sign(base []byte, blockSize int) Signature {
	s := Signature{BlockSize: max(blockSize, minSignBlock), Size: len(base)}
	s.Entries = make([]Entry, 0, s.blocks())
	for at := 0; at < len(base); at += s.BlockSize {
		block := base[at:min(at+s.BlockSize, len(base))]
		s.Entries = append(s.Entries, Entry{Rolling: rolling(block), Strong: strong(block)})
	}
	return s
}

// blocks is the number of blocks, the short one at the end included.
func (s Signature) blocks() int { return (s.Size + s.BlockSize - 1) / s.BlockSize }

// check refuses signatures that Sign does not make, or that exceed the limits.
func (s Signature) check(l Limits) error {
	if s.BlockSize < minSignBlock || s.BlockSize > max(minSignBlock, l.Base) || s.Size < 0 {
		return fmt.Errorf("signature: %w: blocks of %d bytes", ErrPatch, s.BlockSize)
	}
	if s.Size > l.Base || s.blocks() > l.Entries {
		return fmt.Errorf("signature of %d bytes in blocks of %d: %w", s.Size, s.BlockSize, ErrLimit)
	}
	return nil
}

// AppendSignature appends the binary form of a signature: block size and size as uvarints, then the entries,
// big-endian.
func AppendSignature(dst []byte, s Signature) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.BlockSize))
	dst = binary.AppendUvarint(dst, uint64(s.Size))
	for _, e := range s.Entries {
		dst = binary.BigEndian.AppendUint32(dst, e.Rolling)
		dst = append(dst, byte(e.Strong>>16), byte(e.Strong>>8), byte(e.Strong))
	}
	return dst
}

// ParseSignature reads the binary form, all of b. It checks the limits before it allocates. Errors: ErrPatch,
// ErrLimit.
func ParseSignature(b []byte, l Limits) (Signature, error) {
	blockSize, b, err := readUvarint(b, math.MaxInt32)
	if err != nil {
		return Signature{}, fmt.Errorf("parse signature: block size: %w", err)
	}
	size, b, err := readUvarint(b, math.MaxInt32)
	if err != nil {
		return Signature{}, fmt.Errorf("parse signature: size: %w", err)
	}
	s := Signature{BlockSize: blockSize, Size: size}
	if err := s.check(l); err != nil {
		return Signature{}, fmt.Errorf("parse %w", err)
	}
	if len(b) != s.blocks()*entrySize {
		return Signature{}, fmt.Errorf("parse signature: %w: %d bytes for %d entries", ErrPatch, len(b), s.blocks())
	}
	s.Entries = make([]Entry, s.blocks())
	for i := range s.Entries {
		e := b[i*entrySize:]
		s.Entries[i] = Entry{Rolling: binary.BigEndian.Uint32(e), Strong: binary.BigEndian.Uint32(e[3:]) & 0xffffff}
	}
	return s, nil
}

// readUvarint reads a uvarint of at most most, and returns what follows it.
func readUvarint(b []byte, most int) (int, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > uint64(most) {
		return 0, nil, fmt.Errorf("%w: number", ErrPatch)
	}
	return int(v), b[n:], nil
}

// mul is the multiplier of the rolling hash, a Rabin-Karp polynomial modulo 2^32 (R. Karp, M. Rabin, 1987):
// the sum of byte i times mul to the power of the bytes behind it. It is the prime of FNV-1.
const mul = 16777619

// rolling is the hash of a block.
func rolling(block []byte) (h uint32) {
	for _, b := range block {
		h = h*mul + uint32(b)
	}
	return h
}

// power is mul to the power n, what the first byte of n+1 bytes is multiplied with.
func power(n int) uint32 {
	p := uint32(1)
	for range n {
		p *= mul
	}
	return p
}

// strong is the hash that decides.
func strong(block []byte) uint32 {
	sum := sha256.Sum256(block)
	return binary.BigEndian.Uint32(sum[:]) >> 8
}
