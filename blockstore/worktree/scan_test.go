//go:build linux || darwin

package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

func TestScanFindsEverything(t *testing.T) {
	dir := sample(t)
	st := memstore.New()
	s := scan(t, dir, st, options(t))
	lay := layout(t, st, s.Root)
	if s.Files != 8 || s.Dirs != 6 || s.Symlinks != 3 || len(s.Skipped) != 0 {
		t.Errorf("got %+v", s)
	}
	if lay.Files != s.Files || lay.Dirs != s.Dirs || lay.Symlinks != s.Symlinks || lay.Bytes != s.Bytes || s.Bytes != s.BytesRead {
		t.Errorf("layout %d files, %d dirs, %d symlinks, %d bytes; snapshot %+v", lay.Files, lay.Dirs, lay.Symlinks, lay.Bytes, s)
	}
	for i, l := range lay.Leaves { // served from the files
		if _, err := st.Get(t.Context(), l.Cid, nil); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

func TestScanRootDoesNotDependOnWorkers(t *testing.T) {
	dir := sample(t)
	want := scan(t, dir, memstore.New(), options(t)).Root
	for _, n := range []int{1, 2, 3, 7, 16, 100} {
		o := options(t)
		o.Workers = n
		if got := scan(t, dir, memstore.New(), o).Root; got != want {
			t.Errorf("%d workers: %s, want %s", n, got, want)
		}
	}
}

// The root of a file that spans slabs must be the one that cutting it whole gives.
func TestSlabBoundaries(t *testing.T) {
	for _, workers := range []int{1, 16} { // large and small slabs
		h, err := newHasher(chunkParams(dag.DefaultProfile()), workers)
		must(t, err)
		for _, size := range []int{0, 1, smallSlab - 1, smallSlab, smallSlab + 1, bigSlab - 1, bigSlab, bigSlab + 1, 2*bigSlab + 12345} {
			data := random(3, size)
			leaves, err := h.file(t.Context(), strings.NewReader(data), int64(size))
			must(t, err)
			rest := []byte(data)
			for i, l := range leaves {
				n := h.chunker.Cut(rest, true)
				if int(l.Size) != n || blockstore.Verify(l.Cid, rest[:n]) != nil {
					t.Fatalf("size %d, %d workers: leaf %d differs", size, workers, i)
				}
				rest = rest[n:]
			}
			if len(rest) > 0 {
				t.Fatalf("size %d: %d bytes have no leaf", size, len(rest))
			}
		}
		if len(h.slabs) != cap(h.slabs) {
			t.Errorf("%d of %d slabs came back", len(h.slabs), cap(h.slabs))
		}
		if _, err := h.file(t.Context(), strings.NewReader("short"), 6); !errors.Is(err, errChanged) {
			t.Errorf("a file that shrinks: %v", err)
		}
		if mem := cap(h.slabs) * h.slabSize; mem > 64<<20 {
			t.Errorf("%d bytes of buffers", mem)
		}
	}
}

func TestScanSkipsAndReports(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/ok", "ok")
	must(t, syscall.Mkfifo(dir+"/fifo", 0o644))
	write(t, dir+"/bad\xff", "not UTF-8")
	for name, target := range map[string]string{"abs": "/etc/passwd", "out": "../x", "sneaky": "sub/../ok", "fine": "sub/../../x"} {
		must(t, os.Symlink(target, dir+"/"+name))
	}
	must(t, os.MkdirAll(dir+"/"+strings.Repeat("d/", 70), 0o755))
	write(t, dir+"/"+TempDir+"/partial", "never")
	s := scan(t, dir, memstore.New(), options(t))
	got := skippedPaths(s.Skipped)
	want := "abs:symlink bad\xff:name " + strings.Repeat("d/", 63) + "d:limit fifo:kind fine:symlink out:symlink sneaky:symlink"
	if got != want {
		t.Errorf("skipped %q\nwant %q", got, want)
	}
	if s.Files != 1 || s.Dirs != 64 {
		t.Errorf("%+v", s)
	}
}

func TestScanUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	write(t, dir+"/secret", "x")
	write(t, dir+"/sub/y", "y")
	must(t, os.Chmod(dir+"/secret", 0))
	must(t, os.Chmod(dir+"/sub", 0))
	t.Cleanup(func() { os.Chmod(dir+"/sub", 0o755) })
	s := scan(t, dir, memstore.New(), options(t))
	if skippedPaths(s.Skipped) != "secret:? sub:?" || s.Files != 0 || s.Dirs != 1 {
		t.Errorf("%+v", s)
	}
}

func TestScanIgnores(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/.shoalignore", "*.log\nbuild/\n")
	write(t, dir+"/sub/.shoalignore", "!keep.log\n")
	for _, f := range []string{"a", "a.log", "keep.log", "build/x", "sub/a.log", "sub/keep.log", "sub/build/keep.log", ".git/config"} {
		write(t, dir+"/"+f, "x")
	}
	st := memstore.New()
	var got []string
	for _, e := range layout(t, st, scan(t, dir, st, options(t)).Root).Entries {
		if e.Kind == dag.KindFile {
			got = append(got, e.Path)
		}
	}
	if want := ".git/config .shoalignore a sub/.shoalignore sub/keep.log"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestScanOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/one.log", "1")
	write(t, dir+"/two", "2")
	write(t, dir+"/.shoalignore", "*.log")
	must(t, os.Chmod(dir, 0o700))
	st, o := memstore.New(), options(t)
	o.Only = "one.log"
	s := scan(t, dir, st, o)
	lay := layout(t, st, s.Root)
	if len(lay.Entries) != 2 || lay.Entries[1].Path != "one.log" || lay.Entries[0].Attr.Mode != dag.DefaultDirMode {
		t.Errorf("%+v", lay.Entries)
	}
	must(t, os.Symlink("one.log", dir+"/link"))
	o.Only = "link"
	if _, err := Scan(t.Context(), dir, st, o); !errors.Is(err, ErrKind) {
		t.Errorf("a symlink alone: %v", err)
	}
}

// aged makes times old enough that a stamp can be trusted: the clock of the scan runs ahead.
func aged(o ScanOptions) ScanOptions {
	o.Now = func() time.Time { return time.Now().Add(time.Minute) }
	return o
}

func TestUnchangedFilesAreNotRead(t *testing.T) {
	dir := sample(t)
	st, o := memstore.New(), aged(options(t))
	o.Known, o.Get = knownOf(t, st, dir), st
	first := scan(t, dir, st, o)
	second := scan(t, dir, st, o)
	if second.BytesRead != 0 || second.Root != first.Root || second.Files != first.Files || second.Bytes != first.Bytes {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	write(t, dir+"/sub/half", "now different")
	third := scan(t, dir, st, o)
	if third.BytesRead != int64(len("now different")) || third.Root == first.Root {
		t.Errorf("%+v", third)
	}
	if fresh := scan(t, dir, memstore.New(), options(t)); fresh.Root != third.Root {
		t.Error("a trusted scan and a full one differ")
	}
	empty := memstore.New()
	o.Get = empty // the nodes are not there: the records are of no use
	if again := scan(t, dir, st, o); again.BytesRead == 0 || again.Root != third.Root {
		t.Errorf("%+v", again)
	}
}

// An edit that keeps size, mtime, mode and inode, within the tick of the last scan: only ctime could
// tell, and it need not.
func TestRacyTimestamps(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/f"
	write(t, name, "old content")
	info, err := os.Stat(name)
	must(t, err)
	stamp := makeStamp(info)
	changed := info.ModTime()
	set := testSet()
	st := memstore.New()
	for _, tc := range []struct {
		scanned time.Duration // after the file's times
		trust   bool
	}{{0, false}, {time.Millisecond, false}, {tick, false}, {tick + time.Millisecond, true}} {
		rec := blockstore.File{Set: set, Stamp: stamp, ScannedNs: max(changed.UnixNano(), stamp.CtimeNs) + int64(tc.scanned)}
		if Trusted(stamp, rec) != tc.trust {
			t.Errorf("scanned %v after the change: trusted %v", tc.scanned, !tc.trust)
		}
	}
	coarse := blockstore.Stamp{MtimeNs: 5e9, CtimeNs: 5e9}
	if Trusted(coarse, blockstore.File{Stamp: coarse, ScannedNs: 7e9}) {
		t.Error("whole seconds are as coarse as 2 s")
	}
	if Trusted(blockstore.Stamp{}, blockstore.File{ScannedNs: 1e18}) {
		t.Error("nothing is trusted without ctime")
	}

	// End to end: a record as a scan at the very moment of the change leaves it, then an edit that
	// leaves no trace in the stamp (the record is given the edited file's stamp).
	o := options(t)
	first := scan(t, dir, st, o)
	write(t, name, "new content")
	info, err = os.Stat(name)
	must(t, err)
	rec, _, err := st.LookupFile(t.Context(), dir, "f")
	must(t, err)
	rec.Stamp = makeStamp(info)
	rec.ScannedNs = rec.Stamp.CtimeNs + int64(time.Millisecond)
	o.Known, o.Get = func(string) (blockstore.File, bool) { return rec, true }, st
	if second := scan(t, dir, st, o); second.Root == first.Root || second.BytesRead == 0 {
		t.Error("a racy edit was not seen")
	}
}

// changer is a clock that changes the file each time the scan asks for the time, which is between the
// first look at the file and reading it.
func TestChangingFile(t *testing.T) {
	for _, tc := range []struct {
		name    string
		changes int64 // how often it changes
		skipped string
	}{{"settles", 2, ""}, {"never settles", 1 << 30, "log:changing"}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/log", "start")
			must(t, os.Chtimes(dir+"/log", time.Unix(1e9, 0), time.Unix(1e9, 0)))
			var n atomic.Int64
			o := options(t)
			o.Now = func() time.Time {
				if n.Add(1) <= tc.changes {
					write(t, dir+"/log", fmt.Sprint("change ", n.Load()))
					must(t, os.Chtimes(dir+"/log", time.Time{}, time.Unix(1e9, n.Load())))
				}
				return time.Now().Add(time.Hour) // nothing to wait for
			}
			st := memstore.New()
			s := scan(t, dir, st, o)
			if got := skippedPaths(s.Skipped); got != tc.skipped {
				t.Fatalf("skipped %q", got)
			}
			lay := layout(t, st, s.Root)
			if tc.skipped != "" {
				if len(lay.Entries) != 1 {
					t.Error("a skipped file was published")
				}
				return
			}
			data, err := st.Get(t.Context(), lay.Leaves[0].Cid, nil)
			if err != nil || string(data) != "change 2" {
				t.Errorf("published %q, %v", data, err)
			}
		})
	}
}

