//go:build unix

package worktree

import (
	"time"

	"golang.org/x/sys/unix"
)

// move renames a temporary into a folder, over what has its name there.
func move(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	return unix.Renameat(tmp.fd(), tmpName, dir.fd(), name)
}

// setMtime sets both times of a file, never through a symlink. It is one call where os.Root makes two.
func setMtime(dir *dirHandle, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(dir.fd(), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
