package process

import (
	"runtime"
	"syscall"
)

func lockThread() { runtime.LockOSThread() }

// dieWithParent lets a child end when the thread that starts it does. Its process group is its own: a Ctrl-C is for the
// program, which ends its nodes itself.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
