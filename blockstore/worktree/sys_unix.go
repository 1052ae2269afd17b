//go:build unix

package worktree

import (
	"errors"
	"io/fs"
	"syscall"
)

// openNoBlock keeps an open from hanging on a fifo that took a file's place.
const openNoBlock = syscall.O_NONBLOCK

// keepsOpen: a file may be replaced while it is open.
const keepsOpen = true

// inodeCtime is the inode's number and change time (ns since the Unix epoch).
func inodeCtime(fi fs.FileInfo) (uint64, int64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return uint64(st.Ino), ctimeNs(st)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isReadOnly(err error) bool {
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EROFS)
}

// isBadName: the file system cannot hold this name (EINVAL and EILSEQ are what FAT, APFS and others
// answer).
func isBadName(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EILSEQ) || errors.Is(err, syscall.ENAMETOOLONG)
}
