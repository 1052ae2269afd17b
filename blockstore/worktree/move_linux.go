package worktree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// moveNew renames a temporary into a folder where its name must not exist yet (fs.ErrExist if it does).
func moveNew(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	err := unix.Renameat2(tmp.fd(), tmpName, dir.fd(), name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // some network file systems
		return moveNewChecked(tmp, tmpName, dir, name)
	}
	return err
}
