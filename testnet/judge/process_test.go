package judge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/oracle"
)

// The tests of this file's package run real nodes as processes: this very program, started again with the variables
// below. A node is broken by what is put around its service, or by what is done to its disk.
const (
	varHome   = "JUDGE_TEST_HOME"
	varListen = "JUDGE_TEST_LISTEN"
	varPeers  = "JUDGE_TEST_PEERS"
	varManner = "JUDGE_TEST_MANNER" // a key of manners
)

func TestMain(m *testing.M) {
	if os.Getenv(varHome) == "" {
		os.Exit(m.Run())
	}
	if err := host(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// host runs a node until the parent lets go of the standard input, which it also does when it dies.
func host() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	home := os.Getenv(varHome)
	n, err := node.New(node.Config{Home: home, Listen: []string{os.Getenv(varListen)}, Bootstrap: strings.Fields(os.Getenv(varPeers)),
		Reserve: 1, Resume: true, Version: "test"})
	if err != nil {
		return err
	}
	l, err := api.Listen(home)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error {
		return api.Serve(ctx, l, manners[os.Getenv(varManner)](n), api.ServerOptions{Ready: n.Ready()})
	})
	return group.Wait()
}

// lab is some nodes with one set, and the judge that watches them.
type lab struct {
	t      *testing.T
	dir    string
	nodes  []*process
	set    string
	ticket string
	begun  time.Time
	truth  *oracle.Oracle

	mu    sync.Mutex // guards what follows
	judge *judge.Judge
	found []judge.Violation
}

// process is a node.
type process struct {
	lab    *lab
	name   string
	peer   string
	addr   string
	manner string
	cmd    *exec.Cmd
	stdin  io.Closer
	asked  chan struct{} // closed before it is ended on purpose
	ended  chan struct{}
	*api.Client
}

func (p *process) home() string { return filepath.Join(p.lab.dir, p.name, "home") }
func (p *process) data() string { return filepath.Join(p.lab.dir, p.name, "data") }

// limit bounds everything here from above; nothing takes a quarter of it.
const limit = 30 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// newLab makes homes and starts a node for each of some names; "name:manner" breaks one.
func newLab(t *testing.T, names ...string) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "j") // a short name: it is that of sockets too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{t: t, dir: dir, begun: time.Now(), judge: judge.New(), truth: oracle.New()}
	for _, name := range names {
		name, manner, _ := strings.Cut(name, ":")
		p := &process{lab: l, name: name, manner: manner}
		p.peer = identity(t, p.home())
		p.addr = freeAddr(t)
		l.nodes = append(l.nodes, p)
	}
	for _, p := range l.nodes {
		p.start()
	}
	return l
}

// identity makes a home and gives its peer id.
func identity(t *testing.T, home string) string {
	t.Helper()
	n, err := node.New(node.Config{Home: home, Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return st.PeerID
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

// start runs the node until stop, kill or the end of the test.
func (p *process) start() {
	t := p.lab.t
	t.Helper()
	var peers []string
	for _, o := range p.lab.nodes {
		if o != p {
			peers = append(peers, o.addr+"/p2p/"+o.peer)
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), varHome+"="+p.home(), varListen+"="+p.addr, varPeers+"="+strings.Join(peers, " "), varManner+"="+p.manner)
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	asked, ended := make(chan struct{}), make(chan struct{})
	p.cmd, p.stdin, p.asked, p.ended = cmd, stdin, asked, ended
	go func() {
		defer close(ended)
		err := cmd.Wait()
		expected := false
		select {
		case <-asked:
			expected = true
		default:
		}
		p.lab.observe(judge.Ended{At: p.lab.now(), Node: p.name, Expected: expected, Detail: fmt.Sprintf("%v %s", err, log.String())})
	}()
	t.Cleanup(p.kill)
	p.lab.until(p.name+" answers", func() error {
		p.Client, err = api.Dial(t.Context(), api.SocketPath(p.home()))
		if err == nil {
			_, err = p.Status(within(t))
		}
		return err
	})
}

// kill ends the node at once; one that has ended stays so.
func (p *process) kill() { p.end(func() { _ = p.cmd.Process.Kill() }) }

// stop lets the node end cleanly.
func (p *process) stop() { p.end(func() { _ = p.stdin.Close() }) }

func (p *process) end(how func()) {
	select {
	case <-p.asked:
		return
	default:
	}
	close(p.asked)
	how()
	<-p.ended
	if p.Client != nil {
		p.Close()
	}
}

func (p *process) up() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (l *lab) now() time.Duration { return time.Since(l.begun) }

func (l *lab) observe(o judge.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = append(l.found, l.judge.Observe(o)...)
}

// until asks again and again whether something holds.
func (l *lab) until(what string, holds func() error) {
	l.t.Helper()
	clock := time.NewTicker(20 * time.Millisecond)
	defer clock.Stop()
	ctx := within(l.t)
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			l.mu.Lock()
			defer l.mu.Unlock()
			l.t.Fatalf("%s: not in %v: %v; found %+v", what, limit, err, l.found)
		}
	}
}

// claims lets the judge hear what every node that is up says of the set.
func (l *lab) claims() {
	for _, p := range l.nodes {
		if !p.up() {
			continue
		}
		if i, err := p.Show(within(l.t), l.set); err == nil {
			l.observe(judge.ClaimOf(l.now(), p.name, "docs", i))
		}
	}
}

// finals is what the nodes that are up show of the set.
func (l *lab) finals() (all []judge.Final) {
	l.t.Helper()
	for _, p := range l.nodes {
		if !p.up() {
			continue
		}
		i, err := p.Show(within(l.t), l.set)
		if e := api.AsError(err); e != nil && e.ExitCode == api.ExitNotFound {
			continue // it has nothing of the set
		}
		if err != nil {
			l.t.Fatalf("show at %s: %v", p.name, err)
		}
		h, err := p.History(within(l.t), api.HistoryRequest{Set: l.set, Verify: true})
		if err != nil {
			l.t.Fatalf("history at %s: %v", p.name, err)
		}
		all = append(all, judge.FinalOf(p.name, p.peer, "docs", 0, i, h))
	}
	return all
}

// verdict is everything that was found by now, less what ended processes are told of at the end of the test.
func (l *lab) verdict() []judge.Violation {
	l.t.Helper()
	finals := l.finals()
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(l.found, l.judge.Settle(finals)...)
}

// only checks that one invariant broke, and no other one, and that one of its violations says some words.
func (l *lab) only(invariant, words string) {
	l.t.Helper()
	all := l.verdict()
	said := false
	for _, v := range all {
		if v.Invariant != invariant {
			l.t.Errorf("%s broke: %s", v.Invariant, v.Text)
		}
		said = said || v.Invariant == invariant && strings.Contains(v.Text, words)
	}
	if !said {
		l.t.Errorf("%s did not break with %q: %+v", invariant, words, all)
	}
}

// clean checks that nothing broke.
func (l *lab) clean() {
	l.t.Helper()
	for _, v := range l.verdict() {
		l.t.Errorf("%s broke: %s", v.Invariant, v.Text)
	}
}
