package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func create(t *testing.T, dir, name string) *Writer {
	t.Helper()
	w, err := Create(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func add(t *testing.T, w *Writer, data []byte) {
	t.Helper()
	if err := w.Add(blockstore.Sum(cid.Raw, data), data); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteListRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "segments", "set") // neither is there
	if all, err := List(dir); err != nil || all != nil {
		t.Errorf("list of nothing: %v, %v", all, err)
	}
	w := create(t, dir, "7.seg")
	chunks := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte{2}, 1<<20), []byte("three")}
	for _, c := range chunks {
		add(t, w, c)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"7.seg.tmp"}) {
		t.Errorf("before Close there is %q", got)
	}
	if w.Bytes() != 1<<20+8 {
		t.Errorf("%d bytes", w.Bytes())
	}
	f, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if f.Tree != dir || f.Path != "7.seg" || f.Stamp.Size != 1<<20+8 || f.Stamp.Mode != 0o600 || f.Set.Defined() ||
		!f.Cid.Equals(blockstore.Sum(cid.Raw, nil)) || len(f.Leaves) != len(chunks) {
		t.Errorf("file %+v", f)
	}
	data, err := os.ReadFile(filepath.Join(dir, "7.seg"))
	if err != nil || !bytes.Equal(data, slices.Concat(chunks...)) {
		t.Errorf("%d bytes in the file, %v", len(data), err)
	}
	for i, l := range f.Leaves {
		if !l.Cid.Equals(blockstore.Sum(cid.Raw, chunks[i])) || int(l.Size) != len(chunks[i]) {
			t.Errorf("leaf %d is %+v", i, l)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	all, err := List(dir)
	if err != nil || len(all) != 1 || all[0].Name != "7.seg" || all[0].Bytes != 1<<20+8 || all[0].Time.UnixNano() != f.Stamp.MtimeNs {
		t.Errorf("list: %+v, %v", all, err)
	}
	for range 2 { // the second time it is gone
		if err := Remove(dir, "7.seg"); err != nil {
			t.Error(err)
		}
	}
	if got := names(t, dir); got != nil {
		t.Errorf("left: %q", got)
	}
}

// TestRandomChunks: the places that the leaves say are those where the bytes lie.
func TestRandomChunks(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		w := create(t, dir, "x.seg")
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 100), 0, 20).Draw(rt, "chunks")
		if rapid.Bool().Draw(rt, "large") {
			chunks = append(chunks, make([]byte, rapid.IntRange(bufferSize-2, bufferSize+2).Draw(rt, "size")), []byte("end"))
		}
		for _, c := range chunks {
			add(t, w, c)
		}
		f, err := w.Close()
		if err != nil {
			rt.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "x.seg"))
		if err != nil || int64(len(data)) != f.Stamp.Size {
			rt.Fatalf("%d bytes, stamp says %d, %v", len(data), f.Stamp.Size, err)
		}
		for _, l := range f.Leaves {
			if err := blockstore.Verify(l.Cid, data[:l.Size]); err != nil {
				rt.Fatal(err)
			}
			data = data[l.Size:]
		}
		if len(data) != 0 {
			rt.Fatalf("%d bytes too many", len(data))
		}
	})
}

func TestAbortAndLeftovers(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, "1.seg")
	add(t, w, []byte("old"))
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = create(t, dir, "1.seg")
	add(t, w, make([]byte, 2*bufferSize)) // more than stays in memory
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "1.seg")); string(data) != "old" {
		t.Errorf("an abort left %q of the segment before, %v", data, err)
	}
	// A writer that was killed, and things that are none of ours.
	for _, name := range []string{"2.seg.tmp", "note.tmp", "note.txt", ".seg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "3.seg"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := List(dir)
	if err != nil || len(all) != 1 || all[0].Name != "1.seg" {
		t.Errorf("list: %+v, %v", all, err)
	}
	if got, want := names(t, dir), []string{".seg", "1.seg", "3.seg", "note.tmp", "note.txt"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	// The same name again takes the place of the one before, and of what a killed writer left.
	if err := os.WriteFile(filepath.Join(dir, "1.seg.tmp"), bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	w = create(t, dir, "1.seg")
	add(t, w, []byte("new"))
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "1.seg")); string(data) != "new" {
		t.Errorf("written again: %q, %v", data, err)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"", ".seg", "x", "x.seg.tmp", "../x.seg", "a/b.seg", "a\\b.seg", "a\x00.seg"} {
		if _, err := Create(dir, name); !errors.Is(err, blockstore.ErrInvalid) {
			t.Errorf("Create %q: %v", name, err)
		}
		if err := Remove(dir, name); !errors.Is(err, blockstore.ErrInvalid) {
			t.Errorf("Remove %q: %v", name, err)
		}
	}
	if _, err := Create("relative", "x.seg"); !errors.Is(err, blockstore.ErrInvalid) {
		t.Errorf("relative folder: %v", err)
	}
	w := create(t, dir, "x.seg")
	large := make([]byte, blockstore.MaxBlockSize+1)
	for name, err := range map[string]error{
		"no CID":    w.Add(cid.Undef, nil),
		"a node":    w.Add(blockstore.Sum(cid.DagProtobuf, nil), nil),
		"too large": w.Add(blockstore.Sum(cid.Raw, large), large),
	} {
		if !errors.Is(err, blockstore.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	add(t, w, []byte("good"))
	if f, err := w.Close(); err != nil || len(f.Leaves) != 1 || f.Stamp.Size != 4 {
		t.Errorf("after refusals: %+v, %v", f, err)
	}
}

func TestFullDiskIsToldApart(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	if err := ioError("add", full); !errors.Is(err, blockstore.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full: %v", err)
	}
	if err := ioError("add", os.ErrPermission); errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("no permission: %v", err)
	}
}
