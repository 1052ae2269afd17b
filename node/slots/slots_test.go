package slots

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// value is a recognisable value of n bytes or a few more.
func value(id, n int) []byte {
	return append(fmt.Appendf(nil, "value %d ", id), bytes.Repeat([]byte{byte(id)}, n)...)
}

func mustOpen(t testing.TB, path string, want []byte, recovered bool) *File {
	t.Helper()
	f, data, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) || (data == nil) != (want == nil) || f.Recovered() != recovered {
		t.Fatalf("Open: %.40q, recovered %v; want %.40q, %v", data, f.Recovered(), want, recovered)
	}
	return f
}

func mustSave(t testing.TB, f *File, data []byte) {
	t.Helper()
	if err := f.Save(data); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSaveAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path, nil, false)
	mustClose(t, f)
	f = mustOpen(t, path, nil, false)
	for _, data := range [][]byte{value(1, 10), {}, value(2, MaxData-100), bytes.Repeat([]byte{7}, MaxData), value(3, 0)} {
		mustSave(t, f, data)
		mustClose(t, f)
		f = mustOpen(t, path, data, false)
	}
	if err := f.Save(make([]byte, MaxData+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("Save of too much: %v", err)
	}
	mustSave(t, f, value(4, 0)) // is usable still
	before := f.generation
	mustClose(t, f)
	if err := f.Save(value(5, 0)); !errors.Is(err, ErrBroken) {
		t.Fatalf("Save after Close: %v", err)
	}
	f = mustOpen(t, path, value(4, 0), false)
	if f.generation < before {
		t.Errorf("generation %d after %d", f.generation, before)
	}
	mustClose(t, f)
	info, err := os.Stat(path)
	if err != nil || info.Size() != 2*slotSize || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("file: %v, %v", info, err)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("files: %v, %v", names, err)
	}
}

func TestOpenWithoutFolder(t *testing.T) {
	f, _, err := Open(filepath.Join(t.TempDir(), "none", "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Save(value(1, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Save: %v", err)
	}
	if _, _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was opened as a file")
	}
}

// damage writes n bytes at an offset of the file, or cuts it there if n is 0.
func damage(t *testing.T, path string, at int64, n int) {
	t.Helper()
	h, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		err = h.Truncate(at)
	} else {
		_, err = h.WriteAt(bytes.Repeat([]byte{0xa5}, n), at)
	}
	if err := errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestWhatSurvives is the table of the package documentation, as far as a real disk shows it.
func TestWhatSurvives(t *testing.T) {
	last, before := value(3, 100), value(2, 100)
	newer, older := record{generation: 3}.offset(), record{generation: 2}.offset()
	for _, c := range []struct {
		name      string
		hurt      func(t *testing.T, path string)
		want      []byte
		recovered bool
		err       error
	}{
		{"nothing", func(*testing.T, string) {}, last, false, nil},
		{"newer slot", func(t *testing.T, p string) { damage(t, p, newer+50, 4) }, before, true, nil},
		{"newer header", func(t *testing.T, p string) { damage(t, p, newer, headerSize) }, before, true, nil},
		{"older slot", func(t *testing.T, p string) { damage(t, p, older+50, 4) }, last, true, nil},
		{"behind the values", func(t *testing.T, p string) { damage(t, p, 1000, 5000); damage(t, p, slotSize+1000, 5000) }, last, false, nil},
		{"cut behind the values", func(t *testing.T, p string) { damage(t, p, slotSize+1000, 0) }, last, false, nil},
		{"cut between the slots", func(t *testing.T, p string) { damage(t, p, slotSize, 0) }, before, true, nil},
		{"both slots", func(t *testing.T, p string) { damage(t, p, 20, 1); damage(t, p, slotSize+20, 1) }, nil, false, ErrLost},
		{"empty file", func(t *testing.T, p string) { damage(t, p, 0, 0) }, nil, false, ErrLost},
		{"zeros", func(t *testing.T, p string) { damage(t, p, 0, 0); damage(t, p, 2*slotSize, 0) }, nil, false, ErrLost},
		{"removed", func(t *testing.T, p string) { os.Remove(p) }, nil, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			f := mustOpen(t, path, nil, false)
			for i := 1; i <= 3; i++ {
				mustSave(t, f, value(i, 100))
			}
			mustClose(t, f)
			c.hurt(t, path)
			for range 2 { // damage is told until a Save has mended it
				f, data, err := Open(path)
				if !errors.Is(err, c.err) || f == nil || !bytes.Equal(data, c.want) || f.Recovered() != c.recovered {
					t.Fatalf("Open: %.40q, %v; want %.40q, %v, recovered %v", data, err, c.want, c.err, c.recovered)
				}
				mustClose(t, f)
			}
			f, _, _ = Open(path)
			mustSave(t, f, value(9, 0))
			mustClose(t, f)
			mustClose(t, mustOpen(t, path, value(9, 0), false))
		})
	}
}

// saved makes a disk with a file into which values 1 to n were saved.
func saved(t testing.TB, seed uint64, n, size int) (*memDisk, *File) {
	t.Helper()
	d := newMemDisk(seed)
	f, _, err := open(d, "state")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		mustSave(t, f, value(i, size))
	}
	return d, f
}

