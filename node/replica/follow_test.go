package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// follower is a Follow that runs until the test ends.
type follower struct {
	t      testing.TB
	done   chan Got
	failed chan error
	ended  chan error
	stop   context.CancelFunc
}

func (m *member) follow(set cid.Cid, dest string) *follower {
	m.t.Helper()
	ctx, stop := context.WithCancel(within(m.t))
	f := &follower{t: m.t, done: make(chan Got, 16), failed: make(chan error, 16), ended: make(chan error, 1), stop: stop}
	go func() {
		f.ended <- m.Follow(ctx, record.Ticket{Set: set}, FollowOptions{Get: into(dest),
			Done: func(_ context.Context, g Got) { f.done <- g }, Failed: func(err error) { f.failed <- err }})
	}()
	m.t.Cleanup(func() {
		stop()
		<-f.ended
	})
	return f
}

func (f *follower) next() Got {
	f.t.Helper()
	select {
	case g := <-f.done:
		return g
	case err := <-f.failed:
		f.t.Fatal(err)
	case err := <-f.ended:
		f.ended <- err
		f.t.Fatalf("follow ended: %v", err)
	case <-within(f.t).Done():
		f.t.Fatal("waited in vain for a revision")
	}
	return Got{}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 50)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	f := b.follow(id, dest)
	if g := f.next(); g.Head.Revision != 1 || !g.Changed {
		t.Fatalf("first: %+v", g)
	}
	sameTree(t, dir, dest)
	overwrite(t, filepath.Join(dir, "big"), 1000, []byte("changed"))
	if err := os.Rename(filepath.Join(dir, "small"), filepath.Join(dir, "tiny")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	a.share(dir)
	g := f.next()
	if g.Head.Revision != 2 || g.Done.Moved != 21 || g.WireIn+g.WireOut > 30_000 {
		t.Errorf("second: revision %d, %d moved, %d + %d bytes", g.Head.Revision, g.Done.Moved, g.WireIn, g.WireOut)
	}
	sameTree(t, dir, dest)
	if err := b.Follow(within(t), record.Ticket{Set: id}, FollowOptions{Get: into(dest)}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second follower: %v", err)
	}
	if c := b.check(b.replica(id)); c.Damaged != 0 {
		t.Errorf("verify: %+v", c)
	}
}

// What somebody edited in a folder that is followed stays, under another name.
func TestFollowKeepsEdits(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 51)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	f := b.follow(id, dest)
	f.next()
	write(t, filepath.Join(dest, "small/1/file"), []byte("mine"))
	write(t, filepath.Join(dest, "small/2/file"), []byte("mine too"))
	write(t, filepath.Join(dest, "own"), []byte("only here"))
	write(t, filepath.Join(dir, "small/1/file"), []byte("theirs"))
	write(t, filepath.Join(dir, "twin"), []byte("shorter"))
	a.share(dir)
	g := f.next()
	if len(g.Done.Conflicts) != 1 || g.Done.Conflicts[0].Path != "small/1/file" {
		t.Fatalf("conflicts: %+v", g.Done.Conflicts)
	}
	for path, want := range map[string]string{g.Done.Conflicts[0].Copy: "mine", "small/1/file": "theirs", "small/2/file": "mine too",
		"own": "only here", "twin": "shorter"} {
		if b, err := os.ReadFile(filepath.Join(dest, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", path, b, err, want)
		}
	}
}

