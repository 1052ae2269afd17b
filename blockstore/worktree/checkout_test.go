//go:build linux || darwin

package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

func TestCheckoutIsTheSource(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	st := memstore.New()
	c := checkout(t, dest, s, CheckoutOptions{})
	res := complete(t, c, s, st)
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	if res.Files != s.lay.Files || len(res.Skipped) != 0 || c.Reused() != 0 {
		t.Errorf("%+v, reused %d", res, c.Reused())
	}
	sameTree(t, s.dir, dest)
	for i, l := range s.lay.Leaves { // the records are right: the new store serves every leaf
		if _, err := st.Get(t.Context(), l.Cid, nil); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
	if _, err := os.Stat(dest + "/" + TempDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporaries stay: %v", err)
	}

	again := checkout(t, dest, s, CheckoutOptions{Known: knownOf(t, st, dest)})
	if n := len(again.Need()); n != 0 || again.Reused() == 0 {
		t.Errorf("%d leaves needed of a complete folder, reused %d", n, again.Reused())
	}
	finish(t, again, st)
	sameTree(t, s.dir, dest)
	must(t, Sync(dest))
}

// Trusted files are kept without a look inside.
func TestCheckoutTrustsStamps(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	st := memstore.New()
	later := CheckoutOptions{Now: func() time.Time { return time.Now().Add(time.Minute) }}
	complete(t, checkout(t, dest, s, later), s, st)
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	// Corrupt a file so that only its bytes tell, and give its record the new stamp.
	f, err := os.OpenFile(dest+"/big", os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("corrupt"), 1000)
	must(t, err)
	must(t, f.Close())
	known := func(path string) (blockstore.File, bool) {
		rec, ok, _ := st.LookupFile(t.Context(), dest, path)
		info, err := os.Lstat(filepath.Join(dest, path))
		must(t, err)
		rec.Stamp = makeStamp(info)
		return rec, ok
	}
	c := checkout(t, dest, s, CheckoutOptions{Known: known})
	if len(c.Need()) != 0 {
		t.Error("a trusted file was read")
	}
	i := slices.IndexFunc(s.lay.Entries, func(e dag.Entry) bool { return e.Path == "big" })
	for _, leaf := range s.lay.Entries[i].Leaves { // but never served wrong: the other copy is right
		data, err := c.Read(leaf, nil)
		if err != nil || blockstore.Verify(s.lay.Leaves[leaf].Cid, data) != nil {
			t.Errorf("leaf %d: %v", leaf, err)
		}
	}
}

func TestReadWhileIncomplete(t *testing.T) {
	s := share(t, sample(t))
	c := checkout(t, filepath.Join(t.TempDir(), "dest"), s, CheckoutOptions{})
	var buf []byte
	for k, i := range c.Need() {
		if _, err := c.Read(i, buf); !errors.Is(err, blockstore.ErrNotFound) || c.Have(i) {
			t.Fatalf("leaf %d before it came: %v", i, err)
		}
		must(t, c.Write(i, s.leaf(t, i)))
		must(t, c.Write(i, s.leaf(t, i))) // twice is fine
		got, err := c.Read(i, buf)
		if err != nil || string(got) != string(s.leaf(t, i)) || !c.Have(i) {
			t.Fatalf("leaf %d: %v", i, err)
		}
		buf = got
		if k == 3 {
			if _, err := c.Finish(t.Context(), nil); !errors.Is(err, ErrIncomplete) {
				t.Errorf("finish: %v", err)
			}
		}
	}
	for _, err := range []error{c.Write(0, []byte("x")), c.Write(0, make([]byte, s.lay.Leaves[0].Size))} {
		if !errors.Is(err, blockstore.ErrCorrupt) {
			t.Errorf("wrong bytes: %v", err)
		}
	}
	if c.Write(1<<30, nil) == nil || c.Have(1<<30) {
		t.Error("a leaf out of range")
	}
	finish(t, c, memstore.New())
}

// A random tree, scanned and checked out by several goroutines in random order, is the same tree.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		base, err := os.MkdirTemp("", "roundtrip")
		must(t, err)
		defer os.RemoveAll(base)
		src, dest := base+"/src", base+"/dest"
		drawTree(rt, t, src)
		s := share(t, src)
		c, err := NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{})
		must(t, err)
		defer c.Close()
		need := c.Need()
		rand.Shuffle(len(need), func(i, j int) { need[i], need[j] = need[j], need[i] })
		writeAll(t, c, s, need, 4)
		finish(t, c, memstore.New())
		sameTree(t, src, dest)
	})
}

