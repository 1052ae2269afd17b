package replica

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/blockstore/segment"
)

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	rep := a.share(newTree(t, 260)).Replica
	a.revise(rep, rewrite(t, "big", 261, 1<<20))
	lay, err := a.Layout(within(t), rep)
	if err != nil {
		t.Fatal(err)
	}
	dir := a.segments(rep.Set().String())
	stranger := blockstore.Sum(cid.Raw, []byte("a set that is not here"))
	put := func(set cid.Cid, name string, record bool) {
		t.Helper()
		w, err := segment.Create(a.segments(set.String()), name)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(name)
		if err := w.Add(blockstore.Sum(cid.Raw, data), data); err != nil {
			t.Fatal(err)
		}
		f, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if f.Set = set; record {
			if err := a.cfg.Store.PutFiles(within(t), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(rep.Set(), "2.seg", false) // killed before it was recorded
	put(rep.Set(), "other.seg", true)
	put(rep.Set(), "0.seg", true) // killed before the file was removed, and the other way round
	if err := os.Remove(filepath.Join(dir, "0.seg")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "2.seg.tmp"), []byte("unfinished"))
	write(t, filepath.Join(a.cfg.Segments, "notes"), []byte("somebody's"))
	put(stranger, "1.seg", true)
	damaged := filepath.Join(a.cfg.Dir, "damaged.json")
	write(t, damaged, []byte("{"))
	a.reopen()
	if _, err := os.Stat(a.segments(stranger.String())); err != nil {
		t.Errorf("while the state of a set cannot be read, its segments must stay: %v", err)
	}
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
	a.reopen()
	rep = a.replica(rep.Set())
	if got := a.segmentsOf(rep); !slices.Equal(got, []string{"1.seg"}) {
		t.Errorf("segments %v, want only that of revision 1", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v (%v)", entries, err)
	}
	for _, name := range []string{"2.seg", "other.seg", "0.seg", "1.seg"} {
		if ok, err := a.cfg.Store.Has(within(t), blockstore.Sum(cid.Raw, []byte(name))); ok || err != nil {
			t.Errorf("the chunk of %s is still recorded (%v)", name, err)
		}
	}
	if entries, err := os.ReadDir(a.cfg.Segments); err != nil || len(entries) != 2 {
		t.Errorf("left in the folder of segments: %v (%v)", entries, err)
	}
	if yes, no := a.readable(rep, lay); yes == 0 || no > 0 {
		t.Errorf("of the newest revision %d leaves can be read and %d cannot", yes, no)
	}
	if got := a.keptWords(rep); !slices.Equal(got, []string{KeptHere, KeptHere}) {
		t.Errorf("kept %v", got)
	}
}

// diskBytes is what the files below the folders take by their lengths; a file that is mapped may have a hole, so
// it is at least what they take.
func diskBytes(t testing.TB, dirs ...string) (n int64) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			n += info.Size()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// After a collection the disk holds what is live and little else: the newest revision in its folder, what the two
// before had besides, and the nodes of the last 16.
func TestCollectionGivesSpaceBack(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	store, err := badgerstore.Open(home, badgerstore.Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	a := newMember(t, role{store: store})
	dir := t.TempDir()
	const files, size, revisions = 40, 1 << 20, 20
	for i := range uint64(files) {
		write(t, filepath.Join(dir, fmt.Sprint(i)), noise(300+i, size))
	}
	rep := a.share(dir).Replica
	for i := range uint64(revisions) {
		a.revise(rep, func(dir string) {
			rewrite(t, fmt.Sprint(i%7), 400+2*i, size)(dir)
			rewrite(t, fmt.Sprint(20+i%5), 401+2*i, size)(dir)
		})
	}
	if err := a.Collect(within(t), func(keep func(set, c cid.Cid) bool) error {
		_, err := store.GC(within(t), keep)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	live := int64(files+2*2) * size
	st, err := store.Stats(within(t))
	if err != nil {
		t.Fatal(err)
	}
	used := diskBytes(t, dir, a.cfg.Segments) + st.DiskBytes
	t.Logf("%d bytes live, %d used, of them %d by the store", live, used, st.DiskBytes)
	if used > live+live/20 {
		t.Errorf("%d bytes are used, %d are live", used, live)
	}
	if got := a.keptWords(rep)[:4]; !slices.Equal(got, []string{KeptHere, KeptHere, KeptHere, KeptPartly}) {
		t.Errorf("kept %v", got)
	}
	if got := a.history(rep); len(got) != maxPast+1 || got[maxPast].Kept == KeptGone {
		t.Errorf("%d revisions, the oldest is %q", len(got), got[len(got)-1].Kept)
	}
	if c := a.check(rep); c.Damaged > 0 {
		t.Errorf("verify: %+v", c)
	}
}
