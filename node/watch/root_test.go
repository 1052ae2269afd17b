package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The folder goes and another comes, with what is in it.
func TestRootGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	mkdir(t, filepath.Join(dir, "a"))
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	for i := range 3 {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for gone := false; !gone; { // a call may see it half removed
			select {
			case c := <-w.calls:
				c.answer <- nil
			case text := <-w.notices:
				if !strings.Contains(text, "gone") {
					t.Errorf("notice %q", text)
				}
				gone = true
			case <-time.After(patience):
				t.Fatal("not noticed")
			}
		}
		write(t, filepath.Join(mkdir(t, filepath.Join(dir, "a", "b")), "f"), fmt.Sprint(i))
		w.noticed("back")
		w.see(fmt.Sprint("a/b/f=", i))
		write(t, filepath.Join(dir, "a", "b", "f"), "again")
		w.see("a/b/f=again")
	}
}

// Another folder is put in the place of the root before anyone looks.
func TestRootReplaced(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "root")
	mkdir(t, dir)
	write(t, filepath.Join(mkdir(t, filepath.Join(base, "other")), "f"), "1")
	w := watchDir(t, dir, quick, openSource)
	c := w.next(Start)
	if err := os.Rename(dir, filepath.Join(base, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(base, "other"), dir); err != nil {
		t.Fatal(err)
	}
	c.answer <- nil
	w.see("f=1")
	write(t, filepath.Join(dir, "f"), "2")
	w.see("f=2")
}

// A folder above the root is renamed, which no watch reports, and another stands there at the next look.
func TestAboveReplaced(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "up", "root")
	write(t, filepath.Join(mkdir(t, dir), "f"), "1")
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	if err := os.Rename(filepath.Join(base, "up"), filepath.Join(base, "old")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "old", "root", "f"), "2") // is reported, as if in dir
	w.noticed("gone")
	write(t, filepath.Join(mkdir(t, dir), "g"), "3")
	w.noticed("back")
	w.see("g=3")
}

func TestMissingFromTheBeginning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	write(t, dir, "not a folder")
	w := watchDir(t, dir, quick, openSource)
	w.noticed("not a folder")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mkdir(t, dir), "f"), "1")
	w.noticed("back")
	w.expect(Start)
	write(t, filepath.Join(dir, "f"), "2")
	w.see("f=2")
}

func TestRootBySymlink(t *testing.T) {
	base := t.TempDir()
	mkdir(t, filepath.Join(base, "real", "a"))
	link := filepath.Join(base, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Skip(err)
	}
	w := watchDir(t, link, quick, openSource)
	w.expect(Start)
	write(t, filepath.Join(base, "real", "a", "f"), "1")
	w.expect(Changed)
}
