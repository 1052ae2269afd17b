package badgerstore

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func refsOf(l refList) (out []ref) {
	for {
		r, rest, ok := l.next()
		if !ok {
			return out
		}
		out = append(out, r)
		l = rest
	}
}

// TestRefList compares the encoded list with a plain slice.
func TestRefList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list refList
		var plain []ref
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			r := ref{
				set:  uint32(rapid.IntRange(1, 2).Draw(t, "set")),
				tree: uint32(rapid.IntRange(1, 2).Draw(t, "tree")),
				off:  rapid.SampledFrom([]uint64{0, 1, 127, 128, 1 << 40, 1 << 63}).Draw(t, "off"),
				size: rapid.SampledFrom([]uint32{0, 300, 2 << 20}).Draw(t, "size"),
				path: fmt.Append(nil, "p", rapid.IntRange(0, 40).Draw(t, "path")),
			}
			if rapid.IntRange(0, 5).Draw(t, "drop") == 0 {
				drop := func(o ref) bool { return o.in(r.tree, string(r.path)) }
				list, plain = list.without(drop), slices.DeleteFunc(plain, drop)
			} else {
				before := bytes.Clone(list)
				next := list.add(r)
				if !bytes.Equal(list, before) {
					t.Fatal("add changed the list it was called on")
				}
				list, plain = next, addPlain(plain, r)
			}
			if got := refsOf(list); !slices.EqualFunc(got, plain, ref.equal) {
				t.Fatalf("list %v\nwant %v", got, plain)
			}
			if (len(plain) == 0) != (list == nil) {
				t.Fatalf("%d references in a list of %d bytes; an empty one must be nil", len(plain), len(list))
			}
		}
	})
}

func addPlain(plain []ref, r ref) []ref {
	inFile, inSet := 0, 0
	for _, o := range plain {
		if o.equal(r) {
			return plain
		}
		if o.set == r.set {
			inSet++
		}
		if o.in(r.tree, string(r.path)) {
			inFile++
		}
	}
	if inFile >= maxRefsPerFile || inSet >= maxRefsPerSet {
		return plain
	}
	return append(plain, r)
}

// FuzzRecords feeds the decoders anything: they must neither panic nor return more than they were given,
// and what they accept must survive a round trip.
func FuzzRecords(f *testing.F) {
	f.Add(inline{sets: []uint32{1, 300}, size: 3, data: []byte("abc")}.encode())
	f.Add(inline{sets: []uint32{1}, size: 1 << 20}.encode())
	f.Add([]byte(ref{set: 1, tree: 2, off: 1 << 33, size: 9, path: []byte("a/b")}.appendTo(nil)))
	leaves := encodeLeaves([]blockstore.Leaf{{Cid: digestCid(cid.Raw, 1), Size: 5}})
	f.Add(encodeFile(fileRecord{set: 1, stamp: blockstore.Stamp{Size: 5, MtimeNs: -1}, cid: digestCid(cid.DagProtobuf, 2), leaves: 1}, leaves))
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, v []byte) {
		if in, err := parseInline(v, nil); err == nil {
			again, err := parseInline(in.encode(), nil)
			if err != nil || !slices.Equal(again.sets, in.sets) || again.size != in.size {
				t.Errorf("inline %v, %d bytes: %v", in.sets, in.size, err)
			}
		}
		if r, page, err := parseFile(v); err == nil {
			again, page2, err := parseFile(encodeFile(r, page))
			if err != nil || again.stamp != r.stamp || !again.cid.Equals(r.cid) || again.leaves != r.leaves || !bytes.Equal(page, page2) {
				t.Errorf("file %+v: %v", r, err)
			}
		}
		total := 0
		for _, r := range refsOf(v) {
			total += len(r.path)
		}
		if total > len(v) {
			t.Errorf("%d bytes of paths in %d", total, len(v))
		}
		refList(v).add(ref{set: 1, path: []byte("x")})
	})
}
