//go:build linux || darwin

package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

func TestConflictName(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 15, 0, 0, time.FixedZone("", 3600))
	for _, tc := range []struct {
		name  string
		isDir bool
		n     int
		want  string
	}{
		{"report.txt", false, 1, "report.conflict-20261122-031500.txt"},
		{"report.txt", false, 2, "report.conflict-20261122-031500-2.txt"},
		{"report.txt", true, 1, "report.txt.conflict-20261122-031500"},
		{"report", false, 3, "report.conflict-20261122-031500-3"},
		{".bashrc", false, 1, ".bashrc.conflict-20261122-031500"},
		{"a.tar.gz", false, 1, "a.tar.conflict-20261122-031500.gz"},
		{"x.", false, 1, "x.conflict-20261122-031500."},
	} {
		if got := conflictName(tc.name, tc.isDir, at, tc.n); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringN(1, -1, maxName).Draw(rt, "name")
		got := conflictName(name, rapid.Bool().Draw(rt, "folder"), at, rapid.IntRange(1, maxCopies).Draw(rt, "n"))
		if len(got) > maxName || !utf8.ValidString(got) || !strings.Contains(got, conflictMark) {
			rt.Errorf("%q gives %q", name, got)
		}
		if dag.CheckName(name) == nil && dag.CheckName(got) != nil {
			rt.Errorf("%q gives %q, which no set can hold", name, got)
		}
	})
}

// conflicts brings dest from one revision to the next with CopyConflicts, local changes before and during it.
func conflicts(t *testing.T, o CheckoutOptions, before, during func(dest string)) (Result, source, string) {
	t.Helper()
	_, next, dest, st := nextRevision(t)
	before(dest)
	o.Known, o.CopyConflicts = knownOf(t, st, dest), true
	o.Now = func() time.Time { return time.Date(2026, 11, 22, 3, 15, 0, 0, time.UTC) }
	c := checkout(t, dest, next, o)
	during(dest)
	return complete(t, c, next, st), next, dest
}

func nothing(string) {}

// expect takes the conflict copies away, which must hold what want says, and then dest must be the source.
func expect(t *testing.T, res Result, next source, dest string, want map[string]string) {
	t.Helper()
	for _, c := range res.Conflicts {
		name := filepath.Join(dest, c.Copy)
		text, ok := want[c.Path+" > "+c.Copy]
		if got, err := os.ReadFile(name); !ok || err != nil || string(got) != text {
			t.Errorf("%+v holds %.20q, %v", c, got, err)
		}
		must(t, os.RemoveAll(name))
	}
	if len(res.Conflicts) != len(want) || len(res.Skipped) > 0 {
		t.Errorf("%+v, want %d conflicts", res, len(want))
	}
	os.Chmod(dest+"/closed", 0o755)
	os.Chmod(next.dir+"/closed", 0o755)
	sameTree(t, next.dir, dest)
}

func TestConflictCopies(t *testing.T) {
	const now = ".conflict-20261122-031500"
	for _, hold := range []bool{false, true} {
		t.Run(fmt.Sprint("hold=", hold), func(t *testing.T) {
			o := CheckoutOptions{Hold: hold}
			t.Run("before", func(t *testing.T) {
				res, next, dest := conflicts(t, o, func(dest string) {
					write(t, dest+"/big", "mine")
					write(t, dest+"/new", "my own")
					write(t, dest+"/new"+now, "taken")
				}, nothing)
				must(t, os.Remove(dest+"/new"+now))
				expect(t, res, next, dest, map[string]string{"big > big" + now: "mine", "new > new" + now + "-2": "my own"})
			})
			t.Run("during", func(t *testing.T) {
				res, next, dest := conflicts(t, o, nothing, func(dest string) {
					write(t, dest+"/sub/deep/er/small", "meanwhile")
					write(t, dest+"/new", "made meanwhile")
				})
				expect(t, res, next, dest, map[string]string{
					"sub/deep/er/small > sub/deep/er/small" + now: "meanwhile", "new > new" + now: "made meanwhile",
				})
			})
			t.Run("links", func(t *testing.T) {
				res, next, dest := conflicts(t, o, func(dest string) {
					must(t, os.Remove(dest+"/big"))
					must(t, os.Symlink("exec", dest+"/big"))
					must(t, os.Remove(dest+"/down"))
					must(t, os.Symlink("exec", dest+"/down"))
				}, nothing)
				for _, c := range res.Conflicts {
					if target, err := os.Readlink(filepath.Join(dest, c.Copy)); target != "exec" {
						t.Errorf("%+v: %q, %v", c, target, err)
					}
				}
				expect(t, res, next, dest, map[string]string{"big > big" + now: "#!/bin/sh\n", "down > down" + now: "#!/bin/sh\n"})
			})
			t.Run("file for folder", func(t *testing.T) {
				res, next, dest := conflicts(t, o, func(dest string) {
					must(t, os.RemoveAll(dest+"/sub"))
					write(t, dest+"/sub", "a file")
				}, nothing)
				expect(t, res, next, dest, map[string]string{"sub > sub" + now: "a file"})
			})
		})
	}
}

