//go:build !linux

package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// Sync puts everything below dest on stable storage: every file and directory, one by one. Only what is
// acknowledged as durable needs it.
func Sync(dest string) error {
	root, err := os.OpenRoot(dest)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !(d.IsDir() || d.Type().IsRegular()) {
			return err
		}
		if d.IsDir() && runtime.GOOS == "windows" {
			return nil // directories cannot be synced there
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
		return fmt.Errorf("sync %q: %w", dest, err)
	}
	return nil
}
