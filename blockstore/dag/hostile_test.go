package dag

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func dirNode(links ...Link) Node {
	return Node{Kind: KindDir, Attr: Attr{Mode: DefaultDirMode}, Links: links}
}

func fileNode(links ...Link) Node {
	n := Node{Kind: KindFile, Attr: Attr{Mode: DefaultFileMode}, Links: links}
	for _, l := range links {
		n.Size += l.Size
	}
	return n
}

func shardNode(slots string, links ...Link) Node {
	return Node{Kind: KindDir, Shard: true, Attr: Attr{Mode: DefaultDirMode}, Links: links, Slots: []byte(slots)}
}

// leafLink is a link to a leaf of one byte.
func leafLink(name string) Link {
	return Link{Name: name, Cid: blockstore.Sum(cid.Raw, []byte("x")), Tsize: 1, Size: 1}
}

func named(l Link, name string) Link { l.Name = name; return l }

// TestHostileDAGs are revisions whose nodes are all well-formed and few, and which would ruin whoever
// unfolds them.
func TestHostileDAGs(t *testing.T) {
	for name, build := range map[string]func(s *blocks) Link{
		"2^40 paths": func(s *blocks) Link {
			l := s.node("", dirNode())
			for range 40 {
				l = s.node("", dirNode(named(l, "a"), named(l, "b")))
			}
			return l
		},
		"2^40 leaves in one file": func(s *blocks) Link {
			l := leafLink("")
			for range 40 {
				l = s.node("", fileNode(l, l))
			}
			return s.node("", dirNode(named(l, "file")))
		},
		"a million long paths": func(s *blocks) Link {
			l := s.node("", dirNode(leafLink("a"), leafLink("b")))
			for range 19 {
				l = s.node("", dirNode(named(l, strings.Repeat("x", 255)), named(l, strings.Repeat("y", 255))))
			}
			return l
		},
		"folders 10,000 deep": func(s *blocks) Link {
			l := s.node("", dirNode())
			for range 10_000 {
				l = s.node("", dirNode(named(l, "a")))
			}
			return l
		},
		"shared folders, too deep only for the second parent": func(s *blocks) Link {
			shared := s.node("", dirNode())
			for range 40 {
				shared = s.node("", dirNode(named(shared, "a")))
			}
			deep := shared
			for range 40 {
				deep = s.node("", dirNode(named(deep, "b")))
			}
			return s.node("", dirNode(named(shared, "first"), named(deep, "second")))
		},
		"file 10,000 deep": func(s *blocks) Link {
			l := leafLink("")
			for range 10_000 {
				l = s.node("", fileNode(leafLink(""), l))
			}
			return s.node("", dirNode(named(l, "file")))
		},
		"2^45 bytes in files": func(s *blocks) Link {
			leaf := Link{Cid: leafLink("").Cid, Tsize: 1 << 20, Size: 1 << 20}
			l := leaf
			for range 20 {
				l = s.node("", fileNode(l, l))
			}
			l = s.node("", dirNode(named(l, "file")))
			for range 5 {
				l = s.node("", dirNode(named(l, "a"), named(l, "b")))
			}
			return l
		},
	} {
		s := newBlocks()
		root := build(s)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadLayout(context.Background(), root.Cid, s.get, DefaultLimits())
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; s.gets > 100 || got > 8<<20 {
			t.Errorf("%s: %d nodes read, %d bytes allocated", name, s.gets, got)
		}
	}
}

