package slots

import (
	"encoding/binary"
	"hash/crc32"
)

// A slot, numbers big-endian:
//
//	 0  4  magic: "sls1"
//	 4  4  length of the data
//	 8  8  generation, from 1 to 2^63 - 1; the slot is generation mod 2
//	16  4  CRC-32C of the 16 bytes before and the data
//	20     data; what is behind it says nothing
//
// The slot number is checked too, so that a slot written in the place of the other is not good.

const (
	magic      = "sls1"
	headerSize = 20

	// slotSize keeps the slots on different sectors, pages and flash pages, of which the largest in use have
	// 16 KiB, so that a write to one never touches the other.
	slotSize = 64 << 10

	// maxGeneration leaves room to count on: a Save every microsecond takes 290,000 years to get there.
	maxGeneration = 1<<63 - 1
)

// MaxData is the most bytes a value may have.
const MaxData = slotSize - headerSize

// castagnoli returns the table of CRC-32C, which the standard library makes once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// record is what a good slot says.
type record struct {
	generation uint64
	data       []byte
}

// offset is where the record's slot begins.
func (r record) offset() int64 { return int64(r.generation%2) * slotSize }

func (r record) encode() []byte {
	b := make([]byte, headerSize, headerSize+len(r.data))
	copy(b, magic)
	binary.BigEndian.PutUint32(b[4:], uint32(len(r.data)))
	binary.BigEndian.PutUint64(b[8:], r.generation)
	b = append(b, r.data...)
	binary.BigEndian.PutUint32(b[16:], sum(b))
	return b
}

// sum is the checksum of a slot that has nothing behind its data.
func sum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:16], castagnoli()), castagnoli(), b[headerSize:])
}

// decode reads slot number n, of slotSize bytes. The data shares its memory.
func decode(b []byte, n uint64) (r record, ok bool) {
	length := binary.BigEndian.Uint32(b[4:])
	r.generation = binary.BigEndian.Uint64(b[8:])
	if string(b[:4]) != magic || length > MaxData || r.generation == 0 || r.generation > maxGeneration || r.generation%2 != n {
		return record{}, false
	}
	b = b[:headerSize+length]
	r.data = b[headerSize:]
	return r, binary.BigEndian.Uint32(b[16:]) == sum(b)
}

// choose reads both slots, image, and returns the record of the higher generation, if there is one, and whether
// the other slot is damaged.
func choose(image []byte) (last record, damaged, ok bool) {
	r0, ok0 := decode(image[:slotSize], 0)
	r1, ok1 := decode(image[slotSize:], 1)
	switch {
	case ok0 && ok1:
		if r0.generation > r1.generation {
			return r0, false, true
		}
		return r1, false, true
	case ok0:
		return r0, true, true
	case ok1:
		// The first generation lies in slot 1 and has no other beside it.
		return r1, r1.generation > 1 || !blank(image[:headerSize]), true
	}
	return record{}, true, false
}

// blank tells whether nothing was ever written.
func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