// TestFaultAtEachPoint lets each step of a Save, and of the Open after it, end in a crash or an error.
func TestFaultAtEachPoint(t *testing.T) {
	for _, fault := range []error{errCrash, errIO} {
		for n := range 4 { // Saves before
			points := 0
			for seed := range uint64(40) {
				for step := 0; ; step++ {
					d, f := saved(t, seed, n, int(seed)*100)
					d.steps, d.fault = step, fault
					err := f.Save(value(n+1, int(seed)*100))
					if d.steps >= 0 { // the fault did not come
						if err != nil {
							t.Fatal(err)
						}
						break
					}
					points = max(points, step+1)
					if err == nil || f.generation > uint64(n) {
						t.Fatalf("step %d: %v was not reported", step, fault)
					}
					if err := f.Save(value(50, 0)); !errors.Is(err, ErrBroken) {
						t.Fatalf("step %d: Save after a failed one: %v", step, err)
					}
					checkAfterFault(t, d, n, int(seed)*100)
				}
			}
			if want := []int{6, 2, 2, 2}[n]; points != want {
				t.Errorf("%d points in Save %d, want %d", points, n+1, want)
			}
		}
	}
}

// checkAfterFault opens a disk on which Save n+1 failed, with a fault at each step of Open as well.
func checkAfterFault(t *testing.T, d *memDisk, n, size int) {
	t.Helper()
	if d.dead {
		d.reboot()
	}
	for _, d.fault = range []error{errIO, errCrash} {
		for step, came := 0, true; came; step++ {
			d.steps = step
			_, _, err := open(d, "state")
			if came = d.steps < 0; came && err == nil {
				t.Fatalf("step %d of Open: fault was not reported", step)
			}
			if d.dead {
				d.reboot()
			}
		}
	}
	d.steps = -1
	_, first, err := open(d, "state")
	if err != nil {
		t.Fatal(err)
	}
	if old, new := value(n, size), value(n+1, size); !bytes.Equal(first, new) && !(n == 0 && first == nil) && !(n > 0 && bytes.Equal(first, old)) {
		t.Fatalf("value %.20q after %d saved ones", first, n)
	}
	// What Open returned is on the disk, even where an fsync had failed.
	d.reboot()
	f, again, err := open(d, "state")
	if err != nil || !bytes.Equal(first, again) {
		t.Fatalf("%.20q, then after a crash %.20q, %v", first, again, err)
	}
	mustSave(t, f, value(n+2, 0))
	d.reboot()
	if f, data, err := open(d, "state"); err != nil || f.Recovered() || !bytes.Equal(data, value(n+2, 0)) {
		t.Fatalf("saved after the fault: %.20q, %v", data, err)
	}
}

// TestHistories runs Saves, crashes and errors in any order: the value is the last one that Save or Open vouched
// for, or one that was tried since; and the generation of a value never goes back.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newMemDisk(rapid.Uint64().Draw(t, "seed"))
		possible := [][]byte{nil} // the first is the one vouched for
		var f *File
		generation := uint64(0)
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			d.steps, d.fault = rapid.IntRange(-6, 8).Draw(t, "fault in"), rapid.SampledFrom([]error{errCrash, errIO}).Draw(t, "fault")
			if f == nil {
				g, data, err := open(d, "state")
				switch {
				case errors.Is(err, ErrLost):
					t.Fatal("lost without damage")
				case err == nil:
					if !slices.ContainsFunc(possible, func(p []byte) bool { return bytes.Equal(p, data) }) {
						t.Fatalf("value %.20q, want one of %.20q", data, possible)
					}
					if g.generation < generation {
						t.Fatalf("generation %d after %d", g.generation, generation)
					}
					f, generation, possible = g, g.generation, [][]byte{data}
				}
			} else {
				data := value(i, rapid.IntRange(0, 2000).Draw(t, "size"))
				if err := f.Save(data); err != nil {
					f, possible = nil, append(possible, data)
				} else {
					generation, possible = f.generation, [][]byte{data}
				}
			}
			if d.dead || rapid.IntRange(0, 5).Draw(t, "reboot") == 0 {
				d.reboot()
				f = nil
			}
		}
	})
}

// TestUnreadable: a slot that the disk cannot read is a damaged one; where that leaves none, nothing is lost yet.
func TestUnreadable(t *testing.T) {
	d, _ := saved(t, 1, 3, 0)
	d.unreadable = map[int64]bool{slotSize: true} // the newer slot
	f, data, err := open(d, "state")
	if err != nil || !f.Recovered() || !bytes.Equal(data, value(2, 0)) {
		t.Errorf("newer slot unreadable: %q, %v", data, err)
	}
	d, _ = saved(t, 1, 1, 0)
	d.unreadable = map[int64]bool{slotSize: true} // the only one
	if _, _, err := open(d, "state"); !errors.Is(err, errIO) || errors.Is(err, ErrLost) {
		t.Errorf("only slot unreadable: %v", err)
	}
	d.unreadable = nil
	if _, data, err := open(d, "state"); err != nil || !bytes.Equal(data, value(1, 0)) {
		t.Errorf("then: %q, %v", data, err)
	}
}

func BenchmarkSave(b *testing.B) {
	f := mustOpen(b, filepath.Join(b.TempDir(), "state"), nil, false)
	data := value(1, 400)
	for b.Loop() {
		mustSave(b, f, data)
	}
	mustClose(b, f)
}
