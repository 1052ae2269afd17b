package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/testnet/process"
)

// binary is the program under test, built once; empty where it could not be.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shoal-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = process.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// patience bounds everything here from above; on a quiet machine nothing takes a tenth of it.
const patience = 90 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// swarm starts nodes for one test; the first is the bootstrap of the others.
type swarm struct {
	t       *testing.T
	dir     string
	starter *process.Starter
	first   []string
}

func newSwarm(t *testing.T) *swarm {
	s := &swarm{t: t, dir: t.TempDir(), starter: process.NewStarter()}
	t.Cleanup(s.starter.Close)
	return s
}

func (s *swarm) node(name string, flags ...string) *running {
	s.t.Helper()
	p, err := startNode(testContext(s.t), s.starter, binary, s.dir, name, s.first, flags...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	if s.first == nil {
		s.first = p.addrs
	}
	return p
}

// outcome is one command's end.
type outcome struct {
	code   int
	stdout string
	stderr string
}

// run runs the program to its end.
func run(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), binary, args...)
	cmd.Dir = dir
	cmd.Env = append(process.WithoutShoal(os.Environ()), "SHOAL_P2P__MDNS=false")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// last decodes the last line of --json output.
func (o outcome) last(t *testing.T, v any) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace([]byte(o.stdout)), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], v); err != nil {
		t.Fatalf("last line %q: %v (stderr %s)", lines[len(lines)-1], err, o.stderr)
	}
}

// writeFiles makes files below dir; contents are seeded and incompressible.
func writeFiles(t *testing.T, dir string, sizes map[string]int) {
	t.Helper()
	for name, size := range sizes {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, noise(name, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
