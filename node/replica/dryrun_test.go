package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
)

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	a := newMember(t, role{store: store})
	owner := a.cfg.OwnerKey
	a.cfg.OwnerKey = func() (crypto.PrivKey, error) { return nil, errors.New("a key was made") }
	a.reopen()
	dir := newTree(t, 1000)
	o := ShareOptions{Dir: dir, Name: "data"}
	dry := func() Proposed {
		t.Helper()
		before, err := store.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		records := contents(t, a.cfg.Dir)
		p, err := a.DryRun(within(t), o)
		if err != nil {
			t.Fatal(err)
		}
		after, err := store.Stats(within(t))
		if err != nil || before != after {
			t.Errorf("the store was %+v and is %+v (%v)", before, after, err)
		}
		if diff := cmp.Diff(records, contents(t, a.cfg.Dir)); diff != "" {
			t.Errorf("records differ:\n%s", diff)
		}
		return p
	}
	p := dry()
	if p.Replica != nil || p.Old.Revision != 0 || p.Gone != 0 {
		t.Errorf("of a new set: %+v", p)
	}
	if len(a.Replicas()) > 0 {
		t.Error("the set is here")
	}
	a.cfg.OwnerKey = owner
	a.reopen()
	s := a.share(dir)
	if p.Root != s.Head.Root || p.Files != s.Snapshot.Files || p.Bytes != s.Snapshot.Bytes || p.BytesRead != s.Snapshot.BytesRead {
		t.Errorf("proposed %s, %d files, %d bytes, %d read; shared %s, %+v", p.Root, p.Files, p.Bytes, p.BytesRead, s.Head.Root, s.Snapshot)
	}
	if want := p.Files + s.Snapshot.Symlinks + s.Snapshot.Dirs; p.Summary.Added != want || p.Summary.Modified != 0 {
		t.Errorf("%v, want %d added", p.Summary, want)
	}

	p = dry()
	if p.Replica != s.Replica || p.Root != s.Head.Root || len(p.Changes) != 0 || p.BytesRead != 0 {
		t.Errorf("of an unchanged folder: %+v", p)
	}
	write(t, filepath.Join(dir, "small/4/file"), []byte("new"))
	if err := os.Remove(filepath.Join(dir, "small/5/file")); err != nil {
		t.Fatal(err)
	}
	p = dry()
	if p.Old.Revision != 1 || p.BytesRead != 3 || p.Summary.Modified != 1 || p.Summary.Removed != 1 || p.Summary.Bytes != 3 || p.Gone != 1 {
		t.Errorf("of a changed folder: %+v", p)
	}
	if next := a.share(dir); next.Head.Root != p.Root || next.Snapshot.BytesRead != 3 {
		t.Errorf("proposed %s, shared %s; %d bytes read", p.Root, next.Head.Root, next.Snapshot.BytesRead)
	}
}

func TestDryRunRefusesWhatShareRefuses(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), []byte("a"))
	if _, err := a.DryRun(within(t), ShareOptions{Dir: dir, Existing: true}); !errors.Is(err, ErrUnknownSet) {
		t.Errorf("no set: %v, want ErrUnknownSet", err)
	}
	if _, err := a.Share(within(t), ShareOptions{Dir: dir, Existing: true}); !errors.Is(err, ErrUnknownSet) || len(a.Replicas()) > 0 {
		t.Errorf("no set: %v, want ErrUnknownSet", err)
	}
	a.share(dir)
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	o := ShareOptions{Dir: dir, Existing: true}
	if p, err := a.DryRun(within(t), o); !errors.Is(err, ErrDeletions) || p.Gone != 1 || p.Summary.Removed != 1 {
		t.Errorf("%v, %+v; want ErrDeletions and what would be removed", err, p.Summary)
	}
	o.AllowDeletions = true
	if _, err := a.DryRun(within(t), o); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if s, err := a.Share(within(t), o); err != nil || s.Head.Revision != 2 {
		t.Errorf("published: %v", err)
	}
}
