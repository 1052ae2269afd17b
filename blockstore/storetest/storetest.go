// Package storetest is the contract of a block store as one suite of tests. Every store, and every
// wrapper around one, runs it:
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Store { return memstore.New() })
//	}
package storetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Store is every role that a complete store plays.
type Store interface {
	blockstore.Getter
	blockstore.SetGetter
	blockstore.Haser
	blockstore.Putter
	blockstore.FilePutter
	blockstore.FileDropper
	blockstore.FileLister
	blockstore.Deleter
}

// Run runs the suite. open makes an empty store for one test and has it closed by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for name, test := range map[string]func(*env){
		"inline":               testInline,
		"sizes":                testSizes,
		"put again":            testPutAgain,
		"invalid":              testInvalid,
		"buffer":               testBuffer,
		"canceled":             testCanceled,
		"sets of blocks":       testSetsOfBlocks,
		"sets of files":        testSetsOfFiles,
		"delete set":           testDeleteSet,
		"leaves of a file":     testLeaves,
		"many leaves":          testManyLeaves,
		"many references":      testManyReferences,
		"equal chunks":         testEqualChunks,
		"flipped byte":         testFlippedByte,
		"file and inline":      testFileAndInline,
		"truncated file":       testTruncated,
		"vanished file":        testVanished,
		"vanished tree":        testVanishedTree,
		"link in its place":    testLink,
		"link out of the tree": testLinkOut,
		"replaced file":        testReplaced,
		"drop files":           testDropFiles,
		"drop tree":            testDropTree,
		"list":                 testList,
		"bad files":            testBadFiles,
		"concurrent":           testConcurrent,
	} {
		t.Run(name, func(t *testing.T) {
			test(&env{T: t, ctx: t.Context(), store: open(t), rnd: rand.New(rand.NewPCG(1, 2))})
		})
	}
}

// env is what a test of the suite works with.
type env struct {
	*testing.T
	ctx   context.Context
	store Store
	rnd   *rand.Rand
}

func (e *env) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(e.rnd.Uint32())
	}
	return b
}

// set makes a set's id.
func set(name string) cid.Cid { return blockstore.Sum(cid.Raw, []byte("set "+name)) }

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// gets asks for c in every way that is allowed and compares.
func (e *env) gets(c cid.Cid, want []byte, sets ...cid.Cid) {
	e.Helper()
	got, err := e.store.Get(e.ctx, c, nil)
	if err != nil || !bytes.Equal(got, want) {
		e.Fatalf("Get(%s) = %d bytes, %v; want %d bytes", c, len(got), err, len(want))
	}
	if has, err := e.store.Has(e.ctx, c); !has || err != nil {
		e.Fatalf("Has(%s) = %v, %v", c, has, err)
	}
	for _, set := range sets {
		got, err := e.store.GetFrom(e.ctx, set, c, nil)
		if err != nil || !bytes.Equal(got, want) {
			e.Fatalf("GetFrom(%s, %s) = %d bytes, %v; want %d bytes", set, c, len(got), err, len(want))
		}
	}
}

// fails wants an error and no bytes from GetFrom.
func (e *env) fails(set, c cid.Cid, want error) {
	e.Helper()
	if got, err := e.store.GetFrom(e.ctx, set, c, nil); got != nil || !errors.Is(err, want) {
		e.Fatalf("GetFrom(%s, %s) = %d bytes, %v; want %v", set, c, len(got), err, want)
	}
}

// absent wants that c is not there at all.
func (e *env) absent(c cid.Cid) {
	e.Helper()
	if got, err := e.store.Get(e.ctx, c, nil); got != nil || !errors.Is(err, blockstore.ErrNotFound) {
		e.Fatalf("Get(%s) = %d bytes, %v; want %v", c, len(got), err, blockstore.ErrNotFound)
	}
	if has, err := e.store.Has(e.ctx, c); has || err != nil {
		e.Fatalf("Has(%s) = %v, %v; want false", c, has, err)
	}
}

// write makes a file of the chunks and the record of it.
func (e *env) write(set cid.Cid, tree, path string, chunks ...[]byte) blockstore.File {
	e.Helper()
	data := bytes.Join(chunks, nil)
	full := filepath.Join(tree, filepath.FromSlash(path))
	e.must(os.MkdirAll(filepath.Dir(full), 0o755))
	e.must(os.WriteFile(full, data, 0o644))
	f := blockstore.File{
		Set: set, Tree: tree, Path: path, ScannedNs: 3000,
		Stamp: blockstore.Stamp{Size: int64(len(data)), MtimeNs: 1000, CtimeNs: -2000, Inode: 7, Mode: 0o644},
		Cid:   blockstore.Sum(cid.DagProtobuf, data),
	}
	for _, c := range chunks {
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, c), Size: uint32(len(c))})
	}
	return f
}

// put is write and PutFiles.
func (e *env) put(set cid.Cid, tree, path string, chunks ...[]byte) blockstore.File {
	e.Helper()
	f := e.write(set, tree, path, chunks...)
	e.must(e.store.PutFiles(e.ctx, f))
	return f
}

// overwrite changes bytes of a file in place.
func (e *env) overwrite(f blockstore.File, off int64, data ...byte) {
	e.Helper()
	file, err := os.OpenFile(filepath.Join(f.Tree, f.Path), os.O_WRONLY, 0)
	e.must(err)
	_, err = file.WriteAt(data, off)
	e.must(errors.Join(err, file.Close()))
}

func (e *env) list(tree string) (files []blockstore.File) {
	e.Helper()
	e.must(e.store.Files(e.ctx, tree, func(f blockstore.File) error {
		files = append(files, f)
		return nil
	}))
	return files
}

// changed wants that a file is recorded as one that no scan trusts.
func (e *env) changed(f blockstore.File) {
	e.Helper()
	for _, l := range e.list(f.Tree) {
		if l.Path == f.Path {
			if l.Stamp != f.Stamp || l.ScannedNs != 0 {
				e.Fatalf("%s is changed on disk, its record says %+v", f.Path, l)
			}
			return
		}
	}
	e.Fatalf("%s is not recorded", f.Path)
}
