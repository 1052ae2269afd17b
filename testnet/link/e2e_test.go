package link

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/process"
)

// realNode is a process of the program as users have it, in testnet mode.
type realNode struct {
	home, listen string // listen: multiaddress with /p2p/
	addr         string // as a plan names it
	client       *api.Client
	log          string // file of its stderr
}

// build makes the program.
func build(t *testing.T) (exe string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds the program and runs processes")
	}
	exe, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func startReal(t *testing.T, exe, name, bootstrap string) *realNode {
	t.Helper()
	n := &realNode{home: filepath.Join(t.TempDir(), name), log: filepath.Join(t.TempDir(), "log")}
	must(t, os.MkdirAll(n.home, 0o700))
	log, err := os.Create(n.log)
	must(t, err)
	defer log.Close()
	args := []string{"run", "--testnet", "--home", n.home, "--json", "--listen", "/ip4/127.0.0.1/tcp/0"}
	if bootstrap != "" {
		args = append(args, "--bootstrap", bootstrap)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = []string{"SHOAL_P2P__MDNS=false", "HOME=" + t.TempDir()}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ Listen []string }
	if err = errors.Join(err, json.Unmarshal(line, &ready)); err != nil || len(ready.Listen) != 1 {
		t.Fatalf("%s is not ready: %q, %v\n%s", name, line, err, n.said(t))
	}
	n.listen = ready.Listen[0]
	where, _, _ := strings.Cut(n.listen, "/p2p/")
	a, err := manet.ToNetAddr(multiaddr.StringCast(where))
	must(t, err)
	n.addr = a.String()
	n.client, err = api.Dial(t.Context(), api.SocketPath(n.home))
	must(t, err)
	t.Cleanup(n.client.Close)
	return n
}

func (n *realNode) said(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(n.log)
	must(t, err)
	return string(b)
}

// goBy puts a plan in force.
func (n *realNode) goBy(t *testing.T, p Plan) {
	t.Helper()
	must(t, Write(n.home, p))
	must(t, Tell(t.Context(), n.home))
}

// exitCode is what the command would end with.
func exitCode(err error) int {
	var e *api.Error
	if errors.As(err, &e) {
		return e.ExitCode
	}
	return 0
}

// TestRealNodes plays the plans with two nodes as users have them: a slow link, a cut one, a full disk, and a liar.
func TestRealNodes(t *testing.T) {
	exe := build(t)
	origin := startReal(t, exe, "origin", "")
	edge := startReal(t, exe, "edge", origin.listen)
	known := Plan{Peers: map[string]string{origin.addr: "origin", edge.addr: "edge"}}
	both := func(r Rule) (atOrigin, atEdge Plan) {
		atOrigin, atEdge = known, known
		atOrigin.Out, atOrigin.In = map[string]Rule{"edge": r}, map[string]Rule{"edge": r}
		atEdge.Out, atEdge.In = map[string]Rule{"origin": r}, map[string]Rule{"origin": r}
		return atOrigin, atEdge
	}
	src, dest := t.TempDir(), filepath.Join(t.TempDir(), "dest")
	file, size := filepath.Join(src, "file"), 4<<20
	data := content(size)
	must(t, os.WriteFile(file, data, 0o600))
	shared, err := origin.client.Share(t.Context(), api.ShareRequest{Path: src}, nil)
	must(t, err)
	publish := func() {
		t.Helper()
		must(t, os.WriteFile(file, data, 0o600))
		_, err := origin.client.Publish(t.Context(), api.PublishRequest{Target: shared.Set}, nil)
		must(t, err)
	}
	get := func(timeout time.Duration) error {
		_, err := edge.client.Get(t.Context(), api.GetRequest{Ticket: shared.Ticket, Dest: dest, Timeout: timeout.String()}, nil)
		return err
	}
	same := func() {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dest, "file")); err != nil || !bytes.Equal(b, data) {
			t.Errorf("the getter has other bytes: %v", err)
		}
	}

	const rate = 2_000_000
	atOrigin, atEdge := both(Rule{Rate: rate, Latency: 10 * time.Millisecond})
	origin.goBy(t, atOrigin)
	edge.goBy(t, atEdge)
	start := time.Now()
	must(t, get(time.Minute))
	same()
	// It is exact where the machine is quiet; what may not happen is that it is faster.
	least := time.Duration(size) * time.Second / rate * 95 / 100
	if took := time.Since(start); took < least || took > 5*least {
		t.Errorf("%d bytes took %v at %d bytes/s", size, took, rate)
	}

	atOrigin, atEdge = both(Rule{Cut: true})
	origin.goBy(t, atOrigin)
	edge.goBy(t, atEdge)
	copy(data, "another beginning")
	publish()
	if err := get(time.Second); err == nil {
		t.Error("a get through a cut succeeded")
	}
	origin.goBy(t, known)
	full := known
	full.Full = true
	edge.goBy(t, full)
	data = append(data, noise(2, 1<<20)...)
	publish()
	if err := get(time.Minute); exitCode(err) != api.ExitNoSpace {
		t.Errorf("a get onto a full disk: %v, exit code %d", err, exitCode(err))
	}
	edge.goBy(t, known)
	must(t, get(time.Minute))
	same()

	lies := known
	lies.Lies = true
	origin.goBy(t, lies)
	copy(data[1<<20:], "a lie is told")
	data = append(data, noise(3, 3<<20)...)
	publish()
	if err := get(2 * time.Second); err == nil {
		t.Error("a get from a liar succeeded")
	}
	if log := edge.said(t); !strings.Contains(log, "banned") {
		t.Errorf("the liar is not banned:\n%s", log)
	}
}