func writeAll(t testing.TB, c *Checkout, s source, need []uint32, workers int) {
	var wg sync.WaitGroup
	todo := make(chan uint32)
	for range workers {
		wg.Go(func() {
			for i := range todo {
				if err := c.Write(i, s.leaf(t, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, i := range need {
		todo <- i
	}
	close(todo)
	wg.Wait()
}

// drawTree makes a random tree; blocks of few different seeds make equal leaves and equal files.
func drawTree(rt *rapid.T, t testing.TB, dir string) {
	must(t, os.Mkdir(dir, 0o755))
	name := rapid.SampledFrom([]string{"a", "b", "c", "a.txt", "A", "ü", "u\u0308", "-", "a b", ".h", "café\n", "%41"})
	mode := rapid.SampledFrom([]uint32{0o644, 0o755, 0o600, 0o444, 0o777, 0o700})
	for range rapid.IntRange(0, 25).Draw(rt, "entries") {
		p := dir
		for range rapid.IntRange(0, 3).Draw(rt, "depth") {
			p = filepath.Join(p, name.Draw(rt, "dir"))
		}
		if os.MkdirAll(p, 0o755) != nil {
			continue // a file has that name
		}
		full := filepath.Join(p, name.Draw(rt, "name"))
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		if rapid.IntRange(0, 9).Draw(rt, "kind") == 0 {
			must(t, os.Symlink(name.Draw(rt, "target"), full))
			continue
		}
		var b strings.Builder
		for range rapid.IntRange(0, 4).Draw(rt, "blocks") {
			b.WriteString(random(rapid.Uint64Range(0, 3).Draw(rt, "seed"), rapid.IntRange(1, 40<<10).Draw(rt, "len")))
		}
		write(t, full, b.String())
		must(t, os.Chmod(full, fs.FileMode(mode.Draw(rt, "mode"))))
		when := time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "s"), rapid.Int64Range(0, 999999999).Draw(rt, "ns"))
		must(t, os.Chtimes(full, when, when))
	}
}

// Killed after any number of writes (the handles are dropped, nothing else is said), a new checkout needs
// just the rest.
func TestResumeAfterKill(t *testing.T) {
	s := share(t, sample(t))
	total := len(s.lay.Leaves)
	for _, k := range []int{0, 1, 2, 3, 7, total / 2, total - 1, total} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), "dest")
			t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
			c := checkout(t, dest, s, CheckoutOptions{})
			need := c.Need()
			rand.Shuffle(total, func(i, j int) { need[i], need[j] = need[j], need[i] })
			for _, i := range need[:k] {
				must(t, c.Write(i, s.leaf(t, i)))
			}
			c.Close()
			c = checkout(t, dest, s, CheckoutOptions{})
			var reused int64
			for _, i := range need[:k] {
				reused += int64(s.lay.Leaves[i].Size)
			}
			rest := slices.Sorted(slices.Values(need[k:]))
			if got := c.Need(); !slices.Equal(got, rest) && !sameButZeros(s, got, rest) {
				t.Fatalf("after %d of %d leaves: needs %v, want %v", k, total, got, rest)
			}
			if c.Reused() < reused {
				t.Errorf("reused %d, want %d", c.Reused(), reused)
			}
			complete(t, c, s, memstore.New())
			sameTree(t, s.dir, dest)
		})
	}
}

// sameButZeros: a leaf of zeros counts as here where the file has a hole.
func sameButZeros(s source, got, want []uint32) bool {
	var z zeroSums
	return slices.Equal(got, slices.DeleteFunc(slices.Clone(want), func(i uint32) bool {
		return z.is(s.lay.Leaves[i].Cid, int(s.lay.Leaves[i].Size)) && !slices.Contains(got, i)
	}))
}

// What lies in the temporaries is believed only as far as it hashes right.
func TestResumeFromDamagedTemporaries(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	c := checkout(t, dest, s, CheckoutOptions{})
	need := c.Need()
	for _, i := range need[:len(need)-3] {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	c.Close()
	tmp := dest + "/" + TempDir
	list, err := os.ReadDir(tmp)
	must(t, err)
	list = slices.DeleteFunc(list, fs.DirEntry.IsDir) // of small files none is left unfinished
	for k, d := range list {
		name := filepath.Join(tmp, d.Name())
		switch k % 4 {
		case 0: // flipped
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("damage"), 5000)
			must(t, errors.Join(err, f.Close()))
		case 1:
			must(t, os.Truncate(name, 1<<30))
		case 2:
			must(t, os.Remove(name))
			must(t, os.Symlink("/etc/passwd", name))
		case 3:
			must(t, os.Remove(name))
			must(t, os.Mkdir(name, 0o755))
		}
	}
	complete(t, checkout(t, dest, s, CheckoutOptions{}), s, memstore.New())
	sameTree(t, s.dir, dest)
}

