// Package process runs a real node as a child process: it starts one, waits until it listens and answers, and tells when
// it has gone.
//
// No child outlives the program: Linux ends them when the thread that started them goes away, which is a Starter's.
// Elsewhere they are in the program's process group, which a terminal's Ctrl-C reaches as a whole.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	// startDeadline is how long a node may take to listen: it needs 0.1 s, a machine that is compiling at the same
	// time gets a hundred times that.
	startDeadline = 15 * time.Second
	// dials is how often a node that listens is asked for an answer; each time has patience of its own.
	dials = 20
	// anyPort lets the system choose where a dashboard is.
	anyPort = "127.0.0.1:0"
)

// Spec says what node to start.
type Spec struct {
	Exe       string   // the program whose `run` is a node
	Prefix    []string // command line before the program
	Home      string   // of the node, which exists
	Log       string   // file that what it writes to stderr is added to
	Listen    []string // multiaddrs
	Bootstrap []string // multiaddrs of nodes that it joins through
	Site      string   // HOST:PORT of its dashboard; "" = any port of this machine
	Flags     []string // more of them
}

// Starter starts processes from one operating-system thread that lives as long as it does.
type Starter struct {
	jobs   chan func()
	thread sync.WaitGroup
	lives  sync.WaitGroup // one a process
}

// NewStarter makes a starter; Close ends it.
func NewStarter() *Starter {
	s := &Starter{jobs: make(chan func())}
	s.thread.Go(func() {
		lockThread() // never unlocked: the thread ends with the goroutine
		for job := range s.jobs {
			job()
		}
	})
	return s
}

// Close ends the thread, and waits for the processes. Nothing may be started any more, and everything that was must
// have been told to end; Linux tells those that were not.
func (s *Starter) Close() {
	close(s.jobs)
	s.thread.Wait()
	s.lives.Wait()
}

// Process is a node that runs, or did.
type Process struct {
	PeerID string
	Listen []string    // multiaddrs with /p2p/
	Site   string      // URL of its dashboard
	Client *api.Client // asks it

	cmd    *exec.Cmd
	exited chan struct{}
}

// hello is what a process has said once it listened, or why it never will.
type hello struct {
	PeerID string   `json:"peer_id"`
	Listen []string `json:"listen"`
	Site   string   `json:"dashboard"`
	Type   string   `json:"type"`
	err    error
}

// Start starts a node and returns when it listens and answers. An error has the end of its log in it.
func (s *Starter) Start(ctx context.Context, spec Spec) (*Process, error) {
	p, ready, err := s.launch(spec)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(startDeadline)
	defer deadline.Stop()
	var said hello
	select {
	case said = <-ready:
		err = said.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-deadline.C:
		err = errors.New("it does not listen")
	}
	if err == nil {
		p.PeerID, p.Listen, p.Site = said.PeerID, said.Listen, said.Site
		p.Client, err = dial(ctx, spec.Home)
	}
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w; its log: %s", err, LastLog(spec.Log))
	}
	return p, nil
}

// launch starts the process and its watcher.
func (s *Starter) launch(spec Spec) (*Process, <-chan hello, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // of an earlier life, too
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	args := spec.command()
	p := &Process{cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	p.cmd.Stderr = log
	p.cmd.Env = spec.environ()
	p.cmd.SysProcAttr = dieWithParent()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	started := make(chan error, 1)
	s.jobs <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, nil, err
	}
	ready := make(chan hello, 1)
	s.lives.Go(func() {
		ready <- awaitReady(out)
		_, _ = io.Copy(io.Discard, out) // until the process closes it
		_ = p.cmd.Wait()                // what came of it is in State; the client's connections end by themselves
		close(p.exited)
	})
	return p, ready, nil
}

func (spec Spec) command() []string {
	args := append(append([]string{}, spec.Prefix...), spec.Exe, "run", "--home", spec.Home, "--json")
	for _, addr := range spec.Listen {
		args = append(args, "--listen", addr)
	}
	for _, addr := range spec.Bootstrap {
		args = append(args, "--bootstrap", addr)
	}
	return append(args, spec.Flags...)
}

// environ is the program's without settings of the user's own node; a node that is started here never meets the
// neighbours.
func (spec Spec) environ() []string {
	site := spec.Site
	if site == "" {
		site = anyPort
	}
	return append(WithoutShoal(os.Environ()), "SHOAL_P2P__MDNS=false", "SHOAL_API__LISTEN="+site, "XDG_RUNTIME_DIR=")
}

// WithoutShoal drops settings of the user's own node.
func WithoutShoal(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "SHOAL_") {
			out = append(out, e)
		}
	}
	return out
}

// awaitReady reads the line that says where the node listens.
func awaitReady(out io.Reader) hello {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var h hello
		if json.Unmarshal(lines.Bytes(), &h) == nil && h.Type == "ready" {
			return h
		}
	}
	return hello{err: errors.New("it ended before it was ready")}
}

// dial connects to the node's socket.
func dial(ctx context.Context, home string) (c *api.Client, err error) {
	for range dials {
		if c, err = api.Dial(ctx, api.SocketPath(home)); err == nil || ctx.Err() != nil {
			break
		}
	}
	return c, err
}

// OS is the process, to send signals to.
func (p *Process) OS() *os.Process { return p.cmd.Process }

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Over tells that the process is gone.
func (p *Process) Over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// State is how the process ended, once it is gone.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Kill ends the process with SIGKILL, if it has not ended, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}
