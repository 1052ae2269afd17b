package patch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// encoders is every way to a patch, with the signature made in between where there is one.
var encoders = map[string]func(c *Codec, dst, base, target []byte) ([]byte, error){
	"dict":  (*Codec).EncodeDict,
	"whole": func(c *Codec, dst, _, target []byte) ([]byte, error) { return c.EncodeWhole(dst, target) },
	"signed": func(c *Codec, dst, base, target []byte) ([]byte, error) {
		sig, err := ParseSignature(AppendSignature(nil, Sign(base, BlockSize(len(base)))), c.lim)
		if err != nil {
			return nil, err
		}
		return c.EncodeSigned(dst, sig, target)
	},
}

// roundTrip encodes and applies behind bytes that must stay, and returns the patch.
func roundTrip(c *Codec, name string, base, target []byte) ([]byte, error) {
	kept := []byte("kept")
	out, err := encoders[name](c, kept, base, target)
	if err != nil {
		return nil, err
	}
	patch := out[len(kept):]
	if len(patch) > 1+len(target) {
		return nil, fmt.Errorf("%d bytes of patch for %d", len(patch), len(target))
	}
	got, err := c.Apply(kept, base, patch, len(target))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(out, kept) || !bytes.HasPrefix(got, kept) || !bytes.Equal(got[len(kept):], target) {
		return nil, fmt.Errorf("the %d bytes that came out are not the target", len(got)-len(kept))
	}
	return patch, nil
}

