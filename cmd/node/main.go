package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	// Two places: the first signal asks for a clean end, the second ends at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(Main(process{
		name:    filepath.Base(os.Args[0]),
		args:    os.Args[1:],
		environ: os.Environ(),
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: signals,
		exit:    os.Exit,
		version: buildVersion(),
		newHost: newHost,
		demo:    demo,
		nets:    newNetworks(os.Executable),
	}))
}
