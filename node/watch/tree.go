package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// readAtOnce is how many entries of a folder are in memory together.
const readAtOnce = 1024

// source reports what happens in folders. The zero source never does.
type source struct {
	add    func(dir string) error
	shut   func() error
	events <-chan fsnotify.Event
	errors <-chan error
}

func openSource() (source, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return source{}, err
	}
	return source{add: w.Add, shut: w.Close, events: w.Events, errors: w.Errors}, nil
}

func (w *watcher) close() {
	if w.src.shut != nil {
		w.src.shut()
	}
	w.src, w.folders = source{}, nil
}

// look sets all watches anew. False if the folder is gone.
func (w *watcher) look() bool {
	w.close()
	w.root, w.info, w.stale = "", nil, false
	root, err := filepath.EvalSymlinks(w.dir)
	if err != nil {
		return w.miss(err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return w.miss(err)
	}
	if !info.IsDir() {
		return w.miss(errors.New("not a folder"))
	}
	w.root, w.info = root, info
	now := time.Now()
	if now.Before(w.next) {
		return true
	}
	w.src, err = w.open()
	if err == nil {
		w.folders = map[string]struct{}{}
		err = w.add(root, "")
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // it went just now
		w.close()
		w.root = ""
		return w.miss(err)
	case err != nil:
		w.blind(err)
	default:
		w.rest.blind = false
	}
	return true
}

func (w *watcher) miss(err error) bool {
	if !w.missed {
		w.missed = true
		w.o.Notice(fmt.Sprintf("%s is gone (%v); waiting for it to come back", w.dir, err))
	}
	return false
}

// add watches a folder and all below it. Errors: that the system's limit is reached, or that the root cannot be
// watched; what else cannot be watched cannot be read either, which is for the caller to say.
func (w *watcher) add(dir, rel string) error {
	if _, watched := w.folders[dir]; watched {
		return nil
	}
	if err := w.src.add(dir); err != nil {
		if rel == "" || exhausted(err) {
			return err
		}
		w.o.Log.Debug("a folder is not watched", "folder", dir, "err", err)
		return nil
	}
	w.folders[dir] = struct{}{}
	f, err := os.Open(dir) // after add: what is made from now on is reported
	if err != nil {
		return nil
	}
	var below []string // closed before they are gone into: the tree may be deep
	for err == nil {
		var entries []os.DirEntry
		entries, err = f.ReadDir(readAtOnce)
		for _, e := range entries {
			if e.IsDir() {
				below = append(below, e.Name())
			}
		}
	}
	f.Close()
	if err != io.EOF {
		w.o.Log.Debug("a folder is not read", "folder", dir, "err", err)
	}
	for _, name := range below {
		sub := name
		if rel != "" {
			sub = rel + "/" + name
		}
		if w.o.Skip(sub) {
			continue
		}
		if err := w.add(dir+string(filepath.Separator)+name, sub); err != nil {
			return err
		}
	}
	return nil
}

// blind gives up watching until Rescan has passed, and with it the watches that were set: they are counted for
// all programs of the user together, or are open files that the rest of this one needs.
func (w *watcher) blind(err error) {
	w.close()
	w.rest.blind = true
	w.next = time.Now().Add(w.o.Rescan)
	if w.told {
		return
	}
	w.told = true
	w.o.Notice(fmt.Sprintf("cannot watch %s (%v): looking through it every %v instead%s", w.dir, err, w.rest.pause(), hint(err, runtime.GOOS)))
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// hint says how to raise the limit that was reached.
func hint(err error, system string) string {
	switch {
	case !exhausted(err):
		return ""
	case system == "linux" && errors.Is(err, syscall.ENOSPC):
		return "; to watch more folders: sudo sysctl fs.inotify.max_user_watches=1048576"
	case system == "linux":
		return "; to have more watchers: sudo sysctl fs.inotify.max_user_instances=1024"
	default: // there each file that is watched is an open file
		return "; to watch more files raise the limit of open files: ulimit -n 65536"
	}
}
