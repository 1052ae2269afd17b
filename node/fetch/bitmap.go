package fetch

import "math/bits"

// bitmap is a set of small integers.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) get(i uint32) bool { return b[i/64]>>(i%64)&1 == 1 }
func (b bitmap) set(i uint32)      { b[i/64] |= 1 << (i % 64) }
func (b bitmap) clear(i uint32)    { b[i/64] &^= 1 << (i % 64) }

func (b bitmap) put(i uint32, v bool) {
	if v {
		b.set(i)
	} else {
		b.clear(i)
	}
}

// fill puts 0..n-1 into the set.
func (b bitmap) fill(n int) {
	for i := range b {
		b[i] = ^uint64(0)
	}
	if n%64 != 0 {
		b[len(b)-1] = 1<<(n%64) - 1
	}
}

// load sets the members of a byte bitmap that are below n.
func (b bitmap) load(data []byte, n int) {
	for i, v := range data[:min(len(data), (n+7)/8)] {
		b[i/8] |= uint64(v) << (i % 8 * 8)
	}
	if n%64 != 0 {
		b[len(b)-1] &= 1<<(n%64) - 1
	}
}

// window returns the members lo..lo+n-1 as the low bits of a word; n is 1 to 64.
func (b bitmap) window(lo uint32, n uint8) uint64 {
	i, shift := lo/64, lo%64
	w := b[i] >> shift
	if shift > 0 && int(i)+1 < len(b) {
		w |= b[i+1] << (64 - shift)
	}
	return w & (^uint64(0) >> (64 - n))
}

// next returns the first member of every set that is at least from, or -1. The sets have equal length.
func next(from int, first bitmap, others ...bitmap) int {
	keep := ^uint64(0) << (from % 64)
	for i := from / 64; i < len(first); i++ {
		w := first[i] & keep
		for _, o := range others {
			w &= o[i]
		}
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
		keep = ^uint64(0)
	}
	return -1
}