func TestForeignFolderIsRefused(t *testing.T) {
	s := share(t, sample(t))
	for _, tc := range []struct {
		name  string
		make  func(dest string)
		paths []string // nil: accepted
	}{
		{"empty", func(string) {}, nil},
		{"empty folders", func(d string) { must(t, os.MkdirAll(d+"/x/y", 0o755)) }, nil},
		{"other files", func(d string) { write(t, d+"/x/y", ""); write(t, d+"/sub/z", "") }, []string{"sub/z", "x/y"}},
		{"same files", func(d string) { write(t, d+"/sub/deep/er/small", "small") }, nil},
		{"changed file", func(d string) { write(t, d+"/sub/deep/er/small", "SMALL") }, []string{"sub/deep/er/small"}},
		{"longer file", func(d string) { write(t, d+"/big", "short") }, []string{"big"}},
		{"folder for file", func(d string) { must(t, os.Mkdir(d+"/big", 0o755)) }, []string{"big"}},
		{"file for folder", func(d string) { write(t, d+"/sub", "") }, []string{"sub"}},
		{"link for folder", func(d string) { must(t, os.Symlink("/tmp", d+"/sub")) }, []string{"sub"}},
		{"link for file", func(d string) { must(t, os.Symlink("/etc/passwd", d+"/big")) }, []string{"big"}},
		{"other link", func(d string) { must(t, os.Symlink("elsewhere", d+"/down")) }, []string{"down"}},
		{"link for temporaries", func(d string) { must(t, os.Symlink("/tmp", d+"/"+TempDir)) }, []string{TempDir}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dest := t.TempDir()
			tc.make(dest)
			before := listing(t, dest)
			c, err := NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{})
			var conflict *ConflictError
			if tc.paths == nil {
				must(t, err)
				complete(t, c, s, memstore.New())
				os.Chmod(dest+"/closed", 0o755)
				return
			}
			if !errors.As(err, &conflict) || !errors.Is(err, ErrConflict) || !slices.Equal(append(conflict.Paths, conflict.Beside...), tc.paths) ||
				errors.Is(err, ErrForeign) != (tc.name == "other files") {
				t.Fatalf("got %v, want a conflict of %v", err, tc.paths)
			}
			if after := listing(t, dest); after != before {
				t.Errorf("touched:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func TestConflictListsTen(t *testing.T) {
	s := share(t, sample(t))
	dest := t.TempDir()
	for i := range 100 {
		write(t, filepath.Join(dest, fmt.Sprint(i)), "")
	}
	_, err := NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || len(conflict.Beside) != 10 || len(conflict.Paths) > 0 {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(dest, "big"), "mine")
	_, err = NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{})
	if !errors.As(err, &conflict) || len(conflict.Beside) != 9 || !slices.Equal(conflict.Paths, []string{"big"}) {
		t.Errorf("got %v", err)
	}
}

// next is the sample, changed; prev lies in dest.
func nextRevision(t *testing.T) (prev, next source, dest string, st *memstore.Store) {
	dir := sample(t)
	prev = share(t, dir)
	dest = filepath.Join(t.TempDir(), "dest")
	st = memstore.New()
	complete(t, checkout(t, dest, prev, CheckoutOptions{}), prev, st)
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	f, err := os.OpenFile(dir+"/big", os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("a change of a few bytes"), 70000)
	must(t, errors.Join(err, f.Close()))
	write(t, dir+"/sub/deep/er/small", "another size")
	write(t, dir+"/new", "new")
	must(t, os.Chmod(dir+"/exec", 0o644))
	return prev, share(t, dir), dest, st
}

func TestNextRevision(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest)})
	if n := len(c.Need()); n > 8 { // what changed in big, and two small files
		t.Errorf("%d leaves are needed: old content was not used", n)
	}
	if res := complete(t, c, next, st); len(res.Skipped) > 0 {
		t.Errorf("%+v", res)
	}
	sameTree(t, next.dir, dest)
}