// A folder that holds something of the user's is renamed as a whole, without what is recorded.
func TestConflictFolder(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/d/recorded", "r")
	write(t, src+"/d/edited", "e")
	prev := share(t, src)
	dest, st := filepath.Join(t.TempDir(), "dest"), memstore.New()
	complete(t, checkout(t, dest, prev, CheckoutOptions{}), prev, st)
	write(t, dest+"/d/edited", "mine")
	must(t, os.RemoveAll(src+"/d"))
	write(t, src+"/d", "a file now")
	next := share(t, src)

	_, err := NewCheckout(t.Context(), dest, testSet(), next.lay, CheckoutOptions{Known: knownOf(t, st, dest), Force: true})
	if !errors.Is(err, ErrConflict) {
		t.Fatalf("without copies, forced: %v", err)
	}
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest), CopyConflicts: true, Hold: true})
	for _, i := range c.Need() {
		must(t, c.Write(i, next.leaf(t, i)))
	}
	if data, err := os.ReadFile(dest + "/d/recorded"); err != nil || string(data) != "r" {
		t.Errorf("before Release: %q, %v", data, err)
	}
	res := finish(t, c, st)
	if len(res.Conflicts) != 1 || res.Conflicts[0].Path != "d" || len(res.Skipped) > 0 {
		t.Fatalf("%+v", res)
	}
	copied := signaturesOf(t, filepath.Join(dest, res.Conflicts[0].Copy))
	if len(copied) != 1 || copied["edited"] != "file mine" {
		t.Errorf("the copy holds %v", copied)
	}
	must(t, os.RemoveAll(filepath.Join(dest, res.Conflicts[0].Copy)))
	sameTree(t, src, dest)
}

// What this node made itself makes way without a conflict when it becomes another kind of thing.
func TestKindsChange(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/file-folder", "f")
	write(t, src+"/file-link", "f")
	write(t, src+"/folder-file/a/b", "f")
	write(t, src+"/folder-link/a", "f")
	must(t, os.Mkdir(src+"/empty-file", 0o755))
	for _, name := range []string{"link-file", "link-folder", "link-link"} {
		must(t, os.Symlink("old", filepath.Join(src, name)))
	}
	prev := share(t, src)
	dest, st := filepath.Join(t.TempDir(), "dest"), memstore.New()
	complete(t, checkout(t, dest, prev, CheckoutOptions{}), prev, st)
	list, err := os.ReadDir(src)
	must(t, err)
	for _, d := range list {
		name := filepath.Join(src, d.Name())
		must(t, os.RemoveAll(name))
		switch _, kind, _ := strings.Cut(d.Name(), "-"); kind {
		case "file":
			write(t, name, "new")
		case "folder":
			write(t, name+"/new", "new")
		case "link":
			must(t, os.Symlink("new", name))
		}
	}
	next := share(t, src)
	links := func(path, target string) bool { return strings.HasPrefix(path, "link-") && target == "old" }
	res := complete(t, checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest), Links: links}), next, st)
	if len(res.Skipped)+len(res.Conflicts) > 0 {
		t.Errorf("%+v", res)
	}
	sameTree(t, src, dest)
}

// A file system without hard links: the file is renamed instead.
func TestConflictCopyOfWhatCannotBeLinked(t *testing.T) {
	dest := t.TempDir()
	must(t, os.Mkdir(dest+"/d", 0o755))
	s := share(t, t.TempDir())
	c := checkout(t, dest, s, CheckoutOptions{CopyConflicts: true})
	dir, err := c.dir(0)
	must(t, err)
	defer c.dirs.put(dir)
	info, err := os.Lstat(dest + "/d")
	must(t, err)
	if over, err := c.copyAside("d", dir.v, "d", info); over || err != nil {
		t.Errorf("%v, %v", over, err)
	}
	if _, err := os.Lstat(dest + "/d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if len(c.conflicts) != 1 {
		t.Errorf("%v", c.conflicts)
	}
}

