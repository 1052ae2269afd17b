package list

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
)

// Bitmap is a set of leaf indexes: index i is byte i/8, bit 1 << (i%8).
type Bitmap []byte

// NewBitmap makes an empty bitmap that has room for indexes below n.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+7)/8) }

// Get tells whether i is in b; what lies outside is not.
func (b Bitmap) Get(i int) bool { return i >= 0 && i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

// Set puts i into b; i must be below the n that b was made for.
func (b Bitmap) Set(i int) { b[i/8] |= 1 << (i % 8) }

// Count is how many indexes are in b.
func (b Bitmap) Count() int {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// trim cuts zero bytes off the end.
func (b Bitmap) trim() Bitmap {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// runs calls fn for each run of consecutive indexes in b, ascending, until it returns false.
func (b Bitmap) runs(fn func(start, n int) bool) {
	start := -1
	for i := 0; i < 8*len(b); i++ {
		if i%8 == 0 && start < 0 && b[i/8] == 0 { // most of a sparse bitmap
			i += 7
			continue
		}
		if in := b.Get(i); in && start < 0 {
			start = i
		} else if !in && start >= 0 {
			if !fn(start, i-start) {
				return
			}
			start = -1
		}
	}
	if start >= 0 {
		fn(start, 8*len(b)-start)
	}
}

// encodeLeaves gives the shorter of the two forms; nil for no leaves at all.
func encodeLeaves(b Bitmap) *listpb.Leaves {
	b = b.trim()
	if len(b) == 0 {
		return nil
	}
	var ranges []byte
	end, shorter := 0, true
	b.runs(func(start, n int) bool {
		ranges = binary.AppendUvarint(ranges, uint64(start-end))
		ranges = binary.AppendUvarint(ranges, uint64(n))
		end = start + n
		shorter = len(ranges) < len(b)
		return shorter
	})
	if shorter {
		return &listpb.Leaves{Ranges: ranges}
	}
	return &listpb.Leaves{Bitmap: b}
}

// decodeLeaves calls fn for each run of indexes, ascending; an index that is not below leaves is an
// error. The cost is at most that of leaves indexes, however the message is made.
func decodeLeaves(m *listpb.Leaves, leaves int, fn func(start, n int)) error {
	b := Bitmap(m.GetBitmap())
	if len(b) > 0 && len(m.GetRanges()) > 0 {
		return fmt.Errorf("%w: leaves in both forms", ErrMalformed)
	}
	if len(b) > (leaves+7)/8 || (len(b) == (leaves+7)/8 && leaves%8 != 0 && b[len(b)-1]>>(leaves%8) != 0) {
		return fmt.Errorf("%w: bitmap is longer than %d leaves", ErrMalformed, leaves)
	}
	b.runs(func(start, n int) bool { fn(start, n); return true })
	end := 0
	for r := m.GetRanges(); len(r) > 0; {
		gap, k := binary.Uvarint(r)
		if k <= 0 {
			return fmt.Errorf("%w: ranges are cut short", ErrMalformed)
		}
		n, l := binary.Uvarint(r[k:])
		if l <= 0 || n == 0 {
			return fmt.Errorf("%w: ranges are cut short", ErrMalformed)
		}
		// Each is held against leaves alone first, so that the sums cannot overflow.
		if gap > uint64(leaves) || n > uint64(leaves) || end+int(gap)+int(n) > leaves {
			return fmt.Errorf("%w: a range goes beyond %d leaves", ErrMalformed, leaves)
		}
		fn(end+int(gap), int(n))
		end += int(gap) + int(n)
		r = r[k+l:]
	}
	return nil
}
