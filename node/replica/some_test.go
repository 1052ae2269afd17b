package replica

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// choose gets part of a set, or dies.
func (m *member) choose(set cid.Cid, o GetOptions, patterns ...string) Got {
	m.t.Helper()
	got, err := m.tryChoose(set, o, patterns...)
	if err != nil {
		m.t.Fatal(err)
	}
	return got
}

func (m *member) tryChoose(set cid.Cid, o GetOptions, patterns ...string) (Got, error) {
	m.t.Helper()
	only, err := NewSelection(patterns)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.Select(within(m.t), record.Ticket{Set: set}, only, o)
}

// partOf are those of a tree's contents at the paths and below them, with the folders above.
func partOf(all map[string]string, paths ...string) map[string]string {
	out := map[string]string{}
	for _, p := range paths {
		for path, what := range all {
			if path == p || strings.HasPrefix(path, p+"/") || strings.HasPrefix(p, path+"/") {
				out[path] = what
			}
		}
	}
	return out
}

// samePart compares a folder with what it is to hold, but for what is at some paths.
func samePart(t *testing.T, want map[string]string, dest string, but ...string) {
	t.Helper()
	got := contents(t, dest)
	for _, path := range but {
		delete(got, path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folder differs (-want +got):\n%s", diff)
	}
}

func TestSelectBringsWhatIsChosen(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 900)
	a := newMember(t, role{})
	shared := a.share(dir)
	id := shared.Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	var phases []Progress
	o := into(dest)
	o.Progress = func(p Progress) { phases = append(phases, p) }
	got := b.choose(id, o, "small/1*", "twin", "link", "empty", "nothing")
	want := contents(t, dir)
	paths := []string{"twin", "link", "empty", "nothing", "small/1"}
	for i := 10; i < 20; i++ {
		paths = append(paths, filepath.Join("small", string(rune('0'+i/10))+string(rune('0'+i%10))))
	}
	want = partOf(want, paths...)
	delete(want, "small/middle")
	samePart(t, want, dest)
	if got.Files != 13 || got.Fetched != got.Total || got.Replica != nil || !got.Changed || got.Sources != 1 {
		t.Errorf("got %+v", got)
	}
	if sent := a.sent.Load(); sent > got.Total+50_000 {
		t.Errorf("%d bytes were sent for %d", sent, got.Total)
	}
	for _, p := range phases {
		if p.Done > p.Total && p.Total > 0 || p.Phase == "fetch" && p.Total != got.Total {
			t.Errorf("progress %+v, of %d", p, got.Total)
		}
	}
	// Nothing is remembered of it: not the set, and not in its folder.
	if all := b.all(); len(all) != 0 || b.announces(id) {
		t.Errorf("the getter knows %v, announces it: %v", all, b.announces(id))
	}
	if worktree.Interrupted(dest) {
		t.Error("something unfinished lies there")
	}
	if n := a.replica(id).Holders(); n != 1 {
		t.Errorf("%d holders, of which one has it", n)
	}
	link := b.choose(id, into(filepath.Join(t.TempDir(), "dest")), "link")
	folder := b.choose(id, into(link.Dest), "empty", "link")
	if !link.Changed || link.Links != 1 || link.Files+link.Folders != 0 || !folder.Changed || folder.Folders != 1 {
		t.Errorf("a link: %+v; a folder: %+v", link, folder)
	}
	if again := b.choose(id, into(link.Dest), "empty", "link"); again.Changed {
		t.Errorf("both again: %+v", again)
	}
	again := b.choose(id, into(dest), "twin", "small/1?")
	if again.Changed || again.Fetched != 0 || again.Total == 0 {
		t.Errorf("again: %+v", again)
	}
}