// KeepLocal comes before CopyConflicts.
func TestKeepLocalCopiesNothing(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	write(t, dest+"/big", "mine")
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest), KeepLocal: true, CopyConflicts: true})
	if res := complete(t, c, next, st); skippedPaths(res.Skipped) != "big:conflict" || len(res.Conflicts) > 0 {
		t.Errorf("%+v", res)
	}
	if data, _ := os.ReadFile(dest + "/big"); string(data) != "mine" {
		t.Errorf("%.20q", data)
	}
}

// After a kill, what was placed but not recorded is known as ours, and what a newer revision lacks goes.
func TestJournal(t *testing.T) {
	_, next, dest, st := nextRevision(t)
	c := checkout(t, dest, next, CheckoutOptions{Known: knownOf(t, st, dest)})
	for _, i := range c.Need() {
		must(t, c.Write(i, next.leaf(t, i)))
	}
	c.journal.drop() // as if killed
	must(t, c.Close())

	must(t, os.Remove(next.dir+"/new"))
	write(t, next.dir+"/sub/deep/er/small", "a third text")
	newest := share(t, next.dir)
	edited := filepath.Join(dest, "big") // an edit after the kill is still one
	stamp, err := os.Stat(edited)
	must(t, err)
	data, err := os.ReadFile(edited)
	must(t, err)
	write(t, edited, "mine")
	_, err = NewCheckout(t.Context(), dest, testSet(), newest.lay, CheckoutOptions{Known: knownOf(t, st, dest)})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || fmt.Sprint(conflict.Paths) != "[big]" {
		t.Fatalf("got %v", err)
	}
	must(t, os.WriteFile(edited, data, 0o644))
	must(t, os.Chtimes(edited, stamp.ModTime(), stamp.ModTime()))
	res := complete(t, checkout(t, dest, newest, CheckoutOptions{Known: knownOf(t, st, dest)}), newest, st)
	if len(res.Skipped) > 0 {
		t.Errorf("%+v", res)
	}
	sameTree(t, newest.dir, dest)
}

// A fresh folder's journal is written in batches, and the rest when the checkout is closed.
func TestLazyJournal(t *testing.T) {
	src := t.TempDir()
	const files = lazyLines + 5
	for i := range files {
		write(t, filepath.Join(src, fmt.Sprint(i)), fmt.Sprint(i))
	}
	s := share(t, src)
	dest := filepath.Join(t.TempDir(), "dest")
	c := checkout(t, dest, s, CheckoutOptions{})
	for _, i := range c.Need() {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	lines := func() int {
		var j journal
		tmp, err := os.OpenRoot(dest + "/" + TempDir)
		must(t, err)
		defer tmp.Close()
		must(t, j.read(tmp))
		return len(j.old)
	}
	if n := lines(); n != lazyLines {
		t.Errorf("%d lines before Close", n)
	}
	must(t, c.Close())
	if n := lines(); n != files {
		t.Errorf("%d lines after Close, want %d", n, files)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add("1 17 300 -5 \"a/b\\nc\" \"\"\n3 0 0 0 \"l\" \"../t\"\n")
	f.Add("1 17 300")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parseJournal(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for path, list := range lines {
			for _, l := range list {
				if l.path != path || !fs.ValidPath(path) {
					t.Errorf("%q: %+v", path, l)
				}
				again, ok := parseLine(strings.TrimSuffix(string(l.append(nil)), "\n"))
				if !ok || again != l {
					t.Errorf("%+v gives %+v", l, again)
				}
			}
		}
	})
}

func TestJournalLines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := line{
			kind: dag.Kind(rapid.IntRange(1, 3).Draw(rt, "kind")), path: rapid.StringN(1, 50, -1).Draw(rt, "path"), target: rapid.String().Draw(rt, "target"),
			inode: rapid.Uint64().Draw(rt, "inode"), size: rapid.Int64().Draw(rt, "size"), mtime: rapid.Int64().Draw(rt, "mtime"),
		}
		if !fs.ValidPath(l.path) || l.path == "." {
			return
		}
		text := string(l.append(nil))
		got, ok := parseLine(strings.TrimSuffix(text, "\n"))
		if strings.Count(text, "\n") != 1 || !ok || got != l {
			rt.Errorf("%q gives %+v", text, got)
		}
		if l.kind == dag.KindFile && !l.matches(blockstore.Stamp{Inode: l.inode, Size: l.size, MtimeNs: l.mtime}) {
			rt.Error("does not match itself")
		}
	})
}
