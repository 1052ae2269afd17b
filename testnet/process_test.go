package testnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// process is one real node: a child process with its own home, identity and port on loopback.
type process struct {
	name  string
	home  string
	addrs []string // dialable, with /p2p/
	log   string   // file of its stderr

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
	client *api.Client
}

// startDeadline is how long a node may take to listen: it needs 0.1 s, a machine that is compiling at the
// same time gets a hundred times that.
const startDeadline = 15 * time.Second

// starter starts processes from one operating-system thread that lives as long as the testnet: Linux ends
// a child when the thread that started it ends, so that nothing outlives a testnet that is killed.
type starter struct {
	jobs chan func()
	done sync.WaitGroup
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	s.done.Go(func() {
		lockThread()
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

// startNode starts `exe run` and waits until it listens and answers.
func startNode(ctx context.Context, s *starter, exe, dir, name string, bootstrap []string, flags ...string) (*process, error) {
	p := &process{name: name, home: filepath.Join(dir, name), log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // of an earlier life, too
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	args := []string{"run", "--home", p.home, "--json", "--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	for _, b := range bootstrap {
		args = append(args, "--bootstrap", b)
	}
	p.cmd = exec.Command(exe, append(args, flags...)...)
	p.cmd.Stderr = log
	p.cmd.Env = append(withoutShoal(os.Environ()), "SHOAL_P2P__MDNS=false", "SHOAL_API__LISTEN=127.0.0.1:0") // a testnet never meets the neighbours
	p.cmd.SysProcAttr = dieWithParent()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := s.start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	ready := make(chan error, 1)
	go func() {
		ready <- p.awaitReady(out)
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait() // the exit code of a node that is killed tells nothing
		close(p.exited)
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startDeadline):
		err = errors.New("it does not listen")
	}
	if err == nil {
		p.client, err = api.Dial(ctx, api.SocketPath(p.home))
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start %s: %w; its log: %s", name, err, p.lastLog())
	}
	return p, nil
}

// awaitReady reads the line that says where the node listens.
func (p *process) awaitReady(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r struct {
			Type   string   `json:"type"`
			Listen []string `json:"listen"`
		}
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Type == "ready" {
			p.addrs = r.Listen
			return nil
		}
	}
	return errors.New("it ended before it was ready")
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
	}
	<-p.exited
}

// lastLog is the end of what the node wrote to stderr.
func (p *process) lastLog() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > 500 { // a few lines are enough to see why
		b = b[len(b)-500:]
	}
	return strings.TrimSpace(string(b))
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
