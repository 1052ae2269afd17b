package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
)

// attended is a member whose Attend is called by the test.
type attended struct {
	*member
	now     time.Time
	settles time.Duration
	told    []Harm // in order
}

func newAttended(t *testing.T) *attended {
	t.Helper()
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	a := &attended{member: newMember(t, role{store: store}), now: time.Now()}
	a.cfg.Now = func() time.Time { return a.now }
	a.cfg.Settles = func(*Replica) time.Duration { return a.settles }
	a.cfg.Harmed = func(_ *Replica, h Harm) { a.told = append(a.told, h) }
	a.reopen()
	return a
}

// ask asks for every block of a set, as a reader does.
func (a *attended) ask(rep *Replica, also ...cid.Cid) {
	a.t.Helper()
	lay, err := a.Layout(within(a.t), rep)
	if err != nil {
		a.t.Fatal(err)
	}
	from := a.reader(rep, a.host.ID(), nil)
	defer from.Close()
	for _, l := range lay.Leaves {
		also = append(also, l.Cid)
	}
	for _, c := range also {
		if _, err := from.Get(within(a.t), c, nil); err != nil && !isMissing(err) {
			a.t.Fatal(err)
		}
	}
}

// is checks what is known of a set, and that it was told if it came or went.
func (a *attended) is(rep *Replica, told int, files ...string) Harm {
	a.t.Helper()
	h := a.Harm(rep)
	if h.Any() != (len(files) > 0) || !slices.Equal(h.Files, files) && files[0] != "" {
		a.t.Errorf("harm is %+v, want %q", h, files)
	}
	if len(a.told) != told || told > 0 && a.told[told-1].Any() != h.Any() {
		a.t.Errorf("told %+v, want %d", a.told, told)
	}
	return h
}

// What an author's readers ask for and do not get is an alarm until it is there again.
func TestLostBytesAreNoticed(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	dir := newTree(t, 70)
	rep := a.share(dir).Replica
	a.ask(rep, blockstore.Sum(cid.Raw, []byte("of no revision")), blockstore.Sum(cid.DagProtobuf, []byte("neither")))
	a.attend(t.Context(), rep)
	a.is(rep, 0)
	if len(rep.health.suspects) > 0 {
		t.Errorf("%v are suspected still", rep.health.suspects)
	}

	was, err := os.ReadFile(filepath.Join(dir, "small/7/file"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "small/7/file"), noise(71, len(was)))
	flip(t, filepath.Join(dir, "twin"), 5) // its bytes are in another file, too
	a.attend(t.Context(), rep)
	a.is(rep, 0) // nobody has asked
	a.ask(rep)
	a.attend(t.Context(), rep)
	a.is(rep, 1, "small/7/file")
	a.LookAt(t.Context(), rep)
	a.is(rep, 1, "small/7/file")

	if all, _, err := CasualtiesAt(a.cfg.Dir); err != nil || len(all) != 1 || all[0].Harm.Blocks != 1 {
		t.Errorf("from outside %+v, %v", all, err)
	}
	a.reopen() // it is not forgotten with the program
	rep = a.replica(rep.Set())
	a.told = nil
	a.attend(t.Context(), rep)
	a.is(rep, 1, "small/7/file")

	write(t, filepath.Join(dir, "small/7/file"), was)
	if c := a.check(rep); c.Damaged != 0 {
		t.Errorf("put back, verify says %+v", c)
	}
	a.is(rep, 2)

	if err := os.Remove(filepath.Join(dir, "small/7/file")); err != nil {
		t.Fatal(err)
	}
	a.ask(rep)
	a.attend(t.Context(), rep)
	a.LookAt(t.Context(), rep)
	a.is(rep, 3, "small/7/file")
	write(t, filepath.Join(dir, "small/7/file"), was) // and nobody says a word
	a.LookAt(t.Context(), rep)
	a.is(rep, 4)

	write(t, filepath.Join(dir, "small/7/file"), noise(72, len(was)))
	if c := a.check(rep); c.Damaged != 1 {
		t.Errorf("verify found %+v", c)
	}
	a.is(rep, 5, "small/7/file")
	if s := a.share(dir); s.Head.Revision != 2 {
		t.Errorf("revision %d", s.Head.Revision)
	}
	a.is(rep, 6)
	if all, n, err := CasualtiesAt(a.cfg.Dir); err != nil || len(all) != 0 || n != 1 {
		t.Errorf("mended, from outside %+v of %d, %v", all, n, err)
	}
}