// For whatever is chosen the files that are written are those that fit, and no others.
func TestSelectIsExact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "ab", "c.d", "[a]"}
	for range 60 {
		path := dir
		for range random.IntN(4) {
			path = filepath.Join(path, names[random.IntN(len(names))]+"_")
		}
		write(t, filepath.Join(path, names[random.IntN(len(names))]), noise(random.Uint64(), random.IntN(2000)))
	}
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	lay, err := a.Layout(within(t), a.replica(id))
	if err != nil {
		t.Fatal(err)
	}
	b := newMember(t, role{}, a)
	parts := []string{"a", "b_", "*", "?_", "**", "*.d", "[ab]_", "[a]", "a*", "\\[a]"}
	hits := 0
	for i := range 60 {
		n := 1 + random.IntN(3)
		pattern := ""
		for range n {
			pattern += "/" + parts[random.IntN(len(parts))]
		}
		pattern = pattern[random.IntN(2):]
		dest := filepath.Join(t.TempDir(), "dest")
		got, err := b.tryChoose(id, into(dest), pattern)
		want, werr := choose(lay, pattern)
		if errors.Is(werr, ErrSelected) {
			if !errors.Is(err, ErrSelected) {
				t.Errorf("%d %q: %v", i, pattern, err)
			}
			if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%d %q: something was made: %v", i, pattern, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d %q: %v", i, pattern, err)
		}
		hits++
		all := contents(t, dir)
		written := contents(t, dest)
		files := 0
		for path, what := range written {
			if what != all[path] {
				t.Errorf("%d %q: %q is another", i, pattern, path)
			}
			if !strings.HasPrefix(what, "d") {
				files++
			}
		}
		for _, path := range want {
			if _, ok := written[path]; !ok {
				t.Errorf("%d %q: %q is not there", i, pattern, path)
			}
		}
		if files != len(want) || got.Files != files {
			t.Errorf("%d %q: %d files are there, %d said, %d fit", i, pattern, files, got.Files, len(want))
		}
	}
	if hits < 20 {
		t.Errorf("only %d patterns fit anything", hits)
	}
}

func TestSelectResumes(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 910, 48)
	write(t, filepath.Join(dir, "other"), noise(911, 4<<20))
	var stop func()
	var quota atomic.Int64
	a := newMember(t, leaves(func(serving) {
		if quota.Add(-1) == 0 {
			stop()
		}
	}))
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	only, err := NewSelection([]string{"large"})
	if err != nil {
		t.Fatal(err)
	}
	var fetched int64
	for i, n := range []int64{9, 3, 14, 1 << 30} {
		ctx, cancel := context.WithCancel(within(t))
		stop = cancel
		quota.Store(n)
		got, err := b.Select(ctx, record.Ticket{Set: id}, only, into(dest))
		cancel()
		fetched += got.Fetched
		b.reopen() // killed: only what is in the folder is left
		if n < 1<<30 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("run %d: %v, want to be cancelled", i, err)
			}
			if _, err := os.Lstat(filepath.Join(dest, "large")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("run %d: a file that is not complete is in place: %v", i, err)
			}
			continue
		}
		if err != nil || got.Fetched >= got.Total || fetched > got.Total*102/100 {
			t.Errorf("last run: %v; %d fetched of %d, %d in all", err, got.Fetched, got.Total, fetched)
		}
	}
	samePart(t, partOf(contents(t, dir), "large"), dest)
}

