package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long an event is waited for that will come.
const patience = 20 * time.Second

// call is a call of changed: the test answers it.
type call struct {
	why    string
	answer chan error
}

// watched is a folder that is being watched, and what was said about it.
type watched struct {
	t       *testing.T
	dir     string
	calls   chan call
	notices chan string
	stop    func() error
}

// quick is at rest soon, and looks through the folder only when told to.
var quick = Options{Debounce: 20 * time.Millisecond, MaxDelay: time.Hour}

func watchDir(t *testing.T, dir string, o Options, open func() (source, error)) *watched {
	t.Helper()
	w := &watched{t: t, dir: dir, calls: make(chan call), notices: make(chan string, 100)}
	o.Notice = func(text string) { w.notices <- text }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- folder(ctx, dir, o, open, 10*time.Millisecond, func(ctx context.Context, why string) error {
			c := call{why, make(chan error, 1)}
			select {
			case w.calls <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case err := <-c.answer:
				return err
			case <-ctx.Done(): // the test is not interested
				return ctx.Err()
			}
		})
	}()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := w.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	return w
}

// next is the next call, not yet answered.
func (w *watched) next(why string) call {
	w.t.Helper()
	select {
	case c := <-w.calls:
		if c.why != why {
			w.t.Errorf("called because of %q instead of %q", c.why, why)
		}
		return c
	case <-time.After(patience):
		w.t.Fatalf("not called for %q", why)
		return call{}
	}
}

func (w *watched) expect(why string) {
	w.t.Helper()
	w.next(why).answer <- nil
}

// see answers calls until what is in the folder is what is wanted: one change may be seen in several parts.
func (w *watched) see(want ...string) {
	w.t.Helper()
	var got []string
	for deadline := time.After(patience); ; {
		select {
		case c := <-w.calls:
			got = list(w.t, w.dir)
			c.answer <- nil
			if reflect.DeepEqual(got, want) {
				return
			}
		case <-deadline:
			w.t.Fatalf("the last call saw %q instead of %q", got, want)
		}
	}
}

func (w *watched) noticed(part string) string {
	w.t.Helper()
	select {
	case text := <-w.notices:
		if !strings.Contains(text, part) {
			w.t.Errorf("notice %q without %q", text, part)
		}
		return text
	case <-time.After(patience):
		w.t.Fatalf("no notice of %q", part)
		return ""
	}
}

// list is the files below dir with their contents.
func list(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(rel)+"="+string(b))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be gone again
		t.Error(err)
	}
	return files
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileWritten(t *testing.T) {
	dir := t.TempDir()
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	write(t, filepath.Join(dir, "a"), "1")
	w.see("a=1")
	write(t, filepath.Join(dir, "a"), "22")
	w.see("a=22")
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	w.see("b=22")
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	w.see()
}

func TestModeChanged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "run.sh")
	write(t, path, "")
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	w.expect(Changed)
}

// The folder is never at rest: the call comes nevertheless, and only because of MaxDelay.
func TestWrittenWithoutEnd(t *testing.T) {
	dir := t.TempDir()
	w := watchDir(t, dir, Options{Debounce: time.Hour, MaxDelay: 50 * time.Millisecond}, openSource)
	w.expect(Start)
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer f.Close()
		for {
			select {
			case <-stop:
				return
			default:
				f.WriteString("line\n")
			}
		}
	}()
	w.next(Changed) // the one after it would have to wait an hour
	close(stop)
	<-stopped
}

// What changes while the caller reads is told when it is done.
func TestChangedDuringCall(t *testing.T) {
	dir := t.TempDir()
	w := watchDir(t, dir, quick, openSource)
	first := w.next(Start)
	write(t, filepath.Join(dir, "a"), "1")
	first.answer <- nil
	w.see("a=1")
}

// Folders that are made and filled faster than they can be watched.
func TestNewFolders(t *testing.T) {
	dir := t.TempDir()
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	for i := range 20 {
		top := filepath.Join(dir, "a")
		deep := mkdir(t, filepath.Join(top, "b", "c", "d"))
		write(t, filepath.Join(deep, "f"), fmt.Sprint(i))
		w.see(fmt.Sprint("a/b/c/d/f=", i))
		write(t, filepath.Join(deep, "f"), fmt.Sprint(i, "again")) // it is watched
		w.see(fmt.Sprint("a/b/c/d/f=", i, "again"))
		if err := os.RemoveAll(top); err != nil {
			t.Fatal(err)
		}
		w.see()
	}
}

