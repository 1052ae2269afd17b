//go:build unix

package node

import "golang.org/x/sys/unix"

// openFilesLimit is how many files this process may have open.
func openFilesLimit() (uint64, error) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	return uint64(l.Cur), err
}
