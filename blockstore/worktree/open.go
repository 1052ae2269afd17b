package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// errSwapped: between lstat and open something else took the name.
var errSwapped = errors.New("changed while being opened")

// openDir opens the directory name of parent without following a symlink: os.Root would follow one
// that stays inside, so what was opened must be what lstat saw.
func openDir(parent *os.Root, name string) (*os.Root, error) {
	seen, err := parent.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, fmt.Errorf("open directory %q: %w", name, ErrKind)
	}
	dir, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := dir.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = fmt.Errorf("open directory %q: %w", name, errSwapped)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// openRegular opens the regular file name of dir that looked like seen, never a symlink or a fifo.
func openRegular(dir *os.Root, name string, flag int, seen fs.FileInfo) (*os.File, fs.FileInfo, error) {
	f, err := dir.OpenFile(name, flag|openNoBlock, 0)
	if err != nil {
		return nil, nil, err
	}
	opened, err := f.Stat()
	if err == nil && (!opened.Mode().IsRegular() || !os.SameFile(seen, opened)) {
		err = fmt.Errorf("open %q: %w", name, errSwapped)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, opened, nil
}

// readNames lists a directory, sorted by name.
func readNames(dir *os.Root) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
