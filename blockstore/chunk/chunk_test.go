package chunk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// small has the proportions of Default at 1/64, so that small inputs have many chunks.
func small() Params { return Params{Min: 1 << 10, Avg: 4 << 10, Max: 16 << 10} }

func newChunker(t testing.TB, p Params) *Chunker {
	t.Helper()
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// seeded is n bytes of ChaCha8 with a seed of one byte.
func seeded(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// split cuts data as a scanner does that holds Max bytes, or what is left of the file.
func split(c *Chunker, data []byte) (chunks [][]byte) {
	for len(data) > 0 {
		buf := data[:min(len(data), c.max)]
		n := c.Cut(buf, len(buf) == len(data))
		chunks = append(chunks, data[:n])
		data = data[n:]
	}
	return chunks
}

func TestGoldenCuts(t *testing.T) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog.\n"), 100_000)
	for _, g := range []struct {
		name   string
		data   []byte
		chunks int
		sum    string // SHA-256 of the lengths, each 4 bytes big-endian
	}{
		{"nothing", nil, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"one byte", []byte{7}, 1, "b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d"},
		{"random 64 KiB", seeded(1, 64<<10), 1, "bf5e8ffa51a9e748985800c1d3d7f1a2a6ae7435136593ca8d9637e3f87c699c"},
		{"random 64 KiB + 1", seeded(1, 64<<10+1), 1, "76cc5805dab9b4eacefdb477f498020fd82bccdbc9c6a2d9ce10586ac85512b4"},
		{"random 1 MiB", seeded(2, 1<<20), 6, "519cac78edaa24e342636308836eb2da92687fc7b23a90ec15e480f9171d5051"},
		{"random 16 MiB", seeded(3, 16<<20), 69, "74f74c351eea9f18b091eaa026d25fa9fe721fdbed5fba0ecef3fcacc239910a"},
		{"zeros 5 MiB", make([]byte, 5<<20), 5, "70de8e3c7034a9bf9756a25b2d2b0a3ee4b79a772553c373757f9d4bc5fe63f9"},
		{"repeated text", text, 5, "6d0c996ceb92d1ecb35798da697c9193448e4b68852553ba8746e912267e8641"},
	} {
		h := sha256.New()
		chunks := split(newChunker(t, Default()), g.data)
		for _, c := range chunks {
			_ = binary.Write(h, binary.BigEndian, uint32(len(c))) // a hash takes every write
		}
		if sum := hex.EncodeToString(h.Sum(nil)); len(chunks) != g.chunks || sum != g.sum {
			t.Errorf("%s: %d chunks, %s; want %d, %s", g.name, len(chunks), sum, g.chunks, g.sum)
		}
	}
}

func TestGearTable(t *testing.T) {
	c := newChunker(t, Default())
	h := sha256.New()
	for i, g := range c.gear {
		_ = binary.Write(h, binary.BigEndian, g) // a hash takes every write
		// A hash starts with one entry alone, and in a run of one byte it settles at the entry's
		// negative. Neither may be an event, or every run of that byte would be cut at a fixed beat.
		if g < c.event || -g < c.event {
			t.Errorf("gear[%d] = %x is an event of its own", i, g)
		}
	}
	const want = "ce49bdcd81ceee179cc2b49a2a2b804e90292f5212bb4d87ba0826921f8d83b5"
	if sum := hex.EncodeToString(h.Sum(nil)); sum != want {
		t.Errorf("gear table hashes to %s, want %s", sum, want)
	}
}

func TestRunsOfOneByteAreCutAtMax(t *testing.T) {
	c := newChunker(t, Default())
	for b := range 256 {
		data := bytes.Repeat([]byte{byte(b)}, 1<<20+1)
		if n := c.Cut(data, true); n != 1<<20 {
			t.Errorf("run of byte %d cut at %d", b, n)
		}
	}
}

func TestAverageIsWhatParamsSay(t *testing.T) {
	const total = 64 << 20
	n := len(split(newChunker(t, small()), seeded(4, total))) // about 16,000 chunks: standard error 0.6 %
	if avg := float64(total) / float64(n); avg < 0.97*4096 || avg > 1.01*4096 {
		t.Errorf("average %.0f bytes, want 0.99 of 4096", avg)
	}
}

func TestParams(t *testing.T) {
	for _, p := range []Params{{}, {63, 4096, 16384}, {1024, 1024, 8192}, {1024, 1279, 8192}, {1024, 4096, 8191}, {65536, 262144, 2<<20 + 1}} {
		if _, err := New(p); err == nil {
			t.Errorf("New(%v) accepted", p)
		}
	}
}

func TestCutRefusesShortReads(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Cut of a short read that is not final did not panic")
		}
	}()
	newChunker(t, small()).Cut(make([]byte, 16<<10-1), false)
}

