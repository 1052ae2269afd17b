//go:build !linux

package nodes

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// resident64 asks ps, which POSIX systems have.
func resident64(pid int) (int64, error) {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, fmt.Errorf("%w: ps: %w", ErrUnsupported, err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return kib << 10, err
}
