package play

import (
	stdbytes "bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/testnet/script"
)

func source(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }

// contents are the files below a folder by their slash-separated paths, those with dots too.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// plant makes files below a folder.
func plant(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unseen(string) error { return nil }

func TestFillMakesTheFilesItIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		size  int64
		files int
		want  []int // sizes by name
	}{
		{10, 1, []int{10}},
		{10, 0, []int{10}},
		{10, 3, []int{4, 3, 3}},
		{2, 3, []int{2, 0, 0}},
		{300_000, 2, []int{150_000, 150_000}},
	} {
		dir := filepath.Join(t.TempDir(), "deep", "er")
		if err := fill(dir, c.size, c.files, source(1)); err != nil {
			t.Fatal(err)
		}
		got := contents(t, dir)
		var sizes []int
		for _, name := range slices.Sorted(maps.Keys(got)) {
			sizes = append(sizes, len(got[name]))
		}
		if !slices.Equal(sizes, c.want) {
			t.Errorf("%d bytes in %d files: %v, want %v", c.size, c.files, sizes, c.want)
		}
	}
}

func TestFillFollowsItsSourceAndDoesNotCompress(t *testing.T) {
	made := func(seed uint64) map[string]string {
		dir := filepath.Join(t.TempDir(), "docs")
		if err := fill(dir, 200_001, 2, source(seed)); err != nil {
			t.Fatal(err)
		}
		return contents(t, dir)
	}
	one := made(1)
	if !maps.Equal(one, made(1)) {
		t.Error("the same source made different files")
	}
	other := made(2)
	for name := range one {
		if one[name] == other[name] {
			t.Errorf("%s is the same for another source", name)
		}
	}
	if one["file-001"][:1000] == one["file-002"][:1000] {
		t.Error("two files begin with the same bytes")
	}
	var small stdbytes.Buffer
	w, err := flate.NewWriter(&small, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(one["file-001"]))
	_ = w.Close()
	if small.Len() < len(one["file-001"]) {
		t.Errorf("%d bytes are compressed to %d", len(one["file-001"]), small.Len())
	}
}

func TestFillReplacesNothing(t *testing.T) {
	dir := plant(t, t.TempDir(), map[string]string{"file-001": "old"})
	if err := fill(dir, 10, 1, source(1)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want that the file exists", err)
	}
	if got := contents(t, dir)["file-001"]; got != "old" {
		t.Errorf("the file is %q now", got)
	}
}

