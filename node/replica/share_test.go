package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestShareThenGetIsTheSameFolder(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 1)
	a := newMember(t, role{})
	s := a.share(dir)
	if s.Head.Revision != 1 || !s.Changed || s.Snapshot.BytesRead != s.Snapshot.Bytes {
		t.Errorf("first share: revision %d, changed %v, read %d of %d bytes", s.Head.Revision, s.Changed, s.Snapshot.BytesRead, s.Snapshot.Bytes)
	}
	b := newMember(t, role{}, a)
	got := b.fetch(s.Replica.Set())
	sameTree(t, dir, got.Dest)
	if got.Head.Root != s.Head.Root || got.Total != s.Snapshot.Bytes || got.Files != s.Snapshot.Files || got.Sources != 1 {
		t.Errorf("got %+v of %+v", got, s.Snapshot)
	}
	if got.Reused() != 700<<10 || got.Fetched == 0 { // one of the twins is made of the other
		t.Errorf("reused %d, fetched %d of %d", got.Reused(), got.Fetched, got.Total)
	}
	if c := b.check(got.Replica); c.Damaged != 0 {
		t.Errorf("verify: %+v", c)
	}
	if !b.announces(s.Replica.Set()) || a.replica(s.Replica.Set()).Holders() != 2 {
		t.Errorf("announced %v, the author knows %d holders, want 2", b.announces(s.Replica.Set()), a.replica(s.Replica.Set()).Holders())
	}
	// What was got is served on, by the folder it lies in.
	c := newMember(t, role{}, b)
	sameTree(t, dir, c.fetch(s.Replica.Set()).Dest)
}

func TestShareAgain(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 2)
	a := newMember(t, role{})
	first := a.share(dir)
	for range 2 {
		again := a.share(dir)
		if again.Changed || again.Head.Revision != 1 || again.Replica != first.Replica || again.Snapshot.BytesRead != 0 {
			t.Errorf("unchanged: changed %v, revision %d, read %d bytes", again.Changed, again.Head.Revision, again.Snapshot.BytesRead)
		}
		a.reopen()
		first.Replica = a.replica(again.Replica.Set())
	}
	id := first.Replica.Set()
	b := newMember(t, role{}, a)
	old := b.fetch(id)

	if err := os.Remove(filepath.Join(dir, "small/3/file")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "small/4/file"), []byte("new"))
	second := a.share(dir)
	if second.Head.Revision != 2 || len(second.Head.Parents) != 1 || second.Head.Parents[0] != first.Replica.Verified().HeadCids[0] && second.Head.Parents[0] == second.Replica.Verified().HeadCids[0] {
		t.Errorf("changed: revision %d, parents %v", second.Head.Revision, second.Head.Parents)
	}
	if second.Snapshot.BytesRead != 3 {
		t.Errorf("read %d bytes of a change of 3", second.Snapshot.BytesRead)
	}
	if _, ok, err := a.cfg.Store.LookupFile(within(t), dir, "small/3/file"); ok || err != nil {
		t.Errorf("the file that is gone is still recorded (%v)", err)
	}
	if c := a.check(a.replica(id)); c.Damaged != 0 {
		t.Errorf("verify: %+v", c)
	}
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(old.Dest))
	if err != nil {
		t.Fatal(err)
	}
	if got.Head.Revision != 2 || got.Patched != 3 || got.Fetched != 0 {
		t.Errorf("the next get: revision %d, %d bytes patched and %d fetched, want 2, 3 and 0", got.Head.Revision, got.Patched, got.Fetched)
	}
}

