//go:build !linux

package process

import "syscall"

func lockThread() {}

// dieWithParent leaves children in the program's process group, so that a terminal's Ctrl-C reaches them too.
func dieWithParent() *syscall.SysProcAttr { return nil }