// What holds a part of a set is never taken for all of it.
func TestSelectedFolderIsNoReplica(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 920)
	var stop func()
	var quota atomic.Int64
	quota.Store(1 << 30)
	a := newMember(t, leaves(func(serving) {
		if quota.Add(-1) == 0 {
			stop()
		}
	}))
	id := a.share(dir).Replica.Set()
	all := contents(t, dir)

	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	b.choose(id, into(dest), "small/1")
	b.choose(id, into(dest), "twin") // beside it
	samePart(t, partOf(all, "small/1", "twin"), dest)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	stop = cancel
	quota.Store(5)
	only, _ := NewSelection([]string{"big"})
	if _, err := b.Select(ctx, record.Ticket{Set: id}, only, into(dest)); !errors.Is(err, context.Canceled) { // and that lies there unfinished
		t.Fatal(err)
	}
	quota.Store(1 << 30)
	b.choose(id, into(dest), "small/2")
	samePart(t, partOf(all, "small/1", "small/2", "twin"), dest)

	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, dest)
	if st := got.Replica.State(); !st.Complete || st.Dir != dest || got.Reused() == 0 || got.Fetched == 0 {
		t.Errorf("all of it: %+v", got)
	}
	if c := b.check(got.Replica); c.Damaged != 0 || c.Blocks == 0 {
		t.Errorf("checked: %+v", c)
	}
	// Now it is the set's, and no place for a part.
	if _, err := b.tryChoose(id, into(dest), "twin"); !errors.Is(err, ErrInUse) {
		t.Errorf("a part into the set's folder: %v", err)
	}
	sameTree(t, dir, dest)

	// An interrupted get of everything is not finished by a part either.
	c := newMember(t, role{}, a)
	ctx, cancel = context.WithCancel(within(t))
	defer cancel()
	stop = cancel
	quota.Store(5)
	dest = filepath.Join(t.TempDir(), "dest")
	if _, err := c.Get(ctx, record.Ticket{Set: id}, into(dest)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	quota.Store(1 << 30)
	if _, err := c.tryChoose(id, into(dest), "twin"); !errors.Is(err, ErrInUse) {
		t.Errorf("a part into the folder of a get: %v", err)
	}
}

func TestSelectLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 930)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := t.TempDir()
	write(t, filepath.Join(dest, "mine"), []byte("mine"))
	write(t, filepath.Join(dest, "small/1/file"), []byte("edited"))
	write(t, filepath.Join(dest, "big/a folder"), []byte("in the way"))
	before := contents(t, dest)
	for _, pattern := range []string{"small", "big", "**"} {
		if _, err := b.tryChoose(id, into(dest), pattern); !errors.Is(err, worktree.ErrConflict) {
			t.Errorf("%q: %v", pattern, err)
		}
		samePart(t, before, dest)
	}
	if sent := a.sent.Load(); sent > 100_000 { // nodes
		t.Errorf("%d bytes were sent for nothing", sent)
	}
	b.choose(id, into(dest), "twin")
	force := into(dest)
	force.Force = true
	b.choose(id, force, "small/1/file")
	want := partOf(contents(t, dir), "twin", "small/1/file")
	maps.Copy(want, partOf(before, "mine", "big"))
	samePart(t, want, dest)
	small := into(dest)
	small.MaxBytes = 100
	if _, err := b.tryChoose(id, small, "small/0", "nothing"); err != nil { // of 4 MB
		t.Error(err)
	}
	if _, err := b.tryChoose(id, small, "small/2"); !errors.Is(err, ErrTooBig) {
		t.Errorf("more than was allowed: %v", err)
	}
}

