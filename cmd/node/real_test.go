package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// TestRealScripts plays scripts with real nodes on the loopback interface: the command is called shoal there.
func TestRealScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "real"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SHOAL_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("SHOAL_P2P__LISTEN", "/ip4/127.0.0.1/tcp/0")
			e.Setenv("SHOAL_P2P__MDNS", "false")
			e.Setenv("SHOAL_DISCOVERY__DHT", "off")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode, "awaitnode": awaitNode, "envfile": envFile,
			"awaitnet": awaitNet, "gone": gone, "awaitfile": awaitFile, "logged": logged, "awaithost": awaitHost},
	})
}

// awaitNode is `awaitnode HOME`: a node answers there.
func awaitNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaitnode HOME")
	}
	const patience, every = 30 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for clock := time.NewTicker(every); ; {
		c, err := api.Dial(ctx, api.SocketPath(ts.MkAbs(args[0])))
		if err == nil {
			c.Close()
			return
		}
		if !errors.Is(err, api.ErrNoNode) {
			ts.Fatalf("%v", err)
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			ts.Fatalf("no node answers in %s", args[0])
		}
	}
}

// awaitNet is `awaitnet DIR N [SET]`: a test network runs there and knows what N nodes are, and SET of one of them.
func awaitNet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: awaitnet DIR N [SET]")
	}
	has := func(n control.Info) bool {
		return len(args) == 2 || slices.ContainsFunc(n.Sets, func(s trace.SetState) bool { return s.Set == args[2] })
	}
	const patience, every = 60 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		var all []control.Info
		c, err := control.Dial(ctx, ts.MkAbs(args[0]))
		if err == nil {
			all, err = c.List(ctx)
		}
		unknown := func(n control.Info) bool { return n.Memory == 0 }
		if err == nil && strconv.Itoa(len(all)) == args[1] && !slices.ContainsFunc(all, unknown) && slices.ContainsFunc(all, has) {
			return
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			ts.Fatalf("%d nodes in %s: %v", len(all), args[0], err)
		}
	}
}

// gone is `gone FILE`: the processes of the nodes that FILE, the output of `testnet ls --json`, lists have ended, or end
// within a moment.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone FILE")
	}
	var r struct{ Nodes []control.Info }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	const patience, every = 10 * time.Second, 5 * time.Millisecond
	clock := time.NewTicker(every)
	defer clock.Stop()
	late := time.After(patience)
	for _, n := range r.Nodes {
		for lives(n.PID) {
			select {
			case <-clock.C:
			case <-late:
				ts.Fatalf("%s, process %d, lives on", n.Name, n.PID)
			}
		}
	}
	if len(r.Nodes) == 0 {
		ts.Fatalf("%s lists no nodes", args[0])
	}
}

// lives tells whether a process runs; one that nobody has waited for yet does not.
func lives(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(syscall.Signal(0)) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// envFile is `envfile NAME FILE [REGEXP]`: the variable is what the file says, stdout for instance, or the first group.
func envFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: envfile NAME FILE [REGEXP]")
	}
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		found := regexp.MustCompile(args[2]).FindStringSubmatch(text)
		if len(found) < 2 {
			ts.Fatalf("%s does not match %s: %s", args[1], args[2], text)
		}
		text = found[1]
	}
	ts.Setenv(args[0], text)
}
