package testnet

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

func TestCopyTreeIsEqual(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	writeFiles(t, from, map[string]int{"a": 100_000, "sub/empty": 0, "sub/deeper/x": 7})
	if err := os.Symlink("a", filepath.Join(from, "link")); err != nil {
		t.Skip("no symlinks here")
	}
	if err := os.Chmod(filepath.Join(from, "sub", "empty"), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	sameTree(t, from, to)
}

func TestEditChangesWhatItSays(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]int{"small": 10, "sub/large": 50_000})
	made, err := edit(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "4.0 KiB overwritten in " + filepath.Join("sub", "large") + ", folder sub renamed"; made.what != want || made.bytes != 50_000 {
		t.Fatalf("%+v", made)
	}
	b, err := os.ReadFile(filepath.Join(dir, "sub-renamed", "large"))
	if err != nil || len(b) != 50_000 || string(b) == string(noise("sub/large", 50_000)) {
		t.Fatalf("%d bytes, unchanged or gone: %v", len(b), err)
	}
	if _, err := edit(t.TempDir()); err == nil {
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

func TestBar(t *testing.T) {
	for _, c := range []struct {
		n, whole int64
		runes    int
	}{{0, 100, 0}, {1, 1 << 40, 1}, {50, 100, barWidth / 2}, {100, 100, barWidth}, {200, 100, barWidth}, {0, 0, 0}} {
		if got := utf8.RuneCountInString(bar(c.n, c.whole)); got != c.runes {
			t.Errorf("bar(%d, %d) has %d characters, want %d", c.n, c.whole, got, c.runes)
		}
	}
}
