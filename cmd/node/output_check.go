package main

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// checkedWriter remembers the first failure of standard output, so that a command whose result was lost, on a
// full disk for instance, does not end with success. A reader that has seen enough (a closed pipe) is no failure.
type checkedWriter struct {
	w io.Writer

	mu  sync.Mutex // guards err
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = err
		}
	}
	return n, err
}

func (c *checkedWriter) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
