package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

// model runs the same random calls against this store and the reference in memory, over a world so small
// that calls meet: three sets, eight chunks, two trees of three paths.
type model struct {
	dir   string
	trees []string
	mem   *memstore.Store
	store *Store
	junk  int
}

func (m *model) reopen(t *rapid.T) {
	if m.store != nil {
		if err := m.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.store, err = Open(m.dir, Options{FreeSpace: plenty}); err != nil {
		t.Fatal(err)
	}
}

func chunkNo(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 100+n*(n%2)*12000) } // some in pieces

func (m *model) set(t *rapid.T) cid.Cid {
	return blockstore.Sum(cid.Raw, fmt.Append(nil, "set", rapid.IntRange(0, 2).Draw(t, "set")))
}

func (m *model) chunks(t *rapid.T) [][]byte {
	var out [][]byte
	for _, n := range rapid.SliceOfN(rapid.IntRange(0, 7), 0, 5).Draw(t, "chunks") {
		out = append(out, chunkNo(n))
	}
	return out
}

func (m *model) file(t *rapid.T) (tree, path string) {
	return rapid.SampledFrom(m.trees).Draw(t, "tree"), rapid.SampledFrom([]string{"a", "a.b", "dir/a"}).Draw(t, "path")
}

func (m *model) put(t *rapid.T) {
	set := m.set(t)
	var blocks []blockstore.Block
	for _, c := range m.chunks(t) {
		blocks = append(blocks, blockstore.NewBlock(cid.Raw, c))
	}
	if err := errors.Join(m.mem.Put(t.Context(), set, blocks...), m.store.Put(t.Context(), set, blocks...)); err != nil {
		t.Fatal(err)
	}
}

// scan writes a file and records it.
func (m *model) scan(t *rapid.T) {
	tree, path := m.file(t)
	f := blockstore.File{Set: m.set(t), Tree: tree, Path: path, Cid: digestCid(cid.DagProtobuf, m.junk), ScannedNs: 5}
	var data []byte
	for _, c := range m.chunks(t) {
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, c), Size: uint32(len(c))})
		data = append(data, c...)
	}
	f.Stamp = blockstore.Stamp{Size: int64(len(data)), MtimeNs: 9}
	m.write(t, tree, path, data)
	if err := errors.Join(m.mem.PutFiles(t.Context(), f), m.store.PutFiles(t.Context(), f)); err != nil {
		t.Fatal(err)
	}
}

func (m *model) write(t *rapid.T, tree, path string, data []byte) {
	full := filepath.Join(tree, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// spoil changes, shortens or removes a file behind the stores' back. Bytes that were spoilt never come
// back by themselves, so it does not matter in which order the stores find out.
func (m *model) spoil(t *rapid.T) {
	tree, path := m.file(t)
	m.junk++
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		m.write(t, tree, path, bytes.Repeat(fmt.Appendf(nil, "junk %9d", m.junk), 60_000))
	case 1:
		m.write(t, tree, path, nil)
	case 2:
		if err := os.RemoveAll(filepath.Join(tree, path)); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) drop(t *rapid.T) {
	tree, path := m.file(t)
	paths := []string{path}
	if rapid.IntRange(0, 3).Draw(t, "whole tree") == 0 {
		paths = nil
	}
	if err := errors.Join(m.mem.DropFiles(t.Context(), tree, paths...), m.store.DropFiles(t.Context(), tree, paths...)); err != nil {
		t.Fatal(err)
	}
}

func (m *model) deleteSet(t *rapid.T) {
	set := m.set(t)
	if err := errors.Join(m.mem.DeleteSet(t.Context(), set), m.store.DeleteSet(t.Context(), set)); err != nil {
		t.Fatal(err)
	}
}

// rarely keeps slow calls from making up most of the time.
func rarely(t *rapid.T) bool { return rapid.IntRange(0, 4).Draw(t, "rarely") == 0 }

func (m *model) collect(t *rapid.T) {
	if !rarely(t) {
		return
	}
	if got, err := m.store.GC(t.Context(), func(_, _ cid.Cid) bool { return true }); err != nil || got.Blocks != 0 || got.Refs != 0 {
		t.Fatalf("GC = %+v, %v", got, err)
	}
}

// read compares one block in one set; what one store gives the other must give.
func (m *model) read(t *rapid.T) {
	set, want := m.set(t), chunkNo(rapid.IntRange(0, 7).Draw(t, "chunk"))
	c := blockstore.Sum(cid.Raw, want)
	for _, get := range [][2]func() ([]byte, error){
		{func() ([]byte, error) { return m.mem.GetFrom(t.Context(), set, c, nil) },
			func() ([]byte, error) { return m.store.GetFrom(t.Context(), set, c, nil) }},
		{func() ([]byte, error) { return m.mem.Get(t.Context(), c, nil) },
			func() ([]byte, error) { return m.store.Get(t.Context(), c, nil) }},
	} {
		a, err := get[0]()
		b, err2 := get[1]()
		if (err == nil) != (err2 == nil) || !bytes.Equal(a, b) || (err == nil && !bytes.Equal(a, want)) {
			t.Fatalf("chunk of %d: reference %d bytes, %v; store %d bytes, %v", len(want), len(a), err, len(b), err2)
		}
		if err2 != nil && !errors.Is(err2, blockstore.ErrNotFound) && !errors.Is(err2, blockstore.ErrCorrupt) {
			t.Fatal(err2)
		}
	}
}

// list compares the recorded files; which of them are known to have changed may differ.
func (m *model) list(t *rapid.T) {
	for _, tree := range m.trees {
		var got [2][]blockstore.File
		for i, s := range []blockstore.FileLister{m.mem, m.store} {
			err := s.Files(t.Context(), tree, func(f blockstore.File) error {
				f.Stamp, f.ScannedNs = blockstore.Stamp{}, 0
				got[i] = append(got[i], f)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		same := slices.EqualFunc(got[0], got[1], func(a, b blockstore.File) bool {
			return a.Set.Equals(b.Set) && a.Tree == b.Tree && a.Path == b.Path && a.Cid.Equals(b.Cid)
		})
		if !same {
			t.Fatalf("files: reference %+v\nstore %+v", got[0], got[1])
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(base)
		m := &model{dir: filepath.Join(base, "store"), mem: memstore.New(),
			trees: []string{filepath.Join(base, "t"), filepath.Join(base, "t", "u")}}
		for _, tree := range m.trees {
			if err := os.MkdirAll(tree, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		m.reopen(t)
		defer func() { _ = m.store.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "scan": m.scan, "scan2": m.scan, "spoil": m.spoil, "drop": m.drop, "deleteSet": m.deleteSet,
			"read": m.read, "read2": m.read, "list": m.list, "collect": m.collect, "reopen": func(t *rapid.T) {
				if rarely(t) {
					m.reopen(t)
				}
			},
		})
	})
}
