package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stays"), noise(500, 100<<10))
	var rep *Replica
	for i := range uint64(20) {
		write(t, filepath.Join(dir, "hot"), noise(501+i, 2000))
		s, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data", Note: fmt.Sprintf("edit %d\nof the file", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		rep = s.Replica
	}
	if err := os.Rename(filepath.Join(dir, "hot"), filepath.Join(dir, "cold")); err != nil {
		t.Fatal(err)
	}
	a.share(dir)
	for range 2 {
		all := a.history(rep)
		if len(all) != 16 {
			t.Fatalf("%d revisions, want 16", len(all))
		}
		for i, rev := range all {
			n := uint64(21 - i)
			note, kept := fmt.Sprintf("edit %d\nof the file", n), KeptPartly
			switch n {
			case 21:
				note, kept = "", KeptHere
			case 20:
				kept = KeptHere // the file was only moved
			}
			if rev.Head.Revision != n || rev.Note != note || rev.Kept != kept || rev.Files != 2 || rev.Bytes != 102<<10+-48 {
				t.Errorf("%d: revision %d, %q, %s, %d files, %d bytes", i, rev.Head.Revision, rev.Note, rev.Kept, rev.Files, rev.Bytes)
			}
			if i > 0 && all[i-1].Head.Parents[0] != rev.Cid {
				t.Errorf("revision %d is not the parent of the next", n)
			}
			if h, err := a.RevisionHead(rep, n); err != nil || h.Root != rev.Head.Root {
				t.Errorf("head of revision %d: %v", n, err)
			}
		}
		a.reopen()
		rep = a.replica(rep.Set())
	}
	for _, n := range []uint64{0, 5, 22} {
		if _, err := a.RevisionHead(rep, n); !errors.Is(err, ErrNoRevision) {
			t.Errorf("revision %d: %v, want ErrNoRevision", n, err)
		}
	}
}

func TestNoteIsCheckedFirst(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	for _, note := range []string{"bell\a", strings.Repeat("x", record.MaxNote+1)} {
		if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data", Note: note}); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%.10q: %v, want ErrMalformed", note, err)
		}
	}
	if len(a.Replicas()) > 0 {
		t.Error("a set was made")
	}
}

// A reader knows of heads whose revisions it never had.
func TestHistoryOfWhatWasNeverHere(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	var rep *Replica
	for i := range uint64(3) {
		write(t, filepath.Join(dir, "file"), noise(600+i, 1000))
		rep = a.share(dir).Replica
	}
	if got := a.keptWords(rep); !slices.Equal(got, []string{KeptHere, KeptNodes, KeptNodes}) {
		t.Errorf("the author keeps %v", got)
	}
	b := newMember(t, role{}, a)
	mine := b.fetch(rep.Set()).Replica
	st := mine.State()
	st.Past = rep.State().Past
	if err := b.commit(mine, st); err != nil {
		t.Fatal(err)
	}
	if got := b.keptWords(mine); !slices.Equal(got, []string{KeptHere, KeptGone, KeptGone}) {
		t.Errorf("the reader keeps %v", got)
	}
	if _, _, err := b.Diff(within(t), mine, 2, 3); !errors.Is(err, ErrNoRevision) || !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("difference to what is not here: %v", err)
	}
	// A head that is not of the chain is not shown, nor what lies behind it.
	st.Past = [][]byte{st.Past[1], st.Past[0]}
	if err := b.commit(mine, st); err != nil {
		t.Fatal(err)
	}
	if all, err := b.Registry.History(within(t), mine); !errors.Is(err, record.ErrForged) || len(all) != 1 || all[0].Kept != KeptHere {
		t.Errorf("with a broken chain: %v, %v", all, err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 700)
	rep := a.share(dir).Replica
	write(t, filepath.Join(dir, "small/2/file"), []byte("changed"))
	a.share(dir)
	if err := os.Rename(filepath.Join(dir, "big"), filepath.Join(dir, "large")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "more"), noise(701, 3000))
	a.share(dir)
	for _, c := range []struct {
		a, b uint64
		want diff.Summary
	}{
		{1, 1, diff.Summary{}},
		{1, 2, diff.Summary{Modified: 1, Bytes: 7}},
		{2, 3, diff.Summary{Added: 1, Renamed: 1, Bytes: 3000}},
		{1, 3, diff.Summary{Added: 1, Renamed: 1, Modified: 1, Bytes: 3007}},
		{3, 1, diff.Summary{Removed: 1, Renamed: 1, Modified: 1, Bytes: 100 + 2*701}},
	} {
		changes, sum, err := a.Diff(within(t), rep, c.a, c.b)
		if err != nil || sum != c.want || len(changes) != sum.Added+sum.Removed+sum.Modified+sum.Renamed {
			t.Errorf("from %d to %d: %v, %d changes (%v), want %v", c.a, c.b, sum, len(changes), err, c.want)
		}
	}
	if _, _, err := a.Diff(within(t), rep, 1, 4); !errors.Is(err, ErrNoRevision) {
		t.Errorf("to a revision that is not there: %v", err)
	}
}

// counting counts what a history asks a store for.
type counting struct {
	*memstore.Store
	has, get atomic.Int64
}

func (s *counting) Has(ctx context.Context, c cid.Cid) (bool, error) {
	s.has.Add(1)
	return s.Store.Has(ctx, c)
}

func (s *counting) GetFrom(ctx context.Context, set, c cid.Cid, buf []byte) ([]byte, error) {
	s.get.Add(1)
	return s.Store.GetFrom(ctx, set, c, buf)
}

func TestHistoryLooksAtEverythingOnce(t *testing.T) {
	t.Parallel()
	store := &counting{Store: memstore.New()}
	a := newMember(t, role{store: store})
	dir := t.TempDir()
	for i := range uint64(100) {
		write(t, filepath.Join(dir, fmt.Sprintf("%d/%d", i/10, i)), noise(800+i, 100))
	}
	rep := a.share(dir).Replica
	for i := range uint64(4) {
		write(t, filepath.Join(dir, "1/15"), noise(900+i, 100))
		a.share(dir)
	}
	store.has.Store(0)
	store.get.Store(0)
	if got := a.history(rep); len(got) != 5 {
		t.Fatalf("%d revisions", len(got))
	}
	// 100 files in 10 folders in a root; each revision after the first has one new leaf, file, folder and root.
	if has, get := store.has.Load(), store.get.Load(); has != 100+4 || get != 111+4*3 {
		t.Errorf("%d leaves and %d nodes were looked at, want 104 and 123", has, get)
	}
}
