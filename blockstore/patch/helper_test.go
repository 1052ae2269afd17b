package patch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func newCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// random is n bytes of ChaCha8 with a seed of one byte.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// text is n bytes of words of a small vocabulary, with line numbers: it compresses about 4 to 1.
func text(seed byte, n int) []byte {
	r := rand.New(rand.NewChaCha8([32]byte{seed}))
	vocabulary := random(77, 4000)
	var b []byte
	for line := 0; len(b) < n; line++ {
		b = fmt.Appendf(b, "%d:", line)
		for range 8 {
			at := r.IntN(500) * 8
			b = fmt.Appendf(b, " %x", vocabulary[at:at+1+at%7])
		}
		b = append(b, '\n')
	}
	return b[:n]
}

// node is bytes of the shape of a DAG node: links of 58 bytes with a random digest each.
func node(seed byte, n int) []byte {
	r := rand.New(rand.NewChaCha8([32]byte{seed}))
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = append(b, 0x12, 56, 0x0a, 0x24, 0x01, 0x70, 0x12, 0x20)
		b = append(b, random(byte(r.Uint32()), 32)...)
		b = fmt.Appendf(b, "\x12\x0cfile%04d.txt\x18", i)
		b = append(b, byte(r.Uint32())|0x80, byte(r.Uint32())|0x80, 1)
	}
	return b[:n]
}

// overwrite, overwriteText, insert: with n new bytes, at a third.
func overwrite(base []byte, n int) []byte {
	out := bytes.Clone(base)
	copy(out[len(out)/3:], random(201, n))
	return out
}

func overwriteText(base []byte, n int) []byte {
	out := bytes.Clone(base)
	copy(out[len(out)/3:], text(203, n))
	return out
}

func insert(base []byte, n int) []byte {
	at := len(base) / 3
	return bytes.Join([][]byte{base[:at], random(202, n), base[at:]}, nil)
}

// blob draws bytes of some kind and a size that is often at an edge.
func blob(most int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		edges := []int{0, 1, 2, 7, 8, 9, 127, 128, 129, 1023, 1024, 4096, 4097, 65791, 65792, 131071, 131072, 131073, most}
		n := rapid.OneOf(rapid.SampledFrom(edges), rapid.IntRange(0, most)).Draw(t, "size")
		n = min(n, most)
		seed := rapid.Byte().Draw(t, "seed")
		switch rapid.SampledFrom([]string{"random", "text", "zeros", "period"}).Draw(t, "kind") {
		case "random":
			return random(seed, n)
		case "text":
			return text(seed, n)
		case "zeros":
			return make([]byte, n)
		default:
			return bytes.Repeat(random(seed, 300), n/300+1)[:n]
		}
	})
}

// edited draws a few edits of base, and cuts the result to most bytes.
func edited(t *rapid.T, base []byte, most int) []byte {
	out := bytes.Clone(base)
	for range rapid.IntRange(0, 6).Draw(t, "edits") {
		at := rapid.IntRange(0, len(out)).Draw(t, "at")
		n := rapid.IntRange(0, min(len(out)-at, 20_000)).Draw(t, "n")
		to := rapid.IntRange(0, len(out)-n).Draw(t, "to")
		piece := bytes.Clone(out[at : at+n])
		fresh := random(rapid.Byte().Draw(t, "fresh"), n)
		switch rapid.SampledFrom([]string{"overwrite", "insert", "delete", "move", "duplicate", "truncate", "behead", "grow"}).Draw(t, "edit") {
		case "overwrite":
			copy(out[at:], fresh)
		case "insert":
			out = bytes.Join([][]byte{out[:at], fresh, out[at:]}, nil)
		case "delete":
			out = append(out[:at], out[at+n:]...)
		case "move":
			out = append(out[:at], out[at+n:]...)
			out = bytes.Join([][]byte{out[:to], piece, out[to:]}, nil)
		case "duplicate":
			out = bytes.Join([][]byte{out[:to], piece, out[to:]}, nil)
		case "truncate":
			out = out[:at]
		case "behead":
			out = out[at:]
		case "grow":
			out = append(out, text(3, n+100)...)
		}
	}
	return out[:min(len(out), most)]
}
