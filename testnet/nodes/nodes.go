// Package nodes runs a test network: real nodes as processes of this machine, each with a home, an identity and an
// address of its own that stay the same over its lives. It starts, ends, halts and goes on with them, notices when one
// ends by itself, and tells them how bytes travel between them. What is done with them and why is others' business.
//
// Nodes are reached over the loopback interface, where the package link delays, limits and drops bytes inside of them;
// with Options.NetNS every node has a network namespace instead and the kernel does it.
//
// No node outlives the program: Linux ends them when the thread that started them goes away. Elsewhere Close ends them,
// and they are in the program's process group, which a terminal's Ctrl-C reaches as a whole.
//
//	DIR/net.lock, net.pid   held by the program that has the network, and which one that is
//	DIR/NAME/home           of a node
//	DIR/NAME/log            what it writes to stderr
package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/testnet/process"
)

var (
	// ErrInUse is answered by Open when a network runs in the folder already.
	ErrInUse = errors.New("a test network runs in this folder already")
	// ErrNoNode is answered for a name that no node has.
	ErrNoNode = errors.New("no such node")
	// ErrDown is answered when a node would have to run and does not.
	ErrDown = errors.New("the node does not run")
	// ErrPortTaken is answered by Restart when something else listens at the node's address by now.
	ErrPortTaken = errors.New("another program listens at the node's address by now")
	// ErrClosed is answered after Close.
	ErrClosed = errors.New("the test network has ended")
	// ErrUnsupported is wrapped where this system or mode cannot do what is asked.
	ErrUnsupported = errors.New("not possible here")
)

const (
	// startingAtOnce bounds the nodes that start at the same time: each takes 0.1 to 0.3 s of a core, and more of them than
	// cores only make all of them late.
	startingAtOnce = 4
	// unreadCrashes is how many crashes wait for a reader: every node of the largest script ten times.
	unreadCrashes = 1000
	// maxName is what scripts allow.
	maxName = 32
)

// Options say where the nodes live and what they are.
type Options struct {
	Dir     string // made if it is not there; NAME/home and NAME/log of every node are in it
	Exe     string // the program whose `run` is a node
	Seed    uint64 // of the jitter and loss of links
	NetNS   bool   // nodes in network namespaces; needs root
	Verbose bool   // nodes log more
}

// Crash tells of a node that ended and nobody had asked it to.
type Crash struct {
	Node   string
	Detail string // how it ended, and the last lines of its log
}

// ground is what the nodes of a network stand on: it gives them addresses and lets bytes travel between them.
type ground interface {
	// place finds an address for a node that is new.
	place(ctx context.Context, name string) (place, error)
	// apply makes bytes travel as s says, also to and from nodes that do not run yet. Calls do not overlap.
	apply(ctx context.Context, s Shape, all []resident) error
	// refresh tells one node again that may have missed it.
	refresh(ctx context.Context, r resident) error
	close() error
}

// place is where a node is.
type place struct {
	host   string   // HOST:PORT of TCP
	site   string   // HOST:PORT of its dashboard; "" = nobody out here reaches one
	listen []string // multiaddrs; the first is the one that others are told
	prefix []string // command line before the program
	flags  []string
}

// resident is a node as the ground sees it.
type resident struct {
	name string
	home string
	place
	awake func() bool // it runs and is not halted
}

// Net is a test network. Its methods may be called from several goroutines; those about one node take turns.
type Net struct {
	o        Options
	lock     *flock.Flock
	starter  *process.Starter
	ground   ground
	crashes  chan Crash
	ended    context.Context // done from Close on
	end      context.CancelFunc
	shaping  chan struct{} // holds one token while residents and shape, which it guards, are changed and carried out
	shape    Shape
	settled  []resident
	watchers sync.WaitGroup // one a process

	mu     sync.Mutex // guards what follows
	nodes  []*Node
	closed bool
	calls  sync.WaitGroup // that began before closed
}

// Open makes a network without nodes in o.Dir, which is this network's alone until Close: ErrInUse.
func Open(o Options) (*Net, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the test network: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the test network: %w", err)
	}
	lock, err := take(dir)
	if err != nil {
		return nil, fmt.Errorf("open the test network: %w", err)
	}
	n := &Net{o: o, lock: lock, crashes: make(chan Crash, unreadCrashes), shaping: make(chan struct{}, 1), shape: plainShape()}
	n.ended, n.end = context.WithCancel(context.Background())
	if o.NetNS {
		n.ground, err = newSpaces(o)
	} else {
		n.ground = newLoopback(o)
	}
	if err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("open the test network: %w", err)
	}
	n.starter = process.NewStarter()
	return n, nil
}