func TestLocalChangesAreKept(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	write(t, dest+"/big", "my own words")
	write(t, dest+"/foreign", "mine too")
	_, err := NewCheckout(t.Context(), dest, testSet(), next.lay, CheckoutOptions{Known: knownOf(t, st, dest)})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || !slices.Equal(conflict.Paths, []string{"big"}) {
		t.Fatalf("got %v", err)
	}
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest), Force: true})
	complete(t, c, next, st)
	if data, err := os.ReadFile(dest + "/foreign"); err != nil || string(data) != "mine too" {
		t.Errorf("a file outside the revision: %q, %v", data, err)
	}
	must(t, os.Remove(dest+"/foreign"))
	sameTree(t, next.dir, dest)
}

// A file that is changed, made or removed locally while the checkout runs.
func TestLocalChangesDuringCheckout(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest)})
	write(t, dest+"/big", "edited meanwhile")
	write(t, dest+"/new", "made meanwhile")
	must(t, os.Remove(dest+"/sub/deep/er/small"))
	res := complete(t, c, next, st)
	if got := skippedPaths(res.Skipped); got != "big:conflict new:conflict" {
		t.Errorf("skipped %q", got)
	}
	for name, want := range map[string]string{"big": "edited meanwhile", "new": "made meanwhile", "sub/deep/er/small": "another size"} {
		if data, err := os.ReadFile(filepath.Join(dest, name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	rec, _, _ := st.LookupFile(t.Context(), dest, "new")
	if rec.Path != "" {
		t.Error("a file that is not ours was recorded")
	}
}

func TestForceReplacesFilesNotFolders(t *testing.T) {
	s := share(t, sample(t))
	dest := t.TempDir()
	write(t, dest+"/sub", "a file where a folder goes")
	must(t, os.Symlink("/etc/passwd", dest+"/big"))
	must(t, os.Symlink("elsewhere", dest+"/down"))
	write(t, dest+"/exec", "changed")
	get(t, dest, s, CheckoutOptions{Force: true})
	os.Chmod(dest+"/closed", 0o755)
	os.Chmod(s.dir+"/closed", 0o755)
	sameTree(t, s.dir, dest)

	dest = t.TempDir()
	write(t, dest+"/big/precious", "x")
	_, err := NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{Force: true})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestNotWritable(t *testing.T) {
	s := share(t, sample(t))
	dir := t.TempDir()
	write(t, dir+"/file", "")
	for _, dest := range []string{dir + "/no/such", dir + "/file", dir + "/file/below"} {
		_, err := NewCheckout(t.Context(), dest, testSet(), s.lay, CheckoutOptions{})
		if !errors.Is(err, ErrNotWritable) {
			t.Errorf("%s: %v", dest, err)
		}
	}
}

func TestNoSpace(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	free := func(n int64) CheckoutOptions {
		return CheckoutOptions{FreeSpace: func(string) (int64, error) { return n, nil }}
	}
	_, err := NewCheckout(t.Context(), dest, testSet(), s.lay, free(s.lay.Bytes-1))
	if !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dest); !errors.Is(err, fs.ErrNotExist) {
		t.Error("touched")
	}
	c := checkout(t, dest, s, free(s.lay.Bytes))
	need := c.Need()
	for _, i := range need[:len(need)-1] {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	c.Close()
	get(t, dest, s, free(64<<10)) // only what is missing counts: one leaf of at most 16 KiB, 4 places at most
	os.Chmod(dest+"/closed", 0o755)
}

func TestHostileLayouts(t *testing.T) {
	leaf := blockstore.NewBlock(0x55, []byte("leaf"))
	root := dag.Entry{Kind: dag.KindDir, Attr: dag.Attr{Mode: 0o755}}
	file := func(p string) dag.Entry {
		return dag.Entry{Path: p, Kind: dag.KindFile, Attr: dag.Attr{Mode: 0o644}, Cid: leaf.Cid(), Size: 4, Leaves: []uint32{0}}
	}
	dir := func(p string) dag.Entry { return dag.Entry{Path: p, Kind: dag.KindDir} }
	link := func(p, target string) dag.Entry { return dag.Entry{Path: p, Kind: dag.KindSymlink, Target: target} }
	badSize := file("x")
	badSize.Size = 5
	badLeaf := file("x")
	badLeaf.Leaves = []uint32{1}
	negative := file("x")
	negative.Leaves, negative.Size = nil, -1
	for name, entries := range map[string][]dag.Entry{
		"no entry": {}, "root is a file": {file("")}, "root has a name": {dir("x")}, "second root": {root, root},
		"absolute": {root, file("/x")}, "up": {root, file("../x")}, "up below": {root, dir("a"), file("a/../x")},
		"dot": {root, file(".")}, "dots": {root, file("..")}, "empty name": {root, dir("a"), file("a/")},
		"NUL": {root, file("a\x00b")}, "double slash": {root, dir("a"), file("a//b")}, "no parent": {root, file("a/b")},
		"below a file": {root, file("a"), file("a/b")}, "below a link": {root, link("a", "b"), file("a/b")},
		"twice": {root, file("a"), file("a")}, "link and file": {root, link("a", "b"), file("a")},
		"order": {root, file("b"), file("a")}, "folder twice": {root, dir("a"), file("b"), dir("a")},
		"back to a closed folder": {root, dir("a"), dir("b"), file("a/x")},
		"bad size":                {root, badSize}, "bad leaf": {root, badLeaf}, "negative size": {root, negative},
	} {
		lay := &dag.Layout{Entries: entries, Leaves: []blockstore.Leaf{{Cid: leaf.Cid(), Size: 4}}}
		_, err := NewCheckout(t.Context(), filepath.Join(t.TempDir(), "dest"), testSet(), lay, CheckoutOptions{})
		if !errors.Is(err, dag.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}

	base := t.TempDir()
	write(t, base+"/canary", "alive")
	before := listing(t, base)
	lay := &dag.Layout{Leaves: []blockstore.Leaf{{Cid: leaf.Cid(), Size: 4}}, Entries: []dag.Entry{
		root, dir(TempDir), file(TempDir + "/x"), link("abs", base+"/canary"), link("chain", "a/../../canary"),
		dir("sub"), link("sub/out", "../../canary"), file("sub/x"), link("up", "../canary"), link("zok", "sub/x"),
	}}
	c, err := NewCheckout(t.Context(), base+"/dest", testSet(), lay, CheckoutOptions{})
	must(t, err)
	defer c.Close()
	must(t, c.Write(0, []byte("leaf")))
	res := finish(t, c, memstore.New())
	if got := skippedPaths(res.Skipped); got != TempDir+":name abs:symlink chain:symlink sub/out:symlink up:symlink" {
		t.Errorf("skipped %q", got)
	}
	must(t, os.RemoveAll(base+"/dest"))
	if after := listing(t, base); after != before {
		t.Errorf("outside was touched:\n%s", after)
	}
}

// Somebody swaps folders of dest for symlinks, again and again, while the checkout runs: nothing
// outside is ever made or changed.
func TestFolderSwappedForSymlink(t *testing.T) {
	src := t.TempDir()
	for i := range 400 {
		write(t, filepath.Join(src, fmt.Sprint("d", i%20), "e", fmt.Sprint(i)), random(uint64(i), 6<<10))
	}
	s := share(t, src)
	base := t.TempDir()
	outside, dest := base+"/outside", base+"/dest"
	write(t, outside+"/e/canary", "alive")
	write(t, outside+"/1", "alive")
	before := listing(t, outside)
	c := checkout(t, dest, s, CheckoutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			d := filepath.Join(dest, fmt.Sprint("d", n%20))
			if os.Rename(d, base+"/aside") != nil {
				continue
			}
			os.Symlink([]string{outside, "d1", "../outside"}[n%3], d)
			os.Remove(d)
			os.Rename(base+"/aside", d)
		}
	})
	for _, i := range c.Need() {
		if err := c.Write(i, s.leaf(t, i)); err != nil {
			t.Log(err) // a folder that is away is an error or a conflict, both are fine
		}
	}
	cancel()
	swapper.Wait()
	if after := listing(t, outside); after != before {
		t.Errorf("outside was touched:\n%s\nbefore:\n%s", after, before)
	}
	for _, e := range s.lay.Entries { // nor did anything land in the wrong folder
		if e.Kind != dag.KindFile {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dest, e.Path))
		want, _ := os.ReadFile(filepath.Join(src, e.Path))
		if err == nil && string(got) != string(want) {
			t.Errorf("%s has the bytes of another file", e.Path)
		}
	}
}

