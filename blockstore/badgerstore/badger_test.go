package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func randomBytes(seed, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(b) // never fails
	return b
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(dir, Options{FreeSpace: plenty}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open = %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	b := numbered(1)
	if err := s.Put(t.Context(), benchSet, b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), b.Cid(), nil)
	_, err2 := s.Has(t.Context(), b.Cid())
	_, err3 := s.Stats(t.Context())
	for _, err := range []error{err, err2, err3, s.Put(t.Context(), benchSet, b), s.VerifyChecksums(t.Context())} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	}
}

// TestReserve: below the reserve nothing is written, removing goes on, and all resumes with the space.
func TestReserve(t *testing.T) {
	var free atomic.Int64
	free.Store(math.MaxInt64 / 4)
	o := Options{Reserve: 1000 << 20, FreeSpace: func(string) (int64, error) { return free.Load(), nil }}
	dir := t.TempDir()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old := numbered(1)
	if err := errors.Join(s.Put(t.Context(), benchSet, old), s.PutFiles(t.Context(), numberedFile(dir, 1))); err != nil {
		t.Fatal(err)
	}
	free.Store(1000<<20 - 1)
	fresh := blockstore.Sum(cid.Raw, []byte("another set"))
	for range 2 {
		if err := s.Put(t.Context(), fresh, numbered(2), numbered(49)); !errors.Is(err, blockstore.ErrNoSpace) {
			t.Fatalf("Put = %v, want ErrNoSpace", err)
		}
		if err := s.PutFiles(t.Context(), numberedFile(dir, 2)); !errors.Is(err, blockstore.ErrNoSpace) {
			t.Fatalf("PutFiles = %v, want ErrNoSpace", err)
		}
	}
	if err := s.Put(t.Context(), benchSet, old); err != nil {
		t.Errorf("Put of a block that is there = %v", err)
	}
	if err := s.DropFiles(t.Context(), dir, numberedFile(dir, 1).Path); err != nil {
		t.Errorf("DropFiles = %v", err)
	}
	if has, err := s.Has(t.Context(), numbered(2).Cid()); has || err != nil {
		t.Errorf("Has = %v, %v after ErrNoSpace", has, err)
	}
	if _, err := Open(t.TempDir(), o); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("Open = %v, want ErrNoSpace", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, o); err != nil { // what is there is served, and can be removed
		t.Fatalf("Open of a store with blocks: %v", err)
	}
	defer s.Close()
	if _, err := s.GetFrom(t.Context(), benchSet, old.Cid(), nil); err != nil {
		t.Error(err)
	}
	if err := s.Put(t.Context(), fresh, numbered(2)); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("Put = %v, want ErrNoSpace", err)
	}
	free.Store(1001 << 20)
	if err := s.Put(t.Context(), fresh, numbered(2), numbered(49)); err != nil {
		t.Errorf("Put with space again = %v", err)
	}
	for _, n := range []int{2, 49} {
		if _, err := s.GetFrom(t.Context(), fresh, numbered(n).Cid(), nil); err != nil {
			t.Error(err)
		}
	}
}

