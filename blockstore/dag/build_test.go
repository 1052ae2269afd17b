package dag

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/chunk"
)

func TestNodeBytes(t *testing.T) {
	// Written out by hand from the format page; the two empty nodes are known to every IPFS tool.
	leaf := blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, []byte("hello")), Size: 5}
	hash := hex.EncodeToString(leaf.Cid.Bytes())
	p, none := DefaultProfile(), DefaultProfile()
	none.Meta = MetaNone
	attr := Attr{Mode: 0o100755, Mtime: stamp(1, 2)}
	for _, g := range []struct {
		name  string
		build func(Emit) (Link, error)
		want  string // bytes of the root
		cid   string
	}{
		{"empty file", func(e Emit) (Link, error) { return BuildFile(none, attr, nil, e) },
			"0a04 0802 1800", "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y"},
		{"empty folder", func(e Emit) (Link, error) { return BuildDir(none, attr, nil, e) },
			"0a02 0801", "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
		{"file of one leaf", func(e Emit) (Link, error) { return BuildFile(p, attr, []blockstore.Leaf{leaf}, e) },
			"122a 0a24" + hash + "1200 1805 0a12 0802 1805 2005 38ed03 4207 0801 1502000000", ""},
		{"default mode, whole second", func(e Emit) (Link, error) {
			return BuildFile(p, Attr{Mode: 0o644, Mtime: stamp(0, 0)}, []blockstore.Leaf{leaf}, e)
		}, "122a 0a24" + hash + "1200 1805 0a0a 0802 1805 2005 4202 0800", ""},
		{"mode 0, no mtime", func(e Emit) (Link, error) { return BuildFile(p, Attr{}, nil, e) }, "0a06 0802 1800 3800", ""},
		{"year 20000", func(e Emit) (Link, error) {
			return BuildFile(p, Attr{Mode: 0o644, Mtime: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}, nil, e)
		}, "0a04 0802 1800", ""},
		{"folder keeps no mtime", func(e Emit) (Link, error) { return BuildDir(p, attr, nil, e) }, "0a02 0801", ""},
		{"folder 0700", func(e Emit) (Link, error) {
			return BuildDir(p, Attr{Mode: 0o700}, []Link{{Name: "a", Cid: leaf.Cid, Tsize: 5}}, e)
		}, "122b 0a24" + hash + "1201 61 1805 0a05 0801 38c003", ""},
		{"symlink", func(e Emit) (Link, error) { return BuildSymlink(p, "a/b", e) }, "0a07 0804 1203 612f62", ""},
	} {
		s := newBlocks()
		l := must(g.build(s.emit))(t)
		if got := hex.EncodeToString(s.m[l.Cid].Data()); got != strings.ReplaceAll(g.want, " ", "") {
			t.Errorf("%s: %s, want %s", g.name, got, g.want)
		}
		if g.cid != "" && l.Cid.String() != g.cid {
			t.Errorf("%s: %s, want %s", g.name, l.Cid, g.cid)
		}
	}
}

func TestOneLeafWithoutMetadataIsTheFile(t *testing.T) {
	p := DefaultProfile()
	p.Meta = MetaNone
	leaf := fakeLeaves(1)[0]
	refuse := func(blockstore.Block) error { return errors.New("emitted") }
	l := must(BuildFile(p, Attr{Mode: 0o600}, []blockstore.Leaf{leaf}, refuse))(t)
	if l.Cid != leaf.Cid || l.Size != uint64(leaf.Size) || l.Tsize != uint64(leaf.Size) {
		t.Errorf("%+v", l)
	}
}

