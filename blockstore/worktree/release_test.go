//go:build linux || darwin

package worktree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

// Until Release a checkout fills temporaries and serves them, and dest stays as it is.
func TestHold(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	before := signaturesOf(t, dest)
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest), Hold: true})
	for _, i := range c.Need() {
		must(t, c.Write(i, next.leaf(t, i)))
	}
	for i := range next.lay.Leaves {
		i := uint32(i)
		if data, err := c.Read(i, nil); err != nil || !c.Have(i) || string(data) != string(next.leaf(t, i)) {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	for path, text := range signaturesOf(t, dest) {
		if before[path] != text {
			t.Errorf("%q was touched before Release", path)
		}
	}
	must(t, c.Release(t.Context()))
	if got := signaturesOf(t, dest)["new"]; got != "file new" {
		t.Errorf("after Release: %q", got)
	}
	must(t, c.Release(t.Context()))
	for i := range next.lay.Leaves {
		if _, err := c.Read(uint32(i), nil); err != nil {
			t.Errorf("leaf %d after Release: %v", i, err)
		}
	}
	finish(t, c, st)
	sameTree(t, next.dir, dest)
}

// After Release a file is put in place with its last leaf.
func TestWriteAfterRelease(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/a", random(1, 60<<10))
	write(t, src+"/b", "b")
	s := share(t, src)
	dest := filepath.Join(t.TempDir(), "dest")
	c := checkout(t, dest, s, CheckoutOptions{Hold: true})
	need := c.Need()
	must(t, c.Write(need[0], s.leaf(t, need[0])))
	must(t, c.Release(t.Context()))
	if len(signaturesOf(t, dest)) != 0 {
		t.Error("an incomplete file is in place")
	}
	for _, i := range need[1:] {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	if got := signaturesOf(t, dest); len(got) != 2 {
		t.Errorf("%d files are in place", len(got))
	}
	finish(t, c, memstore.New())
	sameTree(t, src, dest)
}

// What was held when the process was killed needs not be fetched again, small files neither.
func TestHeldTemporariesAreReused(t *testing.T) {
	s := share(t, sample(t))
	dest := filepath.Join(t.TempDir(), "dest")
	t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
	c := checkout(t, dest, s, CheckoutOptions{Hold: true})
	for _, i := range c.Need() {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	must(t, c.Close())
	if !Interrupted(dest) {
		t.Error("not known as interrupted")
	}
	c = checkout(t, dest, s, CheckoutOptions{Hold: true})
	if need := c.Need(); len(need) > 0 {
		t.Errorf("%d leaves needed again", len(need))
	}
	finish(t, c, memstore.New())
	if Interrupted(dest) {
		t.Error("a finished one counts as interrupted")
	}
	sameTree(t, s.dir, dest)
}

// Leaves that lie elsewhere are copied, and count as reused; what cannot be read is needed.
func TestLocal(t *testing.T) {
	s := share(t, sample(t))
	for _, hold := range []bool{false, true} {
		dest := filepath.Join(t.TempDir(), "dest")
		t.Cleanup(func() { os.Chmod(dest+"/closed", 0o755) })
		lost := s.lay.Leaves[3].Cid
		local := func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
			if c == lost {
				return nil, blockstore.ErrNotFound
			}
			return s.st.Get(ctx, c, buf)
		}
		c := checkout(t, dest, s, CheckoutOptions{Hold: hold, Local: local})
		if need := c.Need(); !slices.Equal(need, []uint32{3}) {
			t.Errorf("needs %v", need)
		}
		var all int64
		for _, l := range s.lay.Leaves {
			all += int64(l.Size)
		}
		if want := all - int64(s.lay.Leaves[3].Size); c.Reused() != want {
			t.Errorf("reused %d, want %d", c.Reused(), want)
		}
		complete(t, c, s, memstore.New())
		sameTree(t, s.dir, dest)
	}
}

// moved is a folder of which a, holding files x and y, was renamed to b; dest holds the tree before.
func moved(t *testing.T) (next source, dest string, st *memstore.Store, o CheckoutOptions) {
	dir := t.TempDir()
	write(t, dir+"/a/x", random(1, 50<<10))
	write(t, dir+"/a/y", "y")
	prev := share(t, dir)
	dest, st = filepath.Join(t.TempDir(), "dest"), memstore.New()
	complete(t, checkout(t, dest, prev, CheckoutOptions{}), prev, st)
	must(t, os.Rename(dir+"/a", dir+"/b"))
	must(t, os.Chmod(dir+"/b/y", 0o600))
	return share(t, dir), dest, st, CheckoutOptions{
		Known: knownOf(t, st, dest), Hold: true, Moves: map[string]string{"b/x": "a/x", "b/y": "a/y"},
	}
}

func TestMoves(t *testing.T) {
	next, dest, st, o := moved(t)
	before, err := os.Stat(dest + "/a/x")
	must(t, err)
	c := checkout(t, dest, next, o)
	if len(c.Need()) > 0 || c.Reused() != next.lay.Bytes {
		t.Errorf("needs %v, reused %d", c.Need(), c.Reused())
	}
	for i := range next.lay.Leaves { // served where it lies
		if _, err := c.Read(uint32(i), nil); err != nil {
			t.Error(err)
		}
	}
	must(t, c.Release(t.Context()))
	for i := range next.lay.Leaves {
		if _, err := c.Read(uint32(i), nil); err != nil {
			t.Error(err)
		}
	}
	if res := finish(t, c, st); res.Moved != 2 || res.Files != 2 || len(res.Skipped) > 0 {
		t.Errorf("%+v", res)
	}
	after, err := os.Stat(dest + "/b/x")
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("it was copied")
	}
	if n, err := Prune(dest, []dag.Entry{{Path: "a", Kind: dag.KindDir}}); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	sameTree(t, next.dir, dest)
}

// A file that was changed is not moved: before the look it is built from its leaves, after it it is left out.
func TestMovedFileWasChanged(t *testing.T) {
	next, dest, st, o := moved(t)
	write(t, dest+"/a/x", "mine")
	c := checkout(t, dest, next, o)
	if len(c.Need()) == 0 {
		t.Fatal("an edited file would be moved")
	}
	for _, i := range c.Need() {
		must(t, c.Write(i, next.leaf(t, i)))
	}
	write(t, dest+"/a/y", "mine too")
	must(t, c.Release(t.Context()))
	if res := finish(t, c, st); skippedPaths(res.Skipped) != "b/y:conflict" || res.Moved != 0 {
		t.Errorf("%+v", res)
	}
	for path, want := range map[string]string{"a/x": "mine", "a/y": "mine too", "b/x": random(1, 50<<10)} {
		if data, err := os.ReadFile(filepath.Join(dest, path)); err != nil || string(data) != want {
			t.Errorf("%s: %.20q, %v", path, data, err)
		}
	}
	c = checkout(t, dest, next, o) // the same command repairs it
	for _, i := range c.Need() {
		must(t, c.Write(i, next.leaf(t, i)))
	}
	if res := finish(t, c, st); len(res.Skipped) > 0 {
		t.Errorf("%+v", res)
	}
	if data, _ := os.ReadFile(dest + "/b/y"); string(data) != "y" {
		t.Errorf("b/y: %q", data)
	}
}

func TestMovesIgnored(t *testing.T) {
	next, dest, _, o := moved(t)
	for _, from := range []string{"", "/a/x", "../dest/a/x", "a", "a/none", "b/x", "a/y", "none/x", "a/../a/x"} {
		o.Moves = map[string]string{"b/x": from, "b": "a", "none": "a/x"}
		c, err := NewCheckout(t.Context(), dest, testSet(), next.lay, o)
		must(t, err)
		if len(c.moves) != 0 {
			t.Errorf("%q would be moved", from)
		}
		must(t, c.Close())
	}
	o.Moves = map[string]string{"b/x": "a/x", "b/y": "a/x"} // one file does not become two
	c := checkout(t, dest, next, o)
	if len(c.moves) != 1 {
		t.Errorf("%d moves", len(c.moves))
	}
}

// A part of the layout leaves the rest of dest alone, and records nothing it did not touch.
func TestPartial(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	write(t, dest+"/foreign", "mine")
	lay, _ := next.lay.Part(func(i int) bool {
		return slices.Contains([]string{"big", "new", "sub/deep/er/small", "sub/half"}, next.lay.Entries[i].Path)
	})
	must(t, os.Chmod(dest+"/sub", 0o711))
	aged := func(path string) (blockstore.File, bool) {
		f, ok := knownOf(t, st, dest)(path)
		f.ScannedNs = time.Now().Add(time.Hour).UnixNano()
		return f, ok
	}
	c := checkout(t, dest, source{next.dir, next.st, lay}, CheckoutOptions{Known: aged, Partial: true})
	for _, i := range c.Need() {
		data, err := next.st.Get(t.Context(), lay.Leaves[i].Cid, nil)
		must(t, err)
		must(t, c.Write(i, data))
	}
	var recorded []string
	res, err := c.Finish(t.Context(), func(fs ...blockstore.File) error {
		for _, f := range fs {
			recorded = append(recorded, f.Path)
		}
		return nil
	})
	must(t, err)
	must(t, c.Close())
	if got := strings.Join(recorded, " "); got != "big new sub/deep/er/small" || res.Files != 4 || len(res.Skipped) > 0 {
		t.Errorf("recorded %s, %+v", got, res)
	}
	if info, err := os.Stat(dest + "/sub"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the mode of a folder of the part: %v, %v", info.Mode(), err)
	}
	must(t, os.Remove(dest+"/foreign"))
	must(t, os.Chmod(dest+"/exec", 0o644)) // not in the part
	sameTree(t, next.dir, dest)
}

// Modes of folders are set where they differ only: their ctime tells.
func TestPartialKeepsFolders(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	lay, _ := next.lay.Part(func(i int) bool { return next.lay.Entries[i].Path == "sub/deep/er" })
	before, err := os.Stat(dest + "/sub/deep/er")
	must(t, err)
	c := checkout(t, dest, source{next.dir, next.st, lay}, CheckoutOptions{Known: knownOf(t, st, dest), Partial: true, Hold: true})
	finish(t, c, st)
	after, err := os.Stat(dest + "/sub/deep/er")
	must(t, err)
	_, a := inodeCtime(before)
	if _, b := inodeCtime(after); a != b {
		t.Error("touched")
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/full/of/files", "x")
	must(t, os.MkdirAll(dir+"/empty/empty", 0o755))
	must(t, os.Mkdir(dir+"/target", 0o755))
	must(t, os.Symlink("target", dir+"/through"))
	for name, target := range map[string]string{"same": "t", "other": "changed", "target/link": "t", "empty/link": "t"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	link := func(path string) dag.Entry { return dag.Entry{Path: path, Kind: dag.KindSymlink, Target: "t"} }
	folder := func(path string) dag.Entry { return dag.Entry{Path: path, Kind: dag.KindDir} }
	n, err := Prune(dir, []dag.Entry{
		link("same"), link("other"), link("through/link"), link("none"), link("no/ne"), link("empty/link"),
		folder("full"), folder("full/of"), folder("empty"), folder("empty/empty"), folder("same"),
		{Path: "full/of/files", Kind: dag.KindFile},
	})
	if n != 2 || err != nil {
		t.Errorf("%d went, %v", n, err)
	}
	var left []string
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, name)
		left = append(left, rel)
		return err
	}))
	if got := strings.Join(left, " "); got != ". full full/of full/of/files other target target/link through" {
		t.Errorf("left: %s", got)
	}
	if n, err := Prune(dir+"/none", nil); n != 0 || err != nil {
		t.Errorf("a folder that is gone: %d, %v", n, err)
	}
}

// A recorded file is not removed through a folder that became a symlink: what lies there is another one.
func TestRemoveFollowsNoSymlink(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/b/x", "x")
	must(t, os.Symlink("b", dir+"/a"))
	info, err := os.Lstat(dir + "/b/x")
	must(t, err)
	n, err := Remove(dir, []blockstore.File{{Path: "a/x", Stamp: makeStamp(info)}}, func(string) bool { return false })
	if n != 0 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := os.Lstat(dir + "/b/x"); errors.Is(err, fs.ErrNotExist) {
		t.Error("removed through a symlink")
	}
}