func TestApplyUndoesEncode(t *testing.T) {
	c := newCodec(t) // one for all: what an encoding leaves behind must not matter to the next
	rapid.Check(t, func(t *rapid.T) {
		base := blob(400_000).Draw(t, "base")
		target := edited(t, base, blockstore.MaxBlockSize)
		for name := range encoders {
			if _, err := roundTrip(c, name, base, target); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

func TestUnrelatedAndExtremeSizes(t *testing.T) {
	c := newCodec(t)
	bases := []int{0, 1, 7, 8, 9, 1023, 1024, 128 << 10, c.lim.Base}
	targets := []int{0, 1, 2, 255, 256, 257, 1023, 1024, 4096, 4097, 65791, 65792, 128 << 10, 128<<10 + 1, 1 << 20, c.lim.Target}
	for name := range encoders {
		for _, b := range bases {
			for _, n := range targets {
				for kind, target := range map[string][]byte{"random": random(1, n), "text": text(1, n), "zeros": make([]byte, n)} {
					if testing.Short() && b+n > 1<<20 {
						continue
					}
					if _, err := roundTrip(c, name, random(2, b), target); err != nil {
						t.Fatalf("%s: %d %s bytes over %d: %v", name, n, kind, b, err)
					}
				}
			}
		}
	}
}

func TestPatchIsAboutTheChange(t *testing.T) {
	c := newCodec(t)
	leaf, big, four := random(1, 256<<10), random(2, 1<<20), random(3, 4<<20)
	links := node(4, 6400)
	oneLink := bytes.Clone(links)
	copy(oneLink[58*40+8:], random(5, 32))
	moved := bytes.Join([][]byte{leaf[100_000:150_000], leaf[:100_000], leaf[150_000:]}, nil)
	for _, g := range []struct {
		name           string
		base, target   []byte
		dict, signed   int // bytes allowed; 0 = not looked at
		codeDict, code Coding
	}{
		// Dict: 4,096 new bytes and 3 to 10 for each block of 128 KiB. Signed: up to one block of 2, 4 or 8 KiB more
		// than the 4,096, and 20 for the ops.
		{"unchanged", leaf, leaf, 40, 12, Dict, Copy},
		{"4 KiB overwritten in 256 KiB", leaf, overwrite(leaf, 4096), 4096 + 50, 4096 + 2048 + 20, Dict, Copy},
		{"4 KiB inserted in 256 KiB", leaf, insert(leaf, 4096), 4096 + 70, 4096 + 2048 + 20, Dict, Copy},
		{"4 KiB deleted in 256 KiB", leaf, append(bytes.Clone(leaf[:90_000]), leaf[94_096:]...), 60, 2048 + 20, Dict, Copy},
		{"50,000 bytes moved in 256 KiB", leaf, moved, 80, 3*2048 + 30, Dict, Copy},
		{"4 KiB overwritten in 1 MiB", big, overwrite(big, 4096), 4096 + 150, 4096 + 4096 + 20, Dict, Copy},
		{"1 MiB out of 4 MiB, 4 KiB overwritten", four, overwrite(four[1_234_567:1_234_567+1<<20], 4096), 4096 + 150, 4096 + 3*8192 + 20, Dict, Copy},
		{"a link of a node", links, oneLink, 65, 256 + 20, Dict, CopyZstd},
		{"text grown by text", text(6, 256<<10), text(6, 260<<10), 2500, 0, Dict, CopyZstd},
		{"nothing in common", leaf, random(9, 256<<10), 256<<10 + 1, 256<<10 + 1, Raw, Raw},
		{"nothing in common but text", leaf, text(9, 256<<10), 130_000, 130_000, Dict, Zstd},
		{"emptied", leaf, nil, 1, 1, Raw, Raw},
	} {
		for name, want := range map[string]struct {
			most int
			Coding
		}{"dict": {g.dict, g.codeDict}, "signed": {g.signed, g.code}} {
			patch, err := roundTrip(c, name, g.base, g.target)
			if err != nil {
				t.Errorf("%s: %s: %v", g.name, name, err)
				continue
			}
			if coding, _ := CodingOf(patch); coding != want.Coding || want.most > 0 && len(patch) > want.most {
				t.Errorf("%s: %s: %s of %d bytes, want %s of at most %d", g.name, name, coding, len(patch), want.Coding, want.most)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	c := newCodec(t)
	small, base, target := []byte("small"), make([]byte, c.lim.Base+1), make([]byte, c.lim.Target+1)
	long := Sign(make([]byte, (c.lim.Entries+1)*minSignBlock), minSignBlock)
	for name, call := range map[string]func() ([]byte, error){
		"dict: base":          func() ([]byte, error) { return c.EncodeDict(small, base, small) },
		"dict: target":        func() ([]byte, error) { return c.EncodeDict(small, small, target) },
		"whole":               func() ([]byte, error) { return c.EncodeWhole(small, target) },
		"signed: target":      func() ([]byte, error) { return c.EncodeSigned(small, Sign(small, 2048), target) },
		"signed: base":        func() ([]byte, error) { return c.EncodeSigned(small, Sign(base, 1<<20), small) },
		"signed: entries":     func() ([]byte, error) { return c.EncodeSigned(small, long, small) },
		"apply: base":         func() ([]byte, error) { return c.Apply(small, base, []byte{0}, 0) },
		"apply: size":         func() ([]byte, error) { return c.Apply(small, nil, []byte{0}, c.lim.Target+1) },
		"apply: negative":     func() ([]byte, error) { return c.Apply(small, nil, []byte{0}, -1) },
		"parse: many entries": func() ([]byte, error) { _, err := ParseSignature(AppendSignature(nil, long), c.lim); return small, err },
	} {
		if out, err := call(); !errors.Is(err, ErrLimit) || string(out) != "small" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	for _, l := range []Limits{{}, {1, 1, 0}, {0, 1, 1}, {1, blockstore.MaxBlockSize + 1, 1}, {maxBase + 1, 1, 1}} {
		if _, err := New(l); err == nil {
			t.Errorf("New(%+v) accepted", l)
		}
	}
	tiny, err := New(Limits{Base: 1, Target: 1, Entries: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name := range encoders {
		if _, err := roundTrip(tiny, name, []byte{1}, []byte{1}); err != nil {
			t.Errorf("%s with the least limits: %v", name, err)
		}
	}
}

// The bytes of docs/format-patch.md, as they must be read for ever.
func TestGoldenPatches(t *testing.T) {
	c := newCodec(t)
	base := []byte("The quick brown fox jumps over the lazy dog.")
	for name, g := range map[string]struct{ patch, want string }{
		"raw":                 {"00" + "68656c6c6f", "hello"},
		"empty":               {"00", ""},
		"zstd, run and raw":   {"01" + "520000" + "61" + "090000" + "62", "aaaaaaaaaab"},
		"dict":                {"02" + "6d0000" + "20636174" + "210210050f9c870001", "The quick brown cat jumps over the lazy dog!"},
		"copy, overwrite":     {"03" + "02" + "00" + "00" + "04" + "04" + "00" + "23" + "736c6f77" + "21", "The slow" + string(base[8:43]) + "!"},
		"copy, two ranges":    {"03" + "02" + "00" + "46" + "09" + "00" + "57" + "10", string(base[35:44]) + string(base[0:16])},
		"copy, zstd literals": {"04" + "01" + "0a" + "13" + "04" + "5b0000" + "61", "aaaaaaaaaa" + string(base[0:4]) + "a"},
	} {
		patch, err := hex.DecodeString(g.patch)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Apply(nil, base, patch, len(g.want)); err != nil || string(got) != g.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, g.want)
		}
	}
}