// A tree that comes from elsewhere in one step.
func TestMovedIn(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	deep := mkdir(t, filepath.Join(other, "x", "y"))
	write(t, filepath.Join(deep, "f"), "1")
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	if err := os.Rename(filepath.Join(other, "x"), filepath.Join(dir, "x")); err != nil {
		t.Fatal(err)
	}
	w.see("x/y/f=1")
	write(t, filepath.Join(dir, "x", "y", "f"), "2")
	w.see("x/y/f=2")
}

func TestFolderRenamed(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, "x0", "y"))
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	for i := range 20 {
		from, to := filepath.Join(dir, fmt.Sprint("x", i)), filepath.Join(dir, fmt.Sprint("x", i+1))
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		w.expect(Changed)
		write(t, filepath.Join(to, "y", "f"), fmt.Sprint(i)) // below the renamed folder
		w.see(fmt.Sprintf("x%d/y/f=%d", i+1, i))
		deep := mkdir(t, filepath.Join(to, "y", "z")) // a new folder there
		write(t, filepath.Join(deep, "g"), fmt.Sprint(i))
		w.see(fmt.Sprintf("x%d/y/f=%d", i+1, i), fmt.Sprintf("x%d/y/z/g=%d", i+1, i))
		if err := os.RemoveAll(deep); err != nil {
			t.Fatal(err)
		}
		w.see(fmt.Sprintf("x%d/y/f=%d", i+1, i))
	}
}

// A folder that was moved out is none of our business any more, and one that takes its name is.
func TestMovedOut(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	mkdir(t, filepath.Join(dir, "x"))
	w := watchDir(t, dir, quick, openSource)
	w.expect(Start)
	if err := os.Rename(filepath.Join(dir, "x"), filepath.Join(other, "x")); err != nil {
		t.Fatal(err)
	}
	mkdir(t, filepath.Join(dir, "x"))
	w.expect(Changed)
	write(t, filepath.Join(other, "x", "f"), "elsewhere")
	write(t, filepath.Join(dir, "x", "f"), "here")
	w.see("x/f=here")
}

func TestSkip(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, ".tmp", "deep"))
	mkdir(t, filepath.Join(dir, "a", "b"))
	var mu sync.Mutex
	asked := map[string]bool{}
	o := quick
	o.Skip = func(rel string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[rel] = true
		return rel == ".tmp" || rel == "a/b/skipped"
	}
	var added []string
	open := func() (source, error) {
		s, err := openSource()
		add := s.add
		s.add = func(path string) error {
			mu.Lock()
			defer mu.Unlock()
			added = append(added, path)
			return add(path)
		}
		return s, err
	}
	w := watchDir(t, dir, o, open)
	w.expect(Start)
	write(t, filepath.Join(dir, "a", "b", "skipped"), "1")
	mkdir(t, filepath.Join(dir, ".tmp", "new"))
	write(t, filepath.Join(dir, "a", "b", "seen"), "1")
	w.expect(Changed)
	w.stop()
	mu.Lock()
	defer mu.Unlock()
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{root, filepath.Join(root, "a"), filepath.Join(root, "a", "b")}; !reflect.DeepEqual(added, want) {
		t.Errorf("watched %q instead of %q", added, want)
	}
	want := map[string]bool{".tmp": true, "a": true, "a/b": true, "a/b/skipped": true, "a/b/seen": true}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for %v instead of %v", asked, want)
	}
}

// What is skipped is no change.
func TestSkippedReport(t *testing.T) {
	w := &watcher{root: filepath.FromSlash("/r"), o: Options{Skip: func(rel string) bool { return rel == ".tmp" }}}
	for name, want := range map[string]bool{"/r/.tmp": false, "/r/.tmpx": true, "/r/a": true, "/r": true} {
		if e, ok := w.take(fsnotify.Event{Name: filepath.FromSlash(name), Op: fsnotify.Write}); ok != want || ok && e != changes {
			t.Errorf("%s: %v, %v", name, e, ok)
		}
	}
}

// A call that fails is not the end; what changes is told again.
func TestCallFails(t *testing.T) {
	dir := t.TempDir()
	w := watchDir(t, dir, quick, openSource)
	w.next(Start).answer <- errors.New("disk full")
	write(t, filepath.Join(dir, "f"), "1")
	w.next(Changed).answer <- errors.New("disk full")
	write(t, filepath.Join(dir, "f"), "2")
	w.expect(Changed)
}

// The end waits for the call that is going on.
func TestEndDuringCall(t *testing.T) {
	dir := t.TempDir()
	in, out, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	returned := false
	go func() {
		ended <- Folder(ctx, dir, Options{}, func(ctx context.Context, _ string) error {
			close(in)
			<-ctx.Done()
			<-out
			returned = true
			return nil
		})
	}()
	<-in
	cancel()
	close(out)
	if err := <-ended; !errors.Is(err, context.Canceled) || !returned {
		t.Errorf("%v; the call had returned: %v", err, returned)
	}
}
