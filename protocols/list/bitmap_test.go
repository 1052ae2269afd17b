package list

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
)

// drawBitmap gives bitmaps of all kinds: empty, full, few long runs, noise.
func drawBitmap(t *rapid.T, n int) Bitmap {
	b := NewBitmap(n)
	for range rapid.IntRange(0, 4).Draw(t, "runs") {
		start := rapid.IntRange(0, n).Draw(t, "start")
		for i := start; i < min(n, start+rapid.IntRange(0, n).Draw(t, "length")); i++ {
			b.Set(i)
		}
	}
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, max(0, n-1)), 0, 20).Draw(t, "singles") {
		if n > 0 {
			b.Set(i)
		}
	}
	return b
}

func indexes(b Bitmap) (out []int) {
	for i := range 8 * len(b) {
		if b.Get(i) {
			out = append(out, i)
		}
	}
	return out
}

func TestLeavesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		b := drawBitmap(t, n)
		if b.Count() != len(indexes(b)) {
			t.Fatalf("count %d, want %d", b.Count(), len(indexes(b)))
		}
		m := encodeLeaves(b)
		if size := proto.Size(m); size > len(b)+4 {
			t.Fatalf("%d bytes for a bitmap of %d", size, len(b))
		}
		var got []int
		if err := decodeLeaves(m, n, func(start, n int) {
			for i := start; i < start+n; i++ {
				got = append(got, i)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, indexes(b)) {
			t.Fatalf("got %v, want %v", got, indexes(b))
		}
	})
}

func TestShorterFormIsChosen(t *testing.T) {
	full, sparse, noise := NewBitmap(80000), NewBitmap(80000), NewBitmap(80000)
	for i := range 80000 {
		full.Set(i)
		if i%2 == 0 {
			noise.Set(i)
		}
	}
	sparse.Set(79999)
	for name, test := range map[string]struct {
		b    Bitmap
		most int
	}{"full": {full, 10}, "sparse": {sparse, 10}, "noise": {noise, 10010}} {
		if n := proto.Size(encodeLeaves(test.b)); n > test.most {
			t.Errorf("%s: %d bytes, want at most %d", name, n, test.most)
		}
	}
}

func TestBitmapOutside(t *testing.T) {
	b := NewBitmap(9)
	if b.Get(-1) || b.Get(16) || b.Get(1<<40) || len(b) != 2 {
		t.Errorf("outside: %v %v, %d bytes", b.Get(-1), b.Get(16), len(b))
	}
}

func TestDecodeLeavesRefuses(t *testing.T) {
	v := func(ns ...uint64) (b []byte) {
		for _, n := range ns {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	tests := map[string]*listpb.Leaves{
		"both forms":         {Bitmap: []byte{1}, Ranges: v(0, 1)},
		"bitmap too long":    {Bitmap: []byte{0, 0, 1}},
		"bit beyond":         {Bitmap: []byte{0, 4}},
		"range beyond":       {Ranges: v(5, 6)},
		"second beyond":      {Ranges: v(0, 5, 1, 5)},
		"gap of 2^63":        {Ranges: v(1<<63, 1)},
		"length of 2^64-1":   {Ranges: v(0, 1<<64-1)},
		"sum that overflows": {Ranges: v(1<<63, 1<<63)},
		"length 0":           {Ranges: v(3, 0)},
		"half a pair":        {Ranges: v(3)},
		"cut varint":         {Ranges: []byte{0, 0x80}},
		"endless varint":     {Ranges: bytes.Repeat([]byte{0xff}, 30)},
	}
	for name, m := range tests {
		if err := decodeLeaves(m, 10, func(int, int) {}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeLeaves(f *testing.F) {
	f.Add([]byte{0xff, 1}, []byte{}, 10)
	f.Add([]byte{}, []byte{0, 5, 2, 3}, 10)
	f.Fuzz(func(t *testing.T, bitmap, ranges []byte, leaves int) {
		leaves = max(0, leaves%1000)
		end := 0
		err := decodeLeaves(&listpb.Leaves{Bitmap: bitmap, Ranges: ranges}, leaves, func(start, n int) {
			if start < end || n < 1 || start+n > leaves {
				t.Fatalf("run %d+%d after %d of %d", start, n, end, leaves)
			}
			end = start + n
		})
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}
