//go:build !linux

package nodes

import (
	"syscall"
)

func lockThread() {}

// dieWithParent leaves children in the program's process group, so that a terminal's Ctrl-C reaches them too.
func dieWithParent() *syscall.SysProcAttr { return nil }

func resident64(int) (int64, error) { return 0, ErrUnsupported }