// A folder of the user's keeps the mode he gave it, unless he chose it.
func TestSelectKeepsModesOfFolders(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 935)
	for _, folder := range []string{"small", "small/1", "small/2"} {
		if err := os.Chmod(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := t.TempDir()
	for _, folder := range []struct {
		path string
		mode fs.FileMode
	}{{"small/1", 0o500}, {"small", 0o700}} { // private, and one of them not even to be written
		if err := os.MkdirAll(filepath.Join(dest, folder.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dest, folder.path), folder.mode); err != nil {
			t.Fatal(err)
		}
	}
	perm := func(path string) fs.FileMode {
		info, err := os.Lstat(filepath.Join(dest, path))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	b.choose(id, into(dest), "small/1/file", "small/2/file")
	if small, one, two := perm("small"), perm("small/1"), perm("small/2"); small != 0o700 || one != 0o500 || two != 0o755 {
		t.Errorf("modes %o and %o of the user's folders, %o of one that was made", small, one, two)
	}
	b.choose(id, into(dest), "small/1")
	if small, one := perm("small"), perm("small/1"); small != 0o700 || one != 0o755 {
		t.Errorf("modes %o on the way, %o of what was chosen", small, one)
	}
}

// A folder of the user's goes for no file of its name, even if it is empty, unless that is forced.
func TestSelectKeepsEmptyFolders(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 937)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := t.TempDir()
	if err := os.Mkdir(filepath.Join(dest, "twin"), 0o700); err != nil {
		t.Fatal(err)
	}
	plan := into(dest)
	plan.Plan = true
	if told := b.choose(id, plan, "twin"); told.InWay == nil || told.InWay.Paths[0] != "twin" {
		t.Errorf("a plan: in the way %+v", told.InWay)
	}
	if _, err := b.tryChoose(id, into(dest), "twin"); !errors.Is(err, worktree.ErrConflict) {
		t.Errorf("a folder is in the way: %v", err)
	}
	if info, err := os.Lstat(filepath.Join(dest, "twin")); err != nil || !info.IsDir() {
		t.Errorf("the folder is %v: %v", info, err)
	}
	force := into(dest)
	force.Force = true
	b.choose(id, force, "twin")
	samePart(t, partOf(contents(t, dir), "twin"), dest)
}

// A set that is known here stays as it is, and lends its bytes.
func TestSelectOfAKnownSet(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 940)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	mine := b.fetch(id)
	if err := os.Rename(filepath.Join(dir, "small/middle"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "fresh"), noise(941, 50_000))
	a.share(dir)
	before, held := mine.Replica.State(), contents(t, mine.Dest)

	plan := into(filepath.Join(t.TempDir(), "dest"))
	plan.Plan = true
	told := b.choose(id, plan, "moved", "fresh")
	if told.Plan == nil || told.Fetched != 50_000 || told.Total != 50_000+700<<10 || told.Estimate < 50_000 {
		t.Errorf("plan: %+v", told)
	}
	if _, err := os.Lstat(told.Dest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a plan made something: %v", err)
	}
	dest := filepath.Join(t.TempDir(), "dest")
	got := b.choose(id, into(dest), "moved", "fresh")
	samePart(t, partOf(contents(t, dir), "moved", "fresh"), dest)
	if got.Head.Revision != 2 || got.Fetched != 50_000 || got.Reused() != 700<<10 {
		t.Errorf("got %+v", got)
	}
	again := into(dest)
	again.Plan = true
	if told := b.choose(id, again, "moved", "fresh"); told.Fetched != 0 {
		t.Errorf("plan of what is there: %+v", told)
	}
	past := into(filepath.Join(t.TempDir(), "past"))
	past.Revision = 1
	if got := b.choose(id, past, "small/middle"); got.Head.Revision != 1 || got.Fetched != 0 {
		t.Errorf("of the past: %+v", got)
	}
	samePart(t, partOf(held, "small/middle"), past.Dest(""))
	if diff := cmp.Diff(before, mine.Replica.State()); diff != "" {
		t.Errorf("the set changed:\n%s", diff)
	}
	samePart(t, held, mine.Dest)

	// Folders that are named lend, too, and are not changed.
	c := newMember(t, role{}, a)
	lent := into(filepath.Join(t.TempDir(), "dest"))
	lent.Using = []string{mine.Dest}
	if got := c.choose(id, lent, "moved", "fresh"); got.Fetched != 50_000 {
		t.Errorf("with another folder: %+v", got)
	}
	samePart(t, held, mine.Dest)
}

