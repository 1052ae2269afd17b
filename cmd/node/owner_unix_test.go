//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestConfigOfAServiceStaysItsOwn: written by root, the file of a node with a user of its own can still be read by it.
func TestConfigOfAServiceStaysItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const user, group = 12345, 12346
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	if err := os.Chown(dir, user, group); err != nil {
		t.Skip(err)
	}
	for _, what := range []string{"new", "old"} {
		if err := replaceConfig(path, []byte("version: 1\n")); err != nil {
			t.Fatal(err)
		}
		if uid, gid, known := ownerOf(path); !known || uid != user || gid != group {
			t.Errorf("the %s file belongs to %d:%d", what, uid, gid)
		}
		if err := os.Chown(dir, 0, 0); err != nil { // from now on the file itself tells
			t.Fatal(err)
		}
	}
}
