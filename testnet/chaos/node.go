//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/process"
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
	proc   *process.Process
	client *api.Client
	wanted bool // it was started, and not ended by us
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
func (n *node) start(ctx context.Context) (err error) {
	spec := process.Spec{Exe: n.lab.exe, Home: n.home, Log: n.home + ".log", Listen: []string{n.listen}, Flags: append([]string{"-v"}, n.flags...)}
	for _, o := range n.lab.nodes {
		if o != n && o.addr != "" {
			spec.Bootstrap = append(spec.Bootstrap, o.addr)
		}
	}
	if n.space != "" {
		spec.Prefix = []string{"ip", "netns", "exec", n.space}
	}
	if n.proc, err = n.lab.starter.Start(ctx, spec); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.client, n.id, n.addr = n.proc.Client, n.proc.PeerID, n.listen+"/p2p/"+n.proc.PeerID
	n.wanted = true
	return nil
}

// signal sends a signal to the process.
func (n *node) signal(s syscall.Signal) error {
	if err := n.proc.OS().Signal(s); err != nil {
		return fmt.Errorf("%v to %s: %w", s, n.name, err)
	}
	return nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (n *node) kill() {
	n.wanted = false
	if n.proc == nil {
		return
	}
	n.proc.Kill()
	n.client.Close()
}

func (n *node) alive() bool { return !n.proc.Over() }