// goldenRoots pin the whole profile: a change here is a change of every set's roots.
func goldenRoots(t *testing.T) map[string]Link {
	p, s := DefaultProfile(), newBlocks()
	roots := map[string]Link{}
	attr := Attr{Mode: 0o640, Mtime: stamp(1_700_000_000, 5)}
	for _, n := range []int{0, 1, 2, 8, 9, 33, 129, 1000, 20_000} {
		roots[fmt.Sprintf("file of %d leaves", n)] = must(BuildFile(p, attr, fakeLeaves(n), s.emit))(t)
	}
	same := slices.Repeat(fakeLeaves(1), 1000)
	roots["file of 1000 equal leaves"] = must(BuildFile(p, attr, same, s.emit))(t)
	roots["symlink"] = must(BuildSymlink(p, "../target", s.emit))(t)
	for _, n := range []int{3, 700, 5000} {
		roots[fmt.Sprintf("folder of %d", n)] = must(BuildDir(p, Attr{Mode: 0o700}, fakeEntries(n), s.emit))(t)
	}
	for i, p := range profiles() {
		roots[fmt.Sprintf("sample, profile %d", i)] = must(sample().build(p, s))(t)
	}
	return roots
}

// fakeEntries is n entries whose children nobody needs.
func fakeEntries(n int) (entries []Link) {
	for i, leaf := range fakeLeaves(n) {
		entries = append(entries, Link{Name: fmt.Sprintf("name-%d", i), Cid: leaf.Cid, Tsize: uint64(leaf.Size), Size: uint64(leaf.Size)})
	}
	return entries
}

