package chunks

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

func drawCid(t *rapid.T) cid.Cid {
	return blockstore.Sum(rapid.SampledFrom([]uint64{cid.Raw, cid.DagProtobuf}).Draw(t, "codec"), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "data"))
}

// read decodes one want from its first byte on.
func read(b []byte) (want, int, error) {
	r := bytes.NewReader(b)
	var h [wantHeader]byte
	var err error
	if h[0], err = r.ReadByte(); err != nil {
		return want{}, 0, err
	}
	w, err := readWant(r, h)
	return w, len(b) - r.Len(), err
}

func TestWantRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom([]byte{opBlocks, opWalk}).Draw(t, "op")
		most := MaxWant
		if op == opWalk {
			most = 1
		}
		cids := rapid.SliceOfN(rapid.Custom(drawCid), 1, most).Draw(t, "cids")
		b, err := appendWant(nil, op, cids)
		if err != nil || len(b) > maxWantSize {
			t.Fatal(len(b), err)
		}
		w, n, err := read(append(b, 0xee))
		if err != nil || n != len(b) || w.op != op || !slices.Equal(w.cids, cids) {
			t.Fatalf("%+v, %d of %d bytes, %v", w, n, len(b), err)
		}
	})
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, code, n := drawCid(t), wire.Code(rapid.IntRange(0, 9).Draw(t, "code")), 0
		if code == wire.OK {
			n = rapid.IntRange(0, blockstore.MaxBlockSize).Draw(t, "length")
		} else if rapid.Bool().Draw(t, "end") {
			c = cid.Undef
		}
		var b [replyHeader]byte
		headerOf(c, code, n).put(b[:])
		h, err := parseHeader(b)
		if err != nil || h.code != code || h.length != n || h.cid() != c {
			t.Fatalf("%+v, %v", h, err)
		}
	})
}

// The layout is documented; these are its bytes.
func TestLayout(t *testing.T) {
	c := blockstore.Sum(cid.DagProtobuf, []byte("node"))
	d := blockstore.Digest(c)
	b, err := appendWant(nil, opBlocks, []cid.Cid{c, c})
	want := slices.Concat([]byte{1, 2, 0, 0, 0x70}, d[:], []byte{0x70}, d[:])
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("want %x, %v", b, err)
	}
	var h [replyHeader]byte
	headerOf(c, wire.OK, 0x010203).put(h[:])
	if want := slices.Concat([]byte{0, 0x70, 0, 0, 0, 1, 2, 3}, d[:]); !bytes.Equal(h[:], want) {
		t.Errorf("reply %x", h)
	}
	headerOf(cid.Undef, wire.NotFound, 0).put(h[:])
	if want := append([]byte{1}, make([]byte, 39)...); !bytes.Equal(h[:], want) {
		t.Errorf("end of a walk %x", h)
	}
}

func TestWantRefuses(t *testing.T) {
	c := blockstore.Sum(cid.Raw, nil)
	for name, cids := range map[string][]cid.Cid{
		"none": nil, "65": slices.Repeat([]cid.Cid{c}, 65), "undefined": {cid.Undef}, "CIDv0": {cid.NewCidV0(c.Hash())}, "codec": {cid.NewCidV1(cid.DagCBOR, c.Hash())},
	} {
		if _, err := appendWant(nil, opBlocks, cids); !errors.Is(err, blockstore.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := appendWant(nil, opBlocks, []cid.Cid{c})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"op 0":     func(b []byte) []byte { b[0] = 0; return b },
		"op 3":     func(b []byte) []byte { b[0] = 3; return b },
		"count 0":  func(b []byte) []byte { b[1] = 0; return b },
		"count 65": func(b []byte) []byte { b[1] = 65; return append(b, make([]byte, 64*cidSize)...) },
		"walk 2":   func(b []byte) []byte { b[0], b[1] = opWalk, 2; return append(b, b[4:]...) },
		"padding":  func(b []byte) []byte { b[3] = 1; return b },
		"codec":    func(b []byte) []byte { b[4] = 0x71; return b },
	} {
		if _, _, err := read(change(bytes.Clone(good))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzWant(f *testing.F) {
	b, _ := appendWant(nil, opBlocks, []cid.Cid{blockstore.Sum(cid.Raw, nil)})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, n, err := read(b)
		if err != nil {
			return
		}
		again, err := appendWant(nil, w.op, w.cids)
		if err != nil || !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x reads as %+v, which is %x, %v", b, w, again, err)
		}
	})
}

func FuzzReplyHeader(f *testing.F) {
	f.Add(make([]byte, replyHeader))
	f.Fuzz(func(t *testing.T, in []byte) {
		var b, again [replyHeader]byte
		copy(b[:], in)
		h, err := parseHeader(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		headerOf(h.cid(), h.code, h.length).put(again[:])
		if b != again || h.length > blockstore.MaxBlockSize {
			t.Fatalf("%x reads as %+v, which is %x", b, h, again)
		}
	})
}
