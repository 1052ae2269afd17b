package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// limited is a source whose folders are too many beyond the first few.
func limited(few int, err error) func() (source, error) {
	return func() (source, error) {
		s, openErr := openSource()
		add, n := s.add, 0
		s.add = func(dir string) error {
			if n++; n > few {
				return err
			}
			return add(dir)
		}
		return s, openErr
	}
}

func TestTooManyFolders(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		mkdir(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	o := quick
	o.Rescan = 50 * time.Millisecond
	w := watchDir(t, dir, o, limited(3, syscall.ENOSPC))
	text := w.noticed("cannot watch " + dir)
	if runtime.GOOS == "linux" && !strings.Contains(text, "sysctl fs.inotify.max_user_watches=") {
		t.Errorf("notice %q", text)
	}
	w.expect(Start)
	write(t, filepath.Join(dir, "4", "f"), "1")
	w.expect(Rescan)
	w.expect(Rescan) // and it has been tried again
	select {
	case text := <-w.notices:
		t.Errorf("said twice: %q", text)
	default:
	}
}

// The limit is reached by a folder that is new; later it is raised.
func TestLimitReachedLater(t *testing.T) {
	dir := t.TempDir()
	few := 1
	var mu sync.Mutex
	open := func() (source, error) {
		mu.Lock()
		defer mu.Unlock()
		return limited(few, syscall.EMFILE)()
	}
	o := quick
	o.Rescan = 50 * time.Millisecond
	o.Debounce = time.Hour
	w := watchDir(t, dir, o, open)
	w.expect(Start)
	mkdir(t, filepath.Join(dir, "a"))
	text := w.noticed("too many open files")
	if runtime.GOOS == "linux" && !strings.Contains(text, "max_user_instances") {
		t.Errorf("notice %q", text)
	}
	w.expect(Rescan)
	mu.Lock()
	few = 10
	mu.Unlock()
	w.expect(Rescan)
	w.expect(Rescan)
}

func TestCannotWatch(t *testing.T) {
	dir := t.TempDir()
	o := quick
	o.Rescan = 50 * time.Millisecond
	w := watchDir(t, dir, o, func() (source, error) { return source{}, errors.New("no such thing here") })
	w.noticed("no such thing here")
	w.expect(Start)
	w.expect(Rescan)
}

// Reports are lost: everything is watched anew, with what was made meanwhile.
func TestOverflow(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, "a"))
	var mu sync.Mutex
	var lost chan error
	events := make(chan fsnotify.Event) // none comes through the first source
	opened := 0
	open := func() (source, error) {
		mu.Lock()
		defer mu.Unlock()
		if opened++; opened == 1 {
			lost = make(chan error, 1)
			return source{add: func(string) error { return nil }, shut: func() error { return nil }, events: events, errors: lost}, nil
		}
		return openSource()
	}
	w := watchDir(t, dir, quick, open)
	w.expect(Start)
	mkdir(t, filepath.Join(dir, "a", "b"))
	lost <- fsnotify.ErrEventOverflow
	w.expect(Overflow)
	write(t, filepath.Join(dir, "a", "b", "f"), "1")
	w.see("a/b/f=1")
}

// A source that ends by itself is replaced.
func TestSourceEnds(t *testing.T) {
	dir := t.TempDir()
	opened := 0
	open := func() (source, error) {
		s, err := openSource()
		if opened++; opened == 1 && err == nil {
			s.shut() // closes its channels
			s.add = func(string) error { return nil }
		}
		return s, err
	}
	w := watchDir(t, dir, quick, open)
	w.expect(Start)
	w.expect(Overflow)
	write(t, filepath.Join(dir, "f"), "1")
	w.see("f=1")
}

func TestHint(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("add: %w", err) }
	for _, test := range []struct {
		err          error
		system, want string
	}{
		{wrapped(syscall.ENOSPC), "linux", "fs.inotify.max_user_watches"},
		{wrapped(syscall.EMFILE), "linux", "fs.inotify.max_user_instances"},
		{wrapped(syscall.EMFILE), "darwin", "ulimit -n"},
		{wrapped(syscall.ENFILE), "darwin", "ulimit -n"},
	} {
		if got := hint(test.err, test.system); !strings.Contains(got, test.want) {
			t.Errorf("%v on %s: %q", test.err, test.system, got)
		}
	}
	if got := hint(syscall.EACCES, "linux"); got != "" {
		t.Errorf("a hint without need: %q", got)
	}
}
