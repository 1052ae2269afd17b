package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// procNumber reads a number below /proc/sys.
func procNumber(name string) (uint64, error) {
	if runtime.GOOS != "linux" {
		return 0, fmt.Errorf("read %s: %w", name, errors.ErrUnsupported)
	}
	b, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