// TestMalformedRevisions are nodes that are fine alone, and lie about each other.
func TestMalformedRevisions(t *testing.T) {
	s := newBlocks()
	file := s.node("f", fileNode(leafLink(""), leafLink("")))
	withMode := fileNode(leafLink(""), leafLink(""))
	withMode.HasMode, withMode.Attr.Mode = true, 0o600
	hash := hashName("a")
	slots := func(level int) string { return string([]byte{slotAt(hash, level)}) }
	inner := shardNode(slots(7), leafLink("a"))
	for level := 6; level >= 0; level-- {
		inner = shardNode(slots(level), s.node("", inner))
	}
	tooDeep := s.node("", shardNode("\x00", leafLink("a"))) // for slot 9 there is no byte of the hash
	for level := 7; level >= 0; level-- {
		tooDeep = s.node("", shardNode(slots(level), tooDeep))
	}
	subMode := shardNode(slots(1), s.node("", shardNode("\x00\x01", leafLink("x"), leafLink("y"))))
	subMode.HasMode, subMode.Attr.Mode = true, 0o700
	lying := func(l Link, tsize, size uint64) Link { l.Tsize, l.Size = l.Tsize+tsize, l.Size+size; return l }
	inFile := func(l Link) Node { return dirNode(s.node("file", fileNode(named(l, ""), leafLink("")))) }
	bigLeaf := Link{Cid: leafLink("").Cid, Tsize: 2, Size: 2}
	for name, root := range map[string]Node{
		"Tsize of a file":                 dirNode(lying(file, 1, 0)),
		"Tsize of a second link":          dirNode(file, named(lying(file, 1, 0), "g")),
		"Tsize of a folder":               dirNode(lying(s.node("d", dirNode()), 1, 0)),
		"Tsize inside a file":             inFile(lying(file, 1, 0)),
		"size inside a file":              inFile(lying(file, 0, 1)),
		"metadata inside a file":          inFile(s.node("", withMode)),
		"folder inside a file":            inFile(lying(s.node("", dirNode(leafLink("a"))), 0, 1)),
		"one leaf of two sizes":           dirNode(s.node("a", fileNode(leafLink(""))), s.node("b", fileNode(bigLeaf))),
		"root is a file":                  withMode,
		"Tsize of a shard":                shardNode(slots(0), lying(s.node("", shardNode("\x00\x01", leafLink("a"), leafLink("b"))), 1, 0)),
		"entry in another slot":           shardNode("\x01", leafLink("a")),
		"shard of one entry in a shard":   inner,
		"more shards than hash":           func() Node { n, _ := decode(s.m[tooDeep.Cid].Data()); return n }(),
		"mode in an inner shard":          shardNode(slots(0), s.node("", subMode)),
		"folder in the place of a shard":  shardNode(slots(0), s.node("", dirNode(leafLink("a"), leafLink("b")))),
		"symlink in the place of a shard": shardNode(slots(0), s.node("", Node{Kind: KindSymlink, Target: "t"})),
	} {
		l := s.node("", root)
		if _, err := Decode(s.m[l.Cid]); err != nil {
			t.Errorf("%s: the root alone: %v", name, err)
		}
		if _, err := ReadLayout(context.Background(), l.Cid, s.get, DefaultLimits()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadLayoutVerifies(t *testing.T) {
	s := newBlocks()
	l := s.node("", dirNode(leafLink("a")))
	get := func(context.Context, cid.Cid) ([]byte, error) {
		b := bytes.Clone(s.m[l.Cid].Data())
		b[len(b)-1] ^= 1
		return b, nil
	}
	if _, err := ReadLayout(context.Background(), l.Cid, get, DefaultLimits()); !errors.Is(err, blockstore.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestReaderRefusesLeafOfWrongSize(t *testing.T) {
	s := newBlocks()
	s.put([]byte("x"))
	l := s.node("", fileNode(Link{Cid: leafLink("").Cid, Tsize: 2, Size: 2}))
	r := must(NewReader(context.Background(), l.Cid, s.get))(t)
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// malformedNodes are nodes that Decode must refuse although they can be encoded.
func malformedNodes() map[string]Node {
	mode := func(n Node, m uint32) Node { n.HasMode, n.Attr.Mode = true, m; return n }
	mtime := func(n Node) Node { n.Attr.Mtime = stamp(1, 0); return n }
	size := func(n Node, size uint64) Node { n.Size = size; return n }
	node := Link{Cid: blockstore.Sum(cid.DagProtobuf, nil), Tsize: 10, Size: 5}
	v0 := Link{Name: "a", Cid: cid.NewCidV0(node.Cid.Hash()), Tsize: 1}
	huge := func(n uint64) Link { return Link{Cid: node.Cid, Tsize: 1, Size: n} }
	symlink := Node{Kind: KindSymlink, Target: "t"}
	return map[string]Node{
		"same name twice":        dirNode(leafLink("a"), leafLink("a")),
		"names out of order":     dirNode(leafLink("b"), leafLink("a")),
		"name with slash":        dirNode(leafLink("a/b")),
		"name ..":                dirNode(leafLink("..")),
		"name .":                 dirNode(leafLink(".")),
		"no name":                dirNode(leafLink("")),
		"name with NUL":          dirNode(leafLink("a\x00")),
		"name not UTF-8":         dirNode(leafLink("\xff")),
		"long name":              dirNode(leafLink(strings.Repeat("x", 256))),
		"CIDv0":                  dirNode(v0),
		"empty leaf as a file":   dirNode(Link{Name: "a", Cid: leafLink("").Cid}),
		"leaf of 3 MiB":          dirNode(Link{Name: "a", Cid: leafLink("").Cid, Tsize: 3 << 20}),
		"Tsizes overflow":        dirNode(named(huge(0), "a"), Link{Name: "b", Cid: node.Cid, Tsize: 1 << 63}),
		"default mode of folder": mode(dirNode(), DefaultDirMode),
		"mode of 10 bits":        mode(dirNode(), 0o1700),
		"folder with mtime":      mtime(dirNode()),

		"name inside a file":   fileNode(leafLink("a")),
		"size too small":       size(fileNode(leafLink("")), 0),
		"size too large":       size(fileNode(leafLink("")), 2),
		"size without links":   size(fileNode(), 1),
		"sizes overflow":       size(fileNode(huge(1<<63), huge(1<<63)), 0),
		"more than 2^63-1":     fileNode(huge(1<<62), huge(1<<62)),
		"empty leaf":           fileNode(Link{Cid: leafLink("").Cid}),
		"Tsize of a leaf":      fileNode(Link{Cid: leafLink("").Cid, Size: 1, Tsize: 2}),
		"leaf of more than 2M": fileNode(Link{Cid: leafLink("").Cid, Size: 2<<20 + 1, Tsize: 2<<20 + 1}),
		"only child is a node": fileNode(node),
		"default mode of file": mode(fileNode(), DefaultFileMode),

		"symlink to nothing":   {Kind: KindSymlink},
		"symlink to NUL":       {Kind: KindSymlink, Target: "a\x00"},
		"symlink with mode":    mode(symlink, 0o700),
		"symlink with mtime":   mtime(symlink),
		"symlink with links":   {Kind: KindSymlink, Target: "t", Links: []Link{leafLink("")}},
		"shard without links":  shardNode(""),
		"slots out of order":   shardNode("\x02\x01", leafLink("a"), leafLink("b")),
		"slot twice":           shardNode("\x02\x02", leafLink("a"), leafLink("b")),
		"shard entry ..":       shardNode("\x01", leafLink("..")),
		"leaf as shard":        shardNode("\x01", leafLink("")),
		"shard with mtime":     mtime(shardNode("\x01", leafLink("a"))),
		"shard, default mode":  mode(shardNode("\x01", leafLink("a")), DefaultDirMode),
		"shard entry too long": shardNode("\x01", leafLink(strings.Repeat("x", 256))),
	}
}

func TestDecodeRefusesNodes(t *testing.T) {
	for name, n := range malformedNodes() {
		if _, err := Decode(n.block()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(blockstore.NewBlock(cid.Raw, []byte("x"))); !errors.Is(err, ErrMalformed) {
		t.Errorf("leaf: %v", err)
	}
}

func TestDecodeRefusesBytes(t *testing.T) {
	leaf := hex.EncodeToString(leafLink("").Cid.Bytes())
	link := "122a 0a24" + leaf + "1200 1801"
	named := func(prefix string) string {
		return "122d 0a24" + leaf + "1203" + hex.EncodeToString([]byte(prefix+"a")) + "1801"
	}
	good := map[string]string{ // so that it is the flaw that is refused
		"file":   link + "0a06 0802 1801 2001",
		"folder": "0a02 0801",
		"mtime":  "0a0d 0802 1800 4207 0801 1501000000",
		"shard":  named("01") + "0a0a 0805 1201 02 2822 308002",
	}
	bad := map[string]string{
		"nothing":               "",
		"no data":               link,
		"truncated":             "0a06 0802 1801 20",
		"type Raw":              "0a02 0800",
		"type Metadata":         "0a02 0803",
		"unknown type":          "0a02 0806",
		"no type":               "0a02 1800",
		"data before links":     "0a06 0802 1801 2001" + link,
		"data twice":            "0a02 0801 0a02 0801",
		"unknown field":         "0a02 0801 1800",
		"unknown UnixFS field":  "0a04 0801 4800",
		"group":                 "0a02 0801 1b1c",
		"long varint":           "0a03 0881 00",
		"long length":           "0a8200 0801",
		"fields out of order":   link + "0a06 0802 2001 1801",
		"packed block sizes":    link + "0a07 0802 1801 2201 01",
		"too few block sizes":   link + "0a04 0802 1800",
		"too many block sizes":  link + "0a08 0802 1802 2001 2001",
		"block sizes of folder": named("x") + "0a04 0801 2001",
		"inline data":           "0a07 0802 1201 78 1801",
		"filesize of a folder":  "0a04 0801 1800",
		"no filesize":           "0a02 0802",
		"no name":               "1228 0a24" + leaf + "1801 0a06 0802 1801 2001",
		"no Tsize":              "1228 0a24" + leaf + "1200 0a06 0802 1801 2001",
		"no hash":               "1204 1200 1801 0a06 0802 1801 2001",
		"mode 2^32":             "0a08 0801 388080808010",
		"nanoseconds 0":         "0a0d 0802 1800 4207 0801 1500000000",
		"nanoseconds 10^9":      "0a0d 0802 1800 4207 0801 1500ca9a3b",
		"no seconds":            "0a0b 0802 1800 4205 1501000000",
		"year 10000":            "0a0d 0802 1800 4207 088083d1ffaf07",
		"lower-case prefix":     named("0a") + "0a0b 0805 1202 0400 2822 308002",
		"short prefix":          "122b 0a24" + leaf + "1201 30 1801 0a0a 0805 1201 01 2822 308002",
		"fan-out 128":           named("01") + "0a0a 0805 1201 02 2822 308001",
		"other hash function":   named("01") + "0a0a 0805 1201 02 2823 308002",
		"no hash function":      named("01") + "0a08 0805 1201 02 308002",
		"wrong bitfield":        named("01") + "0a0a 0805 1201 03 2822 308002",
		"bitfield with zeros":   named("01") + "0a0b 0805 1202 0002 2822 308002",
	}
	decodeHex := func(s string) error {
		b := must(hex.DecodeString(strings.ReplaceAll(s, " ", "")))(t)
		_, err := Decode(blockstore.NewBlock(cid.DagProtobuf, b))
		return err
	}
	for name, s := range good {
		if err := decodeHex(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range bad {
		if err := decodeHex(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s := newBlocks()
	if _, err := sample().build(profiles()[3], s); err != nil {
		f.Fatal(err)
	}
	for i, c := range s.order {
		if i%50 == 0 {
			f.Add(s.m[c].Data())
		}
	}
	for _, n := range malformedNodes() {
		f.Add(n.encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := blockstore.NewBlock(cid.DagProtobuf, data)
		n, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !bytes.Equal(n.encode(), data) {
			t.Fatalf("%x decodes, but encodes to %x", data, n.encode())
		}
		if len(n.Links) > len(data)/40 { // a CID of 36 bytes and what goes with it
			t.Fatalf("%d links out of %d bytes", len(n.Links), len(data))
		}
		if _, err := NextNodes(b); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMurmurCollisionIsAnError(t *testing.T) {
	// Two entries with one hash cannot be told apart by any shard.
	err := second(buildShard(&Node{Kind: KindDir, Shard: true},
		[]hashed{{7, leafLink("a")}, {7, leafLink("b")}}, 0, newBlocks().emit))
	if !errors.Is(err, ErrName) || !strings.Contains(fmt.Sprint(err), "murmur3") {
		t.Errorf("got %v", err)
	}
}
