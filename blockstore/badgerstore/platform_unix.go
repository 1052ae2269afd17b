//go:build linux || darwin

package badgerstore

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep the opening of a pipe that took a file's place from waiting for its writer.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK

// FreeSpace is the bytes an unprivileged process may still write to the file system of dir.
func FreeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// diskBytes is what a file takes on disk: holes do not count.
func diskBytes(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512 // the unit of st_blocks, whatever the file system's
	}
	return info.Size()
}
