//go:build unix

package replica

import (
	"fmt"
	"os"
	"syscall"
)

// markerOf reads the identity of a folder.
func markerOf(dir string) (marker, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return marker{}, fmt.Errorf("look at folder: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return marker{}, nil
	}
	return marker{Device: uint64(st.Dev), Inode: st.Ino}, nil
}
