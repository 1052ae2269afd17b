package segment

import (
	"errors"
	"os"
	"testing"

	"github.com/ipfs/go-cid"
	"golang.org/x/sys/unix"

	"github.com/shoal-p2p/shoal/blockstore"
)

// TestFullDisk: a really full disk gives ErrNoSpace, at Add or at Close, and nothing is left of the segment.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, size := range []int{bufferSize - 1, bufferSize + 1} { // an error comes late, or at once
		w := create(t, dir, "x.seg")
		chunk := make([]byte, size)
		c := blockstore.Sum(cid.Raw, chunk)
		var err error
		for w.Bytes() < 1<<20+1 && err == nil {
			err = w.Add(c, chunk)
		}
		if err != nil && !errors.Is(err, blockstore.ErrNoSpace) {
			t.Fatalf("add: %v", err)
		}
		if _, err := w.Close(); !errors.Is(err, blockstore.ErrNoSpace) {
			t.Errorf("close: %v", err)
		}
		if got := names(t, dir); got != nil {
			t.Errorf("left: %q", got)
		}
	}
}
