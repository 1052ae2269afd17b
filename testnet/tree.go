package testnet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// removers is how many folders are emptied at the same time: half of them wait for the disk.
const removers = 8

// removeTree deletes the folder of a network, the nodes' side by side, even where it holds folders that may not be
// written, as a module cache does.
func removeTree(dir string) error {
	parts, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return err // the pattern is a constant
	}
	var group errgroup.Group
	group.SetLimit(removers)
	for _, part := range parts {
		group.Go(func() error { return remove(part) })
	}
	return errors.Join(group.Wait(), remove(dir))
}

func remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}
