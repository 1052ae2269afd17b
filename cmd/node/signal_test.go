package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestInterruptOfALookSaysNothing(t *testing.T) {
	for _, looking := range []bool{false, true} {
		var stderr bytes.Buffer
		signals := make(chan os.Signal, 1)
		a := &app{process: process{name: "shoal", signals: signals, stderr: &stderr, exit: func(int) {}}}
		a.looking.Store(looking)
		ctx, release := a.untilSignal()
		signals <- os.Interrupt
		<-ctx.Done()
		release()
		if said := strings.Contains(stderr.String(), "stopping"); said == looking {
			t.Errorf("looking %v: %q", looking, stderr.String())
		}
	}
}
