//go:build unix

package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ours tells whether a file belongs to this user; or, to root, to whom its folder belongs: a service's home.
func ours(path string, st fs.FileInfo) bool {
	uid, known := userOf(st)
	if !known || uid == os.Geteuid() {
		return true
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil || os.Geteuid() != 0 {
		return false
	}
	keeper, known := userOf(folder)
	return known && uid == keeper
}

func userOf(st fs.FileInfo) (uid int, known bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}
