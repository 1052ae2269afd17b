package worktree

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync puts everything below dest on stable storage with one syncfs of its file system. Only what is
// acknowledged as durable needs it.
func Sync(dest string) error {
	dir, err := os.Open(dest)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync %q: %w", dest, err)
	}
	return nil
}