// A fresh file is read only when a later change must show in its times.
func TestSettle(t *testing.T) {
	now := time.Unix(100, 5)
	at := func(d time.Duration) blockstore.Stamp {
		return blockstore.Stamp{MtimeNs: 1, CtimeNs: now.Add(d).UnixNano()}
	}
	for _, tc := range []struct{ d, want time.Duration }{
		{0, tick + 1}, {-tick / 2, tick/2 + 1}, {-tick - 1, 0}, {-time.Hour, 0}, {time.Hour, 0}, {tick / 2, tick + tick/2 + 1},
	} {
		if got := settle(at(tc.d), now); got != tc.want {
			t.Errorf("changed %v from now: wait %v, want %v", tc.d, got, tc.want)
		}
	}
}

// A file of one repeated letter is rewritten with the next one while it is being read: what is published
// is of one letter, never torn.
func TestNeverTorn(t *testing.T) {
	const size = 4 << 20
	dir := t.TempDir()
	write(t, dir+"/f", strings.Repeat("a", size))
	published := 0
	for round := 1; round <= 20; round++ {
		f, err := os.OpenFile(dir+"/f", os.O_WRONLY, 0)
		must(t, err)
		letters := []byte(strings.Repeat(string(rune('a'+round)), size/64))
		var once sync.Once
		var wg sync.WaitGroup
		o := options(t)
		o.Now = func() time.Time { // called when reading is about to begin
			once.Do(func() {
				wg.Go(func() {
					for i := range 64 {
						f.WriteAt(letters, int64(i)*int64(len(letters)))
					}
				})
			})
			return time.Now()
		}
		var r recorder
		_, err = Scan(t.Context(), dir, &r, o)
		must(t, err)
		wg.Wait()
		f.Close()
		for _, file := range r.files {
			published++
			for _, l := range file.Leaves[:len(file.Leaves)-1] {
				if l.Cid != file.Leaves[0].Cid {
					t.Fatalf("round %d: torn", round)
				}
			}
		}
	}
	if published == 0 {
		t.Error("nothing was ever published")
	}
}