func TestShareOneFile(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 3)
	a := newMember(t, role{})
	var sets []*Replica
	// A folder and two files in it are three sets; none takes the others' records away.
	for _, only := range []string{"big", "", "twin", "big"} {
		s, err := a.Share(within(t), ShareOptions{Dir: dir, Only: only, Name: "data" + only})
		if err != nil {
			t.Fatal(err)
		}
		if only == "big" && len(sets) > 0 {
			if s.Changed || s.Replica != sets[0] || s.Snapshot.BytesRead != 0 {
				t.Errorf("sharing the file again made something new: %+v", s)
			}
			continue
		}
		sets = append(sets, s.Replica)
	}
	for _, rep := range sets {
		if c := a.check(rep); c.Damaged != 0 {
			t.Errorf("%s: %+v", rep.State().Name, c)
		}
	}
	if _, err := a.Registry.Remove(within(t), sets[2], false); err != nil {
		t.Fatal(err)
	}
	b := newMember(t, role{}, a)
	got := b.fetch(sets[0].Set())
	one := t.TempDir()
	data, err := os.ReadFile(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(one, "big"), data)
	if err := os.Chtimes(filepath.Join(one, "big"), time.Time{}, time.Unix(1_000_000_000, 123_456_789)); err != nil {
		t.Fatal(err)
	}
	sameTree(t, one, got.Dest)
	sameTree(t, dir, b.fetch(sets[1].Set()).Dest)
}

func TestShareMovedFolder(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 4)
	a := newMember(t, role{})
	s := a.share(dir)
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	again, err := a.Share(within(t), ShareOptions{Dir: moved, Name: "data", Set: s.Replica.Set().String()})
	if err != nil {
		t.Fatal(err)
	}
	if again.Changed || again.Head.Revision != 1 || again.Replica.State().Dir != moved {
		t.Errorf("moved: changed %v, revision %d, folder %s", again.Changed, again.Head.Revision, again.Replica.State().Dir)
	}
	if files := a.recorded(within(t), s.Replica.Set(), dir); len(files) > 0 {
		t.Errorf("%d files are still recorded where the folder was", len(files))
	}
	other := a.share(newTree(t, 5))
	_, err = a.Share(within(t), ShareOptions{Dir: moved, Name: "data", Set: other.Replica.Set().String()})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("a folder that is another set: %v, want ErrInUse", err)
	}
	b := newMember(t, role{}, a)
	got := b.fetch(s.Replica.Set())
	_, err = b.Share(within(t), ShareOptions{Dir: newTree(t, 6), Set: got.Replica.Set().String()})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("another's set: %v, want ErrInUse", err)
	}
	if _, err := b.Share(within(t), ShareOptions{Dir: got.Dest, Name: "mine"}); !errors.Is(err, ErrInUse) {
		t.Errorf("a folder that was fetched: %v, want ErrInUse", err)
	}
}

func TestShareTwiceAtOnceMakesOneSet(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 7)
	a := newMember(t, role{})
	inside, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := true
	go func() {
		_, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data", Progress: func(int, int64) {
			if first {
				first = false
				close(inside)
				<-goOn
			}
		}})
		done <- err
	}()
	wait(t, inside, "the first share")
	_, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data"})
	if !errors.Is(err, ErrBusy) {
		t.Errorf("second share: %v, want ErrBusy", err)
	}
	if err := a.Collect(within(t), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("collect: %v, want ErrBusy", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(a.Replicas()); n != 1 {
		t.Errorf("%d sets, want 1", n)
	}
}

func TestSetsSurviveRestart(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	s := a.share(newTree(t, 8))
	before := s.Replica.State()
	a.reopen()
	rep := a.replica(s.Replica.Set())
	if after := rep.State(); after.Dir != before.Dir || after.Seq != before.Seq || !after.Complete || !after.Shared {
		t.Errorf("after the restart %+v, before %+v", after, before)
	}
	for _, text := range []string{"data", before.Dir, before.Set, before.Set[:12], a.Ticket(rep).String()} {
		if found, err := a.Resolve(text); err != nil || found != rep {
			t.Errorf("resolve %q: %v", text, err)
		}
	}
	if _, err := a.Resolve("nothing"); !errors.Is(err, ErrUnknownSet) {
		t.Errorf("resolve a text that is nothing: %v", err)
	}
	a.share(newTree(t, 9))
	for _, text := range []string{"data", "bafk"} {
		if _, err := a.Resolve(text); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("resolve %q: %v, want ErrAmbiguous", text, err)
		}
	}
}