// An edit that is published by itself soon is none, whoever asks meanwhile.
func TestUnpublishedEditsAreWaitedFor(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	a.settles = 30 * time.Second
	dir := newTree(t, 73)
	rep := a.share(dir).Replica
	write(t, filepath.Join(dir, "small/7/file"), noise(74, 10))
	a.ask(rep)
	if next := a.attend(t.Context(), rep); next != a.settles {
		t.Errorf("to be looked at again in %v", next)
	}
	a.now = a.now.Add(a.settles - time.Second)
	if next := a.attend(t.Context(), rep); next != time.Second {
		t.Errorf("then in %v", next)
	}
	if err := rep.acquire(); err != nil { // it is being read
		t.Fatal(err)
	}
	a.now = a.now.Add(time.Hour)
	if next := a.attend(t.Context(), rep); next != attendSoon {
		t.Errorf("while it is read, in %v", next)
	}
	rep.release()
	a.share(dir)
	if next := a.attend(t.Context(), rep); next != 0 {
		t.Errorf("published, and again in %v", next)
	}
	a.is(rep, 0)
	write(t, filepath.Join(dir, "small/7/file"), noise(75, 10)) // this one nobody publishes
	a.ask(rep)
	a.attend(t.Context(), rep)
	a.is(rep, 0)
	a.now = a.now.Add(a.settles)
	a.attend(t.Context(), rep)
	a.is(rep, 1, "small/7/file")
}

func TestLostFoldersAreNoticed(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	dir := newTree(t, 76)
	rep := a.share(dir).Replica
	aside := filepath.Join(t.TempDir(), "aside")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	a.LookAt(t.Context(), rep)
	a.is(rep, 0)
	move(dir, aside)
	a.LookAt(t.Context(), rep)
	if h := a.is(rep, 1, ""); h.Folder != dir+" is gone" {
		t.Errorf("%+v", h)
	}
	if all, n, err := CasualtiesAt(a.cfg.Dir); err != nil || n != 1 || len(all) != 1 || all[0].Harm.Folder != dir+" is gone" {
		t.Errorf("from outside %+v of %d, %v", all, n, err)
	}
	if all := a.Casualties(t.Context()); len(all) != 1 || all[0].State.Set != rep.Set().String() {
		t.Errorf("%+v", all)
	}
	if err := os.Mkdir(dir, 0o755); err != nil { // as where a disk is not mounted
		t.Fatal(err)
	}
	if probe, err := markerOf(dir); err != nil || probe != (marker{}) { // else it cannot be told from the other
		a.LookAt(t.Context(), rep)
		a.is(rep, 1, "")
	}
	if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data"}); !errors.Is(err, ErrDeletions) {
		t.Errorf("share: %v", err)
	}
	if h := a.is(rep, 1, ""); h.Refused == "" {
		t.Errorf("%+v", h)
	}
	a.reopen()
	rep = a.replica(rep.Set())
	a.told = nil
	a.LookAt(t.Context(), rep)
	if h := a.is(rep, 1, ""); h.Refused == "" {
		t.Errorf("opened again, %+v", h)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	move(aside, dir)
	if c := a.check(rep); c.Damaged != 0 {
		t.Errorf("verify: %+v", c)
	}
	a.is(rep, 2)
	a.share(dir)
	a.is(rep, 2)
	a.ask(rep)
	a.attend(t.Context(), rep)
	a.is(rep, 2)

	// What somebody has fetched for himself is his.
	b := newAttended(t)
	b.peers = append(b.peers, a.host.AddrInfo())
	got := b.fetch(rep.Set())
	if err := os.RemoveAll(got.Dest); err != nil {
		t.Fatal(err)
	}
	b.LookAt(t.Context(), got.Replica)
	b.ask(got.Replica)
	b.attend(t.Context(), got.Replica)
	b.is(got.Replica, 0)
	if c := b.check(got.Replica); c.Damaged == 0 {
		t.Error("verify finds nothing")
	}
	b.is(got.Replica, 1, b.Harm(got.Replica).Files...)
}

