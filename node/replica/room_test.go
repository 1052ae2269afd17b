package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// tight is a store that says how much it still takes.
type tight struct {
	Store
	left atomic.Int64
}

func (s *tight) Left() (int64, error) { return s.left.Load(), nil }

// What cannot be kept is not fetched: neither records that the store takes no more, nor files on its disk.
func TestNoRoomIsSaidFirst(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 1200) // 4.5 MB
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	store := &tight{Store: memstore.New()}
	b := newMember(t, role{store: store}, a)
	b.cfg.Home = t.TempDir() // on the same disk as what follows
	b.reopen()
	dest := filepath.Join(t.TempDir(), "dest")
	for what, left := range map[string]int64{"in the reserve": -1 << 20, "not even the records": 2000, "the records, not the files": 2 << 20} {
		store.left.Store(left)
		if _, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); !errors.Is(err, blockstore.ErrNoSpace) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) || len(b.all()) != 0 {
			t.Errorf("%s: something is left: %v, %v", what, err, b.all())
		}
	}
	only, err := NewSelection([]string{"big"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Select(within(t), record.Ticket{Set: id}, only, into(dest)); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("a part: %v", err)
	}
	if sent := a.sent.Load(); sent > 100_000 { // nodes
		t.Errorf("%d bytes were sent", sent)
	}
	if err := os.Mkdir(filepath.Join(b.cfg.Home, "sets"), 0o700); err != nil {
		t.Fatal(err)
	}
	kept := into(b.Keep(id))
	if _, err := b.Get(within(t), record.Ticket{Set: id}, kept); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("a replica: %v", err)
	}
	store.left.Store(16 << 20)
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, dest)
	// What is complete already needs nothing.
	store.left.Store(-1)
	if again, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); err != nil || again.Changed {
		t.Errorf("again: %+v, %v", again, err)
	}
	// A change of it needs what it needs: with room for that, all the rest counts as here.
	write(t, filepath.Join(dir, "small/3/file"), noise(1201, 500))
	a.share(dir)
	store.left.Store(100_000)
	if next, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); err != nil || next.Head.Revision != got.Head.Revision+1 {
		t.Errorf("a small change: %v", err)
	}
	sameTree(t, dir, dest)

	// Nor does a voter begin with a revision that it has no room for.
	lay, err := a.Layout(within(t), a.replica(id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.newAside(within(t), got.Replica, lay, nil); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("of a voter: %v", err)
	}
	if _, err := b.newAside(within(t), got.Replica, lay, lay); err != nil {
		t.Errorf("of a voter that has all of it: %v", err)
	}
}