// A folder that is a symlink from the start of a write is not entered.
func TestFolderReplacedBySymlink(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/d/x", "x")
	s := share(t, src)
	base := t.TempDir()
	must(t, os.Mkdir(base+"/outside", 0o755))
	c := checkout(t, base+"/dest", s, CheckoutOptions{})
	c.dirs.Close() // as if evicted
	must(t, os.Remove(base+"/dest/d"))
	must(t, os.Symlink("../outside", base+"/dest/d"))
	must(t, c.Write(0, s.leaf(t, 0)))
	if list, _ := os.ReadDir(base + "/outside"); len(list) > 0 {
		t.Error("written through a symlink")
	}
	if got := skippedPaths(c.skipped); got != "d/x:conflict" {
		t.Errorf("skipped %q", got)
	}
	if len(c.Need()) != 0 || c.Have(0) {
		t.Error("a leaf of a skipped file is neither needed nor here")
	}
}

// More unfinished files and folders than handles may be open.
func TestManyPartialFiles(t *testing.T) {
	src := t.TempDir()
	n := openParts + 50
	for i := range n {
		write(t, filepath.Join(src, fmt.Sprint("d", i), "f"), random(uint64(i), 20<<10))
	}
	s := share(t, src)
	dest := filepath.Join(t.TempDir(), "dest")
	c := checkout(t, dest, s, CheckoutOptions{})
	need := c.Need()
	rand.Shuffle(len(need), func(i, j int) { need[i], need[j] = need[j], need[i] })
	writeAll(t, c, s, need, 8)
	if a, b := len(c.parts.open), len(c.dirs.open); a > openParts || b > openDirs {
		t.Errorf("%d files and %d folders are open", a, b)
	}
	finish(t, c, memstore.New())
	sameTree(t, src, dest)
}

