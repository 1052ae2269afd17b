package storetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func testSetsOfFiles(e *env) {
	tree := e.TempDir()
	chunk, shared := e.bytes(100), e.bytes(200)
	f := e.put(set("a"), tree, "f", chunk, shared)
	e.gets(f.Leaves[0].Cid, chunk, set("a"))
	e.fails(set("b"), f.Leaves[0].Cid, blockstore.ErrNotFound)
	e.put(set("b"), tree, "g", shared)
	e.gets(f.Leaves[1].Cid, shared, set("a"), set("b"))
	e.fails(set("b"), f.Leaves[0].Cid, blockstore.ErrNotFound)
	// The same file under another set: it belongs to that one now.
	f.Set = set("c")
	e.must(e.store.PutFiles(e.ctx, f))
	e.gets(f.Leaves[0].Cid, chunk, set("c"))
	e.fails(set("a"), f.Leaves[0].Cid, blockstore.ErrNotFound)
}

func testLeaves(e *env) {
	tree := e.TempDir()
	chunks := [][]byte{e.bytes(1), e.bytes(5000), e.bytes(256 << 10), e.bytes(1 << 20), e.bytes(3)}
	f := e.put(set("a"), tree, "deep/er/f", chunks...)
	for i, l := range f.Leaves {
		e.gets(l.Cid, chunks[i], set("a"))
	}
	e.absent(blockstore.FromDigest(cid.DagProtobuf, blockstore.Digest(f.Leaves[0].Cid)))
	e.put(set("a"), tree, "empty")
}

// testManyLeaves: a file of thousands of leaves is replaced by one that shares half of them, then goes.
func testManyLeaves(e *env) {
	tree := e.TempDir()
	chunks := make([][]byte, 3000)
	for i := range chunks {
		chunks[i] = e.bytes(16)
	}
	f := e.put(set("a"), tree, "f", chunks...)
	for i, l := range f.Leaves {
		e.gets(l.Cid, chunks[i], set("a"))
	}
	g := e.put(set("a"), tree, "f", slices.Concat([][]byte{e.bytes(7)}, chunks[1500:])...)
	for i, l := range f.Leaves {
		if i < 1500 {
			e.absent(l.Cid)
		} else {
			e.gets(l.Cid, chunks[i], set("a"))
		}
	}
	e.must(e.store.DropFiles(e.ctx, tree, "f"))
	for _, l := range g.Leaves {
		e.absent(l.Cid)
	}
}

// testManyReferences: any of several files serves a chunk until the last is gone.
func testManyReferences(e *env) {
	tree := e.TempDir()
	chunk := e.bytes(1000)
	var files []blockstore.File
	for i := range 10 {
		files = append(files, e.put(set("a"), tree, fmt.Sprint(i), e.bytes(i), chunk))
	}
	c := files[0].Leaves[1].Cid
	for i, f := range files {
		e.gets(c, chunk, set("a"))
		switch i % 3 {
		case 0:
			e.must(e.store.DropFiles(e.ctx, tree, f.Path))
		case 1:
			e.must(os.Remove(filepath.Join(tree, f.Path)))
		case 2:
			e.overwrite(f, int64(i), ^chunk[0])
		}
	}
	if got, err := e.store.Get(e.ctx, c, nil); err == nil {
		e.Errorf("Get = %d bytes, though no file holds them", len(got))
	}
	e.absent(c) // the last place was found wrong, so it is forgotten
}

// testEqualChunks: one chunk fills a file, and many files. Another set's places are no obstacle.
func testEqualChunks(e *env) {
	tree := e.TempDir()
	zero := make([]byte, 100)
	for i := range 100 {
		e.put(set("a"), tree, fmt.Sprint("f", i), zero, zero, zero, zero, zero, zero)
	}
	f := e.put(set("b"), tree, "other", zero, e.bytes(3), zero)
	e.gets(f.Leaves[0].Cid, zero, set("a"), set("b"))
	e.must(e.store.DeleteSet(e.ctx, set("b")))
	e.gets(f.Leaves[0].Cid, zero, set("a"))
	e.must(e.store.DropFiles(e.ctx, tree))
	e.absent(f.Leaves[0].Cid)
}