// Somebody who asks for what is not there all the time does not keep the node from finding out.
func TestAttendIsNotPutOff(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	told := make(chan Harm, 1)
	a.cfg.Harmed = func(_ *Replica, h Harm) { told <- h }
	a.reopen()
	dir := newTree(t, 77)
	rep := a.share(dir).Replica
	write(t, filepath.Join(dir, "small/7/file"), noise(78, 10))
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error)
	go func() { ended <- a.Attend(ctx) }()
	for h := (Harm{}); !h.Any(); {
		select {
		case h = <-told:
		case <-ctx.Done():
			t.Fatal("nobody is told")
		default:
			a.ask(rep, blockstore.Sum(cid.Raw, []byte("of no revision")))
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What kept a folder from being published ends when all of its files are there again, without a publish.
func TestRefusedEndsWhenTheFilesAreBack(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	dir, aside := t.TempDir(), t.TempDir()
	names := []string{"a", "b", "c", "d", "e"}
	for i, name := range names {
		write(t, filepath.Join(dir, name), noise(uint64(i), 1000))
	}
	rep := a.share(dir).Replica
	move := func(from, to string, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(dir, aside, names[1:]...)
	if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data"}); !errors.Is(err, ErrDeletions) {
		t.Fatalf("share: %v", err)
	}
	move(aside, dir, names[2:]...)
	a.LookAt(t.Context(), rep)
	if h := a.Harm(rep); h.Refused == "" {
		t.Errorf("one is missing, %+v", h)
	}
	move(aside, dir, names[1])
	a.LookAt(t.Context(), rep)
	if h := a.Harm(rep); h.Any() {
		t.Errorf("all are back, %+v", h)
	}
	a.is(rep, 2)
}

// A file that was edited costs itself alone: what else was healed stays on offer, and the edit stays an alarm.
func TestHealingAroundAnEdit(t *testing.T) {
	t.Parallel()
	author := newMember(t, role{})
	dir := newTree(t, 78)
	id := author.share(dir).Replica.Set()
	b := newAttended(t)
	b.peers = append(b.peers, author.host.AddrInfo())
	got := b.fetch(id)
	write(t, filepath.Join(got.Dest, "small/7/file"), []byte("an edit"))
	if err := os.Remove(filepath.Join(got.Dest, "small/8/file")); err != nil {
		t.Fatal(err)
	}
	found := b.check(got.Replica)
	if !slices.Equal(found.Files, []string{"small/7/file", "small/8/file"}) {
		t.Fatalf("found %+v", found)
	}
	healed, err := b.Heal(within(t), got.Replica, found)
	if err != nil || len(healed.Done.Skipped) != 1 || healed.Done.Skipped[0].Path != "small/7/file" {
		t.Fatalf("healed %+v: %v", healed.Done, err)
	}
	b.LookAt(t.Context(), got.Replica)
	if h := b.Harm(got.Replica); !slices.Equal(h.Files, []string{"small/7/file"}) {
		t.Errorf("harm is %+v", h)
	}
	info := b.Intact(t.Context(), got.Replica)
	have := 0
	for i := range info.Leaves {
		if info.Has(i) {
			have++
		}
	}
	if have != info.Leaves-1 || !got.Replica.State().Complete {
		t.Errorf("%d of %d pieces are here, complete %v", have, info.Leaves, got.Replica.State().Complete)
	}
	c := newMember(t, role{}, b.member)
	dest := filepath.Join(t.TempDir(), "dest")
	c.choose(id, into(dest), "small/8", "big", "twin")
	samePart(t, partOf(contents(t, dir), "small/8", "big", "twin"), dest)
}

// Who lists what is wrong reads no folder: a publish would have to wait, and large files take hours.
func TestCasualtiesReadNothing(t *testing.T) {
	t.Parallel()
	a := newAttended(t)
	dir := newTree(t, 79)
	rep := a.share(dir).Replica
	path := filepath.Join(dir, "small/7/file")
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, noise(80, 10))
	a.ask(rep)
	a.attend(t.Context(), rep)
	a.is(rep, 1, "small/7/file")
	write(t, path, was) // back: to find that out the folder has to be read
	if all := a.Casualties(t.Context()); len(all) != 1 || !slices.Equal(all[0].Harm.Files, []string{"small/7/file"}) {
		t.Errorf("listed %+v", all)
	}
	a.LookAt(t.Context(), rep)
	a.is(rep, 2)
	if all := a.Casualties(t.Context()); len(all) != 0 {
		t.Errorf("listed %+v", all)
	}
}
