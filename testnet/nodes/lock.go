package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// lookEvery is how often a lock is looked at that somebody else holds.
	lookEvery = 20 * time.Millisecond
	// lookPatience outlasts those who only look whether a folder is free.
	lookPatience = 100 * time.Millisecond
)

// The names have a dot, which no node has.
func lockFile(dir string) string { return filepath.Join(dir, "net.lock") }

func pidFile(dir string) string { return filepath.Join(dir, "net.pid") }

// take makes dir this process's: the system gives it back when the process ends, however it ends.
func take(dir string) (*flock.Flock, error) {
	lock := flock.New(lockFile(dir))
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	switch _, err := lock.TryLockContext(ctx, lookEvery); {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	case err != nil:
		return nil, err
	}
	// A file of its own: on Windows nobody reads one that is locked.
	if err := os.WriteFile(pidFile(dir), fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock, nil
}

// Owner is the process that has a network in dir; 0 if none has.
func Owner(dir string) int {
	b, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0 // there never was one
	}
	lock := flock.New(lockFile(dir), flock.SetFlag(os.O_RDONLY))
	if free, err := lock.TryRLock(); err != nil || free {
		_ = lock.Unlock()
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b))) // 0 when it is just being written
	return pid
}

// Ended tells that a network ran in dir and does not any more. One that is just beginning has not.
func Ended(dir string) (bool, error) {
	if _, err := os.Stat(pidFile(dir)); err != nil { // it is written with the lock held
		return false, nil
	}
	lock := flock.New(lockFile(dir), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("look whether a test network has ended: %w", err)
	}
	return free, lock.Unlock()
}

// AwaitEnd returns when no network runs in dir and all processes of the last one are gone, or with ctx's error.
func AwaitEnd(ctx context.Context, dir string) error {
	if _, err := os.Stat(lockFile(dir)); err != nil {
		return nil // never one, or its folder is gone by now
	}
	lock := flock.New(lockFile(dir), flock.SetFlag(os.O_RDONLY))
	defer lock.Unlock()
	if _, err := lock.TryRLockContext(ctx, lookEvery); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("wait for the end of the test network in %s: %w", dir, err)
	}
	return nil
}