// reused is the bytes of edited that lie in chunks of old.
func reused(c *Chunker, old, edited []byte) (n int) {
	known := map[[32]byte]bool{}
	for _, b := range split(c, old) {
		known[sha256.Sum256(b)] = true
	}
	for _, b := range split(c, edited) {
		if known[sha256.Sum256(b)] {
			n += len(b)
		}
	}
	return n
}

func TestInsertsReuse(t *testing.T) {
	// 200 one-byte inserts in 1,024 chunks' worth of data (256 MiB at the default sizes, 4 MiB here).
	// An insert spoils the chunk it hits and now and then the next; a random chunk is spared by all of
	// them with about (1 - 1/1024 * 1.4)^200 = 76 % of the bytes.
	c, old := newChunker(t, small()), seeded(5, 4<<20)
	r := rand.New(rand.NewPCG(1, 2))
	edited := slices.Clone(old)
	for range 200 {
		edited = slices.Insert(edited, r.IntN(len(edited)), byte(r.Uint32()))
	}
	if share := float64(reused(c, old, edited)) / float64(len(edited)); share < 0.70 {
		t.Errorf("%.1f %% reused after 200 inserts, want about 75", 100*share)
	}
}

func TestResynchronises(t *testing.T) {
	// After one edit, whatever its length, cuts fall on the old places again within 16 Max.
	c, old := newChunker(t, small()), seeded(6, 1<<20)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(old)).Draw(t, "at")
		del := rapid.IntRange(0, min(40_000, len(old)-at)).Draw(t, "deleted")
		ins := seeded(rapid.Byte().Draw(t, "seed"), rapid.IntRange(0, 40_000).Draw(t, "inserted"))
		edited := slices.Concat(old[:at], ins, old[at+del:])
		if lost := len(edited) - len(ins) - reused(c, old, edited); lost > 16*c.max {
			t.Fatalf("%d bytes around the edit not reused", lost)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte{}, byte(0), uint16(0))
	f.Add([]byte("abc"), byte(1), uint16(50_000))
	f.Add(make([]byte, 300), byte(2), uint16(3000))
	c := newChunker(f, Params{Min: 64, Avg: 512, Max: 1024})
	f.Fuzz(func(t *testing.T, data []byte, seed byte, n uint16) {
		data = append(data, seeded(seed, int(n))...)
		chunks := split(c, data)
		for i, b := range chunks {
			if len(b) == 0 || len(b) > c.max || (len(b) < c.min && i < len(chunks)-1) {
				t.Fatalf("chunk %d of %d has %d bytes", i, len(chunks), len(b))
			}
		}
		if !bytes.Equal(slices.Concat(chunks...), data) {
			t.Fatal("chunks do not join to the data")
		}
		// The same cuts with all the rest of the file in hand, and with the last buffer not yet known final.
		rest := data
		for i, b := range chunks {
			if got := c.Cut(rest, true); got != len(b) {
				t.Fatalf("chunk %d: %d bytes with the whole rest in hand, %d with Max", i, got, len(b))
			}
			if len(rest) >= c.max && c.Cut(rest, false) != len(b) {
				t.Fatalf("chunk %d: the cut depends on final", i)
			}
			rest = rest[len(b):]
		}
	})
}

func BenchmarkCut(b *testing.B) {
	c, err := New(Default())
	if err != nil {
		b.Fatal(err)
	}
	data := seeded(7, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		split(c, data)
	}
}