func testFlippedByte(e *env) {
	tree := e.TempDir()
	first, second := e.bytes(1000), e.bytes(1000)
	f := e.put(set("a"), tree, "f", first, second)
	g := e.put(set("a"), tree, "g", second)
	e.overwrite(f, 1500, ^second[500])
	e.gets(f.Leaves[1].Cid, second, set("a")) // from g
	e.changed(f)
	e.gets(f.Leaves[0].Cid, first, set("a")) // the rest of f still serves
	e.overwrite(g, 0, ^second[0])
	e.fails(set("a"), f.Leaves[1].Cid, blockstore.ErrCorrupt)
	e.changed(g)
	e.absent(f.Leaves[1].Cid)
	// Healed by a scan.
	e.put(set("a"), tree, "g", second)
	e.gets(f.Leaves[1].Cid, second, set("a"))
}

func testFileAndInline(e *env) {
	chunk := e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "f", chunk)
	e.must(e.store.Put(e.ctx, set("b"), blockstore.NewBlock(cid.Raw, chunk)))
	e.gets(f.Leaves[0].Cid, chunk, set("a"), set("b"))
	e.overwrite(f, 0, ^chunk[0])
	e.fails(set("a"), f.Leaves[0].Cid, blockstore.ErrCorrupt) // inline is b's
	e.gets(f.Leaves[0].Cid, chunk, set("b"))
}

func testTruncated(e *env) {
	chunk, last := e.bytes(1000), e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "f", chunk, last)
	e.must(os.Truncate(filepath.Join(f.Tree, f.Path), 1500))
	e.fails(set("a"), f.Leaves[1].Cid, blockstore.ErrCorrupt)
	e.gets(f.Leaves[0].Cid, chunk, set("a"))
	e.changed(f)
}

func testVanished(e *env) {
	chunk := e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "f", chunk)
	e.must(os.Remove(filepath.Join(f.Tree, f.Path)))
	e.fails(set("a"), f.Leaves[0].Cid, blockstore.ErrNotFound)
	e.changed(f)
}

// testVanishedTree: a disk that is not mounted for a while costs nothing when it is back.
func testVanishedTree(e *env) {
	chunk := e.bytes(1000)
	tree := filepath.Join(e.TempDir(), "tree")
	f := e.put(set("a"), tree, "f", chunk)
	e.must(os.Rename(tree, tree+"-away"))
	e.fails(set("a"), f.Leaves[0].Cid, blockstore.ErrNotFound)
	e.must(os.Rename(tree+"-away", tree))
	e.gets(f.Leaves[0].Cid, chunk, set("a"))
}

func testLink(e *env) {
	if runtime.GOOS == "windows" {
		e.Skip("links need a privilege there")
	}
	chunk := e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "f", chunk)
	full := filepath.Join(f.Tree, "f")
	e.must(os.Rename(full, full+"2"))
	e.must(os.Symlink("f2", full))
	e.fails(set("a"), f.Leaves[0].Cid, blockstore.ErrCorrupt)
}

func testLinkOut(e *env) {
	if runtime.GOOS == "windows" {
		e.Skip("links need a privilege there")
	}
	chunk := e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "dir/f", chunk)
	dir, outside := filepath.Join(f.Tree, "dir"), filepath.Join(e.TempDir(), "outside")
	e.must(os.Rename(dir, outside))
	e.must(os.Symlink(outside, dir))
	if got, err := e.store.Get(e.ctx, f.Leaves[0].Cid, nil); err == nil {
		e.Errorf("Get = %d bytes from outside the tree", len(got))
	}
}

func testReplaced(e *env) {
	tree := e.TempDir()
	before, kept, after := e.bytes(1000), e.bytes(1000), e.bytes(999)
	old := e.put(set("a"), tree, "f", before, kept)
	now := e.put(set("a"), tree, "f", after, kept)
	e.absent(old.Leaves[0].Cid)
	e.gets(now.Leaves[0].Cid, after, set("a"))
	e.gets(now.Leaves[1].Cid, kept, set("a"))
	e.put(set("a"), tree, "f", kept)
	e.gets(now.Leaves[1].Cid, kept, set("a"))
	if files := e.list(tree); len(files) != 1 {
		e.Errorf("%d files, want 1", len(files))
	}
}

func testDropFiles(e *env) {
	tree := e.TempDir()
	a, b := e.bytes(10), e.bytes(11)
	f := e.put(set("a"), tree, "dir", a) // a file whose name begins another's
	e.must(os.Remove(filepath.Join(tree, "dir")))
	g := e.put(set("a"), tree, "dir/x", b)
	e.must(e.store.DropFiles(e.ctx, tree, "dir"))
	e.absent(f.Leaves[0].Cid)
	e.gets(g.Leaves[0].Cid, b, set("a"))
	e.must(e.store.DropFiles(e.ctx, tree, "dir/x", "dir/x", "never"))
	e.absent(g.Leaves[0].Cid)
	e.must(e.store.DropFiles(e.ctx, "/never", "x"))
}

