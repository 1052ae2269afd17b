package replica

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 60)
	a := newMember(t, role{})
	rep := a.share(dir).Replica
	clean := a.check(rep)
	lay, err := a.Layout(within(t), rep)
	if err != nil {
		t.Fatal(err)
	}
	if clean.Damaged != 0 || clean.Bytes < lay.Bytes-700<<10 || clean.Blocks <= len(lay.Leaves) { // twin is stored once
		t.Errorf("clean: %+v of %d leaves, %d bytes", clean, len(lay.Leaves), lay.Bytes)
	}
	flip(t, filepath.Join(dir, "big"), 5)
	if err := os.Remove(filepath.Join(dir, "small/7/file")); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, "twin"), 5) // its bytes are in another file, too
	for range 2 {                          // the second time the store knows already
		c := a.check(rep)
		if c.Damaged != 2 || !slices.Equal(c.Files, []string{"big", "small/7/file"}) {
			t.Errorf("damaged: %+v", c)
		}
	}
	// Publishing what is there now mends it.
	if s := a.share(dir); s.Head.Revision != 2 {
		t.Errorf("revision %d, want 2", s.Head.Revision)
	}
	if c := a.check(rep); c.Damaged != 0 {
		t.Errorf("shared again: %+v", c)
	}
}

func TestCollectKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	a := newMember(t, role{store: store})
	dir := newTree(t, 61)
	kept := a.share(dir).Replica
	old, err := a.Layout(within(t), kept)
	if err != nil {
		t.Fatal(err)
	}
	var last *dag.Layout // the oldest that is remembered
	for i := range uint64(maxPast + 1) {
		write(t, filepath.Join(dir, "small/1/file"), noise(9000+i, 10))
		a.share(dir)
		if i == 0 {
			if last, err = a.Layout(within(t), kept); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := a.share(bigTree(t, 9062, 3)).Replica
	lost, err := a.Layout(within(t), gone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Registry.Remove(within(t), gone, false); err != nil {
		t.Fatal(err)
	}
	var freed badgerstore.Reclaimed
	err = a.Collect(within(t), func(keep func(set, c cid.Cid) bool) error {
		if _, err := a.Share(within(t), ShareOptions{Dir: dir, Name: "data"}); !errors.Is(err, ErrBusy) {
			t.Errorf("share while collecting: %v, want ErrBusy", err)
		}
		var err error
		freed, err = store.GC(within(t), keep)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := a.check(kept); c.Damaged != 0 {
		t.Errorf("verify after the collection: %+v", c)
	}
	if freed.Blocks == 0 {
		t.Error("nothing was freed of the old revision")
	}
	for _, c := range []cid.Cid{old.Root, lost.Root, lost.Leaves[0].Cid} {
		if ok, err := store.Has(within(t), c); ok || err != nil {
			t.Errorf("%s is still here (%v)", c, err)
		}
	}
	if ok, err := store.Has(within(t), last.Root); !ok || err != nil {
		t.Errorf("the oldest revision that is remembered was not kept (%v)", err)
	}
	if s := a.share(dir); s.Changed || s.Snapshot.BytesRead != 0 {
		t.Errorf("after the collection the folder was read again: %d bytes", s.Snapshot.BytesRead)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 62)
	a := newMember(t, role{})
	rep := a.share(dir).Replica
	b := newMember(t, role{}, a)
	got := b.fetch(rep.Set())
	before := contents(t, dir)
	if _, err := a.Registry.Remove(within(t), rep, true); !errors.Is(err, ErrInUse) {
		t.Errorf("remove the author's own files: %v, want ErrInUse", err)
	}
	write(t, filepath.Join(got.Dest, "small/2/file"), []byte("edited"))
	write(t, filepath.Join(got.Dest, "own"), []byte("not of the set"))

	// A peer that watches is told that the set is gone.
	ended := make(chan struct{})
	first := make(chan struct{})
	ctx := within(t)
	if err := a.Connect(ctx, b.host.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		n := 0
		err := a.Watch(ctx, b.host.ID(), rep.Set(), nil, nil, func(list.Update) error {
			if n++; n == 1 {
				close(first)
			}
			return nil
		})
		if err != nil {
			t.Errorf("watch ended with %v", err)
		}
	}()
	wait(t, first, "the watch")
	removed, err := b.Registry.Remove(ctx, got.Replica, true)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, ended, "the end of the watch")
	if want := got.Files - 1; removed != want {
		t.Errorf("%d files removed, want %d: all but the one that was edited", removed, want)
	}
	left := contents(t, got.Dest)
	for _, name := range []string{"small/2/file", "own"} {
		if _, ok := left[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	if _, ok := left["big"]; ok {
		t.Error("a recorded file is left")
	}
	if len(b.Replicas()) != 0 || b.announces(rep.Set()) {
		t.Error("the set is still registered or announced")
	}
	emptyDir(t, b.cfg.Dir)
	b.reopen()
	if _, err := b.Resolve(rep.Set().String()); !errors.Is(err, ErrUnknownSet) {
		t.Errorf("after a restart: %v, want ErrUnknownSet", err)
	}
	if _, err := b.Registry.Remove(ctx, got.Replica, false); !errors.Is(err, ErrUnknownSet) {
		t.Errorf("remove again: %v, want ErrUnknownSet", err)
	}
	if _, err := a.Registry.Remove(ctx, rep, false); err != nil {
		t.Fatal(err)
	}
	if len(before) != len(contents(t, dir)) {
		t.Error("the author's folder was touched")
	}
	if f := a.recorded(ctx, rep.Set(), dir); len(f) > 0 {
		t.Errorf("%d files are still recorded", len(f))
	}
}

// The folder may hold a revision that the history does not reach any more.
func TestLiveNamesWhatTheFolderHolds(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 64)
	first := a.share(dir).Head.Root
	write(t, filepath.Join(dir, "twin"), noise(65, 10))
	rep := a.share(dir).Replica
	st := rep.State()
	st.Past, st.Base = nil, first.String()
	for _, want := range []bool{true, false} {
		if !want {
			st.Base = ""
		}
		if err := a.commit(rep, st); err != nil {
			t.Fatal(err)
		}
		keep, err := a.Live(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := keep(rep.Set(), first); got != want {
			t.Errorf("base %q: kept %v", st.Base, got)
		}
	}
}

func TestLiveNamesWhatTheHeadsConsistOf(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	one, two := a.share(newTree(t, 63)).Replica, a.share(bigTree(t, 9063, 3)).Replica
	f := newForge(t)
	root := blockstore.Sum(cid.DagProtobuf, []byte("not here yet"))
	f.bundle.Heads = [][]byte{f.head(f.node, root, f.proposal(root, 1, 1, 1))}
	a.ensure(must(record.VerifyBundle(f.set, f.bundle)), State{Set: f.set.String(), Name: "part", Dir: "/nowhere"})
	keep, err := a.Live(within(t))
	if err != nil {
		t.Fatal(err)
	}
	lay, err := a.Layout(within(t), one)
	if err != nil {
		t.Fatal(err)
	}
	of := nodesBelow(t, a, one)
	var all []cid.Cid
	for _, n := range of {
		all = append(all, n.Cid())
	}
	for _, l := range lay.Leaves {
		all = append(all, l.Cid)
	}
	for _, c := range all {
		if !keep(one.Set(), c) || keep(two.Set(), c) || keep(root, c) {
			t.Fatalf("%s: kept in its set %v, in another %v, in none %v", c, keep(one.Set(), c), keep(two.Set(), c), keep(root, c))
		}
		if !keep(f.set, c) {
			t.Fatal("a set that is not complete loses what it has")
		}
	}
	if keep(one.Set(), root) {
		t.Error("what is in no revision is kept")
	}
}
