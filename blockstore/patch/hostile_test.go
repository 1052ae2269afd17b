package patch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/shoal-p2p/shoal/blockstore"
)

// block is a zstd block header and what follows it: kind 0 raw, 1 run, 2 compressed, 3 reserved.
func block(last bool, kind, size int, data ...byte) []byte {
	h := uint32(size<<3 | kind<<1)
	if last {
		h |= 1
	}
	return append([]byte{byte(h), byte(h >> 8), byte(h >> 16)}, data...)
}

func coded(c Coding, parts ...[]byte) []byte {
	return append([]byte{byte(c)}, bytes.Join(parts, nil)...)
}

// ops is a list of ops as it is written: literal bytes, offset from the expected one, length.
func ops(count uint64, list ...[3]int64) []byte {
	b := binary.AppendUvarint(nil, count)
	for _, o := range list {
		b = binary.AppendUvarint(b, uint64(o[0]))
		b = binary.AppendVarint(b, o[1])
		b = binary.AppendUvarint(b, uint64(o[2]))
	}
	return b
}

func TestHostilePatchesAreRefused(t *testing.T) {
	c := newCodec(t)
	base := random(1, 5000)
	run := func(n int) []byte { return block(true, 1, n, 'a') }
	whole := c.plain.EncodeAll(make([]byte, 100), nil)
	for name, g := range map[string]struct {
		patch []byte
		size  int
	}{
		"nothing":                      {nil, 0},
		"unknown coding":               {[]byte{5, 1, 2, 3}, 3},
		"last coding":                  {[]byte{255}, 0},
		"raw, short":                   {coded(Raw, []byte("abc")), 4},
		"raw, long":                    {coded(Raw, []byte("abc")), 2},
		"zstd, no blocks":              {coded(Zstd), 10},
		"zstd of nothing":              {coded(Zstd, block(true, 0, 0)), 0},
		"zstd, short":                  {coded(Zstd, run(99)), 100},
		"zstd, long":                   {coded(Zstd, run(101)), 100},
		"zstd, no last block":          {coded(Zstd, block(false, 1, 100, 'a')), 100},
		"zstd, reserved block":         {coded(Zstd, block(true, 3, 100, 'a')), 100},
		"zstd, run above a block":      {coded(Zstd, run(128<<10+1)), 128<<10 + 1},
		"zstd, with its header":        {coded(Zstd, whole), 100},
		"zstd, garbage behind":         {coded(Zstd, run(100), []byte("abcd")), 100},
		"zstd, a second frame":         {coded(Zstd, run(5000), appendHeader(nil, 100), run(100)), 5000},
		"zstd, a second frame, filled": {coded(Zstd, run(5000), appendHeader(nil, 100), run(100)), 5100},
		"zstd, a dictionary of its own": {coded(Zstd, run(5000), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 10},
			run(10)), 5010},
		"dict, short":                 {coded(Dict, run(99)), 100},
		"copy, no ops":                {coded(Copy), 100},
		"copy, ops missing":           {coded(Copy, ops(2, [3]int64{0, 0, 50})), 100},
		"copy, ops without end":       {coded(Copy, ops(math.MaxUint64)), 100},
		"copy, of nothing":            {coded(Copy, ops(1, [3]int64{50, 0, 0}), make([]byte, 50)), 50},
		"copy, more than the target":  {coded(Copy, ops(1, [3]int64{0, 0, 101})), 100},
		"copy, behind the base":       {coded(Copy, ops(1, [3]int64{0, 4901, 100})), 100},
		"copy, before the base":       {coded(Copy, ops(1, [3]int64{0, -1, 100})), 100},
		"copy, least offset":          {coded(Copy, ops(1, [3]int64{0, math.MinInt64, 100})), 100},
		"copy, greatest offset":       {coded(Copy, ops(1, [3]int64{0, math.MaxInt64, 100})), 100},
		"copy, literals missing":      {coded(Copy, ops(1, [3]int64{10, 0, 90}), make([]byte, 9)), 100},
		"copy, literals left":         {coded(Copy, ops(1, [3]int64{10, 0, 90}), make([]byte, 11)), 100},
		"copy, negative length":       {coded(Copy, ops(1, [3]int64{0, 0, -1})), 100},
		"copy+zstd, no literals":      {coded(CopyZstd, ops(1, [3]int64{0, 0, 100}), run(1)), 100},
		"copy+zstd, literals missing": {coded(CopyZstd, ops(1, [3]int64{10, 0, 90}), run(9)), 100},
		"copy+zstd, literals left":    {coded(CopyZstd, ops(1, [3]int64{10, 0, 90}), run(11)), 100},
	} {
		out, err := c.Apply([]byte("kept"), base, g.patch, g.size)
		if !errors.Is(err, ErrPatch) || string(out) != "kept" {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	if _, err := roundTrip(c, "dict", base, overwrite(base, 100)); err != nil {
		t.Errorf("the codec does not work any more: %v", err)
	}
}

// allocated is the bytes that call allocates.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// promise is what Apply may allocate, by its doc, for a new codec.
func promise(size int) uint64 { return 3*uint64(size) + 1<<20 }

func TestBombsCostLittle(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	zeros, err := cutHeader(enc.EncodeAll(make([]byte, 256<<20), nil), 0) // 28 KB of compressed blocks
	if err != nil {
		t.Fatal(err)
	}
	base := random(1, 60_000)
	for _, size := range []int{64 << 10, 1 << 20} {
		frames := coded(Zstd, block(true, 1, 64<<10, 'a'))
		for range size / 20 { // more frames behind
			frames = append(append(frames, appendHeader(nil, 64<<10)...), block(true, 1, 64<<10, 'a')...)
		}
		copies := ops(uint64(size) / 5)
		for range size / 5 { // each op all of the base
			copies = append(copies, ops(0, [3]int64{0, 0, 60_000})[1:]...)
		}
		for name, patch := range map[string][]byte{
			"zeros":             coded(Zstd, zeros),
			"zeros over a base": coded(Dict, zeros),
			"zeros as literals": coded(CopyZstd, ops(1, [3]int64{0, 0, 1}), zeros),
			"runs":              coded(Dict, bytes.Repeat(block(false, 1, 64<<10, 'a'), size/4)),
			"empty blocks":      coded(Zstd, bytes.Repeat(block(false, 0, 0), size/3)),
			"frames":            frames,
			"copies":            coded(Copy, copies),
		} {
			patch = patch[:min(len(patch), 1+size)]
			c := newCodec(t)
			start := time.Now()
			var out []byte
			n := allocated(func() { out, err = c.Apply(nil, base, patch, size) })
			if !errors.Is(err, ErrPatch) || len(out) != 0 || n > promise(size) {
				t.Errorf("%s: %d bytes, %v, allocated %d", name, len(out), err, n)
			}
			t.Logf("%s: patch of %d for %d, allocated %d KiB, %v: %v", name, len(patch), size, n>>10, time.Since(start), err)
		}
	}
}

func TestApplyingAllocatesWithinItsPromise(t *testing.T) {
	enc := newCodec(t)
	base := random(1, 4<<20)
	target := overwrite(base[1<<20:3<<20], 4096)
	for name := range encoders {
		patch, err := encoders[name](enc, nil, base, target)
		if err != nil {
			t.Fatal(err)
		}
		c := newCodec(t)
		if n := allocated(func() { _, err = c.Apply(nil, base, patch, len(target)) }); err != nil || n > promise(len(target)) {
			t.Errorf("%s: allocated %d to apply %d bytes, %v", name, n, len(target), err)
		}
	}
	patch, err := enc.EncodeDict(nil, base, target)
	if err != nil {
		t.Fatal(err)
	}
	c := newCodec(t)
	if _, err := c.Apply(nil, base, patch, len(target)); err != nil {
		t.Fatal(err)
	}
	again := make([]byte, 0, len(target)+decodeSlack)
	if n := allocated(func() { _, err = c.Apply(again, base, patch, len(target)) }); err != nil || n > 256<<10 {
		t.Errorf("allocated %d to apply again, %v", n, err)
	}
}

// A signature whose rolling hash is met at every offset but never with its strong hash.
func TestHostileSignatureCostsLittle(t *testing.T) {
	var f finder
	target := make([]byte, blockstore.MaxBlockSize)
	sig := Sign(make([]byte, 4<<20), 8<<10)
	for i := range sig.Entries {
		sig.Entries[i].Strong = uint32(i)
	}
	if got := f.matches(nil, sig, target); len(got) != 0 {
		t.Errorf("matches %v", got)
	}
	// All that may be hashed in vain was: the bound holds, and it was this test that met it.
	if f.vain < 0 || f.vain >= sig.BlockSize {
		t.Errorf("%d bytes left to hash in vain of %d", f.vain, len(target))
	}
}

func FuzzApply(f *testing.F) {
	base := random(1, 600)
	c := newCodec(f)
	for name := range encoders {
		for _, target := range [][]byte{overwrite(base, 100), insert(base, 100), text(2, 500), make([]byte, 600), nil} {
			patch, err := roundTrip(c, name, base, target)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(patch, base, len(target))
		}
	}
	f.Add(coded(CopyZstd, ops(1, [3]int64{10, 0, 90}), block(true, 1, 10, 'a')), base, 100)
	f.Fuzz(func(t *testing.T, patch, base []byte, size int) {
		const most = 1 << 16 // fast enough for many executions
		base = base[:min(len(base), most)]
		out, err := c.Apply(nil, base, patch, size%most)
		switch {
		case err == nil && len(out) != size%most:
			t.Errorf("%d bytes for %d", len(out), size%most)
		case err != nil && (out != nil || !errors.Is(err, ErrPatch) && !errors.Is(err, ErrLimit)):
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
}

func FuzzSignature(f *testing.F) {
	base := random(1, 600)
	c := newCodec(f)
	f.Add(AppendSignature(nil, Sign(base, 128)), overwrite(base, 100))
	f.Add(AppendSignature(nil, Sign(make([]byte, 1000), 128)), make([]byte, 600))
	f.Add(AppendSignature(nil, Sign(nil, 2048)), []byte(nil))
	f.Fuzz(func(t *testing.T, b, target []byte) {
		sig, err := ParseSignature(b, c.lim)
		if err != nil {
			if !errors.Is(err, ErrPatch) && !errors.Is(err, ErrLimit) {
				t.Error(err)
			}
			return
		}
		if again, err := ParseSignature(AppendSignature(nil, sig), c.lim); err != nil || len(again.Entries) != len(sig.Entries) {
			t.Errorf("written and read again: %v", err)
		}
		target = target[:min(len(target), 1<<16)]
		patch, err := c.EncodeSigned(nil, sig, target)
		if err != nil || len(patch) > 1+len(target) {
			t.Fatalf("%d bytes for %d, %v", len(patch), len(target), err)
		}
		// Whoever has some base of that size gets some target of the right size: ops stay inside both.
		if out, err := c.Apply(nil, make([]byte, sig.Size), patch, len(target)); err != nil || len(out) != len(target) {
			t.Errorf("%d bytes for %d, %v", len(out), len(target), err)
		}
	})
}

func FuzzEncodeDict(f *testing.F) {
	base := random(1, 600)
	c := newCodec(f)
	f.Add(base, overwrite(base, 100))
	f.Add(text(1, 600), text(1, 400))
	f.Add(node(1, 600), node(1, 500))
	f.Add([]byte{1}, []byte{1, 1})
	f.Fuzz(func(t *testing.T, base, target []byte) {
		base, target = base[:min(len(base), 1<<16)], target[:min(len(target), 1<<16)]
		for name := range encoders {
			if _, err := roundTrip(c, name, base, target); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