// changed compares two states of a folder.
func changed(before, after map[string]string) (gone, fresh, other []string) {
	for path, was := range before {
		if is, ok := after[path]; !ok {
			gone = append(gone, path)
		} else if is != was {
			other = append(other, path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			fresh = append(fresh, path)
		}
	}
	return gone, fresh, other
}

// asAsked says in what the change of a folder is not what one edit of a kind makes of it; "" = it is.
func asAsked(kind string, size int, before, after map[string]string) string {
	gone, fresh, other := changed(before, after)
	if n := [3]int{len(gone), len(fresh), len(other)}; n != map[string][3]int{
		script.Add: {0, 1, 0}, script.Remove: {1, 0, 0}, script.Rename: {1, 1, 0},
	}[kind] && (n != [3]int{0, 0, 1} || kind == script.Add || kind == script.Remove || kind == script.Rename) {
		return fmt.Sprintf("gone %v, new %v, other %v", gone, fresh, other)
	}
	for _, path := range slices.Concat(gone, fresh, other) {
		if strings.HasPrefix(path, ".") || strings.Contains(path, "/.") {
			return path + " is not of the set"
		}
	}
	switch kind {
	case script.Add:
		if len(after[fresh[0]]) != size {
			return fmt.Sprintf("%d bytes are new", len(after[fresh[0]]))
		}
		return ""
	case script.Remove:
		return ""
	case script.Rename:
		if before[gone[0]] != after[fresh[0]] {
			return "a renamed file has another content"
		}
		if filepath.Dir(gone[0]) != filepath.Dir(fresh[0]) {
			return fresh[0] + " is in another folder than " + gone[0]
		}
		return ""
	}
	return altered(kind, size, before[other[0]], after[other[0]])
}

// altered says in what a content is not what an edit of a kind makes of it.
func altered(kind string, size int, was, is string) string {
	first := 0 // the first byte that differs
	for first < len(was) && first < len(is) && was[first] == is[first] {
		first++
	}
	last := 0 // as many at the end are the same
	for last < len(was) && last < len(is) && was[len(was)-1-last] == is[len(is)-1-last] {
		last++
	}
	switch kind {
	case script.Append:
		if len(is) != len(was)+size || first != len(was) {
			return fmt.Sprintf("%d bytes became %d, and the first %d stayed", len(was), len(is), first)
		}
	case script.Insert:
		if len(is) != len(was)+size || first+last < len(was) {
			return fmt.Sprintf("%d bytes became %d, of which %d are before and %d after what is new", len(was), len(is), first, last)
		}
	case script.Overwrite:
		if len(is) != max(len(was), size) || len(is)-first-last > size {
			return fmt.Sprintf("%d bytes became %d, of which %d are other ones", len(was), len(is), len(is)-first-last)
		}
	}
	return ""
}

// Whatever is edited, exactly one file of the set changes in the way that was asked for, what is not of the set stays,
// and the same source does the same.
func TestEditChangesOneFileAsAsked(t *testing.T) {
	kinds := []string{script.Overwrite, script.Insert, script.Append, script.Add, script.Rename, script.Remove}
	names := []string{"a", "b", "empty", "deep/a", "deep/er/c", "deep-moved-x/d", ".node/state", "deep/.part", ".hidden"}
	rapid.Check(t, func(rt *rapid.T) {
		top := t.TempDir()
		files := map[string]string{"keep": "something is always there"}
		for _, name := range names {
			if n := rapid.IntRange(-1, 600).Draw(rt, name); n >= 0 && name != "empty" {
				files[name] = strings.Repeat(name, n)[:n]
			}
		}
		files["empty"] = ""
		one, two := plant(t, filepath.Join(top, "one"), files), plant(t, filepath.Join(top, "two"), files)
		seed := rapid.Uint64().Draw(rt, "seed")
		r1, r2 := source(seed), source(seed)
		for range rapid.IntRange(1, 4).Draw(rt, "times") {
			kind, size := rapid.SampledFrom(kinds).Draw(rt, "kind"), rapid.IntRange(8, 300).Draw(rt, "size")
			before := contents(t, one)
			text1, err1 := edit(one, filepath.Join(top, "aside1"), kind, int64(size), r1, unseen)
			text2, err2 := edit(two, filepath.Join(top, "aside2"), kind, int64(size), r2, unseen)
			if text1 != text2 || (err1 == nil) != (err2 == nil) {
				rt.Fatalf("the same source: %q (%v) and %q (%v)", text1, err1, text2, err2)
			}
			after := contents(t, one)
			if !maps.Equal(after, contents(t, two)) {
				rt.Fatalf("%s: the same source made different files", kind)
			}
			if err1 != nil {
				if all, err := regular(one); err != nil || len(all) > 0 || !maps.Equal(before, after) {
					rt.Fatalf("%s: %v", kind, err1)
				}
				return
			}
			if wrong := asAsked(kind, size, before, after); wrong != "" {
				rt.Fatalf("%s of %d bytes (%s): %s", kind, size, text1, wrong)
			}
		}
	})
}

func TestEditsOfDifferentSourcesDiffer(t *testing.T) {
	for _, kind := range []string{script.Overwrite, script.Insert, script.Append, script.Add} {
		made := func(seed uint64) map[string]string {
			dir := plant(t, t.TempDir(), map[string]string{"a": strings.Repeat("a", 5000)})
			if _, err := edit(dir, t.TempDir(), kind, 100, source(seed), unseen); err != nil {
				t.Fatal(err)
			}
			return contents(t, dir)
		}
		if maps.Equal(made(1), made(2)) {
			t.Errorf("%s does the same for two sources", kind)
		}
	}
}

func TestRenamesDoNotPileUp(t *testing.T) {
	dir := plant(t, t.TempDir(), map[string]string{"of-moved-old/file": "x"})
	random := source(3)
	for range 3 {
		if _, err := edit(dir, t.TempDir(), script.Rename, 0, random, unseen); err != nil {
			t.Fatal(err)
		}
	}
	all, err := regular(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	name := filepath.ToSlash(all[0])
	rest, ok := strings.CutPrefix(name, "of-moved-old/file-moved-")
	if !ok || len(rest) != 4 {
		t.Errorf("after three renames it is %s", name)
	}
}

func TestEditOfAReadOnlyFile(t *testing.T) {
	for _, kind := range []string{script.Overwrite, script.Insert, script.Append, script.Rename, script.Remove} {
		dir := plant(t, t.TempDir(), map[string]string{"a": "abcdefghij"})
		if err := os.Chmod(filepath.Join(dir, "a"), 0o444); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if _, err := edit(dir, t.TempDir(), kind, 8, source(1), unseen); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if wrong := asAsked(kind, 8, before, contents(t, dir)); wrong != "" {
			t.Errorf("%s: %s", kind, wrong)
		}
		info, err := os.Stat(filepath.Join(dir, "a"))
		if writes := kind != script.Rename && kind != script.Remove; writes && (err != nil || info.Mode()&0o200 == 0) { // not all who run this are root
			t.Errorf("%s: who edits it may not write it: %v (%v)", kind, info, err)
		}
	}
}

func TestEditShowsContentBeforeItIsInTheFolder(t *testing.T) {
	for _, kind := range []string{script.Overwrite, script.Insert, script.Append, script.Add} {
		dir, aside := plant(t, t.TempDir(), map[string]string{"deep/a": "abcdefghij"}), t.TempDir()
		before := contents(t, dir)
		var shown string
		_, err := edit(dir, aside, kind, 8, source(1), func(path string) error {
			shown = filepath.ToSlash(path) + ": " + contents(t, aside)[filepath.ToSlash(path)]
			if !maps.Equal(before, contents(t, dir)) {
				t.Errorf("%s: it is in the folder before it is shown", kind)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		after := contents(t, dir)
		_, fresh, other := changed(before, after)
		path := slices.Concat(fresh, other)[0]
		if want := path + ": " + after[path]; shown != want {
			t.Errorf("%s: shown %q, want %q", kind, shown, want)
		}
		if left := contents(t, aside); len(left) > 0 {
			t.Errorf("%s: left beside the folder: %v", kind, left)
		}
	}
}

func TestEditThatNobodyMayKnowDoesNotHappen(t *testing.T) {
	refused := errors.New("refused")
	for _, kind := range []string{script.Overwrite, script.Add} {
		dir := plant(t, t.TempDir(), map[string]string{"a": "abcdefghij"})
		before := contents(t, dir)
		if _, err := edit(dir, t.TempDir(), kind, 8, source(1), func(string) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("%s: error %v", kind, err)
		}
		if !maps.Equal(before, contents(t, dir)) {
			t.Errorf("%s: the folder has changed", kind)
		}
	}
}

func TestEditNeedsAFile(t *testing.T) {
	for name, dir := range map[string]string{
		"empty":     t.TempDir(),
		"node's":    plant(t, t.TempDir(), map[string]string{".node/a": "a", ".b": "b"}),
		"not there": filepath.Join(t.TempDir(), "none"),
	} {
		for _, kind := range []string{script.Overwrite, script.Rename, script.Remove} {
			if text, err := edit(dir, t.TempDir(), kind, 8, source(1), unseen); err == nil {
				t.Errorf("%s folder: %s did %q", name, kind, text)
			}
		}
	}
}

func TestFlipChangesOneBitAndNoTime(t *testing.T) {
	dir := t.TempDir()
	was := strings.Repeat("a", 1000)
	path := filepath.Join(plant(t, dir, map[string]string{"a": was, "empty": ""}), "a")
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	at, err := flip(path, source(1))
	if err != nil {
		t.Fatal(err)
	}
	is := contents(t, dir)["a"]
	differ := 0
	for i := range was {
		differ += bits.OnesCount8(was[i] ^ is[i])
	}
	if len(is) != len(was) || differ != 1 || is[at] == was[at] {
		t.Errorf("%d bits differ, %d bytes; byte %d was named", differ, len(is), at)
	}
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Equal(old) {
		t.Errorf("changed at %v, want %v (%v)", info.ModTime(), old, err)
	}
	if _, err := flip(filepath.Join(dir, "empty"), source(1)); err == nil {
		t.Error("a bit of an empty file was flipped")
	}
	if _, err := flip(filepath.Join(dir, "none"), source(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRegularAndDamageable(t *testing.T) {
	dir := plant(t, t.TempDir(), map[string]string{"b.sst": "b", "a/c.vlog": "c", "a/d": "d", "empty.sst": "", ".e": "e", ".f/g": "g", "a/.h/i": "i"})
	if err := os.Symlink("b.sst", filepath.Join(dir, "link.sst")); err != nil {
		t.Skip("no symlinks here:", err)
	}
	for _, c := range []struct {
		what string
		list func() ([]string, error)
		want []string
	}{
		{"regular", func() ([]string, error) { return regular(dir) }, []string{"a/c.vlog", "a/d", "b.sst", "empty.sst"}},
		{"of a folder", func() ([]string, error) { return damageable(dir, false) }, []string{"a/c.vlog", "a/d", "b.sst"}},
		{"of a store", func() ([]string, error) { return damageable(dir, true) }, []string{"b.sst"}},
	} {
		got, err := c.list()
		for i := range got {
			got[i] = filepath.ToSlash(got[i])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v (%v), want %v", c.what, got, err, c.want)
		}
	}
}
