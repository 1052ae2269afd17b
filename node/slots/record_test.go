package slots

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// imageOf is a file whose last two values were saved as generations n-1 and n; of the first there is one only.
func imageOf(n uint64, size int) []byte {
	image := make([]byte, 2*slotSize)
	for g := n - 1; g <= n; g++ {
		if r := (record{generation: g, data: value(int(g), size)}); g > 0 {
			copy(image[r.offset():], r.encode())
		}
	}
	return image
}

// TestBytes pins the format.
func TestBytes(t *testing.T) {
	got := hex.EncodeToString(record{generation: 0x0102, data: []byte("abc")}.encode())
	if want := "736c7331" + "00000003" + "0000000000000102" + "36d08b66" + "616263"; got != want {
		t.Errorf("slot is %s, want %s", got, want)
	}
}

// TestEveryBitFlipped flips each bit that is in use, and each byte that is not.
func TestEveryBitFlipped(t *testing.T) {
	for _, n := range []uint64{1, 2, 3} {
		image := imageOf(n, 40)
		newer, older := record{generation: n}.offset(), record{generation: n - 1}.offset()
		used := int64(headerSize + len(value(1, 40)))
		for at := range int64(len(image)) {
			for bit := range 8 {
				flip := byte(1 << bit)
				inNewer, inOlder := at >= newer && at < newer+used, at >= older && at < older+used
				if n == 1 { // the other slot was never written: only its header is looked at
					inOlder = at >= older && at < older+headerSize
				}
				if !inNewer && !inOlder {
					flip = 0xff // all bits at once
				}
				image[at] ^= flip
				r, damaged, ok := choose(image)
				want := n
				if inNewer {
					want--
				}
				if ok != (want > 0) || damaged != (inNewer || inOlder) || r.generation != want {
					t.Fatalf("generation %d, byte %d ^ %02x: got %d, damaged %v, %v", n, at, flip, r.generation, damaged, ok)
				}
				if ok && !bytes.Equal(r.data, value(int(want), 40)) {
					t.Fatalf("generation %d, byte %d: wrong data", n, at)
				}
				image[at] ^= flip
				if flip == 0xff {
					break
				}
			}
		}
	}
}

// TestEveryTruncation cuts the file at each length and reads what is left.
func TestEveryTruncation(t *testing.T) {
	const size = 40
	used := headerSize + len(value(1, size))
	for _, n := range []uint64{1, 2, 3} {
		image := imageOf(n, size)
		for cut := len(image) - 1; cut >= 0; cut-- {
			image[cut] = 0 // as Open reads what is not there
			r, damaged, ok := choose(image)
			have := func(g uint64) bool { return g > 0 && cut >= int(record{generation: g}.offset())+used }
			var want uint64
			switch {
			case have(n):
				want = n
			case have(n - 1):
				want = n - 1
			}
			if ok != (want > 0) || r.generation != want {
				t.Fatalf("generation %d cut at %d: got %d, %v; want %d", n, cut, r.generation, ok, want)
			}
			if both := have(n) && (n == 1 || have(n-1)); damaged == both {
				t.Fatalf("generation %d cut at %d: damaged %v", n, cut, damaged)
			}
		}
	}
}

// TestSwappedSlots: a slot in the place of the other is not good.
func TestSwappedSlots(t *testing.T) {
	image := imageOf(3, 40)
	if r, _, ok := choose(append(image[slotSize:], image[:slotSize]...)); ok {
		t.Errorf("generation %d was read", r.generation)
	}
}

// FuzzChoose: whatever is taken for good is what encode makes of it.
func FuzzChoose(f *testing.F) {
	for _, n := range []uint64{1, 2, maxGeneration} {
		image := imageOf(n, 3)
		f.Add(image[:100], image[slotSize:slotSize+100])
	}
	f.Add([]byte(magic), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		image := make([]byte, 2*slotSize)
		copy(image[:slotSize], a)
		copy(image[slotSize:], b)
		r, _, ok := choose(image)
		if ok && !bytes.HasPrefix(image[r.offset():], r.encode()) {
			t.Errorf("%+v has another encoding", r)
		}
		for n, slot := range [][]byte{image[:slotSize], image[slotSize:]} {
			if other, good := decode(slot, uint64(n)); good && (!ok || other.generation > r.generation) {
				t.Errorf("slot %d of generation %d was not chosen", n, other.generation)
			}
		}
	})
}