// Two followers of one author serve the change to a third when the author is gone, from wherever they are.
func TestFollowersServeTheChange(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := bigTree(t, 52, 12)
	id := a.share(dir).Replica.Set()
	b, c := newMember(t, role{}, a), newMember(t, role{}, a)
	fb, fc := b.follow(id, filepath.Join(t.TempDir(), "b")), c.follow(id, filepath.Join(t.TempDir(), "c"))
	fb.next()
	fc.next()
	d := newMember(t, role{}, b, c)
	old := d.fetch(id)
	for n := range 3 { // revisions 2 to 4, of which the third has seen none
		overwrite(t, filepath.Join(dir, "large"), int64(1_000_000*(n+1)), noise(uint64(60+n), 4096))
		a.share(dir)
		fb.next()
		fc.next()
	}
	a.host.Close()
	got := d.next(old)
	sameTree(t, dir, got.Dest)
	if got.Head.Revision != 4 || got.Fetched != 0 || got.WireIn+got.WireOut > 26_000 { // the holders have kept two of the three old leaves
		t.Errorf("revision %d: %d fetched, %d bytes on the wire", got.Head.Revision, got.Fetched, got.WireIn+got.WireOut)
	}
	h, err := d.Registry.History(within(t), got.Replica)
	if err != nil || len(h) != 4 {
		t.Errorf("history of one that skipped revisions: %d, %v", len(h), err)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 53)
	id := a.share(dir).Replica.Set()
	was := contents(t, dir)
	b := newMember(t, role{}, a)
	old := b.fetch(id)
	overwrite(t, filepath.Join(dir, "big"), 1_000_000, noise(70, 100_000))
	if err := os.Remove(filepath.Join(dir, "twin")); err != nil {
		t.Fatal(err)
	}
	a.share(dir)
	b.next(old)
	past := func(m *member, revision uint64) (Got, error) {
		o := into(filepath.Join(t.TempDir(), "past"))
		o.Revision = revision
		return m.Restore(within(t), record.Ticket{Set: id}, o)
	}
	// A reader has kept what was replaced.
	got, err := past(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	if now := contents(t, got.Dest); len(now) != len(was) || now["big"] != was["big"] || now["twin"] != was["twin"] {
		t.Error("the reader's copy of revision 1 is another")
	}
	if st := b.replica(id).State(); !st.Complete || st.Dir != old.Dest {
		t.Errorf("a restore changed the replica: %+v", st)
	}
	// The author edited in place and has lost it: a reader helps.
	a.peers = append(a.peers, b.host.AddrInfo())
	if got, err = past(a, 1); err != nil {
		t.Fatal(err)
	}
	if now := contents(t, got.Dest); now["big"] != was["big"] {
		t.Error("the author's copy of revision 1 is another")
	}
	// Somebody who has never seen it finds its head and its bytes by the newest.
	c := newMember(t, role{}, a, b)
	if got, err = past(c, 1); err != nil {
		t.Fatal(err)
	}
	if now := contents(t, got.Dest); now["big"] != was["big"] {
		t.Error("the stranger's copy of revision 1 is another")
	}
	if _, known := c.lookup(id); known {
		t.Error("a restore made a replica")
	}
	if _, err := past(b, 3); !errors.Is(err, ErrNoRevision) {
		t.Errorf("revision 3: %v", err)
	}
}

// What lies in another folder is not fetched again.
func TestGetUsing(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 54)
	id := a.share(dir).Replica.Set()
	other := newTree(t, 54) // somebody's copy by other means
	overwrite(t, filepath.Join(other, "big"), 500_000, []byte("an older state"))
	b := newMember(t, role{}, a)
	o := into(filepath.Join(t.TempDir(), "dest"))
	o.Using = []string{other}
	got, err := b.Get(within(t), record.Ticket{Set: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, got.Dest)
	if got.Fetched > 4096 || got.Patched == 0 || got.WireIn+got.WireOut > 30_000 {
		t.Errorf("%d fetched, %d patched, %d bytes on the wire", got.Fetched, got.Patched, got.WireIn+got.WireOut)
	}
	// A folder that is forced over is used the same way; one that is not there yet is no obstacle.
	c := newMember(t, role{}, a)
	o = into(filepath.Join(t.TempDir(), "new"))
	o.Force = true
	if _, err := c.Get(within(t), record.Ticket{Set: id}, o); err != nil {
		t.Error(err)
	}
	d := newMember(t, role{}, a)
	o = into(other)
	o.Force = true
	forced, err := d.Get(within(t), record.Ticket{Set: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, other)
	if forced.Fetched > 4096 || forced.Patched == 0 {
		t.Errorf("forced: %d fetched, %d patched", forced.Fetched, forced.Patched)
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
	if c := b.check(got.Replica); c.Damaged != 0 {
		t.Errorf("verify without the folder that was used: %+v", c)
	}
}

// A follower does not take an emptied folder for a complete one, nor write into another in its place.
func TestFollowWhereTheFolderWent(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 55)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	f := b.follow(id, dest)
	f.next()
	for _, name := range []string{"small/3/file", "twin", "small/middle"} {
		if err := os.Remove(filepath.Join(dest, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "new"), []byte("new"))
	a.share(dir)
	f.next()
	sameTree(t, dir, dest)
	if err := os.Rename(dest, dest+"-away"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "newer"), []byte("newer"))
	a.share(dir)
	select {
	case err := <-f.failed:
		if !errors.Is(err, ErrFolderGone) {
			t.Errorf("without the folder: %v", err)
		}
	case g := <-f.done:
		t.Errorf("without the folder: %+v", g)
	}
	emptyDir(t, dest)
	if err := os.Rename(dest+"-away", dest); err != nil { // mounted again
		t.Fatal(err)
	}
	select {
	case <-f.done:
	case <-within(t).Done():
		t.Fatal("it does not go on")
	}
	sameTree(t, dir, dest)
}

// What moved and was touched too leaves nothing behind; a symlink leads where the author's does.
func TestUpdateOfMovedAndTouched(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 56)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	old := b.fetch(id)
	for _, err := range []error{
		os.Rename(filepath.Join(dir, "small"), filepath.Join(dir, "tiny")),
		os.Chmod(filepath.Join(dir, "tiny/middle"), 0o755),
		os.Rename(filepath.Join(dir, "big"), filepath.Join(dir, "bulky")),
		os.Chtimes(filepath.Join(dir, "bulky"), time.Time{}, time.Unix(1_100_000_000, 0)),
		os.Remove(filepath.Join(dir, "link")),
		os.Symlink("tiny/middle", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.share(dir)
	got := b.next(old)
	sameTree(t, dir, got.Dest)
	if got.Fetched+got.Patched != 0 || len(got.Done.Conflicts)+len(got.Done.Skipped) != 0 {
		t.Errorf("%d fetched, %d patched, %+v", got.Fetched, got.Patched, got.Done)
	}
}
