//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// node is a real one: a process with a home, an identity and a port that stay the same when it is started again.
type node struct {
	lab    *lab
	name   string
	home   string
	dest   string // folder of the set
	listen string // multiaddr
	space  string // network namespace; "" = that of this program
	flags  []string

	id     string // peer id, from the first start on
	addr   string // dialable
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
	client *api.Client
	wanted bool // it was started, and not ended by us
}

// startDeadline is how long a node may take to listen: it needs 0.1 s, a machine that is compiling at the same time
// gets a hundred times that.
const startDeadline = 15 * time.Second

// starter starts processes from one operating-system thread that lives as long as the program: Linux ends a child when
// the thread that started it ends, so that nothing outlives a program that is killed.
type starter struct {
	jobs chan func()
	done sync.WaitGroup
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	s.done.Go(func() {
		runtime.LockOSThread()
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

func (s *starter) close() {
	close(s.jobs)
	s.done.Wait()
}

// node makes a node of the case that runs, and does not start it.
func (l *lab) node(name string) (*node, error) {
	dir, err := l.fresh(name)
	if err != nil {
		return nil, err
	}
	n := &node{lab: l, name: name, home: filepath.Join(dir, "home"), dest: filepath.Join(dir, "data")}
	if l.bridge != nil {
		n.space, n.listen, err = l.bridge.join(len(l.nodes))
	} else {
		n.listen, err = freePort()
	}
	if err != nil {
		return nil, err
	}
	l.nodes = append(l.nodes, n)
	return n, os.MkdirAll(n.home, 0o700)
}

// freePort is an address that nobody listens at just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port), nil
}

// start runs the node and waits until it listens and answers. It joins through the others that have an address.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(n.home+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{n.lab.exe, "run", "--home", n.home, "--json", "-v", "--listen", n.listen}
	for _, o := range n.lab.nodes {
		if o != n && o.addr != "" {
			args = append(args, "--bootstrap", o.addr)
		}
	}
	args = append(args, n.flags...)
	if n.space != "" {
		args = append([]string{"ip", "netns", "exec", n.space}, args...)
	}
	n.cmd, n.exited = exec.Command(args[0], args[1:]...), make(chan struct{})
	n.cmd.Stderr = log
	n.cmd.Env = append(withoutShoal(os.Environ()), "SHOAL_P2P__MDNS=false", "SHOAL_API__LISTEN=127.0.0.1:0", "XDG_RUNTIME_DIR=") // it never meets the neighbours
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.lab.starter.start(n.cmd); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	ready := make(chan error, 1)
	go n.watch(out, ready)
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startDeadline):
		err = errors.New("it does not listen")
	}
	if err == nil {
		err = n.dial(ctx)
	}
	if err != nil {
		n.kill()
		return fmt.Errorf("start %s: %w; its log: %s", n.name, err, n.lastLog())
	}
	n.wanted = true
	return nil
}

// watch tells when the node listens, and later that the process is gone.
func (n *node) watch(out io.Reader, ready chan<- error) {
	exited, cmd := n.exited, n.cmd
	lines := bufio.NewScanner(out)
	said := false
	for lines.Scan() {
		var r struct {
			Type string `json:"type"`
		}
		if !said && json.Unmarshal(lines.Bytes(), &r) == nil && r.Type == "ready" {
			said = true
			ready <- nil
		}
	}
	if !said {
		ready <- errors.New("it ended before it was ready")
	}
	_ = cmd.Wait() // the exit code of a node that is killed tells nothing
	close(exited)
}

// dial connects to the node's socket and learns who it is.
func (n *node) dial(ctx context.Context) (err error) {
	for range 20 { // a node that starts on a busy machine may need more than one dial's patience
		if n.client, err = api.Dial(ctx, api.SocketPath(n.home)); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	st, err := n.client.Status(ctx)
	if err != nil {
		return err
	}
	n.id, n.addr = st.PeerID, n.listen+"/p2p/"+st.PeerID
	return nil
}

// signal sends a signal to the process.
func (n *node) signal(s syscall.Signal) error {
	if err := n.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%v to %s: %w", s, n.name, err)
	}
	return nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (n *node) kill() {
	n.wanted = false
	if n.cmd == nil || n.cmd.Process == nil {
		return
	}
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.exited
	if n.client != nil {
		n.client.Close()
	}
}

func (n *node) alive() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// lastLog is the end of what the node wrote to stderr.
func (n *node) lastLog() string {
	b, err := os.ReadFile(n.home + ".log")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-1000):])) // some lines are enough to see why
}

// withoutShoal drops settings of the user's own node.
func withoutShoal(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "SHOAL_") {
			out = append(out, e)
		}
	}
	return out
}