func TestMetaPolicies(t *testing.T) {
	dir := sample(t)
	os.Chmod(dir+"/closed", 0o755)
	for _, meta := range []dag.Meta{dag.MetaNone, dag.MetaMode, dag.MetaModeMtime} {
		st, o := memstore.New(), options(t)
		o.Profile.Meta = meta
		snap := scan(t, dir, st, o)
		s := source{dir, st, layout(t, st, snap.Root)}
		dest := filepath.Join(t.TempDir(), "dest")
		get(t, dest, s, CheckoutOptions{})
		if again := scan(t, dest, memstore.New(), o); again.Root != snap.Root {
			t.Errorf("%s: %s, want %s", meta, again.Root, snap.Root)
		}
		o = aged(o)
		o.Known, o.Get = knownOf(t, st, dir), st
		scan(t, dir, st, o)
		if trusted := scan(t, dir, st, o); trusted.Root != snap.Root || trusted.BytesRead != 0 {
			t.Errorf("%s: a trusted scan gives %+v", meta, trusted)
		}
	}
}

func TestFinishReportsRecordErrors(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	c := checkout(t, dest, s, CheckoutOptions{})
	for _, i := range c.Need() {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	_, err := c.Finish(t.Context(), func(...blockstore.File) error { return blockstore.ErrNoSpace })
	if !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	finish(t, c, memstore.New()) // the same once more
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	sameTree(t, s.dir, dest)
}

func TestRecordBatches(t *testing.T) {
	src := t.TempDir()
	for i := range 1100 {
		write(t, filepath.Join(src, fmt.Sprint(i)), fmt.Sprint(i))
	}
	s := share(t, src)
	c := checkout(t, filepath.Join(t.TempDir(), "dest"), s, CheckoutOptions{})
	for _, i := range c.Need() {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	got := map[string]bool{}
	_, err := c.Finish(t.Context(), func(fs ...blockstore.File) error {
		if len(fs) > 512 {
			t.Errorf("%d files at once", len(fs))
		}
		for _, f := range fs {
			got[f.Path] = true
		}
		return nil
	})
	must(t, err)
	if len(slices.Collect(maps.Keys(got))) != 1100 {
		t.Errorf("%d files recorded", len(got))
	}
}

// On a file system that takes two names for one, rename says "exists" for a name that no listing shows.
func TestOccupied(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/readme", "x")
	s := share(t, src)
	dest := filepath.Join(t.TempDir(), "dest")
	c := checkout(t, dest, s, CheckoutOptions{})
	d, err := c.dir(0)
	must(t, err)
	defer c.dirs.put(d)
	write(t, dest+"/README", "another name")
	if err := c.occupied(1, d.v); !errors.Is(err, ErrCollision) {
		t.Errorf("another name: %v", err)
	}
	write(t, dest+"/readme", "the very name")
	if err := c.occupied(1, d.v); !errors.Is(err, ErrConflict) {
		t.Errorf("the very name: %v", err)
	}
}
