//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// ownerOf is whom a file belongs to; where there is none, whom its folder does.
func ownerOf(path string) (uid, gid int, known bool) {
	for _, p := range []string{path, filepath.Dir(path)} {
		if info, err := os.Stat(p); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				return int(st.Uid), int(st.Gid), true
			}
		}
	}
	return 0, 0, false
}
