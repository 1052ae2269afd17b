package dag

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	mdtest "github.com/ipfs/boxo/ipld/merkledag/test"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/ipfs/go-unixfsnode"
	"github.com/ipfs/go-unixfsnode/data"
	ufile "github.com/ipfs/go-unixfsnode/file"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// boxoStore gives the blocks of s to boxo.
func boxoStore(t *testing.T, s *blocks) format.DAGService {
	ds := mdtest.Mock()
	for c, b := range s.m {
		var n format.Node
		var err error
		if c.Type() == cid.Raw {
			n, err = merkledag.NewRawNodeWPrefix(b.Data(), c.Prefix())
		} else {
			var p *merkledag.ProtoNode
			p, err = merkledag.DecodeProtobuf(b.Data())
			if err == nil {
				err = p.SetCidBuilder(c.Prefix())
				n = p
			}
		}
		if err == nil {
			err = ds.Add(context.Background(), n)
		}
		if err != nil || n.Cid() != c {
			t.Fatalf("boxo reads %s as %v, %v", c, n, err)
		}
	}
	return ds
}

// primeStore gives the blocks of s to ipld-prime.
func primeStore(s *blocks) *ipld.LinkSystem {
	lsys := cidlink.DefaultLinkSystem()
	lsys.StorageReadOpener = func(_ ipld.LinkContext, l ipld.Link) (io.Reader, error) {
		b, err := s.get(context.Background(), l.(cidlink.Link).Cid)
		return bytes.NewReader(bytes.Clone(b)), err
	}
	return &lsys
}

// TestOtherReaders has both independent readers go through the sample under every profile.
func TestOtherReaders(t *testing.T) {
	for i, p := range profiles() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := newBlocks()
			root := must(sample().build(p, s))(t)
			b := boxoReader{p: p, ds: boxoStore(t, s)}
			b.compare(t, "", sample(), must(b.ds.Get(t.Context(), root.Cid))(t))
			u := primeReader{p: p, lsys: primeStore(s)}
			u.compare(t, "", sample(), cidlink.Link{Cid: root.Cid})
		})
	}
}

type boxoReader struct {
	p  Profile
	ds format.DAGService
}

func (b boxoReader) compare(t *testing.T, path string, x *tree, n format.Node) {
	if pn, ok := n.(*merkledag.ProtoNode); ok {
		b.compareAttr(t, path, x, must(ft.FSNodeFromBytes(pn.Data()))(t))
	}
	switch x.kind {
	case KindFile:
		r := must(uio.NewDagReader(t.Context(), n, b.ds))(t)
		compareBytes(t, path, x.data, r)
	case KindDir:
		dir := must(uio.NewDirectoryFromNode(b.ds, n))(t)
		links := must(dir.Links(t.Context()))(t)
		if len(links) != len(x.kids) {
			t.Fatalf("%q: boxo finds %d entries of %d", path, len(links), len(x.kids))
		}
		for name, kid := range x.kids {
			b.compare(t, path+"/"+name, kid, must(dir.Find(t.Context(), name))(t))
		}
	case KindSymlink:
		target := must(ft.UnwrapData(n.(*merkledag.ProtoNode).Data()))(t)
		if string(target) != x.target {
			t.Errorf("%q: boxo reads target %q", path, target)
		}
	}
}

func (b boxoReader) compareAttr(t *testing.T, path string, x *tree, fs *ft.FSNode) {
	want, hasMode := b.p.attr(x.kind, x.attr)
	if !hasMode { // boxo reads no mode as 0
		want.Mode = 0
	}
	if fs.Mode().Perm() != os.FileMode(want.Mode) || !fs.ModTime().Equal(want.Mtime) {
		t.Errorf("%q: boxo reads %v %v, want %o %v", path, fs.Mode(), fs.ModTime(), want.Mode, want.Mtime)
	}
}

// compareBytes reads r whole, and from some random offsets.
func compareBytes(t *testing.T, path string, want []byte, r io.ReadSeeker) {
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q: %d bytes read, %v", path, len(got), err)
	}
	if len(want) == 0 {
		return
	}
	rnd := rand.New(rand.NewPCG(1, uint64(len(want))))
	for range min(20, len(want)) {
		at := rnd.IntN(len(want))
		n := min(len(want)-at, 1+rnd.IntN(1000))
		got := make([]byte, n)
		if _, err := r.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatalf("%q: seek to %d: %v", path, at, err)
		}
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[at:at+n]) {
			t.Fatalf("%q: read of %d at %d: %v", path, n, at, err)
		}
	}
}

type primeReader struct {
	p    Profile
	lsys *ipld.LinkSystem
}

