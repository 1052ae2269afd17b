package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/testnet/link"
)

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func node(t *testing.T, n *Net, name string) *Node {
	t.Helper()
	got, ok := n.Node(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return got
}

// alive tells whether the process is there; one that has ended and that nobody has waited for is not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// awaitPeers waits until a node is connected to that many others.
func awaitPeers(t *testing.T, n *Node, want int) {
	t.Helper()
	ctx := testContext(t)
	for clock := time.NewTicker(20 * time.Millisecond); ; {
		st, err := n.Client().Status(ctx)
		must(t, err)
		if len(st.Peers) >= want {
			clock.Stop()
			return
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			t.Fatalf("%s has %d peers, want %d", n.Name, len(st.Peers), want)
		}
	}
}

func TestLives(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{Dir: filepath.Join(t.TempDir(), "with a space")})
	must(t, n.Add(ctx, "origin", "edge-1", "edge-2"))
	var names []string
	for _, node := range n.Nodes() {
		names = append(names, node.Name)
		if node.State() != Running || node.PeerID == "" || !strings.HasSuffix(node.Addr, "/p2p/"+node.PeerID) || node.PID() == 0 {
			t.Errorf("%s is %v, process %d, at %s", node.Name, node.State(), node.PID(), node.Addr)
		}
		if m, err := node.Memory(); err != nil || m < 10<<20 {
			t.Errorf("%s has %d bytes of memory: %v", node.Name, m, err)
		}
	}
	if strings.Join(names, " ") != "origin edge-1 edge-2" {
		t.Errorf("nodes are %v", names)
	}
	origin, edge := node(t, n, "origin"), node(t, n, "edge-1")
	awaitPeers(t, origin, 2)

	pid, addr, id, site := edge.PID(), edge.Addr, edge.PeerID, edge.Site()
	if !strings.HasPrefix(site, "http://127.0.0.1:") || edge.Ended() != "" {
		t.Errorf("edge-1 has a dashboard at %q and ended %q", site, edge.Ended())
	}
	must(t, n.Kill("edge-1"))
	if alive(pid) || edge.State() != Down || edge.Client() != nil || edge.PID() != 0 || edge.Ended() != EndedKilled || edge.Site() != "" {
		t.Errorf("edge-1 was killed and is %v, %s, with a dashboard at %q", edge.State(), edge.Ended(), edge.Site())
	}
	for what, err := range map[string]error{"kill": n.Kill("edge-1"), "stop": n.Stop(ctx, "edge-1"), "pause": n.Pause("edge-1"), "resume": n.Resume("edge-1")} {
		if !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), what+" edge-1") {
			t.Errorf("%s of a node that is down: %v", what, err)
		}
	}
	must(t, n.Restart(ctx, "edge-1"))
	st, err := edge.Client().Status(ctx)
	must(t, err)
	if edge.State() != Running || edge.Addr != addr || st.PeerID != id || edge.Site() != site || edge.Ended() != "" {
		t.Errorf("edge-1 is another one: %s at %s and %s, was %s at %s and %s", st.PeerID, edge.Addr, edge.Site(), id, addr, site)
	}
	awaitPeers(t, edge, 1)

	must(t, n.Stop(ctx, "edge-2"))
	if how := node(t, n, "edge-2").Ended(); how != EndedStopped {
		t.Errorf("edge-2 was stopped and %s", how)
	}
	must(t, n.Restart(ctx, "edge-2"))
	pid = node(t, n, "edge-2").PID()
	must(t, n.Restart(ctx, "edge-2")) // a running one
	if alive(pid) || node(t, n, "edge-2").State() != Running {
		t.Error("a running node was not started again")
	}
	select {
	case c := <-n.Crashes():
		t.Errorf("a crash: %+v", c)
	default:
	}
}

func TestPause(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	origin := node(t, n, "origin")
	must(t, n.Pause("origin"))
	if origin.State() != Paused {
		t.Errorf("paused and %v", origin.State())
	}
	for procState(t, origin.PID()) != "T" { // the signal takes a moment
		if ctx.Err() != nil {
			t.Fatal("it is not halted")
		}
	}
	must(t, n.Resume("origin"))
	must(t, n.Resume("origin")) // does so already
	if _, err := origin.Client().Status(ctx); err != nil || origin.State() != Running {
		t.Errorf("goes on and is %v: %v", origin.State(), err)
	}
	must(t, n.Pause("origin"))
	must(t, n.Stop(ctx, "origin")) // a paused one hears of it too
	must(t, n.Restart(ctx, "origin"))
	must(t, n.Pause("origin"))
	must(t, n.Kill("origin"))
	must(t, n.Restart(ctx, "origin"))
	if origin.State() != Running {
		t.Errorf("started again and %v", origin.State())
	}
	must(t, n.Pause("origin")) // and Close ends a paused one
}

