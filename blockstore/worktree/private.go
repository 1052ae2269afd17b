package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrPrivate: the folder is, or lies in, one that must never be published or written, such as the node's
// own state with its keys.
var ErrPrivate = errors.New("the node's own folder")

// private tells folders that must be left out, by identity: whatever name or mount they are reached by.
type private []fs.FileInfo

func statPrivate(paths []string) (private, error) {
	var p private
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %q: %w", path, err)
		}
		p = append(p, info)
	}
	return p, nil
}

func (p private) has(info fs.FileInfo) bool {
	for _, own := range p {
		if os.SameFile(own, info) {
			return true
		}
	}
	return false
}

// CheckOutside refuses a folder that is one of own, or lies in one. A part of the path that does not exist yet
// is judged by where it would be made. Errors: ErrPrivate.
func CheckOutside(dir string, own ...string) error {
	p, err := statPrivate(own)
	if err != nil {
		return err
	}
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		// What is no folder, or cannot be looked at, is somebody else's error to report.
		if info, err := os.Stat(at); err == nil && p.has(info) {
			return fmt.Errorf("%q: %w", dir, ErrPrivate)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
