//go:build !unix

package nodes

import "os"

// asks tells that terminate leaves it to the process how it ends.
const asks = false

// terminate kills: there is no signal to ask with.
func terminate(p *os.Process) error { return p.Kill() }

func pause(*os.Process) error { return ErrUnsupported }

func resume(*os.Process) error { return ErrUnsupported }