// procState is the letter of proc_pid_stat(5), in a test of a signal that only Linux's /proc shows the effect of.
func procState(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func TestCrashIsTold(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	p, err := os.FindProcess(node(t, n, "origin").PID())
	must(t, err)
	must(t, p.Signal(syscall.SIGABRT)) // the runtime of Go writes a trace and ends
	select {
	case c := <-n.Crashes():
		if c.Node != "origin" || !strings.Contains(c.Detail, "ended by itself: ") || !strings.Contains(c.Detail, "goroutine") && !strings.Contains(c.Detail, "rip") {
			t.Errorf("%+v", c)
		}
	case <-ctx.Done():
		t.Fatal("nobody was told")
	}
	if o := node(t, n, "origin"); o.State() != Down || o.Ended() != EndedItself {
		t.Errorf("it has crashed and is %v, %s", o.State(), o.Ended())
	}
	must(t, n.Restart(ctx, "origin"))
}

func TestErrorsOfNames(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	for _, bad := range []string{"origin", "", "Edge", "a/b", "..", "ä", strings.Repeat("a", 33)} {
		if err := n.Add(ctx, "edge", bad); err == nil {
			t.Errorf("a node may be called %q", bad)
		}
	}
	if len(n.Nodes()) != 1 {
		t.Errorf("%d nodes", len(n.Nodes()))
	}
	must(t, n.Add(ctx, "edge")) // the name is still free
	for what, err := range map[string]error{"kill": n.Kill("nobody"), "restart": n.Restart(ctx, "nobody")} {
		if !errors.Is(err, ErrNoNode) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, n.Close())
	for what, err := range map[string]error{"add": n.Add(ctx, "late"), "kill": n.Kill("origin"), "shape": n.Shape(ctx, func(*Shape) {})} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after the end: %v", what, err)
		}
	}
}

func TestFolderIsTaken(t *testing.T) {
	dir := t.TempDir()
	n := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir, Exe: binary}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second network: %v", err)
	}
	if pid := Owner(dir); pid != os.Getpid() {
		t.Errorf("it belongs to process %d", pid)
	}
	quick, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := AwaitEnd(quick, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it runs, and has ended: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- AwaitEnd(t.Context(), dir) }()
	must(t, n.Close())
	must(t, <-ended)
	if pid := Owner(dir); pid != 0 {
		t.Errorf("it belongs to process %d", pid)
	}
	must(t, AwaitEnd(t.Context(), filepath.Join(dir, "missing")))
	again, err := Open(Options{Dir: dir, Exe: binary})
	must(t, err)
	must(t, again.Close())
}

// A network that begins again in a folder has the nodes it had.
func TestSameFolderSameNodes(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	var addrs []string
	for range 2 {
		n := open(t, Options{Dir: dir})
		must(t, n.Add(ctx, "origin"))
		addrs = append(addrs, node(t, n, "origin").Addr)
		must(t, n.Close())
	}
	if addrs[0] != addrs[1] {
		t.Errorf("%s and then %s", addrs[0], addrs[1])
	}
}

func TestPortTaken(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	must(t, n.Kill("origin"))
	host := node(t, n, "origin").at.host
	l, err := net.Listen("tcp4", host)
	must(t, err)
	err = n.Restart(ctx, "origin")
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), host) {
		t.Errorf("its port is taken: %v", err)
	}
	must(t, l.Close())
	must(t, n.Restart(ctx, "origin"))
}

// A dashboard whose port somebody has taken is at another one: that is no reason for a node not to start.
func TestDashboardPortTaken(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	origin := node(t, n, "origin")
	site := origin.Site()
	must(t, n.Kill("origin"))
	l, err := net.Listen("tcp4", strings.TrimPrefix(site, "http://"))
	must(t, err)
	defer l.Close()
	must(t, n.Restart(ctx, "origin"))
	if now := origin.Site(); now == site || now == "" {
		t.Errorf("its dashboard is at %q, where somebody else listens", now)
	}
}

