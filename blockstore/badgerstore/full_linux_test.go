package badgerstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk: a really full disk ends no process and loses nothing.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	out, err := childCommand(t, "full", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	var n int
	if _, err := fmt.Sscanf(strings.TrimSpace(string(out)), "stored %d", &n); err != nil || n < 1600 {
		t.Fatalf("child said %q: %v", out, err)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "store"))
	for i := range n {
		if _, err := s.GetFrom(t.Context(), benchSet, numbered(i).Cid(), nil); err != nil {
			t.Fatalf("block %d of %d: %v", i, n, err)
		}
	}
	if err := s.Close(); err != nil { // before the unmount
		t.Fatal(err)
	}
}
