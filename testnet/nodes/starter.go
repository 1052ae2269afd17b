package nodes

import (
	"os/exec"
	"sync"
)

// starter starts processes from one operating-system thread that lives as long as the network: Linux ends a child when
// the thread that started it ends, so that nothing outlives a program that is killed.
type starter struct {
	jobs chan func()
	done sync.WaitGroup
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	s.done.Go(func() {
		lockThread() // never unlocked: the thread ends with the goroutine
		for job := range s.jobs {
			job()
		}
	})
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread; nothing may be started any more, and everything started must have ended.
func (s *starter) close() {
	close(s.jobs)
	s.done.Wait()
}
