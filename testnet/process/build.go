package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	program = "github.com/shoal-p2p/shoal/cmd/node"
	// lookEvery is how often it is looked whether another build has ended: a fraction of what linking takes.
	lookEvery = 50 * time.Millisecond
)

// Build makes the program of this checkout in dir, for tests and measurements, and returns its name. One that was made
// for somebody else of the same sources is copied: it is kept in bin/test of the checkout, where that can be written.
func Build(ctx context.Context, dir string) (string, error) {
	name := "node"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	exe := filepath.Join(dir, name)
	unlock, shared, err := shared(ctx)
	if err != nil {
		return exe, build(ctx, exe)
	}
	defer unlock()
	kept := filepath.Join(shared, name)
	if err := build(ctx, kept); err != nil { // of sources that have not changed it does nothing
		return "", err
	}
	if err := copyFile(kept, exe); err != nil {
		return "", fmt.Errorf("build the program: %w", err)
	}
	return exe, nil
}

func build(ctx context.Context, exe string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", exe, program).CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// shared is the folder of what was made for all, this process's until unlock.
func shared(ctx context.Context) (unlock func(), dir string, err error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, "", err
	}
	dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(ctx, lookEvery); err != nil {
		return nil, "", err
	}
	return func() { _ = lock.Unlock() }, dir, nil // the end of the process unlocks it, too
}

// copyFile makes a program of its own: the one it is made of may be made anew while this one runs.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
