package nodes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// resident64 is the resident memory of a process in bytes; proc_pid_statm(5): the second number, in pages.
func resident64(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, errors.New("/proc tells nothing")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