func (u primeReader) compare(t *testing.T, path string, x *tree, l ipld.Link) {
	lctx := ipld.LinkContext{Ctx: t.Context()}
	if l.(cidlink.Link).Type() == cid.Raw {
		b := must(u.lsys.LoadRaw(lctx, l))(t)
		compareBytes(t, path, x.data, bytes.NewReader(b))
		return
	}
	n := must(u.lsys.Load(lctx, l, dagpb.Type.PBNode))(t)
	fs := must(data.DecodeUnixFSData(n.(dagpb.PBNode).Data.Must().Bytes()))(t)
	u.compareAttr(t, path, x, fs)
	reified := must(unixfsnode.Reify(lctx, n, u.lsys))(t)
	switch x.kind {
	case KindFile:
		compareBytes(t, path, x.data, must(reified.(ufile.LargeBytesNode).AsLargeBytes())(t))
	case KindDir:
		seen := 0
		for it := reified.MapIterator(); !it.Done(); seen++ {
			k, v, err := it.Next()
			if err != nil {
				t.Fatalf("%q: %v", path, err)
			}
			name := must(k.AsString())(t)
			u.compare(t, path+"/"+name, x.kids[name], must(v.AsLink())(t))
		}
		if seen != len(x.kids) {
			t.Fatalf("%q: go-unixfsnode finds %d entries of %d", path, seen, len(x.kids))
		}
		for name := range x.kids {
			if _, err := reified.LookupByString(name); err != nil {
				t.Fatalf("%q/%q: %v", path, name, err)
			}
		}
	case KindSymlink:
		if target := fs.FieldData().Must().Bytes(); string(target) != x.target {
			t.Errorf("%q: go-unixfsnode reads target %q", path, target)
		}
	}
}

func (u primeReader) compareAttr(t *testing.T, path string, x *tree, fs data.UnixFSData) {
	want, _ := u.p.attr(x.kind, x.attr)
	if fs.Permissions() != int(want.Mode) || fs.FieldMtime().Exists() == want.Mtime.IsZero() {
		t.Fatalf("%q: go-unixfsnode reads mode %o, mtime %v", path, fs.Permissions(), fs.FieldMtime().Exists())
	}
	if want.Mtime.IsZero() {
		return
	}
	m := fs.FieldMtime().Must()
	ns := int64(0)
	if m.FieldFractionalNanoseconds().Exists() {
		ns = m.FieldFractionalNanoseconds().Must().Int()
	}
	if got := stamp(m.FieldSeconds().Int(), ns); !got.Equal(want.Mtime) {
		t.Errorf("%q: go-unixfsnode reads mtime %v, want %v", path, got, want.Mtime)
	}
}

// TestShardsAreBoxos builds folders with boxo, one entry after the other in random order.
func TestShardsAreBoxos(t *testing.T) {
	for _, n := range []int{1, 2, 300, 5000} {
		for _, mode := range []uint32{DefaultDirMode, 0o700} {
			s, p := newBlocks(), DefaultProfile()
			p.HAMTThreshold = 1
			entries := fakeEntries(n)
			ours := must(BuildDir(p, Attr{Mode: mode}, entries, s.emit))(t)
			theirs := boxoShards(t, mode, entries)
			if theirs.Cid() != ours.Cid {
				t.Errorf("%d entries, mode %o: boxo builds %s, we %s", n, mode, theirs.Cid(), ours.Cid)
			}
			if size := must(theirs.Size())(t); size != ours.Tsize {
				t.Errorf("%d entries: boxo's Tsize is %d, ours %d", n, size, ours.Tsize)
			}
		}
	}
}

func boxoShards(t *testing.T, mode uint32, entries []Link) format.Node {
	shard := must(hamt.NewShard(mdtest.Mock(), fanout))(t)
	shard.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12})
	if mode != DefaultDirMode {
		shard.SetStat(os.FileMode(mode), time.Time{})
	}
	shuffled := slices.Clone(entries)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, e := range shuffled {
		if err := shard.SetLink(t.Context(), e.Name, &format.Link{Size: e.Tsize, Cid: e.Cid}); err != nil {
			t.Fatal(err)
		}
	}
	return must(shard.Node())(t)
}

// TestNodesAreBoxos encodes every node of the sample with boxo's encoder.
func TestNodesAreBoxos(t *testing.T) {
	s := newBlocks()
	must(sample().build(profiles()[3], s))(t)
	for c, b := range s.m {
		if c.Type() == cid.Raw {
			continue
		}
		n := must(Decode(b))(t)
		if n.Shard || (n.HasMode && n.Attr.Mode == 0) {
			continue // for shards see TestShardsAreBoxos; boxo does not write mode 0, which we read back as such
		}
		if again := boxoNode(t, n); !bytes.Equal(again, b.Data()) {
			t.Errorf("%+v:\nwe   %x\nboxo %x", n, b.Data(), again)
		}
	}
}

func boxoNode(t *testing.T, n Node) []byte {
	fs := ft.NewFSNode(ft.TFile)
	for _, l := range n.Links {
		fs.AddBlockSize(l.Size)
	}
	if n.HasMode {
		fs.SetModeFromUnixPermissions(n.Attr.Mode)
	}
	if !n.Attr.Mtime.IsZero() {
		fs.SetModTime(n.Attr.Mtime)
	}
	unixfs := must(fs.GetBytes())(t)
	switch {
	case n.Kind == KindDir && n.HasMode:
		unixfs = ft.FolderPBDataWithStat(os.FileMode(n.Attr.Mode), time.Time{})
	case n.Kind == KindDir:
		unixfs = ft.FolderPBData()
	case n.Kind == KindSymlink:
		unixfs = must(ft.SymlinkData(n.Target))(t)
	}
	pn := merkledag.NodeWithData(unixfs)
	if err := pn.SetCidBuilder(blockstore.Sum(cid.DagProtobuf, nil).Prefix()); err != nil {
		t.Fatal(err)
	}
	for _, l := range n.Links {
		if err := pn.AddRawLink(l.Name, &format.Link{Cid: l.Cid, Size: l.Tsize}); err != nil {
			t.Fatal(err)
		}
	}
	return must(pn.EncodeProtobuf(true))(t)
}
