//go:build unix

package nodes

import (
	"os"
	"syscall"
)

// asks tells that terminate leaves it to the process how it ends.
const asks = true

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
