package nodes

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/shoal-p2p/shoal/testnet/process"
)

// bootstraps is through how many others a node joins: one would do, and may be down.
const bootstraps = 3

// life is one process of a node.
type life struct {
	*process.Process

	mu     sync.Mutex // guards wanted
	wanted bool       // it was ready, and nobody has asked it to end
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
	l.wanted = !l.Over()
	return l.wanted
}

// end ends the process with SIGKILL, and waits until it is gone.
func (l *life) end() {
	l.dismiss()
	l.Kill()
}

// start runs the node's process and waits until it listens and answers. The caller has the node's turn.
func (node *Node) start(ctx context.Context) error {
	if err := node.at.free(); err != nil {
		return err
	}
	p, err := node.net.starter.Start(ctx, node.spec())
	if err != nil {
		return err
	}
	if node.PeerID == "" {
		node.PeerID, node.Addr = p.PeerID, node.at.listen[0]+"/p2p/"+p.PeerID
	}
	l := &life{Process: p}
	node.mu.Lock()
	node.life, node.paused, node.end = l, false, ""
	node.mu.Unlock()
	if !l.want() {
		return fmt.Errorf("it ended at once; its log: %s", process.LastLog(node.Log()))
	}
	node.net.watchers.Go(func() { node.watch(l) })
	if err := node.catchUp(ctx); err != nil {
		l.end()
		return err
	}
	return nil
}

// watch tells when the process has gone and nobody asked it to.
func (node *Node) watch(l *life) {
	<-l.Exited()
	if l.dismiss() {
		node.crashed("ended by itself: " + l.State().String())
	}
}

// spec is what the node's process is to be.
func (node *Node) spec() process.Spec {
	s := process.Spec{Exe: node.net.o.Exe, Prefix: node.at.prefix, Home: node.Home, Log: node.Log(), Listen: node.at.listen, Bootstrap: node.introducers(),
		Site: node.at.freeSite()}
	if node.net.o.Verbose {
		s.Flags = append(s.Flags, "-v")
	}
	s.Flags = append(s.Flags, node.at.flags...)
	return s
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

// introducers are the nodes through which it joins: the oldest that run, for the first of the network may be down.
func (node *Node) introducers() (addrs []string) {
	for _, o := range node.net.Nodes() {
		if o != node && o.State() == Running && len(addrs) < bootstraps {
			addrs = append(addrs, o.Addr)
		}
	}
	return addrs
}

// kill ends the node's process, if there is one, and waits until it is gone.
func (node *Node) kill() {
	if l, _ := node.now(); l != nil {
		l.end()
	}
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

// freeSite is where the dashboard is to be: at its place, or anywhere if somebody else has that by now.
func (p place) freeSite() string {
	if p.site == "" {
		return ""
	}
	l, err := net.Listen("tcp4", p.site)
	if err != nil || l.Close() != nil {
		return ""
	}
	return p.site
}
