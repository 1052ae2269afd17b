//go:build !unix

package nodes

import "os"

// terminate kills: there is no signal to ask with.
func terminate(p *os.Process) error { return p.Kill() }

func pause(*os.Process) error { return ErrUnsupported }

func resume(*os.Process) error { return ErrUnsupported }