// TestReopen: names, numbers and all records survive, and numbers are not given twice.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	sets := make([]cid.Cid, 5)
	for round := range sets {
		s := open(t, dir)
		sets[round] = blockstore.Sum(cid.Raw, fmt.Append(nil, round))
		if err := errors.Join(s.Put(t.Context(), sets[round], numbered(round)), s.PutFiles(t.Context(), numberedFile(dir, round))); err != nil {
			t.Fatal(err)
		}
		if round == 3 { // the highest number goes, and must not come back
			if err := s.DeleteSet(t.Context(), sets[round]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	for round, set := range sets {
		if _, err := s.GetFrom(t.Context(), set, numbered(round).Cid(), nil); (err == nil) != (round != 3) {
			t.Errorf("set %d: %v", round, err)
		}
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Files != 5 || st.Blocks != 9 || st.DiskBytes <= 0 {
		t.Errorf("Stats = %+v, %v; want 4 blocks inline, 5 in files", st, err)
	}
	f, ok, err := s.LookupFile(t.Context(), dir, numberedFile(dir, 2).Path)
	want := numberedFile(dir, 2)
	if err != nil || !ok || f.Stamp != want.Stamp || !f.Cid.Equals(want.Cid) || !f.Set.Equals(benchSet) || f.Leaves != nil {
		t.Errorf("LookupFile = %+v, %v, %v", f, ok, err)
	}
	for _, path := range []string{"", "never", "0000002/x"} {
		if f, ok, err := s.LookupFile(t.Context(), dir, path); ok || err != nil {
			t.Errorf("LookupFile(%q) = %+v, %v, %v", path, f, ok, err)
		}
	}
}

func TestGC(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const n = 600
	var blocks []blockstore.Block
	for i := range n {
		blocks = append(blocks, blockstore.NewBlock(cid.Raw, randomBytes(i, 50<<10)))
	}
	long := blockstore.NewBlock(cid.Raw, randomBytes(n, 600<<10))
	other := blockstore.Sum(cid.Raw, []byte("other"))
	err := errors.Join(s.Put(t.Context(), benchSet, append(blocks, long)...), s.Put(t.Context(), other, blocks[:20]...),
		s.PutFiles(t.Context(), numberedFile(dir, 1)))
	if err != nil {
		t.Fatal(err)
	}
	kept := map[cid.Cid]bool{}
	for _, b := range blocks[10:30] { // 10 to 19 are in both sets and stay in one
		kept[b.Cid()] = true
	}
	got, err := s.GC(t.Context(), func(set, c cid.Cid) bool { return set.Equals(benchSet) && kept[c] })
	if err != nil || got.Blocks != n-20+1 || got.Bytes != (n-20)*50<<10+600<<10 || got.Refs != 0 {
		t.Errorf("GC = %+v, %v", got, err)
	}
	for i, b := range append(blocks, long) {
		_, err := s.GetFrom(t.Context(), benchSet, b.Cid(), nil)
		if (err == nil) != kept[b.Cid()] {
			t.Errorf("block %d: %v", i, err)
		}
		if _, err := s.GetFrom(t.Context(), other, b.Cid(), nil); err == nil {
			t.Errorf("block %d is still in the other set", i)
		}
	}
	if has, err := s.Has(t.Context(), numberedFile(dir, 1).Leaves[0].Cid); !has || err != nil {
		t.Errorf("reference of a recorded file: %v, %v", has, err)
	}
	// 1 MiB is alive; the logs and the manifest take a few KiB.
	if st, err := s.Stats(t.Context()); err != nil || st.DiskBytes > 3<<20 {
		t.Errorf("after GC the store takes %d KiB, %v", st.DiskBytes>>10, err)
	}
	if err := s.VerifyChecksums(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestGCWhilePutting: a block that is put while GC runs stays, though the mark did not know it.
func TestGCWhilePutting(t *testing.T) {
	s := open(t, t.TempDir())
	a, b := numbered(1), numbered(2)
	if err := s.Put(t.Context(), benchSet, a, b); err != nil {
		t.Fatal(err)
	}
	if err := s.startGC(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context(), nil); !errors.Is(err, errBusy) {
		t.Errorf("second GC = %v, want errBusy", err)
	}
	if err := s.Put(t.Context(), benchSet, a); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.touched[string(blockKey(nil, a.Cid()))]; !ok || len(s.touched) != 1 {
		t.Errorf("touched %d blocks", len(s.touched))
	}
	s.endGC()
}

// TestSweep: references that a crash left without a file's record go with the next GC.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	f := numberedFile(dir, 1)
	if err := s.PutFiles(t.Context(), f, numberedFile(dir, 2)); err != nil {
		t.Fatal(err)
	}
	tree, _ := s.names.number(kindTree, dir)
	err := s.update(t.Context(), func(b *batch) error { return b.put(fileKey(tree, f.Path), nil) })
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.GC(t.Context(), func(_, _ cid.Cid) bool { return true })
	if err != nil || got.Refs != 1 {
		t.Errorf("GC = %+v, %v; want one reference", got, err)
	}
	if has, err := s.Has(t.Context(), f.Leaves[0].Cid); has || err != nil {
		t.Errorf("Has = %v, %v", has, err)
	}
}

// TestHeal: bytes damaged inside the database are not given out, and putting the block again heals it.
func TestHeal(t *testing.T) {
	s := open(t, t.TempDir())
	for _, n := range []int{1, 49} { // inline and in pieces
		b := numbered(n)
		if err := s.Put(t.Context(), benchSet, b); err != nil {
			t.Fatal(err)
		}
		key := blockKey(nil, b.Cid())
		if len(b.Data()) > inlineMax {
			key = pieceKey(b.Cid(), 0)
		}
		err := s.update(t.Context(), func(b *batch) error {
			p, err := b.load(key)
			if err == nil {
				bad := append([]byte{}, p.now...)
				bad[len(bad)-1]++
				b.set(p, bad)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), b.Cid(), nil); got != nil || !errors.Is(err, blockstore.ErrCorrupt) {
			t.Errorf("Get of a damaged block = %d bytes, %v", len(got), err)
		}
		if err := s.Put(t.Context(), benchSet, b); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), b.Cid(), nil); err != nil {
			t.Errorf("Get of a healed block: %v", err)
		}
	}
}

// TestSize: the home of a node that shares 1 GiB stays below 2 %, by apparent size too.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	f := numberedFile(dir, 0)
	f.Leaves = nil
	f.Stamp.Size = 1 << 30
	var nodes []blockstore.Block
	for i := range 4096 {
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: digestCid(cid.Raw, i), Size: 256 << 10})
		if i%32 == 0 {
			nodes = append(nodes, blockstore.NewBlock(cid.DagProtobuf, randomBytes(i, 1600)))
		}
	}
	if err := errors.Join(s.Put(t.Context(), benchSet, nodes...), s.PutFiles(t.Context(), f)); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		var apparent int64
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				apparent += info.Size()
			}
			return err
		})
		real, err2 := folderBytes(dir)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if apparent > 1<<30/50 {
			t.Errorf("%s: %d KiB, more than 2 %%", when, apparent>>10)
		}
		t.Logf("%s: %d KiB apparent, %d KiB on disk", when, apparent>>10, real>>10)
	}
	check("open")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed")
}

// TestValueLog: nothing ever goes to the value log.
func TestValueLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	contents(t, s, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "000001.vlog"))
	if err != nil || info.Size() > 20 { // its header
		t.Errorf("value log: %v, %v", info, err)
	}
}