func TestNewerStateIsRefused(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	s := a.share(newTree(t, 10))
	write(t, filepath.Join(a.cfg.Dir, s.Replica.Set().String()+".json"), []byte(`{"format": 3}`))
	if _, err := Open(a.cfg); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("got %v, want ErrNewerFormat", err)
	}
}

// What the author deletes goes at the reader too, unless somebody changed it there; folders that the revision
// still has stay.
func TestDeletionsReachTheReader(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"keep", "also", "third", "gone", "sub/gone", "edited", "empty/x"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := b.fetch(id).Dest
	write(t, filepath.Join(dest, "edited"), []byte("my own work, longer than before"))
	for _, name := range []string{"gone", "sub/gone", "sub", "edited"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	a.share(dir)
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	if got.Removed != 2 {
		t.Errorf("removed %d files, want 2", got.Removed)
	}
	for name, there := range map[string]bool{"gone": false, "sub": false, "edited": true, "empty/x": true, "keep": true} {
		if _, err := os.Lstat(filepath.Join(dest, name)); (err == nil) != there {
			t.Errorf("%s: %v, want there: %v", name, err, there)
		}
	}
}

// An emptied folder does not empty everybody's copy.
func TestMassDeletionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	names := []string{"a", "b", "c"}
	for _, name := range names {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	a := newMember(t, role{})
	first := a.share(dir)
	for _, name := range names[:2] {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "x"}); !errors.Is(err, ErrDeletions) {
		t.Fatalf("got %v, want ErrDeletions", err)
	}
	if h, _ := a.replica(first.Replica.Set()).Head(); h.Revision != 1 {
		t.Errorf("revision %d, want 1", h.Revision)
	}
	s, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "x", AllowDeletions: true})
	if err != nil || s.Head.Revision != 2 {
		t.Errorf("allowed: revision %d, %v", s.Head.Revision, err)
	}
}

// A folder that came into the place of a set's, as where a disk is not mounted, does not empty the set unless it is named
// itself: everybody who follows would delete his copy.
func TestAnotherFolderEmptiesNoSet(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, aside := filepath.Join(root, "data"), filepath.Join(root, "aside")
	write(t, filepath.Join(dir, "a"), []byte("a"))
	write(t, filepath.Join(dir, "b"), []byte("b"))
	a := newMember(t, role{})
	rep := a.share(dir).Replica
	if err := errors.Join(os.Rename(dir, aside), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if now, err := markerOf(dir); err != nil || now == (marker{}) {
		t.Skip("folders cannot be told apart here")
	}
	o := ShareOptions{Dir: dir, Name: "data", AllowDeletions: true, Existing: true}
	for name, files := range map[string]func(){"empty": func() {}, "with files of another": func() { write(t, filepath.Join(dir, "other"), []byte("other")) }} {
		files()
		if _, err := a.Share(within(t), o); !errors.Is(err, ErrEmptied) || !errors.Is(err, ErrDeletions) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := a.DryRun(within(t), o); !errors.Is(err, ErrEmptied) {
			t.Errorf("%s, planned: %v", name, err)
		}
	}
	if h, _ := rep.Head(); h.Revision != 1 {
		t.Errorf("revision %d was made", h.Revision)
	}
	write(t, filepath.Join(dir, "b"), []byte("b")) // one of them is there: somebody put it there
	if _, err := a.Share(within(t), o); err != nil {
		t.Errorf("with a file of the set: %v", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(aside, filepath.Join(root, "third")), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	o.Named = true
	if s, err := a.Share(within(t), o); err != nil || s.Head.Revision != 3 || s.Snapshot.Files != 0 {
		t.Errorf("named by its path: %v", err)
	}
}