// recorder is a sink that remembers the calls.
type recorder struct {
	puts, putFiles int
	blocks         int
	files          []blockstore.File
	err            error
}

func (r *recorder) Put(_ context.Context, _ cid.Cid, blocks ...blockstore.Block) error {
	r.puts++
	r.blocks += len(blocks)
	return r.err
}

func (r *recorder) PutFiles(_ context.Context, files ...blockstore.File) error {
	r.putFiles++
	r.files = append(r.files, files...)
	return r.err
}

func TestScanPutsInBatches(t *testing.T) {
	dir := t.TempDir()
	for i := range 1500 {
		write(t, filepath.Join(dir, fmt.Sprint(i%10), fmt.Sprint(i)), fmt.Sprint(i))
	}
	var r recorder
	var files int
	o := options(t)
	o.Progress = func(n int, _ int64) { files = n }
	s, err := Scan(t.Context(), dir, &r, o)
	must(t, err)
	if len(r.files) != 1500 || r.blocks != s.Nodes || r.putFiles > 4 || r.puts > 5 || files != 1500 {
		t.Errorf("%d files in %d calls, %d of %d blocks in %d, progress %d", len(r.files), r.putFiles, r.blocks, s.Nodes, r.puts, files)
	}
}

func TestScanEndsOnSinkErrorAndCancel(t *testing.T) {
	dir := t.TempDir()
	for i := range 1200 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), random(uint64(i), 20<<10))
	}
	r := recorder{err: blockstore.ErrNoSpace}
	if _, err := Scan(t.Context(), dir, &r, options(t)); !errors.Is(err, blockstore.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	var n atomic.Int64
	o.Now = func() time.Time {
		if n.Add(1) == 300 {
			cancel()
		}
		return time.Now()
	}
	if _, err := Scan(ctx, dir, &recorder{}, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := Scan(t.Context(), dir+"/nothing", &recorder{}, options(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestCheckTarget(t *testing.T) {
	for _, tc := range []struct {
		link, target string
		ok           bool
	}{
		{"l", "x", true}, {"l", "x/y", true}, {"l", "./x", true}, {"a/l", "../x", true}, {"a/b/l", "../../x", true},
		{"l", "..", false}, {"l", "../x", false}, {"a/l", "../../x", false}, {"a/l", "b/../x", false}, {"l", "/x", false},
		{"l", "", false}, {"l", "a\x00", false}, {"l", "a\\b", false}, {"l", "c:x", false}, {"l", "a\xff", false},
		{"a/l", ".././../x", false}, {"a/l", "..//x", true}, {"l", strings.Repeat("x", 4096), false},
	} {
		if err := checkTarget(tc.link, tc.target); (err == nil) != tc.ok {
			t.Errorf("%s -> %q: %v", tc.link, tc.target, err)
		}
	}
}
