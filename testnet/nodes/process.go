package nodes

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
	// bootstraps is through how many others a node joins: one would do, and may be down.
	bootstraps = 3
)

// life is one process of a node.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
	client *api.Client   // set before anybody else sees the life
	site   string        // URL of its dashboard, set likewise

	mu     sync.Mutex // guards wanted
	wanted bool       // it was ready, and nobody has asked it to end
}

// over tells that the process is gone.
func (l *life) over() bool {
	select {
	case <-l.exited:
		return true
	default:
		return false
	}
}

// dismiss tells that the end of the process will be no surprise.
func (l *life) dismiss() (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.wanted = l.wanted, false
	return was
}

// want tells that its end would be one; false when it has ended.
func (l *life) want() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = !l.over()
	return l.wanted
}

// start runs the node's process and waits until it listens and answers. The caller has the node's turn.
func (node *Node) start(ctx context.Context) error {
	if err := node.at.free(); err != nil {
		return err
	}
	l, ready, err := node.launch()
	if err != nil {
		return err
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
		l.client, err = dial(ctx, node.Home)
	}
	if err == nil && node.PeerID == "" {
		node.PeerID, node.Addr = said.id, node.at.listen[0]+"/p2p/"+said.id
	}
	if err != nil {
		l.end()
		return fmt.Errorf("%w; its log: %s", err, node.lastLog())
	}
	if node.at.site != "" {
		l.site = said.site
	}
	node.mu.Lock()
	node.life, node.paused, node.end = l, false, ""
	node.mu.Unlock()
	if !l.want() {
		return fmt.Errorf("it ended at once; its log: %s", node.lastLog())
	}
	if err := node.catchUp(ctx); err != nil {
		l.end()
		return err
	}
	return nil
}

// catchUp tells the node the shape of the network, which may have changed while it was not listening.
func (node *Node) catchUp(ctx context.Context) error {
	release, err := node.net.shapingTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	return node.net.ground.refresh(ctx, node.resident())
}

// hello is what a process has said once it listened, or why it never will.
type hello struct {
	id   string
	site string // URL of its dashboard
	err  error
}

// launch starts the process and its watcher.
func (node *Node) launch() (*life, <-chan hello, error) {
	log, err := os.OpenFile(node.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	args := node.command()
	l := &life{cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	l.cmd.Stderr = log
	l.cmd.Env = append(withoutShoal(os.Environ()), "SHOAL_P2P__MDNS=false", "SHOAL_API__LISTEN="+node.at.freeSite(), "XDG_RUNTIME_DIR=") // it never meets the neighbours
	l.cmd.SysProcAttr = dieWithParent()
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := node.net.starter.start(l.cmd); err != nil {
		return nil, nil, err
	}
	ready := make(chan hello, 1)
	node.net.watchers.Go(func() { node.watch(l, out, ready) })
	return l, ready, nil
}

// command is the process's command line.
func (node *Node) command() []string {
	args := append(append([]string{}, node.at.prefix...), node.net.o.Exe, "run", "--home", node.Home, "--json")
	for _, addr := range node.at.listen {
		args = append(args, "--listen", addr)
	}
	for _, addr := range node.introducers() {
		args = append(args, "--bootstrap", addr)
	}
	if node.net.o.Verbose {
		args = append(args, "-v")
	}
	return append(args, node.at.flags...)
}

// introducers are the nodes through which it joins: the oldest that run, for the first of the network may be down.
func (node *Node) introducers() (addrs []string) {
	for _, o := range node.net.Nodes() {
		if o != node && o.State() == Running && len(addrs) < bootstraps {
			addrs = append(addrs, o.Addr)
		}
	}
	return addrs
}

// watch tells when the node listens, and later that the process is gone.
func (node *Node) watch(l *life, out io.Reader, ready chan<- hello) {
	ready <- awaitReady(out)
	_, _ = io.Copy(io.Discard, out) // until the process closes it
	_ = l.cmd.Wait()                // what came of it is in ProcessState; the client's connections end by themselves
	close(l.exited)
	if l.dismiss() {
		node.crashed("ended by itself: " + l.cmd.ProcessState.String())
	}
}

// awaitReady reads the line that says where the node listens.
func awaitReady(out io.Reader) hello {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r struct {
			Type   string `json:"type"`
			PeerID string `json:"peer_id"`
			Site   string `json:"dashboard"`
		}
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Type == "ready" {
			return hello{id: r.PeerID, site: r.Site}
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

// kill ends the node's process, if there is one, and waits until it is gone.
func (node *Node) kill() {
	if l, _ := node.now(); l != nil {
		l.end()
	}
}

// end ends the process with SIGKILL, and waits until it is gone.
func (l *life) end() {
	l.dismiss()
	_ = l.cmd.Process.Kill() // it may have ended
	<-l.exited
}

// free tells that nobody listens at the place, so that a node could. Nodes open their ports without sharing them.
func (p place) free() error {
	if len(p.prefix) > 0 { // in a network namespace of its own
		return nil
	}
	l, err := net.Listen("tcp4", p.host)
	if err != nil {
		return fmt.Errorf("%w: %s; end that program (`ss -ltnp` or `lsof -i` shows it), or begin a new network", ErrPortTaken, p.host)
	}
	return l.Close()
}

// anyPort lets the system choose where a dashboard is.
const anyPort = "127.0.0.1:0"

// freeSite is where the dashboard is to be: at its place, or anywhere if somebody else has that by now.
func (p place) freeSite() string {
	if p.site == "" {
		return anyPort
	}
	l, err := net.Listen("tcp4", p.site)
	if err != nil || l.Close() != nil {
		return anyPort
	}
	return p.site
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
