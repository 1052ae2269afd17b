//go:build unix

package testnet

import (
	"io/fs"
	"os"
	"syscall"
)

// mine tells that a folder belongs to this user.
func mine(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Getuid()
}
