package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tree makes a folder; text that begins with "->" is a symlink.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	change(t, dir, files)
	return dir
}

// change writes files; "-" removes one.
func change(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		name := filepath.Join(dir, filepath.FromSlash(path))
		var err error
		switch target, link := strings.CutPrefix(text, "->"); {
		case text == "-":
			err = os.RemoveAll(name)
		case link:
			err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(target, name))
		default:
			err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, then, then))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var then = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func publish(t testing.TB, o *Oracle, dir string) Snapshot {
	t.Helper()
	snap, err := o.Publish("docs", dir)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// paths are those of what a check finds.
func paths(t testing.TB, o *Oracle, dir string, final *Snapshot) string {
	t.Helper()
	all, err := o.Check(t.Context(), "docs", dir, final)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, w := range all {
		if w.Detail == "" {
			t.Errorf("%s: no detail", w.Path)
		}
		out = append(out, w.Path)
	}
	return strings.Join(out, " ")
}

func TestAtAnyMoment(t *testing.T) {
	first := map[string]string{"a.txt": "one", "sub/b": "two", "link": "->a.txt"}
	second := map[string]string{"a.txt": "one, edited", "new": "three"}
	for name, c := range map[string]struct {
		reader map[string]string // that has the first revision, and this besides
		want   string            // what is wrong, at one author
		many   string            // at two
	}{
		"as published":                  {nil, "", ""},
		"the next one, half":            {map[string]string{"new": "three"}, "", ""},
		"an older file":                 {map[string]string{"new": "three", "a.txt": "one"}, "", ""},
		"gone":                          {map[string]string{"a.txt": "-", "sub": "-"}, "", ""},
		"other bytes":                   {map[string]string{"a.txt": "onE"}, "a.txt", "a.txt"},
		"cut off":                       {map[string]string{"a.txt": "on"}, "a.txt", "a.txt"},
		"empty":                         {map[string]string{"sub/b": ""}, "sub/b", "sub/b"},
		"a file nobody published":       {map[string]string{"x/y/z": "who?"}, "x/y/z", "x/y/z"},
		"content of another path":       {map[string]string{"sub/b": "one"}, "sub/b", ""},
		"moved by a merge":              {map[string]string{"sub/c": "two"}, "", ""},
		"another link":                  {map[string]string{"link": "-", "l": "->b.txt"}, "l", "l"},
		"a file for a link":             {map[string]string{"link": "-", "sub/link": "a.txt"}, "sub/link", "sub/link"},
		"an unfinished file":            {map[string]string{".shoal-tmp/0/12ab": "par"}, "", ""},
		"unfinished at the wrong place": {map[string]string{"sub/.shoal-tmp/12ab": "par"}, "sub/.shoal-tmp/12ab", "sub/.shoal-tmp/12ab"},
		"copy of a conflict":            {map[string]string{"a.conflict-20260102-030405.txt": "two"}, "", ""},
		"copy of a merge's conflict":    {map[string]string{"a.conflict-3dF9aBcD-17-2.txt": "one, edited"}, "", ""},
		"copy with bytes of nobody":     {map[string]string{"a.conflict-20260102-030405.txt": "mine"}, "a.conflict-20260102-030405.txt", "a.conflict-20260102-030405.txt"},
		"folder of a conflict":          {map[string]string{"sub.conflict-20260102-030405/b": "one"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for authors, want := range map[int]string{1: c.want, 2: c.many} {
				o := New()
				author := tree(t, first)
				publish(t, o, author)
				change(t, author, second)
				publish(t, o, author)
				if authors == 2 {
					publish(t, o, tree(t, first))
				}
				reader := tree(t, first)
				change(t, reader, c.reader)
				if got := paths(t, o, reader, nil); got != want {
					t.Errorf("%d authors: wrong is %q, not %q", authors, got, want)
				}
			}
		})
	}
}

func TestExactly(t *testing.T) {
	files := map[string]string{"a": "one", "sub/b": "two", "link": "->a"}
	for name, c := range map[string]struct {
		edit func(dir string) error
		want string
	}{
		"equal":              {func(string) error { return nil }, ""},
		"unfinished files":   {func(dir string) error { return os.MkdirAll(filepath.Join(dir, ".shoal-tmp", "1"), 0o755) }, ""},
		"one byte":           {func(dir string) error { return overwrite(filepath.Join(dir, "sub", "b"), "twO") }, "sub/b"},
		"a file too many":    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "c"), nil, 0o644) }, "c"},
		"a folder too many":  {func(dir string) error { return os.Mkdir(filepath.Join(dir, "c"), 0o755) }, "c"},
		"a file too few":     {func(dir string) error { return os.Remove(filepath.Join(dir, "a")) }, "a"},
		"nothing":            {os.RemoveAll, "a link sub sub/b"},
		"mode":               {func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0o755) }, "a"},
		"mtime":              {func(dir string) error { return os.Chtimes(filepath.Join(dir, "a"), then, then.Add(1)) }, "a"},
		"another target":     {func(dir string) error { return relink(dir, "b") }, "link"},
		"a file, not a link": {func(dir string) error { return relink(dir, "") }, "link"},
	} {
		t.Run(name, func(t *testing.T) {
			o := New()
			snap := publish(t, o, tree(t, files))
			o.Accept("docs", snap, "root")
			final, ok := o.Snapshot("docs", "root")
			if !ok {
				t.Fatal("the root is not known")
			}
			reader := tree(t, files)
			if err := c.edit(reader); err != nil {
				t.Fatal(err)
			}
			if got := paths(t, o, reader, &final); got != c.want {
				t.Errorf("wrong is %q, not %q", got, c.want)
			}
		})
	}
}

