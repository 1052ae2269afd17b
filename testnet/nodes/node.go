package nodes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/process"
)

// State is what a node's process does.
type State int

const (
	// Down is no process.
	Down State = iota
	// Running is one that runs.
	Running
	// Paused is one that was halted.
	Paused
)

// String is the state in a word: down, running or paused.
func (s State) String() string { return [...]string{"down", "running", "paused"}[s] }

// Node is a member of the network. Its fields do not change.
type Node struct {
	Name   string
	Dir    string // holds home and log, and whatever else the caller puts there
	Home   string // of the node
	PeerID string
	Addr   string // multiaddr with /p2p/, which others dial

	net  *Net
	at   place
	turn chan struct{} // holds one token while the process is started, ended or halted

	mu     sync.Mutex // guards what follows
	life   *life      // the newest process; nil before the first
	paused bool       // of life
	end    string     // how life is ended on purpose, as Ended tells it
}

func newNode(n *Net, name string, at place) *Node {
	dir := filepath.Join(n.o.Dir, name)
	return &Node{Name: name, Dir: dir, Home: filepath.Join(dir, "home"), net: n, at: at, turn: make(chan struct{}, 1)}
}

func (node *Node) resident() resident {
	return resident{name: node.Name, home: node.Home, place: node.at, awake: func() bool { return node.State() == Running }}
}

// Log is the file of what the node writes to stderr, over all its lives.
func (node *Node) Log() string { return filepath.Join(node.Dir, "log") }

// State tells whether the node runs.
func (node *Node) State() State {
	l, paused := node.now()
	switch {
	case l == nil:
		return Down
	case paused:
		return Paused
	default:
		return Running
	}
}

// How a node came to be down.
const (
	EndedKilled  = "killed"
	EndedStopped = "stopped"
	EndedItself  = "crashed"
)

// Ended tells how a node that is down came to be so; "" of one that is not.
func (node *Node) Ended() string {
	node.mu.Lock()
	defer node.mu.Unlock()
	if node.life == nil || !node.life.Over() {
		return ""
	}
	return cmp.Or(node.end, EndedItself)
}

// ends notes who ends the newest process, before it ends.
func (node *Node) ends(how string) {
	node.mu.Lock()
	defer node.mu.Unlock()
	node.end = how
}

// Site is the URL of the node's dashboard; "" when it is down, and when nobody out here reaches it.
func (node *Node) Site() string {
	if l, _ := node.now(); l != nil && node.at.site != "" {
		return l.Site
	}
	return ""
}

// PID is the node's process, 0 when it is down.
func (node *Node) PID() int {
	if l, _ := node.now(); l != nil {
		return l.OS().Pid
	}
	return 0
}

// Client asks the node; nil when it is down. It belongs to the network, which closes it. A paused node does not answer.
func (node *Node) Client() *api.Client {
	if l, _ := node.now(); l != nil {
		return l.Client
	}
	return nil
}

// Memory is the resident memory of the node's process in bytes; ErrDown, and ErrUnsupported where the system does not
// tell.
func (node *Node) Memory() (int64, error) {
	pid := node.PID()
	if pid == 0 {
		return 0, fmt.Errorf("memory of %s: %w", node.Name, ErrDown)
	}
	m, err := resident64(pid)
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", node.Name, err)
	}
	return m, nil
}

// now is the process that runs; nil = none.
func (node *Node) now() (l *life, paused bool) {
	node.mu.Lock()
	defer node.mu.Unlock()
	if node.life == nil || node.life.Over() {
		return nil, false
	}
	return node.life, node.paused
}

// takeTurn waits until nobody else starts, ends or halts the node.
func (node *Node) takeTurn(ctx context.Context) (done func(), err error) {
	if ctx.Err() != nil { // who has given up is not to begin
		return nil, context.Cause(ctx)
	}
	select {
	case node.turn <- struct{}{}:
		return func() { <-node.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Kill ends a node with SIGKILL and waits until it is gone; ErrDown when it does not run.
func (n *Net) Kill(name string) error {
	return n.with(context.Background(), "kill", name, func(_ context.Context, node *Node) error {
		if node.State() == Down {
			return ErrDown
		}
		node.ends(EndedKilled)
		node.kill()
		return nil
	})
}

// Stop asks a node to end and waits until it is gone; ErrDown when it does not run. When ctx ends first, the node
// may still end later. A node that was paused goes on to do so.
func (n *Net) Stop(ctx context.Context, name string) error {
	return n.with(ctx, "stop", name, func(ctx context.Context, node *Node) error {
		l, paused := node.now()
		if l == nil {
			return ErrDown
		}
		l.dismiss()
		node.ends(EndedStopped)
		err := terminate(l.OS())
		if paused {
			err = errors.Join(err, resume(l.OS()))
			node.setPaused(false)
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-l.Exited():
			if code := l.State().ExitCode(); code != 0 && asks {
				node.crashed(fmt.Sprintf("asked to end, it ended with %s", l.State()))
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// Restart starts a node again with its home, identity and address, and returns when it listens and answers. One that
// runs is killed first. ErrPortTaken when somebody else has its port by now.
func (n *Net) Restart(ctx context.Context, name string) error {
	return n.with(ctx, "restart", name, func(ctx context.Context, node *Node) error {
		node.kill()
		return node.start(ctx)
	})
}

// Pause halts a node with SIGSTOP: its connections stay and nothing answers. ErrDown when it does not run.
func (n *Net) Pause(name string) error {
	return n.with(context.Background(), "pause", name, func(ctx context.Context, node *Node) error {
		l, _ := node.now()
		if l == nil {
			return ErrDown
		}
		release, err := n.shapingTurn(ctx) // a node that is being told of a new plan is not halted meanwhile
		if err != nil {
			return err
		}
		defer release()
		if err := pause(l.OS()); err != nil {
			return err
		}
		node.setPaused(true)
		return nil
	})
}

// Resume lets a paused node go on, by the shape of the network of now; one that runs does so already. ErrDown when it
// does not run.
func (n *Net) Resume(name string) error {
	return n.with(context.Background(), "resume", name, func(ctx context.Context, node *Node) error {
		l, _ := node.now()
		if l == nil {
			return ErrDown
		}
		if err := resume(l.OS()); err != nil {
			return err
		}
		node.setPaused(false)
		return node.catchUp(ctx)
	})
}

// with does something with a node when it is its turn.
func (n *Net) with(ctx context.Context, what, name string, do func(context.Context, *Node) error) error {
	ctx, done, err := n.begin(ctx)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	defer done()
	node, ok := n.Node(name)
	if !ok {
		return fmt.Errorf("%s %s: %w", what, name, ErrNoNode)
	}
	release, err := node.takeTurn(ctx)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	defer release()
	if err := do(ctx, node); err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

func (node *Node) setPaused(paused bool) {
	node.mu.Lock()
	defer node.mu.Unlock()
	node.paused = paused
}

// crashed tells the network's owner, who may not listen.
func (node *Node) crashed(how string) {
	select {
	case node.net.crashes <- Crash{Node: node.Name, Detail: strings.TrimSpace(how + "\n" + process.LastLog(node.Log()))}:
	default:
	}
}
