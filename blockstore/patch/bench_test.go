package patch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// report reports the bytes made and how long one iteration took.
func report(b *testing.B, bytes int) {
	b.ReportMetric(float64(bytes), "bytes")
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/op")
	b.ReportMetric(0, "ns/op") // the same again
}

// BenchmarkLeaf prints the bytes of a patch, or of a signature, and the time to make or apply it.
func BenchmarkLeaf(b *testing.B) {
	for _, kib := range []int{64, 256, 1024} {
		for _, kind := range []struct {
			name   string
			base   []byte
			change func([]byte, int) []byte
		}{
			{"random/overwrite", random(1, kib<<10), overwrite},
			{"random/insert", random(1, kib<<10), insert},
			{"text/overwrite", text(1, kib<<10), overwriteText},
		} {
			c, base := newCodec(b), kind.base
			target := kind.change(base, 4096)
			sig := Sign(base, BlockSize(len(base)))
			for name, encode := range map[string]func() ([]byte, error){
				"dict":   func() ([]byte, error) { return c.EncodeDict(nil, base, target) },
				"signed": func() ([]byte, error) { return c.EncodeSigned(nil, sig, target) },
				"whole":  func() ([]byte, error) { return c.EncodeWhole(nil, target) },
				"sign":   func() ([]byte, error) { return AppendSignature(nil, Sign(base, sig.BlockSize)), nil },
			} {
				prefix := fmt.Sprintf("%dKiB/%s/%s/", kib, kind.name, name)
				var patch []byte
				b.Run(prefix+"encode", func(b *testing.B) {
					var err error
					for b.Loop() {
						if patch, err = encode(); err != nil {
							b.Fatal(err)
						}
					}
					report(b, len(patch))
				})
				if name == "sign" || patch == nil {
					continue
				}
				var out []byte
				b.Run(prefix+"apply", func(b *testing.B) {
					var err error
					for b.Loop() {
						if out, err = c.Apply(out[:0], base, patch, len(target)); err != nil {
							b.Fatal(err)
						}
					}
					report(b, len(patch))
				})
			}
		}
	}
}

// BenchmarkFourLeaves is the largest base.
func BenchmarkFourLeaves(b *testing.B) {
	c, base := newCodec(b), random(1, 4<<20)
	target := overwrite(base[1_234_567:1_234_567+1<<20], 4096)
	var patch []byte
	b.Run("encode", func(b *testing.B) {
		var err error
		for b.Loop() {
			if patch, err = c.EncodeDict(patch[:0], base, target); err != nil {
				b.Fatal(err)
			}
		}
		report(b, len(patch))
	})
	b.Run("apply", func(b *testing.B) {
		var out []byte
		var err error
		for b.Loop() {
			if out, err = c.Apply(out[:0], base, patch, len(target)); err != nil {
				b.Fatal(err)
			}
		}
		report(b, len(patch))
	})
}

// BenchmarkNodes compares the dictionary coding of DAG nodes with a list of copies as long as they can be.
func BenchmarkNodes(b *testing.B) {
	base := node(1, 6400)
	change := func(n int) []byte {
		out := bytes.Clone(base)
		for i := range n {
			copy(out[58*(i*11+3)+8:], random(byte(100+i), 32))
		}
		return out
	}
	c := newCodec(b)
	for _, g := range []struct {
		name   string
		target []byte
	}{
		{"1 link", change(1)}, {"3 links", change(3)}, {"9 links", change(9)},
		{"1 link less", append(bytes.Clone(base[:58*50]), base[58*51:]...)},
		{"1 link more", bytes.Join([][]byte{base[:58*50], node(9, 58), base[58*50:]}, nil)},
	} {
		for name, encode := range map[string]func() ([]byte, error){
			"dict":   func() ([]byte, error) { return c.EncodeDict(nil, base, g.target) },
			"copies": func() ([]byte, error) { c.ops = greedy(c.ops[:0], base, g.target); return c.appendCopy(nil, g.target) },
		} {
			b.Run(g.name+"/"+name, func(b *testing.B) {
				var patch []byte
				var err error
				for b.Loop() {
					if patch, err = encode(); err != nil {
						b.Fatal(err)
					}
				}
				if out, err := c.Apply(nil, base, patch, len(g.target)); err != nil || !bytes.Equal(out, g.target) {
					b.Fatalf("does not apply: %v", err)
				}
				report(b, len(patch))
			})
		}
	}
}

// greedy makes ops for a sender with the base: from left to right the copies of 8 bytes or more, lengthened
// in both directions.
func greedy(ops []op, base, target []byte) []op {
	const least = 8
	places := make(map[uint64]int, len(base))
	for i := 0; i+least <= len(base); i++ {
		places[binary.LittleEndian.Uint64(base[i:])] = i
	}
	done := 0
	for at := 0; at+least <= len(target); at++ {
		off, ok := places[binary.LittleEndian.Uint64(target[at:])]
		if !ok {
			continue
		}
		if len(ops) > 0 { // in place, where that is possible
			last := ops[len(ops)-1]
			if o := last.off + last.n + at - done; o+least <= len(base) && bytes.Equal(base[o:o+least], target[at:at+least]) {
				off = o
			}
		}
		start, n := at, least
		for start > done && off > 0 && base[off-1] == target[start-1] {
			start, off, n = start-1, off-1, n+1
		}
		for start+n < len(target) && off+n < len(base) && base[off+n] == target[start+n] {
			n++
		}
		ops = append(ops, op{literal: start - done, off: off, n: n})
		done = start + n
		at = done - 1
	}
	return ops
}
