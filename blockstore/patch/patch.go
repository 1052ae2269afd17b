// Package patch makes one block out of another: it encodes a target as what differs from bytes the
// receiver has, and applies such patches when they come from anybody. It knows bytes, and neither CIDs nor
// peers: whether the result is right the caller learns by hashing it.
//
// Terms: the target is the new block. The base is old bytes that the receiver has: a node, or up to four
// leaves joined. A patch is one byte that names its coding and a body. A signature is the hashes of the
// blocks of a base, for a sender that lacks the base.
//
// Which coding, by what the sender has:
//
//	base and target        EncodeDict     zstd with the base as dictionary
//	signature and target   EncodeSigned   copies of ranges of the base, and the bytes between them
//	only the target        EncodeWhole    zstd where a sample says that it pays, else the bytes
//
// Each falls back to a coding further down when that is smaller, so a patch is at most one byte longer than
// its target, and Apply takes them all. docs/format-patch.md gives the bytes.
//
// Why zstd also for DAG nodes, where a list of copies would do: with the frame header left out (the receiver
// knows the size) it takes 52 bytes for one changed link of a 6,400-byte node where the best list takes 51, and
// 307 for nine where the list takes 324. One encoder does for both (BenchmarkNodes measures them).
//
// The package is pure: no clock, no goroutine, no store.
package patch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Errors of a codec. They are returned wrapped; test with errors.Is.
var (
	// ErrPatch: the patch or signature is malformed, or does not make the size asked for out of this base.
	ErrPatch = errors.New("malformed patch")
	// ErrLimit: base, target or signature is larger than the codec's limits. Nothing was computed.
	ErrLimit = errors.New("patch limit exceeded")
)

// Coding is the first byte of a patch. The numbers are part of the wire format: append, never change.
type Coding uint8

const (
	Raw      Coding = 0 // the target itself
	Zstd     Coding = 1 // the target as zstd blocks
	Dict     Coding = 2 // the target as zstd blocks that refer to the base
	Copy     Coding = 3 // ranges of the base and literal bytes
	CopyZstd Coding = 4 // the same, the literal bytes as zstd blocks
)

// CodingOf tells the coding of a patch. Errors: ErrPatch for an empty patch or an unknown coding.
func CodingOf(patch []byte) (Coding, error) {
	if len(patch) == 0 || Coding(patch[0]) > CopyZstd {
		return 0, fmt.Errorf("patch coding: %w", ErrPatch)
	}
	return Coding(patch[0]), nil
}

// NeedsBase tells whether patches of this coding are applied to a base: false means a whole block.
func (c Coding) NeedsBase() bool { return c == Dict || c == Copy || c == CopyZstd }

// String is the coding's name.
func (c Coding) String() string {
	if c > CopyZstd {
		return fmt.Sprintf("coding %d", uint8(c))
	}
	return [...]string{"raw", "zstd", "dict", "copy", "copy+zstd"}[c]
}

// Limits bound what a codec takes, and so its memory and time.
type Limits struct {
	Base    int // bytes of a base
	Target  int // bytes of a target, at most blockstore.MaxBlockSize
	Entries int // entries of a signature
}

// DefaultLimits is what both ends of a delta use.
func DefaultLimits() Limits {
	return Limits{
		Base:   4 << 20, // four leaves of the chunker's largest size
		Target: blockstore.MaxBlockSize,
		// 28 KiB, below the 64 KiB of a control frame; BlockSize asks for at most 1,024 at this Base.
		Entries: 4096,
	}
}

// maxBase bounds Limits.Base: a codec's window is the next power of two and is allocated.
const maxBase = 64 << 20

// Codec encodes and applies patches. It is not safe for concurrent use: keep one for each worker. It starts
// no goroutine and needs no closing. By the default limits a codec that has encoded holds about 20 MiB (for
// EncodeDict a history of 8 and tables of 8 MiB) and the last base, one that only applied at most 5 MiB.
//
// Every Encode method and Apply append to dst and return the result, like append; dst must not share memory
// with the other arguments. On an error dst is returned as it was.
type Codec struct {
	lim     Limits
	dict    *zstd.Encoder // with a base as dictionary
	plain   *zstd.Encoder // without
	dec     *zstd.Decoder
	scratch []byte // a frame with its header put back, or a sample
	lits    []byte // literal bytes of a Copy
	ops     []op
	find    finder
}

