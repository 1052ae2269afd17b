package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestUnitFilesForSystemd asks systemd itself where it is installed; of the program only that it is there.
func TestUnitFilesForSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, args := t.TempDir(), []string{"verify", "--man=no"}
	for _, name := range []string{"shoal.service", "shoal.socket"} {
		text, err := os.ReadFile(filepath.Join("contrib", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("/usr/local/bin/shoal"), []byte(self)), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("shoal")) { // it may speak of other units
		t.Errorf("%v: %s", err, out)
	}
}
