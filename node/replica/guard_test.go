package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replace puts another folder with the same files in the place of dir.
func replace(t testing.TB, dir string) {
	t.Helper()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.Rename(dir, old); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	probe, err := markerOf(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	marks := probe != marker{}
	const other = "not the one that was shared"
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string // part of the error; "" = published
		marker bool   // refused only where folders have markers
	}{
		"one gone":                   {func(t *testing.T, dir string) { remove(t, dir, "0") }, "", false},
		"half gone":                  {func(t *testing.T, dir string) { remove(t, dir, "0", "1") }, "", false},
		"more than half gone":        {func(t *testing.T, dir string) { remove(t, dir, "0", "1", "2") }, "3 of 4", false},
		"all gone":                   {func(t *testing.T, dir string) { remove(t, dir, "0", "1", "2", "3") }, "4 of 4", false},
		"renamed":                    {func(t *testing.T, dir string) { rename(t, dir, "0", "9") }, "", false},
		"replaced":                   {func(t *testing.T, dir string) { replace(t, dir); write(t, filepath.Join(dir, "more"), nil) }, "", false},
		"replaced, one gone":         {func(t *testing.T, dir string) { replace(t, dir); remove(t, dir, "0") }, other, true},
		"replaced by an empty one":   {func(t *testing.T, dir string) { replace(t, dir); remove(t, dir, "0", "1", "2", "3") }, "4 of 4", false},
		"replaced, seen, then one":   {func(t *testing.T, dir string) { replace(t, dir) }, "", false}, // see below
		"replaced by others' things": {func(t *testing.T, dir string) { replace(t, dir); rename(t, dir, "0", "9") }, other, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newMember(t, role{})
			dir := filepath.Join(t.TempDir(), "shared")
			for i := range 4 {
				write(t, filepath.Join(dir, fmt.Sprint(i)), noise(uint64(1100+i), 10))
			}
			rep := a.share(dir).Replica
			a.reopen()
			c.change(t, dir)
			o := ShareOptions{Dir: dir, Name: "data"}
			if strings.Contains(name, "seen") { // an unchanged revision, even so, is of this folder from now on
				if s := a.share(dir); marks && s.Replica.State().Marker == rep.State().Marker {
					t.Error("the folder was not marked anew")
				}
				remove(t, dir, "0")
			}
			_, err := a.Share(within(t), o)
			if c.want == "" || c.marker && !marks {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrDeletions) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrDeletions with %q", err, c.want)
			}
			if h, _ := a.replica(rep.Set()).Head(); h.Revision != 1 {
				t.Errorf("revision %d all the same", h.Revision)
			}
			o.AllowDeletions = true
			if strings.Contains(name, "empty") && marks { // who allows deletions has not said that he means this folder
				if _, err := a.Share(within(t), o); !errors.Is(err, ErrEmptied) {
					t.Errorf("allowed, and the folder not named: %v", err)
				}
			}
			o.Named = true
			if s, err := a.Share(within(t), o); err != nil || s.Head.Revision != 2 {
				t.Errorf("allowed: %v", err)
			}
		})
	}
}

func rename(t testing.TB, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

// A folder that was missing when it was looked at makes no revision.
func TestMissingFolderIsNoRevision(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := filepath.Join(t.TempDir(), "shared")
	write(t, filepath.Join(dir, "a"), []byte("a"))
	rep := a.share(dir).Replica
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data", AllowDeletions: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
	if h, _ := rep.Head(); h.Revision != 1 {
		t.Errorf("revision %d", h.Revision)
	}
}

// A set that is given another folder is held against the one it had.
func TestGuardOfAMovedFolder(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := filepath.Join(t.TempDir(), "shared")
	for i := range 4 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), noise(uint64(1200+i), 10))
	}
	rep := a.share(dir).Replica
	o := ShareOptions{Dir: t.TempDir(), Name: "data", Set: rep.Set().String()}
	if _, err := a.Share(within(t), o); !errors.Is(err, ErrDeletions) {
		t.Errorf("an empty folder: %v, want ErrDeletions", err)
	}
	o.Dir = filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(o.Dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	remove(t, o.Dir, "0")
	s, err := a.Share(within(t), o)
	if err != nil || s.Head.Revision != 2 || rep.State().Dir != o.Dir {
		t.Fatalf("one file less: %v", err)
	}
	if left := a.recorded(within(t), rep.Set(), dir); len(left) > 0 {
		t.Errorf("%d files are still recorded where the folder was", len(left))
	}
	if c := a.check(rep); c.Damaged > 0 {
		t.Errorf("verify: %+v", c)
	}
}

// The state files of format 1 knew neither past heads nor the folder's marker.
func TestStateOfFormat1(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := filepath.Join(t.TempDir(), "shared")
	for i := range 3 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), noise(uint64(1300+i), 10))
	}
	a.share(dir)
	write(t, filepath.Join(dir, "0"), []byte("changed"))
	rep := a.share(dir).Replica
	file := a.states.path(rep.Set().String())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	fields["format"] = 1
	delete(fields, "past")
	delete(fields, "marker")
	if b, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	write(t, file, b)
	a.reopen()
	rep = a.replica(rep.Set())
	if got := a.history(rep); len(got) != 1 || got[0].Head.Revision != 2 || got[0].Kept != KeptHere {
		t.Errorf("history: %+v", got)
	}
	replace(t, dir) // nobody knows that it is another folder
	remove(t, dir, "0")
	if s := a.share(dir); s.Head.Revision != 3 {
		t.Errorf("revision %d, want 3", s.Head.Revision)
	}
	now, err := markerOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st := rep.State(); st.Marker != now || len(st.Past) != 1 {
		t.Errorf("marker %+v, %d heads before; want %+v and 1", st.Marker, len(st.Past), now)
	}
}
