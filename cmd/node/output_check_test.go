package main

import (
	"errors"
	"syscall"
	"testing"
)

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A lost result is no success; a reader that went away is none of our business.
func TestCheckedWriter(t *testing.T) {
	full := errors.New("disk full")
	for _, c := range []struct{ err, want error }{{nil, nil}, {full, full}, {syscall.EPIPE, nil}} {
		w := &checkedWriter{w: failing{c.err}}
		_, _ = w.Write([]byte("x"))
		if got := w.failed(); !errors.Is(got, c.want) {
			t.Errorf("after %v: %v, want %v", c.err, got, c.want)
		}
	}
}
