package patch

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBlockSizeMakesTheSumSmall(t *testing.T) {
	for size, want := range map[int]int{0: 128, 1000: 128, 4 << 10: 128, 16 << 10: 256, 64 << 10: 512, 256 << 10: 1 << 10, 1 << 20: 2 << 10, 4 << 20: 4 << 10} {
		if got := BlockSize(size); got != want {
			t.Errorf("BlockSize(%d) = %d, want %d", size, got, want)
		}
	}
	cost := func(size, block int) float64 { return entrySize*float64(size)/float64(block) + float64(block) }
	for size := 2 << 10; size <= 4<<20; size += size / 7 {
		b := BlockSize(size)
		if c := cost(size, b); b > minSignBlock && (c > cost(size, b/2) || c > cost(size, 2*b)) {
			t.Errorf("BlockSize(%d) = %d: half or twice of it is better", size, b)
		}
	}
}

func TestSignatureFitsAControlFrame(t *testing.T) {
	l := DefaultLimits()
	for size := 1; size <= l.Base; size += 1 + size/5 {
		b := AppendSignature(nil, Sign(make([]byte, size), BlockSize(size)))
		if len(b) > 1+4+entrySize*(1+int(1.5*math.Sqrt(float64(size)/entrySize))) && size > 2<<10 || len(b) > 64<<10 {
			t.Errorf("%d bytes of signature for %d", len(b), size)
		}
	}
}

func TestSignatureReadsBack(t *testing.T) {
	l := DefaultLimits()
	rapid.Check(t, func(t *rapid.T) {
		base := blob(100_000).Draw(t, "base")
		s := Sign(base, rapid.SampledFrom([]int{0, 128, 129, 2048, 1 << 20}).Draw(t, "block"))
		if len(s.Entries) > l.Entries {
			t.Skip()
		}
		b := AppendSignature([]byte{7}, s)
		got, err := ParseSignature(b[1:], l)
		if err != nil || got.BlockSize != s.BlockSize || got.Size != len(base) || !slices.Equal(got.Entries, s.Entries) {
			t.Fatalf("%v, %v; want %v", got, err, s)
		}
		for _, wrong := range [][]byte{b[1 : len(b)-1], append(b[1:], 0)} {
			if _, err := ParseSignature(wrong, l); err == nil {
				t.Fatalf("read %d bytes instead of %d", len(wrong), len(b)-1)
			}
		}
	})
}

func TestHostileSignaturesAreRefused(t *testing.T) {
	for name, g := range map[string]struct {
		hex  string
		want error
	}{
		"nothing":                  {"", ErrPatch},
		"no size":                  {"8001", ErrPatch},
		"blocks of nothing":        {"0000", ErrPatch},
		"blocks of 127":            {"7f00", ErrPatch},
		"blocks above the base":    {"8180800200", ErrPatch},
		"size without end":         {"8010ffffffffffffffffff01", ErrPatch},
		"size above the base":      {"801081808002", ErrLimit},
		"more entries than limits": {"8001" + "818020", ErrLimit},
		"entry missing":            {"8010" + "01", ErrPatch},
	} {
		b, err := hex.DecodeString(g.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSignature(b, DefaultLimits()); !errors.Is(err, g.want) {
			t.Errorf("%s: %v, want %v", name, err, g.want)
		}
	}
	c := newCodec(t)
	for name, s := range map[string]Signature{
		"zero":            {},
		"negative":        {BlockSize: 2048, Size: -1},
		"entries missing": {BlockSize: 2048, Size: 5000, Entries: make([]Entry, 2)},
		"entries left":    {BlockSize: 2048, Size: 5000, Entries: make([]Entry, 4)},
	} {
		if _, err := c.EncodeSigned(nil, s, []byte("x")); !errors.Is(err, ErrPatch) {
			t.Errorf("encode over a signature, %s: %v", name, err)
		}
	}
}

func TestGoldenSignature(t *testing.T) {
	base := make([]byte, 130)
	for i := range base {
		base[i] = byte(i)
	}
	const want = "8001" + "8201" + "362b6e40471fb9" + "8000ca015dd169"
	if got := hex.EncodeToString(AppendSignature(nil, Sign(base, 128))); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// dumb finds what matches should, by comparing bytes: from left to right whole blocks of base, then its tail.
func dumb(base []byte, size int, target []byte) (copied int) {
	blocks := map[string]bool{}
	for at := 0; at+size <= len(base); at += size {
		blocks[string(base[at:at+size])] = true
	}
	at, done := 0, 0
	for at+size <= len(target) {
		if blocks[string(target[at:at+size])] {
			copied += size
			at += size
			done = at
		} else {
			at++
		}
	}
	if n := len(base) % size; n > 0 && len(target)-n >= done && string(target[len(target)-n:]) == string(base[len(base)-n:]) {
		copied += n
	}
	return copied
}

func TestMatchesAgainstDumbSearch(t *testing.T) {
	var f finder
	rapid.Check(t, func(t *rapid.T) {
		base := blob(5000).Draw(t, "base")
		target := edited(t, base, 8000)
		size := rapid.SampledFrom([]int{128, 131, 256, 1024}).Draw(t, "block")
		copied, at := 0, 0
		for _, o := range f.matches(nil, Sign(base, size), target) {
			at += o.literal
			if string(base[o.off:o.off+o.n]) != string(target[at:at+o.n]) {
				t.Fatalf("op %v at %d copies other bytes", o, at)
			}
			at += o.n
			copied += o.n
		}
		if want := dumb(base, size, target); copied != want {
			t.Fatalf("%d bytes copied, want %d", copied, want)
		}
	})
}

func TestRunsAreOneOp(t *testing.T) {
	var f finder
	for name, base := range map[string][]byte{"random": random(1, 100_000), "zeros": make([]byte, 100_000)} {
		if got := f.matches(nil, Sign(base, 2048), base); !slices.Equal(got, []op{{0, 0, 100_000}}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
