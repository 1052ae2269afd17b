package badgerstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

var benchSet = blockstore.Sum(cid.Raw, []byte("set"))

func digestCid(codec uint64, n int) cid.Cid {
	return blockstore.FromDigest(codec, sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))))
}

// BenchmarkIndexSmallFiles records 10,000 files of one leaf each, 512 a call, with their nodes: what a
// get of a folder of small files costs in the index.
func BenchmarkIndexSmallFiles(b *testing.B) {
	const n = 10_000
	var files []blockstore.File
	var nodes []blockstore.Block
	for i := range n {
		node := blockstore.NewBlock(cid.DagProtobuf, fmt.Appendf(nil, "%080d", i))
		nodes = append(nodes, node)
		files = append(files, blockstore.File{
			Set: benchSet, Tree: "/home/user/folder", Path: fmt.Sprintf("some/where/%02d/file-%05d.txt", i%100, i),
			Stamp: blockstore.Stamp{Size: 8192, MtimeNs: 1760000000000000000, CtimeNs: 1760000000000000000, Inode: 1 << 24, Mode: 0o644},
			Cid:   node.Cid(), ScannedNs: 1760000000000000000,
			Leaves: []blockstore.Leaf{{Cid: digestCid(cid.Raw, i), Size: 8192}},
		})
	}
	for b.Loop() {
		b.StopTimer()
		s := open(b, b.TempDir())
		b.StartTimer()
		for at := 0; at < n; at += 512 {
			end := min(at+512, n)
			if err := s.Put(b.Context(), benchSet, nodes[at:end]...); err != nil {
				b.Fatal(err)
			}
			if err := s.PutFiles(b.Context(), files[at:end]...); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(3*n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkIndexBigFile records a file of 1 GiB in 4,096 leaves.
func BenchmarkIndexBigFile(b *testing.B) {
	f := blockstore.File{Set: benchSet, Tree: "/home/user/folder", Path: "big.iso", Cid: digestCid(cid.DagProtobuf, 0),
		Stamp: blockstore.Stamp{Size: 1 << 30}}
	for i := range 4096 {
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: digestCid(cid.Raw, i), Size: 256 << 10})
	}
	for b.Loop() {
		b.StopTimer()
		s := open(b, b.TempDir())
		b.StartTimer()
		if err := s.PutFiles(b.Context(), f); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		st, err := s.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(st.DiskBytes)/1024, "KiB-on-disk")
		b.StartTimer()
	}
}

// benchRead reads count blocks of size bytes that lie in files, each file holding perFile of them.
func benchRead(b *testing.B, size, count, perFile int) {
	tree := b.TempDir()
	s := open(b, b.TempDir())
	var cids []cid.Cid
	for n := 0; n < count; n += perFile {
		f := blockstore.File{Set: benchSet, Tree: tree, Path: fmt.Sprintf("dir/sub/%d", n), Cid: digestCid(cid.DagProtobuf, n)}
		var data []byte
		for i := range perFile {
			chunk := bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(n+i)), size/8)
			c := blockstore.Sum(cid.Raw, chunk)
			cids = append(cids, c)
			data = append(data, chunk...)
			f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: c, Size: uint32(size)})
		}
		f.Stamp.Size = int64(len(data))
		if err := os.MkdirAll(filepath.Join(tree, "dir/sub"), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, f.Path), data, 0o644); err != nil {
			b.Fatal(err)
		}
		if err := s.PutFiles(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.GetFrom(b.Context(), benchSet, cids[i%len(cids)], buf); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}

func BenchmarkReadLeaf256K(b *testing.B)   { benchRead(b, 256<<10, 512, 128) }
func BenchmarkReadSmallFiles(b *testing.B) { benchRead(b, 8<<10, 2000, 1) }

func BenchmarkReadInline(b *testing.B) {
	s := open(b, b.TempDir())
	var blocks []blockstore.Block
	for i := range 5000 {
		blocks = append(blocks, blockstore.NewBlock(cid.DagProtobuf, fmt.Appendf(nil, "%0200d", i)))
	}
	if err := s.Put(b.Context(), benchSet, blocks...); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1024)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.Get(b.Context(), blocks[i%len(blocks)].Cid(), buf); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
