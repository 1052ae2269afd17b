//go:build unix

package worktree

import "golang.org/x/sys/unix"

// move renames a temporary into a folder, over what has its name there.
func move(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	return unix.Renameat(tmp.fd(), tmpName, dir.fd(), name)
}
