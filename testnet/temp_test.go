//go:build unix

package testnet

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gofrs/flock"
)

// What networks have left that were killed is cleared; what is kept, runs, or somebody else could have made is not.
func TestSweep(t *testing.T) {
	tmp := t.TempDir()
	folder := func(keep, ended bool) string {
		t.Helper()
		dir, err := temporary(tmp, keep)
		if err != nil {
			t.Fatal(err)
		}
		home := filepath.Join(dir, "origin", "home")
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		files := []string{filepath.Join(home, "identity.key")}
		if ended {
			files = append(files, filepath.Join(dir, "net.lock"), filepath.Join(dir, "net.pid"))
		}
		for _, file := range files {
			if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	dead := folder(false, true)
	stay := map[string]string{"kept": folder(true, true), "just beginning": folder(false, false), "running": folder(false, true), "open to others": folder(false, true)}
	lock := flock.New(filepath.Join(stay["running"], "net.lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer lock.Unlock()
	if err := os.Chmod(stay["open to others"], 0o777); err != nil {
		t.Fatal(err)
	}
	real := folder(false, true)
	elsewhere := filepath.Join(tmp, "elsewhere")
	if err := os.Rename(real, elsewhere); err != nil {
		t.Fatal(err)
	}
	stay["linked"] = filepath.Join(tmp, tempPrefix+"9")
	if err := os.Symlink(elsewhere, stay["linked"]); err != nil {
		t.Fatal(err)
	}
	if n := sweep(tmp); n != 1 {
		t.Errorf("%d folders were cleared", n)
	}
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Errorf("what was left is there: %v", err)
	}
	for what, dir := range stay {
		if _, err := os.Stat(filepath.Join(dir, "origin", "home", "identity.key")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, _ := os.ReadDir(filepath.Join(elsewhere, "origin")); !slices.ContainsFunc(got, func(d os.DirEntry) bool { return d.Name() == "home" }) {
		t.Error("a link was followed")
	}
}
