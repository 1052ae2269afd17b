package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/segment"
)

// retention is a store, a worktree and a folder of segments of one set.
type retention struct {
	*testing.T
	store      *Store
	set        cid.Cid
	tree, segs string
}

func newRetention(t *testing.T) *retention {
	return &retention{
		T: t, store: open(t, t.TempDir()), set: benchSet,
		tree: t.TempDir(), segs: filepath.Join(t.TempDir(), "segments", "set"),
	}
}

// write replaces a file of the worktree and records it.
func (r *retention) write(path string, chunks ...[]byte) {
	r.Helper()
	f := blockstore.File{Set: r.set, Tree: r.tree, Path: path, Cid: blockstore.Sum(cid.Raw, slices.Concat(chunks...))}
	for _, c := range chunks {
		f.Leaves = append(f.Leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, c), Size: uint32(len(c))})
		f.Stamp.Size += int64(len(c))
	}
	temp := filepath.Join(r.tree, "temporary")
	err := os.WriteFile(temp, slices.Concat(chunks...), 0o600)
	if err == nil {
		err = os.Rename(temp, filepath.Join(r.tree, path))
	}
	if err := errors.Join(err, r.store.PutFiles(r.Context(), f)); err != nil {
		r.Fatal(err)
	}
}

// copyOut puts chunks that the store holds into a segment, and records it.
func (r *retention) copyOut(name string, chunks ...[]byte) blockstore.File {
	r.Helper()
	w, err := segment.Create(r.segs, name)
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range chunks {
		id := blockstore.Sum(cid.Raw, c)
		data, err := r.store.GetFrom(r.Context(), r.set, id, nil)
		if err == nil {
			err = w.Add(id, data)
		}
		if err != nil {
			r.Fatal(err)
		}
	}
	f, err := w.Close()
	if err != nil {
		r.Fatal(err)
	}
	f.Set = r.set
	if err := r.store.PutFiles(r.Context(), f); err != nil {
		r.Fatal(err)
	}
	return f
}

// drop forgets a segment and unlinks it.
func (r *retention) drop(name string) {
	r.Helper()
	if err := errors.Join(r.store.DropFiles(r.Context(), r.segs, name), segment.Remove(r.segs, name)); err != nil {
		r.Fatal(err)
	}
}

// collect collects all garbage and checks that no reference was left over.
func (r *retention) collect() {
	r.Helper()
	got, err := r.store.GC(r.Context(), func(_, _ cid.Cid) bool { return false })
	if err != nil || got != (Reclaimed{}) {
		r.Fatalf("GC = %+v, %v; want nothing", got, err)
	}
}

func (r *retention) has(what string, chunk []byte) {
	r.Helper()
	got, err := r.store.GetFrom(r.Context(), r.set, blockstore.Sum(cid.Raw, chunk), nil)
	if err != nil || !bytes.Equal(got, chunk) {
		r.Fatalf("%s: %d bytes, %v", what, len(got), err)
	}
}

func (r *retention) lacks(what string, chunk []byte) {
	r.Helper()
	if _, err := r.store.GetFrom(r.Context(), r.set, blockstore.Sum(cid.Raw, chunk), nil); !errors.Is(err, blockstore.ErrNotFound) {
		r.Fatalf("%s: %v, want ErrNotFound", what, err)
	}
	if has, err := r.store.Has(r.Context(), blockstore.Sum(cid.Raw, chunk)); has || err != nil {
		r.Fatalf("%s: Has = %v, %v", what, has, err)
	}
}

// TestRetention: chunks of old revisions outlive the worktree's files in segments, and go with them.
func TestRetention(t *testing.T) {
	r := newRetention(t)
	a, b, c, d, e := randomBytes(1, 300<<10), randomBytes(2, 256<<10), randomBytes(3, 70), randomBytes(4, 1<<20), randomBytes(5, 9)
	r.write("file", a, b, c)
	r.copyOut("1.seg", b, c)
	r.write("file", a, d)
	r.collect()
	for name, chunk := range map[string][]byte{"a": a, "b": b, "c": c, "d": d} {
		r.has(name+" after one update", chunk)
	}
	r.copyOut("2.seg", d)
	r.write("file", a, e)
	// A reader of another set, which holds one of the chunks itself, gets no other.
	other := blockstore.Sum(cid.Raw, []byte("another set"))
	if err := r.store.Put(t.Context(), other, blockstore.NewBlock(cid.Raw, a)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.GetFrom(t.Context(), other, blockstore.Sum(cid.Raw, b), nil); !errors.Is(err, blockstore.ErrNotFound) {
		t.Errorf("a segment's chunk under another set: %v", err)
	}
	r.drop("1.seg")
	r.lacks("b without its segment", b)
	r.lacks("c without its segment", c)
	for name, chunk := range map[string][]byte{"a": a, "d": d, "e": e} {
		r.has(name+" after the oldest went", chunk)
	}
	left, err := segment.List(r.segs)
	if err != nil || len(left) != 1 || left[0].Name != "2.seg" || left[0].Bytes != 1<<20 {
		t.Errorf("segments %+v, %v", left, err)
	}
	if n, err := folderBytes(r.segs); err != nil || n > 1<<20+64<<10 { // and the folder itself
		t.Errorf("segments take %d bytes, %v", n, err)
	}
	if st, err := r.store.Stats(t.Context()); err != nil || st.Files != 2 {
		t.Errorf("%d files recorded, %v", st.Files, err)
	}
	// A set that is deleted forgets its segments like its files.
	if err := r.store.DeleteSet(t.Context(), r.set); err != nil {
		t.Fatal(err)
	}
	if has, err := r.store.Has(t.Context(), blockstore.Sum(cid.Raw, d)); has || err != nil {
		t.Errorf("after DeleteSet: %v, %v", has, err)
	}
}

// TestSegmentIsVerified: damage in a segment is found like damage anywhere, and a copy elsewhere serves.
func TestSegmentIsVerified(t *testing.T) {
	r := newRetention(t)
	a, b := randomBytes(1, 1000), randomBytes(2, 1000)
	r.write("file", a, b)
	r.copyOut("1.seg", a, b)
	r.write("file", a)
	path := filepath.Join(r.segs, "1.seg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[0]++
	data[1500]++
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r.has("a, which lies in the worktree too", a)
	if _, err := r.store.Get(t.Context(), blockstore.Sum(cid.Raw, b), nil); !errors.Is(err, blockstore.ErrCorrupt) {
		t.Errorf("b: %v, want ErrCorrupt", err)
	}
	r.lacks("b, found corrupt before", b)
}

// TestSegmentOfCommonChunk: a chunk that lies in as many files as are remembered has no place left for the
// segment; recording the segment again once those files are replaced gives it one.
func TestSegmentOfCommonChunk(t *testing.T) {
	r := newRetention(t)
	common := randomBytes(1, 500)
	for i := range maxRefsPerSet + 5 {
		r.write(fmt.Sprint(i), common, fmt.Append(nil, "old ", i))
	}
	f := r.copyOut("1.seg", common)
	for i := range maxRefsPerSet + 5 {
		r.write(fmt.Sprint(i), fmt.Append(nil, "new ", i))
	}
	if err := r.store.PutFiles(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	r.has("the common chunk", common)
	r.collect()
	r.drop("1.seg")
	r.lacks("the common chunk", common)
}