func TestStartFails(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	n.o.Exe = filepath.Join(t.TempDir(), "missing")
	if err := n.Add(ctx, "origin", "edge"); err == nil {
		t.Error("a program that is not there was started")
	}
	n.o.Exe = "false"
	if err := n.Add(ctx, "origin"); err == nil || !strings.Contains(err.Error(), "add origin: it ended before it was ready") {
		t.Errorf("a program that ends at once: %v", err)
	}
	n.o.Exe = binary
	must(t, n.Add(ctx, "origin", "edge"))
	quick, cancel := context.WithCancel(ctx)
	cancel()
	if err := n.Restart(quick, "edge"); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if s := node(t, n, "edge").State(); s != Running {
		t.Errorf("given up before it began, and %v", s)
	}
}

// Ends of the network while nodes start leave none of them behind.
func TestCloseWhileStarting(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{})
	must(t, n.Add(ctx, "origin"))
	added := make(chan error, 1)
	go func() { added <- n.Add(ctx, "a", "b", "c", "d", "e", "f") }()
	for _, ok := n.Node("a"); !ok && len(n.Nodes()) < 2; _, ok = n.Node("a") {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	must(t, n.Close())
	if err := <-added; err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for _, node := range n.Nodes() {
		if node.State() != Down {
			t.Errorf("%s is %v", node.Name, node.State())
		}
	}
}

// supervise is a program with a network, which says its processes and waits to be killed.
func supervise(dir string) {
	exe := os.Getenv("NODES_TEST_EXE")
	n, err := Open(Options{Dir: dir, Exe: exe})
	if err == nil {
		err = n.Add(context.Background(), "origin", "edge-1", "edge-2")
	}
	if err == nil {
		err = n.Pause("edge-2")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var pids []int
	for _, node := range n.Nodes() {
		pids = append(pids, node.PID())
	}
	_ = json.NewEncoder(os.Stdout).Encode(pids)
	select {}
}

func TestNoNodeOutlivesTheProgram(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux ends children with their parent")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), asSupervisor+"="+dir, "NODES_TEST_EXE="+binary)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	must(t, err)
	var pids []int
	must(t, json.Unmarshal(line, &pids))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	clock := time.NewTicker(5 * time.Millisecond)
	defer clock.Stop()
	ctx := testContext(t)
	for _, pid := range pids {
		for alive(pid) {
			select {
			case <-clock.C:
			case <-ctx.Done():
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
	n := open(t, Options{Dir: dir}) // the folder is free
	must(t, n.Add(ctx, "origin"))
}

// A folder whose name no socket can have.
func TestLongFolder(t *testing.T) {
	dir := t.TempDir()
	for range 4 {
		dir = filepath.Join(dir, strings.Repeat("long ", 10)+"x")
	}
	ctx := testContext(t)
	n := open(t, Options{Dir: dir})
	must(t, n.Add(ctx, "origin", "edge-1"))
	must(t, n.Shape(ctx, func(s *Shape) { s.Up["edge-1"] = 1 << 20 }))
	must(t, n.Restart(ctx, "edge-1"))
}

func TestShapeReachesNodes(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{Seed: 1})
	must(t, n.Add(ctx, "a", "b", "c"))
	must(t, n.Pause("b"))
	must(t, n.Kill("c"))
	// A paused node and one that is down keep nobody waiting.
	must(t, n.Shape(ctx, func(s *Shape) {
		for _, to := range []string{"b", "c"} {
			s.Rules[[2]string{"a", to}] = link.Rule{Cut: true}
		}
	}))
	must(t, n.Resume("b"))
	must(t, n.Restart(ctx, "c"))
}

func TestShapeIsFelt(t *testing.T) {
	ctx := testContext(t)
	n := open(t, Options{Seed: 1})
	must(t, n.Add(ctx, "a", "b"))
	awaitPeers(t, node(t, n, "a"), 1)
	const latency = 200 * time.Millisecond
	must(t, n.Kill("b"))
	must(t, n.Shape(ctx, func(s *Shape) {
		s.Rules[[2]string{"a", "b"}] = link.Rule{Latency: latency}
		s.Rules[[2]string{"b", "a"}] = link.Rule{Latency: latency}
	}))
	must(t, n.Restart(ctx, "b"))
	began := time.Now()
	awaitPeers(t, node(t, n, "b"), 1)
	if took := time.Since(began); took < latency {
		t.Errorf("b is there after %v, and a way takes %v", took, latency)
	}
}
