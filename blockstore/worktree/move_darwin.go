package worktree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// moveNew renames a temporary into a folder where its name must not exist yet (fs.ErrExist if it does).
func moveNew(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	err := unix.RenameatxNp(tmp.fd(), tmpName, dir.fd(), name, unix.RENAME_EXCL)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) { // some network file systems
		return moveNewChecked(tmp, tmpName, dir, name)
	}
	return err
}
