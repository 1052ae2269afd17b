// Package chunk cuts bytes into content-defined chunks: where a file is cut depends on the bytes around
// the cut and not on their offset, so that an insertion changes the chunks it touches and no others.
//
// Terms: the gear hash of a place is a 64-bit value of the bytes before it, fp = 2*fp + gear[byte]; a
// byte leaves it after 64 steps. A place whose hash is below the threshold "event" is an event; one that
// is also below the smaller threshold "cut" ends the chunk.
//
// The algorithm, for one chunk:
//
//	skip Min bytes unread
//	hash on until an event (or Max, or the end of the file: cut there)
//	if the hash is below cut: cut after this byte
//	else: skip Jump bytes unread, start the hash anew, go on hashing
//
// The jump is what makes it fast: half of the bytes behind Min are never looked at. Its idea, a second,
// weaker condition that skips instead of cutting, is that of X. Jin et al., "Accelerating Content-Defined
// Chunking for Data Deduplication Based on Speculative Jump" (IEEE TPDS 2023); the thresholds, which allow
// any probability where masks allow powers of two, the arithmetic and the gear table are our own.
//
// The package is pure and imports nothing of this module.
package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// ID names the algorithm, its arithmetic and its gear table in an import profile. Whoever changes any of
// them changes the cuts of all files and must take another name.
const ID = "jc-1"

// maxSize is the largest Max allowed: 2 MiB, the most that IPFS implementations accept as one block.
const maxSize = 2 << 20

// window is how many bytes a gear hash depends on. A minimum below it would make no sense.
const window = 64

// Params are the sizes of chunks, in bytes.
type Params struct {
	Min int // no chunk is shorter, but the last of a file
	Avg int // expected length on random data
	Max int // no chunk is longer
}

// Default is the sizes every import profile uses so far: 64 KiB, 256 KiB, 1 MiB.
func Default() Params {
	return Params{Min: 64 << 10, Avg: 256 << 10, Max: 1 << 20}
}

// Validate refuses sizes that New refuses.
func (p Params) Validate() error {
	// Behind Min lies at least one window. With Max >= 2 Avg the cuts forced by Max stay the exception.
	if p.Min < window || p.Avg < p.Min+4*window || p.Max < 2*p.Avg || p.Max > maxSize {
		return fmt.Errorf("chunk sizes %d/%d/%d: want %d <= min, min+%d <= avg, 2 avg <= max <= %d",
			p.Min, p.Avg, p.Max, window, 4*window, maxSize)
	}
	return nil
}

// Chunker finds cuts. It is immutable and safe for concurrent use.
type Chunker struct {
	min, max, jump int
	event, cut     uint64
	gear           [256]uint64
}

// New makes a chunker. It fails only for sizes that make no sense.
//
// The arithmetic: let B = Avg - Min be the mean length behind the minimum. An event happens with
// probability 4/B per hashed byte, so B/4 bytes are hashed before each. Every second event, on average,
// is a cut, so a chunk has two events and one jump, and with a jump of B/2 its mean length is
//
//	Min + 2 * B/4 + 1 * B/2 = Avg
//
// of which B/2 are hashed. For 64/256/1024 KiB: an event every 48 KiB, a jump of 96 KiB, 96 of 256 KiB
// hashed. Cuts forced by Max shorten the mean by 0.9 % there, to 254 KiB; this is left as it is.
func New(p Params) (*Chunker, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	body := p.Avg - p.Min
	c := &Chunker{min: p.Min, max: p.Max, jump: body / 2, gear: gearTable()}
	c.event = math.MaxUint64 / uint64(body) * 4
	c.cut = c.event / 2
	return c, nil
}

// gearTable is 256 random-looking numbers that nobody could choose: entry i is the first eight bytes,
// big-endian, of SHA-256 of "shoal gear 1" followed by the byte i.
func gearTable() (t [256]uint64) {
	for i := range t {
		h := sha256.Sum256(append([]byte("shoal gear 1"), byte(i)))
		t[i] = binary.BigEndian.Uint64(h[:])
	}
	return t
}

// Cut returns the length of the first chunk of data: 0 only for empty data, at most Max, and at least Min
// unless data is shorter and final. final tells that data reaches to the end of the file; without it data
// must hold at least Max bytes, or the cut could depend on how much was read, and Cut panics. Bytes
// behind Max are never looked at.
func (c *Chunker) Cut(data []byte, final bool) int {
	if !final && len(data) < c.max {
		panic(fmt.Sprintf("chunk: Cut of %d bytes that are not the end of the file; needs %d", len(data), c.max))
	}
	data = data[:min(len(data), c.max)]
	for i := c.min; i < len(data); i += c.jump {
		n, fp := c.next(data[i:])
		if n == 0 {
			break
		}
		i += n
		if fp < c.cut {
			return i
		}
	}
	return len(data)
}

// next hashes data up to and including the first event and returns how many bytes that were, and the
// hash; 0 if there is no event.
func (c *Chunker) next(data []byte) (n int, fp uint64) {
	event := c.event
	for i, b := range data {
		fp = fp<<1 + c.gear[b]
		if fp < event {
			return i + 1, fp
		}
	}
	return 0, 0
}
