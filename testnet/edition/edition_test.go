package edition

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// noise is size seeded bytes that do not compress.
func noise(name string, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b)
	return b
}

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

func TestCopyTreeIsEqual(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	writeFiles(t, from, map[string]int{"a": 100_000, "sub/empty": 0, "sub/deeper/x": 7})
	if err := os.Symlink("a", filepath.Join(from, "link")); err != nil {
		t.Skip("no symlinks here")
	}
	if err := os.Chmod(filepath.Join(from, "sub", "empty"), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := CopyTree(from, to); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 100_000, "sub/empty": 0, "sub/deeper/x": 7, "link": 100_000} {
		was, err1 := os.Stat(filepath.Join(from, name))
		is, err2 := os.Stat(filepath.Join(to, name))
		if err1 != nil || err2 != nil || is.Mode() != was.Mode() || is.ModTime() != was.ModTime() || is.Size() != int64(size) {
			t.Errorf("%s is %v, was %v: %v %v", name, is, was, err1, err2)
		}
	}
	a, err1 := os.ReadFile(filepath.Join(from, "a"))
	b, err2 := os.ReadFile(filepath.Join(to, "a"))
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("a is different: %v %v", err1, err2)
	}
}

func TestEditChangesWhatItSays(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]int{"small": 10, "sub/large": 50_000})
	made, err := Edit(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "4.0 KiB overwritten in " + filepath.Join("sub", "large") + ", folder sub renamed"; made.What != want || made.Bytes != 50_000 {
		t.Fatalf("%+v", made)
	}
	b, err := os.ReadFile(filepath.Join(dir, "sub-renamed", "large"))
	if err != nil || len(b) != 50_000 || bytes.Equal(b, noise("sub/large", 50_000)) {
		t.Fatalf("%d bytes, unchanged or gone: %v", len(b), err)
	}
	if _, err := Edit(t.TempDir()); err == nil {
		t.Fatal("an empty folder was edited")
	}
}

func TestNewestModule(t *testing.T) {
	cache := t.TempDir()
	for _, name := range []string{"net@v0.9.0", "net@v0.59.0", "net@v0.6.1", "nets@v1.0.0", "text@v0.0.0-20231110203233-9a3e6036ecaa"} {
		if err := os.Mkdir(filepath.Join(cache, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"net": "net@v0.59.0", "text": "text@v0.0.0-20231110203233-9a3e6036ecaa"} {
		if got := filepath.Base(newestModule(cache, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := newestModule(cache, "sys"); got != "" {
		t.Errorf("found %s", got)
	}
}
