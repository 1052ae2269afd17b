package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

func main() {
	p := thisProcess()
	p.version = buildVersion()
	p.newHost, p.demo, p.nets = newHost, demo, newNetworks(os.Executable)
	os.Exit(Main(p))
}

// thisProcess is the real one, without what it hosts.
func thisProcess() process {
	// Two places: the first signal asks for a clean end, the second ends at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return process{
		name:       filepath.Base(os.Args[0]),
		args:       os.Args[1:],
		environ:    os.Environ(),
		stdin:      os.Stdin,
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		signals:    signals,
		exit:       os.Exit,
		supervisor: thisSupervisor(),
	}
}

// thisSupervisor is systemd, as far as it started the process.
func thisSupervisor() supervisor {
	s := supervisor{
		sockets: activation.ListenersWithNames,
		reloads: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 1) // a second one asks for the same
			signal.Notify(c, syscall.SIGHUP)
			return c, func() { signal.Stop(c) }
		},
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		s.notify = func(state string) error {
			_, err := daemon.SdNotify(false, state)
			return err
		}
		// What cannot be read is not asked for.
		s.watchdog, _ = daemon.SdWatchdogEnabled(false)
	}
	return s
}
