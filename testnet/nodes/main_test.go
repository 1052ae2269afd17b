package nodes

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/testnet/process"
)

// asSupervisor names a folder: the test's program is then one that has a network there, for a test to kill.
const asSupervisor = "NODES_TEST_SUPERVISOR"

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(asSupervisor); dir != "" {
		supervise(dir)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shoal-nodes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = process.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	loaded := goleak.IgnoreCurrent()
	code := m.Run()
	if err := goleak.Find(loaded); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience bounds everything here from above; on a quiet machine nothing takes a tenth of it.
const patience = 60 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, o Options) *Net {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Exe = binary
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
