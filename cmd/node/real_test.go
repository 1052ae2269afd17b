package main

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-p2p/shoal/node/api"
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode, "awaitnode": awaitNode, "envfile": envFile},
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
