package worktree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

// The node's home holds its keys: it is left out wherever a shared folder contains it, under any name, and
// cannot be shared itself.
func TestScanLeavesTheHomeOut(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "a", ".shoal")
	for name, text := range map[string]string{"a/.shoal/owner.key": "secret", "a/.shoal/sub/x": "secret", "a/file": "text"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink(home, alias); err != nil {
		t.Skip("no symlinks here:", err)
	}
	scan := func(path string) (Snapshot, error) {
		return Scan(t.Context(), path, memstore.New(), ScanOptions{Set: blockstore.Sum(0x55, nil), Profile: dag.DefaultProfile(), Private: []string{alias}})
	}
	snap, err := scan(dir)
	if err != nil || snap.Files != 1 {
		t.Fatalf("%d files: %v", snap.Files, err)
	}
	if len(snap.Skipped) != 1 || snap.Skipped[0].Path != "a/.shoal" || !errors.Is(snap.Skipped[0].Err, ErrPrivate) {
		t.Fatalf("skipped %v", snap.Skipped)
	}
	for _, inside := range []string{home, filepath.Join(home, "sub")} {
		if _, err := scan(inside); !errors.Is(err, ErrPrivate) {
			t.Errorf("scan of %s: %v", inside, err)
		}
	}
	if err := CheckOutside(filepath.Join(home, "not", "yet"), alias); !errors.Is(err, ErrPrivate) {
		t.Errorf("a folder that would be made inside: %v", err)
	}
	if err := CheckOutside(dir, alias); err != nil {
		t.Errorf("the folder around it: %v", err)
	}
}

// A few nodes can name one file under many names and each of its chunks many times: the places are
// counted against what real chunks can be before memory is taken.
func TestPlanRefusesMorePlacesThanBytesCanHave(t *testing.T) {
	leaf := blockstore.Leaf{Cid: blockstore.Sum(0x55, []byte("x")), Size: 1}
	leaves := make([]uint32, 1<<20)
	lay := &dag.Layout{Leaves: []blockstore.Leaf{leaf}, Entries: []dag.Entry{{Kind: dag.KindDir}}}
	for i := range 50 {
		lay.Entries = append(lay.Entries, dag.Entry{Path: strings.Repeat("n", i+1), Kind: dag.KindFile, Size: 1 << 20, Leaves: leaves})
	}
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := newPlan(lay, 64<<10); !errors.Is(err, dag.ErrLimit) {
			t.Fatalf("not refused: %v", err)
		}
	})
	t.Logf("%v allocations", allocated)
	lay.Entries, lay.Leaves[0].Size = lay.Entries[:2], 64<<10
	lay.Entries[1].Size, lay.Entries[1].Leaves = 64<<10*100, leaves[:100]
	if _, err := newPlan(lay, 64<<10); err != nil {
		t.Fatalf("the smallest real chunks are refused: %v", err)
	}
}

// What was recorded and not changed goes, also out of folders that are read-only; the rest stays.
func TestRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	var files []blockstore.File
	for _, name := range []string{"a", "ro/b", "ro/deep/c", "edited"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, blockstore.File{Path: name, Stamp: makeStamp(info)})
	}
	for _, d := range []string{"ro/deep", "ro"} {
		if err := os.Chmod(filepath.Join(dir, d), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "edited"), []byte("my own work"), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := Remove(dir, files, func(dir string) bool { return false })
	if err != nil || n != 3 {
		t.Fatalf("removed %d: %v", n, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "edited" {
		t.Fatalf("left %v: %v", left, err)
	}
}

// The folder somebody made for a set keeps its mode.
func TestCheckoutKeepsTheModeOfAnExistingFolder(t *testing.T) {
	lay := &dag.Layout{Entries: []dag.Entry{{Kind: dag.KindDir, Attr: dag.Attr{Mode: 0o777}}}}
	for _, made := range []bool{false, true} {
		dest, want := filepath.Join(t.TempDir(), "d"), os.FileMode(0o777)
		if !made {
			if err := os.Mkdir(dest, 0o700); err != nil {
				t.Fatal(err)
			}
			want = 0o700
		}
		c, err := NewCheckout(t.Context(), dest, blockstore.Sum(0x55, nil), lay, CheckoutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Finish(t.Context(), func(...blockstore.File) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(dest); err != nil || st.Mode().Perm() != want {
			t.Errorf("made %v: mode %v, want %v: %v", made, st.Mode(), want, err)
		}
	}
}
