package testnet

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// removeTree deletes a folder even where it holds folders that may not be written, as a module cache does.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove tree: %w", err)
	}
	return os.RemoveAll(dir)
}