// New makes a codec. It fails only for limits that make no sense.
func New(l Limits) (*Codec, error) {
	if l.Base < 1 || l.Base > maxBase || l.Target < 1 || l.Target > blockstore.MaxBlockSize || l.Entries < 1 {
		return nil, fmt.Errorf("new patch codec: limits %+v: want 1..%d bytes of base, 1..%d of target, 1.. entries",
			l, maxBase, blockstore.MaxBlockSize)
	}
	c := &Codec{lim: l}
	var err error
	// Better is the fastest level that finds matches 1 MiB and more away: Fastest and Default code 4 KiB
	// changed in 1 MiB as 135-850 KB instead of 4.2 KB. BestCompression is seven times slower and no smaller.
	if c.dict, err = newEncoder(zstd.SpeedBetterCompression, l.Base+l.Target); err != nil {
		return nil, fmt.Errorf("new patch codec: %w", err)
	}
	// Default is at most 5 % larger than Better and up to a sixth faster, with a quarter of the tables; Fastest
	// is a third faster than Default and 6-8 % larger (Go sources, a binary; 150-300 MB/s).
	if c.plain, err = newEncoder(zstd.SpeedDefault, l.Target); err != nil {
		return nil, fmt.Errorf("new patch codec: %w", err)
	}
	if c.dec, err = newDecoder(); err != nil {
		return nil, fmt.Errorf("new patch codec: %w", err)
	}
	return c, nil
}

// EncodeDict encodes target for a receiver that has base, which may be empty. Errors: ErrLimit.
func (c *Codec) EncodeDict(dst, base, target []byte) ([]byte, error) {
	if len(base) > c.lim.Base || len(target) > c.lim.Target {
		return dst, fmt.Errorf("encode %d bytes over %d: %w", len(target), len(base), ErrLimit)
	}
	if len(base) == 0 || len(target) == 0 {
		return c.EncodeWhole(dst, target)
	}
	out, err := c.deflateDict(append(dst, byte(Dict)), base, target)
	if err != nil {
		return dst, fmt.Errorf("encode over a base: %w", err)
	}
	if len(out)-len(dst) > len(target) {
		return appendRaw(dst, target), nil
	}
	return out, nil
}

// EncodeWhole encodes target for a receiver that has nothing of it. Errors: ErrLimit.
func (c *Codec) EncodeWhole(dst, target []byte) ([]byte, error) {
	if len(target) > c.lim.Target {
		return dst, fmt.Errorf("encode %d bytes: %w", len(target), ErrLimit)
	}
	if !c.pays(target) {
		return appendRaw(dst, target), nil
	}
	out, err := c.deflate(append(dst, byte(Zstd)), target)
	if err != nil {
		return dst, fmt.Errorf("encode whole: %w", err)
	}
	if len(out)-len(dst) > len(target) {
		return appendRaw(dst, target), nil
	}
	return out, nil
}

func appendRaw(dst, target []byte) []byte {
	return append(append(dst, byte(Raw)), target...)
}

// Apply makes the target out of base and a patch of any coding. The patch may be hostile: the result has
// exactly size bytes or there is an error, and memory stays within three times size and 1 MiB. Which bytes they
// are only their hash can tell. Errors: ErrPatch, ErrLimit (size or base).
func (c *Codec) Apply(dst, base, patch []byte, size int) ([]byte, error) {
	if size < 0 || size > c.lim.Target || len(base) > c.lim.Base {
		return dst, fmt.Errorf("apply for %d bytes over %d: %w", size, len(base), ErrLimit)
	}
	coding, err := CodingOf(patch)
	if err != nil {
		return dst, fmt.Errorf("apply: %w", err)
	}
	// No encoder makes a longer patch, as Raw has this length. It bounds the work by the size.
	if len(patch) > 1+size {
		return dst, fmt.Errorf("apply %s: %w: %d bytes for %d", coding, ErrPatch, len(patch), size)
	}
	out, body := slices.Grow(dst, size+decodeSlack), patch[1:]
	switch coding {
	case Raw:
		if len(body) != size {
			err = fmt.Errorf("%w: %d bytes for %d", ErrPatch, len(body), size)
		}
		out = append(out, body...)
	case Zstd:
		out, err = c.inflate(out, nil, body, size)
	case Dict:
		out, err = c.inflate(out, base, body, size)
	case Copy, CopyZstd:
		out, err = c.applyCopy(out, base, body, size, coding == CopyZstd)
	}
	if err != nil {
		return dst, fmt.Errorf("apply %s: %w", coding, err)
	}
	return out, nil
}
