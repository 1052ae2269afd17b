//go:build unix

package node

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the end of a command the end of what it has started too.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