// What a part brought, the same command brings up to date, and so does a get of everything; what somebody edited since is
// in the way as before.
func TestSelectedFilesAreBroughtUpToDate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, name := range []string{"kept", "changed", "edited", "other"} {
		write(t, filepath.Join(dir, "sub", name), noise(uint64(960+i), 300_000))
	}
	if err := os.Symlink("kept", filepath.Join(dir, "sub", "link")); err != nil {
		t.Fatal(err)
	}
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	choose := func(patterns ...string) error {
		_, err := b.tryChoose(id, into(dest), patterns...)
		return err
	}
	if err := choose("sub/changed", "sub/kept", "sub/edited", "sub/link"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sub", "changed"), noise(970, 250_000))
	write(t, filepath.Join(dir, "sub", "edited"), noise(971, 250_000))
	if err := errors.Join(os.Remove(filepath.Join(dir, "sub", "link")), os.Symlink("other", filepath.Join(dir, "sub", "link"))); err != nil {
		t.Fatal(err)
	}
	a.share(dir)
	b.reopen()
	if err := choose("sub/changed", "sub/kept", "sub/link"); err != nil {
		t.Fatalf("the newer revision: %v", err)
	}
	samePart(t, partOf(contents(t, dir), "sub/changed", "sub/kept", "sub/link"), dest, "sub/edited")
	mine := noise(972, 1000)
	write(t, filepath.Join(dest, "sub", "edited"), mine)
	var conflict *worktree.ConflictError
	if err := choose("sub/edited"); !errors.As(err, &conflict) {
		t.Errorf("over an edit: %v, want a conflict", err)
	}
	write(t, filepath.Join(dir, "sub", "changed"), noise(973, 200_000))
	a.share(dir)
	if _, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); !errors.As(err, &conflict) || !slices.Equal(conflict.Paths, []string{"sub/edited"}) {
		t.Errorf("everything, over an edit: %v, want a conflict of the edited one alone", err)
	}
	if got, err := os.ReadFile(filepath.Join(dest, "sub", "edited")); err != nil || string(got) != string(mine) {
		t.Errorf("the edit is not as it was: %v", err)
	}
	if err := os.Remove(filepath.Join(dest, "sub", "edited")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); err != nil {
		t.Errorf("everything: %v", err)
	}
	samePart(t, contents(t, dir), dest)
	if left, err := os.ReadDir(filepath.Join(b.Registry.cfg.Home, "parts")); err != nil || len(left) != 0 {
		t.Errorf("%d notes are left: %v", len(left), err)
	}
}

// Notes of folders that are gone go with the next, and a broken one is none.
func TestNotesOfParts(t *testing.T) {
	dir := t.TempDir()
	p := partNotes{filepath.Join(dir, "parts")}
	here, gone := filepath.Join(dir, "here"), filepath.Join(dir, "gone")
	if err := os.Mkdir(here, 0o755); err != nil {
		t.Fatal(err)
	}
	n := note{Dest: gone}
	if err := p.save(n); err != nil {
		t.Fatal(err)
	}
	n = p.of(here)
	stamp := blockstore.Stamp{Size: 1, MtimeNs: 2, CtimeNs: 3, Inode: 4, Mode: 0o644}
	if err := n.files(blockstore.File{Path: "a", Stamp: stamp}); err != nil {
		t.Fatal(err)
	}
	if err := p.save(n); err != nil {
		t.Fatal(err)
	}
	if all, _ := os.ReadDir(p.dir); len(all) != 1 {
		t.Errorf("%d notes", len(all))
	}
	var o worktree.CheckoutOptions
	p.of(here).into(&o)
	touched := stamp
	touched.MtimeNs++
	if !o.Wrote("a", stamp) || o.Wrote("b", stamp) || o.Wrote("a", touched) || o.Links("a", "") {
		t.Error("the note says something else than what was noted")
	}
	if err := os.WriteFile(p.path(here), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.of(here).into(&o)
	if o.Wrote("a", stamp) {
		t.Error("a broken note counts")
	}
	if err := p.save(n); err != nil {
		t.Fatal(err)
	}
	if p.drop(here); p.of(here).Files != nil {
		t.Error("a note that was dropped is there")
	}
}