// testDropTree: other trees stay, also those below and with a longer name.
func testDropTree(e *env) {
	tree := e.TempDir()
	var files []blockstore.File
	for i := range 1200 { // more than any batch
		files = append(files, e.write(set("a"), tree, fmt.Sprintf("%d/%d", i%7, i), e.bytes(20)))
	}
	e.must(e.store.PutFiles(e.ctx, files...))
	chunk := e.bytes(30)
	nested := e.put(set("a"), filepath.Join(tree, "1"), "n", chunk)
	longer := e.put(set("a"), tree+"x", "n", chunk)
	e.Cleanup(func() { os.RemoveAll(tree + "x") })
	e.must(e.store.DropFiles(e.ctx, tree))
	for _, f := range files {
		e.absent(f.Leaves[0].Cid)
	}
	if n := len(e.list(tree)); n != 0 {
		e.Errorf("%d files are left", n)
	}
	if len(e.list(nested.Tree)) != 1 || len(e.list(longer.Tree)) != 1 {
		e.Error("files of other trees are gone")
	}
	e.gets(nested.Leaves[0].Cid, chunk, set("a"))
}

func testList(e *env) {
	tree := e.TempDir()
	want := []blockstore.File{}
	for _, path := range []string{"a", "a.txt", "a/b", "a/b/c", "a0", "ü", "B"} {
		want = append(want, e.write(set("a"), filepath.Join(tree, "t"+path[:1]), "ignored"))
		want[len(want)-1].Tree, want[len(want)-1].Path = tree, path
	}
	e.must(e.store.PutFiles(e.ctx, want...))
	slices.SortFunc(want, func(a, b blockstore.File) int { return strings.Compare(a.Path, b.Path) })
	if diff := cmp.Diff(want, e.list(tree), cmpopts.EquateComparable(cid.Cid{})); diff != "" {
		e.Errorf("files (-want +got):\n%s", diff)
	}
	stop := errors.New("stop")
	n := 0
	err := e.store.Files(e.ctx, tree, func(f blockstore.File) error {
		if n++; n == 2 {
			return stop
		}
		return e.store.DropFiles(e.ctx, tree, f.Path) // the store may be used meanwhile
	})
	if err != stop || n != 2 {
		e.Errorf("Files = %v after %d files; want the function's error after 2", err, n)
	}
	if len(e.list("/never")) != 0 {
		e.Error("files of a tree that never was")
	}
}

func testBadFiles(e *env) {
	tree := e.TempDir()
	good := e.write(set("a"), tree, "f", e.bytes(10))
	for name, change := range map[string]func(*blockstore.File){
		"set":           func(f *blockstore.File) { f.Set = cid.Undef },
		"tree":          func(f *blockstore.File) { f.Tree = "relative" },
		"no path":       func(f *blockstore.File) { f.Path = "" },
		"root":          func(f *blockstore.File) { f.Path = "." },
		"parent":        func(f *blockstore.File) { f.Path = "../f" },
		"absolute":      func(f *blockstore.File) { f.Path = "/f" },
		"NUL":           func(f *blockstore.File) { f.Path = "f\x00" },
		"cid":           func(f *blockstore.File) { f.Cid = cid.Undef },
		"size":          func(f *blockstore.File) { f.Stamp.Size++ },
		"undefined":     func(f *blockstore.File) { f.Leaves = []blockstore.Leaf{{Size: 10}} },
		"leaf is node":  func(f *blockstore.File) { f.Leaves = []blockstore.Leaf{{Cid: f.Cid, Size: 10}} },
		"leaf too long": func(f *blockstore.File) { f.Leaves[0].Size, f.Stamp.Size = 3<<20, 3<<20 },
	} {
		f := good
		f.Leaves = slices.Clone(good.Leaves)
		change(&f)
		if err := e.store.PutFiles(e.ctx, good, f); !errors.Is(err, blockstore.ErrInvalid) {
			e.Errorf("%s: PutFiles = %v, want ErrInvalid", name, err)
		}
	}
	if files := e.list(tree); len(files) != 0 {
		e.Errorf("files are recorded: %+v", files)
	}
}