func TestGoldenRoots(t *testing.T) {
	want := map[string]string{ // CID, Tsize, Size
		"file of 0 leaves":          "bafybeif55fxprltdhloz3isvd2z5vovcxg2fuoah3vsckaunb53qvk2cda 22 0",
		"file of 1 leaves":          "bafybeif5tw73hqah5lp45xcxkth72hmzj3hvdxrvsp7rgp6plitdysbjyq 65610 65536",
		"file of 2 leaves":          "bafybeibcjwsylz7etrtwbkoe23fxdltf3v2fdetfhbemf5h64hs5oyi6em 131197 131073",
		"file of 8 leaves":          "bafybeihnnem6bedoenptaxdipk5asmsf5uynhlgmabhdhtemcaeahfbtaq 524740 524316",
		"file of 9 leaves":          "bafybeieuqwhpotn2l5l3iavstmblbxwsfkoprgcuik7a5x45rlzm3eemj4 590334 589860",
		"file of 33 leaves":         "bafybeica5olhd2hcs6sdczet3doh5rooxwgdbivgra7lg7nptst5wposti 2165007 2163216",
		"file of 129 leaves":        "bafybeibthn3lkqylhmrafwvb3uq25o6mvzobk77o7zsbxdx4x64ypn3osa 8469053 8462400",
		"file of 1000 equal leaves": "bafybeidanrnatixfqzvdim2omhkcodrfccc7omkwugmhzmdpoqm7i4thiu 65586521 65536000",
		"file of 1000 leaves":       "bafybeick5k2fisuwprk4ayn5jdd76dk7asvz76dqngp57p3trelglt3vzm 66087258 66035500",
		"file of 20000 leaves":      "bafybeibnkc3k2c2uhxmlakbpcv4f6brcdha5o5mtgwk6tuiqagwkxxdwae 1511749450 1510710000",
		"folder of 3":               "bafybeifaonxfmgut6zu6pyigxtjczgyxmrphagspjdfca4a7bnhe4ampd4 196774 196611",
		"folder of 700":             "bafybeiaziapo2np5be6navzaqyzumfkfykrhucrz5jybuzkjuibeeejrvm 46157547 46119850",
		"folder of 5000":            "bafybeibgiotkqk245zwpk2vdli6njhx5y33dp5u5anyznlnfzvyjo2rgdi 340498107 340177500",
		"sample, profile 0":         "bafybeieht664m7b6x7mveo6psorwzbqahsghdzub4m5zddfup6rbrjdj74 1077575 270007",
		"sample, profile 1":         "bafybeicya5fndp4sqvmkpadprszar7rk6l6e4fimd4yuiggjissiuoadw4 1028540 270007",
		"sample, profile 2":         "bafybeif6splcbczouvub7eicro5izn3acw4fng4fyje7ilh3t2znhk4uay 1028402 270007",
		"sample, profile 3":         "bafybeib54uqfjchpwssrmfarzqt2yrbrdcfnsdt27umwzlobpx54ecsmt4 1250038 270007",
		"sample, profile 4":         "bafybeibcnpw3bokdiiad6hgzxvvyptcj6wwpls2cgqbtnxlj36v35yq3au 1200865 270007",
		"symlink":                   "bafybeid2dyfo3dy5xjihqwfpf4m4x3ht53evimfbxdcmv57yr4z3xlplcm 15 0",
	}
	got := goldenRoots(t)
	for name, l := range got {
		if s := fmt.Sprintf("%s %d %d", l.Cid, l.Tsize, l.Size); s != want[name] {
			t.Errorf("%q: %q, // want %s", name, s, want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d roots, %d pinned", len(got), len(want))
	}
}

func TestBuildDirOrderAndThreshold(t *testing.T) {
	p, s := DefaultProfile(), newBlocks()
	entries := fakeEntries(100)
	reversed := slices.Clone(entries)
	slices.Reverse(reversed)
	before := slices.Clone(reversed)
	a, b := must(BuildDir(p, Attr{}, entries, s.emit))(t), must(BuildDir(p, Attr{}, reversed, s.emit))(t)
	if a != b || !slices.Equal(before, reversed) {
		t.Error("the order of entries matters, or was changed")
	}
	weight := 0
	for _, e := range entries {
		weight += len(e.Name) + 36
	}
	for threshold, shard := range map[int]bool{weight: false, weight - 1: true} {
		p.HAMTThreshold = threshold
		l := must(BuildDir(p, Attr{Mode: 0o700}, entries, s.emit))(t)
		n := must(Decode(s.m[l.Cid]))(t)
		if n.Shard != shard || !n.HasMode || n.Attr.Mode != 0o700 || l.Size != a.Size {
			t.Errorf("threshold %d for links of %d: %+v", threshold, weight, n)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	p, s := DefaultProfile(), newBlocks()
	leaf := fakeLeaves(1)[0]
	v0 := cid.NewCidV0(leaf.Cid.Hash())
	ok := Link{Name: "a", Cid: leaf.Cid, Tsize: 1}
	for i, c := range []struct {
		err  error
		want error
	}{
		{second(BuildDir(p, Attr{}, []Link{ok, {Name: "b", Cid: leaf.Cid}, ok}, s.emit)), ErrName},
		{second(BuildDir(p, Attr{}, []Link{{Name: "..", Cid: leaf.Cid}}, s.emit)), ErrName},
		{second(BuildDir(p, Attr{}, []Link{{Name: "a", Cid: v0}}, s.emit)), blockstore.ErrInvalid},
		{second(BuildDir(p, Attr{}, []Link{{Name: "a"}}, s.emit)), blockstore.ErrInvalid},
		{second(BuildFile(p, Attr{}, []blockstore.Leaf{{Cid: leaf.Cid}}, s.emit)), blockstore.ErrInvalid},
		{second(BuildFile(p, Attr{}, []blockstore.Leaf{{Cid: leaf.Cid, Size: math.MaxUint32}}, s.emit)), blockstore.ErrInvalid},
		{second(BuildFile(p, Attr{}, []blockstore.Leaf{{Cid: blockstore.Sum(cid.DagProtobuf, nil), Size: 1}}, s.emit)), blockstore.ErrInvalid},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("case %d: %v, want %v", i, c.err, c.want)
		}
	}
	for _, target := range []string{"", "a\x00b", "\xff", strings.Repeat("x", 4096)} {
		if _, err := BuildSymlink(p, target, s.emit); err == nil {
			t.Errorf("symlink to %.10q was built", target)
		}
	}
	stop := errors.New("stop")
	if _, err := BuildFile(p, Attr{}, fakeLeaves(1000), func(blockstore.Block) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of emit became %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "...": true, ".a": true, " ": true, "\\": true, "ä": true, "a\nb": true, strings.Repeat("x", 255): true,
		"": false, ".": false, "..": false, "a/b": false, "/": false, "a\x00": false, "\xff": false, strings.Repeat("x", 256): false,
	} {
		if err := CheckName(name); (err == nil) != ok || (err != nil && !errors.Is(err, ErrName)) {
			t.Errorf("CheckName(%.10q) = %v", name, err)
		}
	}
}

func TestProfile(t *testing.T) {
	if err := DefaultProfile().Validate(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*Profile){
		func(p *Profile) { p.Chunker = "jc-2" },
		func(p *Profile) { p.Max = chunk.Default().Max * 4 },
		func(p *Profile) { p.Tree = "" },
		func(p *Profile) { p.FanMin = 1 },
		func(p *Profile) { p.FanAvg = 7 },
		func(p *Profile) { p.FanMax = 4097 },
		func(p *Profile) { p.HAMTThreshold = 0 },
		func(p *Profile) { p.HAMTThreshold = 2 << 20 },
		func(p *Profile) { p.Meta = "all" },
		func(p *Profile) { p.Unicode = "nfc" },
	} {
		p := DefaultProfile()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("change %d accepted", i)
		}
		if _, err := BuildFile(p, Attr{}, nil, newBlocks().emit); err == nil {
			t.Errorf("built with change %d", i)
		}
	}
}

func TestTreeShape(t *testing.T) {
	p, s := DefaultProfile(), newBlocks()
	const leaves = 100_000
	root := must(BuildFile(p, Attr{Mode: 0o600}, fakeLeaves(leaves), s.emit))(t)
	var bottom, children int
	for c, b := range s.m {
		n := must(Decode(b))(t)
		if len(n.Links) < 2 || len(n.Links) > p.FanMax {
			t.Fatalf("node with %d links", len(n.Links))
		}
		if n.HasMode != (c == root.Cid) {
			t.Errorf("metadata outside the root, or none there")
		}
		if n.Links[0].Cid.Type() == cid.Raw {
			bottom, children = bottom+1, children+len(n.Links)
		}
	}
	// About 3,100 nodes at the bottom: the standard error of the mean is below 0.5.
	if avg := float64(children) / float64(bottom); avg < 30 || avg > 34 {
		t.Errorf("%.1f leaves per node, want about 32", avg)
	}
}

func TestInsertionChangesFewNodes(t *testing.T) {
	p := DefaultProfile()
	leaves := fakeLeaves(4096)
	old := newBlocks()
	must(BuildFile(p, Attr{}, leaves, old.emit))(t)
	worst, total, runs := 0, 0, 0
	for at := 0; at <= len(leaves); at += 41 {
		edited := newBlocks()
		extra := blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, fmt.Append(nil, "new", at)), Size: 1}
		must(BuildFile(p, Attr{}, slices.Insert(slices.Clone(leaves), at, extra), edited.emit))(t)
		fresh := 0
		for c := range edited.m {
			if _, known := old.m[c]; !known {
				fresh++
			}
		}
		worst, total, runs = max(worst, fresh), total+fresh, runs+1
	}
	// Three levels make three new nodes; a group that is split, or a boundary that vanishes, makes one
	// or two more now and then.
	if avg := float64(total) / float64(runs); avg > 4 || worst > 12 {
		t.Errorf("an insertion makes %.1f new nodes on average and %d at worst", avg, worst)
	}
}

func BenchmarkBuild10kFiles(b *testing.B) {
	leaves := fakeLeaves(10_000)
	p, attr := DefaultProfile(), Attr{Mode: 0o600, Mtime: stamp(1_700_000_000, 1)}
	drop := func(blockstore.Block) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		for i := range leaves {
			if _, err := BuildFile(p, attr, leaves[i:i+1], drop); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkBuildHAMT5k(b *testing.B) {
	entries, drop := fakeEntries(5000), func(blockstore.Block) error { return nil }
	for b.Loop() {
		if _, err := BuildDir(DefaultProfile(), Attr{}, entries, drop); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode10kFiles(b *testing.B) {
	s := newBlocks()
	l, err := BuildFile(DefaultProfile(), Attr{Mode: 0o600, Mtime: stamp(1, 1)}, fakeLeaves(1), s.emit)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 10_000 {
			if _, err := Decode(s.m[l.Cid]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