// overwrite changes bytes and leaves everything else as it was, as a bad disk does.
func overwrite(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Close(), os.Chtimes(name, then, then))
}

func relink(dir, target string) error {
	link := filepath.Join(dir, "link")
	if err := os.Remove(link); err != nil {
		return err
	}
	if target == "" {
		return os.WriteFile(link, []byte("a"), 0o644)
	}
	return os.Symlink(target, link)
}

func TestExcuses(t *testing.T) {
	o := New()
	files := map[string]string{"a.txt": "one", "sub/b": "two", "sub/c": "three"}
	author := tree(t, files)
	snap := publish(t, o, author)
	reader := tree(t, files)
	change(t, reader, map[string]string{"a.txt": "mine", "a.conflict-20260102-030405.txt": "mine too", "sub/b": "damaged"})
	for _, step := range []struct {
		excuse, want string
	}{{"sub", "a.conflict-20260102-030405.txt a.txt"}, {"a.txt", ""}} {
		o.Excuse(reader+"/", step.excuse)
		for _, final := range []*Snapshot{nil, &snap} {
			if got := paths(t, o, reader, final); got != step.want {
				t.Errorf("%s excused, exactly %v: wrong is %q, not %q", step.excuse, final != nil, got, step.want)
			}
		}
	}
	o.Insist(reader)
	if got, want := paths(t, o, reader, nil), "a.conflict-20260102-030405.txt a.txt sub/b"; got != want {
		t.Errorf("insisting: wrong is %q, not %q", got, want)
	}
	o.Excuse(reader, "")
	if got := paths(t, o, reader, nil); got != "" {
		t.Errorf("all excused: wrong is %q", got)
	}
	if got := paths(t, o, tree(t, map[string]string{"a.txt": "mine"}), nil); got != "a.txt" {
		t.Errorf("another folder: wrong is %q", got)
	}
}

// What an author edits is nobody's business until it is published, and then it is in every copy of the set.
func TestEdited(t *testing.T) {
	o := New()
	author := tree(t, map[string]string{"a": "one"})
	publish(t, o, author)
	o.Edited(author + "/")
	change(t, author, map[string]string{"a": "two"})
	reader := tree(t, map[string]string{"a": "two"})
	if got := paths(t, o, author, nil); got != "" {
		t.Errorf("the author's folder: wrong is %q", got)
	}
	if got := paths(t, o, reader, nil); got != "a" {
		t.Errorf("before it was published: wrong is %q", got)
	}
	publish(t, o, author)
	if got := paths(t, o, reader, nil); got != "" {
		t.Errorf("after it was published: wrong is %q", got)
	}
	change(t, author, map[string]string{"a": "three"})
	if got := paths(t, o, author, nil); got != "a" {
		t.Errorf("an edit that nobody told of: wrong is %q", got)
	}
}

// The name of a conflict's copy may be that of another conflict too.
func TestCopyOfTheSameName(t *testing.T) {
	o := New()
	publish(t, o, tree(t, map[string]string{"a": "one", "a.conflict-abc-1": "two", "b": "three"}))
	reader := tree(t, map[string]string{"a.conflict-abc-1": "three"})
	if got := paths(t, o, reader, nil); got != "" {
		t.Errorf("wrong is %q", got)
	}
}

