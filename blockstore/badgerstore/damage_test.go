package badgerstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// image is a store's folder in memory.
type image map[string][]byte

func takeImage(t *testing.T, dir string) image {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	im := image{}
	for _, e := range entries {
		if im[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return im
}

// write makes a folder of the image, with holes where it has zeros.
func (im image) write(t *testing.T, dir string) {
	t.Helper()
	const page = 4096
	for name, data := range im {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = f.Truncate(int64(len(data)))
		}
		for at := 0; err == nil && at < len(data); at += page {
			part := data[at:min(at+page, len(data))]
			if len(bytes.Trim(part, "\x00")) > 0 {
				_, err = f.WriteAt(part, int64(at))
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// contents fills a store with every kind of record and returns what it must give.
func contents(t *testing.T, s *Store, tree string) map[cid.Cid][]byte {
	t.Helper()
	want := map[cid.Cid][]byte{}
	for n := range 100 {
		b := numbered(n)
		if err := s.Put(t.Context(), benchSet, b); err != nil {
			t.Fatal(err)
		}
		want[b.Cid()] = b.Data()
	}
	var data []byte
	f := blockstore.File{Set: benchSet, Tree: tree, Path: "f", Cid: digestCid(cid.DagProtobuf, 1)}
	for n := range 1100 { // two pages
		chunk := numbered(1000 + n).Data()[:40]
		c := blockstore.Sum(cid.Raw, chunk)
		want[c] = chunk
		data = append(data, chunk...)
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: c, Size: 40})
	}
	f.Stamp.Size = int64(len(data))
	if err := os.WriteFile(filepath.Join(tree, "f"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.PutFiles(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return want
}

// readAll opens a store that may be damaged, reads all and tells how many blocks it gave. A wrong byte
// fails the test; so does an error that is none of the documented.
func readAll(t *testing.T, dir, what string, want map[cid.Cid][]byte) (got int, opened bool) {
	t.Helper()
	s, err := Open(dir, Options{FreeSpace: plenty})
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: open: %v, want ErrDamaged", what, err)
		}
		return 0, false
	}
	for c, data := range want {
		read, err := s.Get(t.Context(), c, nil)
		switch {
		case err == nil && bytes.Equal(read, data):
			got++
		case err == nil:
			t.Fatalf("%s: wrong bytes", what)
		case !errors.Is(err, blockstore.ErrNotFound) && !errors.Is(err, blockstore.ErrCorrupt) && !errors.Is(err, ErrDamaged):
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: close: %v", what, err)
	}
	return got, true
}

// TestFlips changes single bytes of every file of a store, closed and killed.
func TestFlips(t *testing.T) {
	tree, dir := t.TempDir(), t.TempDir()
	s := open(t, dir)
	want := contents(t, s, tree)
	killed := takeImage(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for state, im := range map[string]image{"killed": killed, "closed": takeImage(t, dir)} {
		for name, data := range im {
			t.Run(state+" "+name, func(t *testing.T) { flipFile(t, im, name, data, want) })
		}
	}
}

func flipFile(t *testing.T, im image, name string, data []byte, want map[cid.Cid][]byte) {
	rnd := rand.New(rand.NewPCG(3, 4))
	used := len(bytes.TrimRight(data, "\x00")) // the rest is preallocated
	flips, refused, missing := 24, 0, 0
	if testing.Short() {
		flips = 8
	}
	for i := range flips {
		if len(data) == 0 {
			break
		}
		at := rnd.IntN(max(used, 1))
		switch i % 4 { // the ends are where the structure is
		case 0:
			at = min(i/4, len(data)-1)
		case 1:
			at = max(used-1-i/4, 0)
		}
		damaged := image{}
		for n, d := range im {
			damaged[n] = d
		}
		damaged[name] = bytes.Clone(data)
		damaged[name][at] ^= 1 << rnd.IntN(8)
		dir := t.TempDir()
		damaged.write(t, dir)
		got, opened := readAll(t, dir, name, want)
		if !opened {
			refused++
		}
		missing += len(want) - got
	}
	t.Logf("%d flips in %d bytes: %d refused, %d blocks missing, 0 wrong", flips, used, refused, missing)
}

// TestShortManifest: Badger would open such a store and delete the table.
func TestShortManifest(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), benchSet, numbered(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	im := takeImage(t, dir)
	for _, cut := range []int{1, 3, 20, len(im["MANIFEST"])} {
		bad := t.TempDir()
		im.write(t, bad)
		if err := os.Truncate(filepath.Join(bad, "MANIFEST"), int64(len(im["MANIFEST"])-cut)); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(bad, Options{FreeSpace: plenty}); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut by %d: Open = %v, %v; want ErrDamaged", cut, s, err)
		}
	}
	bad := t.TempDir()
	im.write(t, bad)
	if err := os.Remove(filepath.Join(bad, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(bad, Options{FreeSpace: plenty}); !errors.Is(err, ErrDamaged) {
		t.Errorf("no manifest: Open = %v, %v; want ErrDamaged", s, err)
	}
}