// Add starts new nodes and returns when all of them listen and answer. The first node of a network starts before the
// others, who find each other through it. Where one fails the others of the call run all the same.
func (n *Net) Add(ctx context.Context, names ...string) error {
	ctx, done, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	fresh, err := n.settle(ctx, names)
	if err != nil {
		return fmt.Errorf("add nodes: %w", err)
	}
	if len(n.Nodes()) == 0 && len(fresh) > 0 {
		if err := n.first(ctx, fresh[0]); err != nil {
			for _, node := range fresh[1:] {
				n.unsettle(node.Name)
			}
			return err
		}
		fresh = fresh[1:]
	}
	errs := make([]error, len(fresh))
	var group errgroup.Group
	group.SetLimit(startingAtOnce)
	for i, node := range fresh {
		group.Go(func() error {
			errs[i] = n.first(ctx, node)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	n.sort()
	return errors.Join(errs...)
}

// settle gives new nodes addresses and tells everybody of them, before they start.
func (n *Net) settle(ctx context.Context, names []string) (fresh []*Node, err error) {
	release, err := n.shapingTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	before := n.settled
	defer func() {
		if err != nil {
			n.settled = before
		}
	}()
	for _, name := range names {
		if err := n.mayBe(name); err != nil {
			return nil, err
		}
		p, err := n.ground.place(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		node := newNode(n, name, p)
		if err := os.MkdirAll(node.Home, 0o700); err != nil {
			return nil, err
		}
		n.settled = append(n.settled, node.resident())
		fresh = append(fresh, node)
	}
	return fresh, n.ground.apply(ctx, n.shape, n.settled)
}

// mayBe refuses names that another node has, or that are no names of files everywhere.
func (n *Net) mayBe(name string) error {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	bad := slices.ContainsFunc([]rune(name), func(r rune) bool { return !plain(r) })
	switch {
	case name == "" || len(name) > maxName || bad:
		return fmt.Errorf("%q cannot be the name of a node: lower-case letters, digits and -, %d of them at most", name, maxName)
	case slices.ContainsFunc(n.settled, func(r resident) bool { return r.name == name }):
		return fmt.Errorf("there is a node %s already", name)
	default:
		return nil
	}
}

// first starts a node for the first time, after which it is one of the network.
func (n *Net) first(ctx context.Context, node *Node) error {
	done, err := node.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := node.start(ctx); err != nil {
		n.unsettle(node.Name)
		return fmt.Errorf("add %s: %w", node.Name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes = append(n.nodes, node)
	return nil
}

// unsettle gives up the name of a node that never ran.
func (n *Net) unsettle(name string) {
	n.shaping <- struct{}{} // nobody keeps it for long
	defer func() { <-n.shaping }()
	n.settled = slices.DeleteFunc(slices.Clone(n.settled), func(r resident) bool { return r.name == name })
}

// sort puts the nodes in the order in which they were asked for, whichever was faster.
func (n *Net) sort() {
	n.shaping <- struct{}{} // nobody keeps it for long
	order := make(map[string]int, len(n.settled))
	for i, r := range n.settled {
		order[r.name] = i
	}
	<-n.shaping
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortFunc(n.nodes, func(a, b *Node) int { return order[a.Name] - order[b.Name] })
}

// Node is the node of that name.
func (n *Net) Node(name string) (*Node, bool) {
	for _, node := range n.Nodes() {
		if node.Name == name {
			return node, true
		}
	}
	return nil, false
}

// Nodes are all nodes that ever ran, in the order in which they were added.
func (n *Net) Nodes() []*Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.nodes)
}

// Crashes tells of nodes that ended by themselves. Nobody waits for its reader: beyond 1,000 unread ones they are
// dropped. It is never closed.
func (n *Net) Crashes() <-chan Crash { return n.crashes }

// Close kills all nodes and waits until they are gone; what they wrote stays. Further calls do nothing.
func (n *Net) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	n.mu.Unlock()
	if !first {
		n.calls.Wait()
		return nil
	}
	n.end()
	n.calls.Wait() // from here on nothing starts
	var killing sync.WaitGroup
	for _, node := range n.Nodes() {
		killing.Go(node.kill)
	}
	killing.Wait()
	n.watchers.Wait()
	n.starter.Close()
	return errors.Join(n.ground.close(), n.lock.Unlock())
}

// begin is the begin of a call: its context ends with the network, which waits for done.
func (n *Net) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, ErrClosed
	}
	n.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(n.ended, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		n.calls.Done()
	}, nil
}