// A set knows nothing of what was published in another one.
func TestSetsAreApart(t *testing.T) {
	o := New()
	if _, err := o.Publish("music", tree(t, map[string]string{"a": "tune"})); err != nil {
		t.Fatal(err)
	}
	publish(t, o, tree(t, map[string]string{"a": "one"}))
	if got := paths(t, o, tree(t, map[string]string{"a": "tune", "b": "tune"}), nil); got != "a b" {
		t.Errorf("wrong is %q", got)
	}
	o.Accept("music", Snapshot{}, "root")
	if _, ok := o.Snapshot("docs", "root"); ok {
		t.Error("a root of another set is known")
	}
}

func TestRootsAreBounded(t *testing.T) {
	o := New()
	for i := range 3 * maxRoots {
		o.Accept("docs", Snapshot{}, fmt.Sprint(i))
		o.Accept("docs", Snapshot{}, fmt.Sprint(i)) // again: nothing has changed
	}
	if s := o.sets["docs"]; len(s.roots) != maxRoots || len(s.order) != maxRoots {
		t.Errorf("%d roots, %d in order, not %d", len(s.roots), len(s.order), maxRoots)
	}
	if _, ok := o.Snapshot("docs", fmt.Sprint(3*maxRoots-1)); !ok {
		t.Error("the newest is not known")
	}
}

// A folder that is all wrong is told of in part.
func TestManyWrong(t *testing.T) {
	o := New()
	files := map[string]string{}
	for i := range 3 * maxWrong {
		files[fmt.Sprint(i)] = "x"
	}
	snap := publish(t, o, tree(t, map[string]string{"a": "one"}))
	reader := tree(t, files)
	for _, final := range []*Snapshot{nil, &snap} {
		if n := len(strings.Fields(paths(t, o, reader, final))); n != maxWrong {
			t.Errorf("%d wrong, not %d", n, maxWrong)
		}
	}
}

// A file that another one takes the place of, again and again, is one of the two at each reading.
func TestReplacedMeanwhile(t *testing.T) {
	o := New()
	long := strings.Repeat("one ", 1<<16)
	author := tree(t, map[string]string{"a": long})
	publish(t, o, author)
	change(t, author, map[string]string{"a": long + "two"})
	publish(t, o, author)
	reader := tree(t, map[string]string{"a": long})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			tmp := filepath.Join(reader, tempDir, "t")
			err = errors.Join(os.MkdirAll(filepath.Dir(tmp), 0o755), os.WriteFile(tmp, []byte([]string{long, long + "two"}[i%2]), 0o644), os.Rename(tmp, filepath.Join(reader, "a")))
		}
		ended <- err
	}()
	for range 200 {
		if got := paths(t, o, reader, nil); got != "" {
			t.Errorf("wrong is %q", got)
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestErrors(t *testing.T) {
	o := New()
	dir := tree(t, map[string]string{"a": "one"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Check(ctx, "docs", dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Hash(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	all, err := o.Check(t.Context(), "docs", filepath.Join(dir, "nowhere"), nil)
	if err != nil || len(all) != 0 {
		t.Errorf("a folder that is not there yet: %v, %v", all, err)
	}
}

// Of a random folder, a copy is right and every single change of a copy is found.
func TestEveryChangeIsFound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		files := rapid.MapOfN(rapid.StringMatching(`[a-d]{1,2}(/[a-d]{1,2}){0,2}`), rapid.StringN(0, 40, -1), 1, 8).Draw(r, "files")
		for _, path := range slices.Collect(maps.Keys(files)) { // no file is a folder too
			for at := path; strings.Contains(at, "/"); {
				at = at[:strings.LastIndex(at, "/")]
				delete(files, at)
			}
		}
		for path, text := range files {
			if text == "-" || strings.HasPrefix(text, "->") {
				files[path] = "text"
			}
		}
		o := New()
		snap := publish(t, o, tree(t, files))
		copied := tree(t, files)
		if got := paths(t, o, copied, &snap); got != "" {
			r.Fatalf("a copy: wrong is %q", got)
		}
		path := rapid.SampledFrom(slices.Sorted(maps.Keys(files))).Draw(r, "path")
		name := filepath.Join(copied, filepath.FromSlash(path))
		text := []byte(files[path])
		if len(text) == 0 || rapid.Bool().Draw(r, "longer") {
			text = append(text, '!')
		} else {
			text[rapid.IntRange(0, len(text)-1).Draw(r, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		}
		change(t, copied, map[string]string{path: string(text)})
		if err := os.Chtimes(name, then, then); err != nil {
			r.Fatal(err)
		}
		if got := paths(t, o, copied, &snap); got != path {
			r.Fatalf("exactly: wrong is %q, not %q", got, path)
		}
		if got := paths(t, o, copied, nil); got != path {
			r.Fatalf("at any moment: wrong is %q, not %q", got, path)
		}
	})
}
