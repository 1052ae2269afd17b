// Package watch tells when a folder has changed and come to rest.
//
// It watches the folders of a tree, not its files: the operating system reports what happens to the entries of
// a folder. A new folder is watched first and then read, so whatever is made in it is either reported or found.
// Whenever reports may be incomplete, because a folder was renamed, reports were lost or a long time has passed,
// all watches are set anew before the caller is told; the caller then reads the tree, and what changes from
// there on is reported again. So nothing is missed for longer than Rescan, not even what no system reports: a
// file that was changed on the other side of a network mount, or through another hard link to it.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Reasons of a call.
const (
	Start    = "start"    // the first call
	Changed  = "changed"  // something changed, or the folder has come back
	Rescan   = "rescan"   // a long time has passed, or a call failed
	Overflow = "overflow" // so much changed that reports were lost
)

// lookAgain is how often a folder that is gone is looked for.
const lookAgain = time.Second

// Options of Folder; zero means the default.
type Options struct {
	// Debounce is how long nothing may have changed before the folder counts as at rest. Default 2 seconds: a
	// program that saves several files does so without longer breaks.
	Debounce time.Duration
	// MaxDelay is how long after the first change the call is made although changes go on. Default ten times
	// Debounce.
	MaxDelay time.Duration
	// Rescan is how long after a call the next is made although nothing was seen to change. Default one hour.
	Rescan time.Duration
	// Skip tells whether a file or folder is none of the caller's business, nor anything below it. It is asked
	// for paths relative to the folder, with slashes, when they change or are first seen, also during a call;
	// never at the same time as another Skip or Notice. nil skips nothing.
	Skip func(rel string) bool
	// Notice is told, in a sentence, what a user should know: that watching is not possible, that the folder is
	// gone or back. nil tells nobody.
	Notice func(text string)
	Log    *slog.Logger // nil logs nothing
}

func (o Options) withDefaults() Options {
	if o.Debounce <= 0 {
		o.Debounce = 2 * time.Second
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 10 * o.Debounce
	}
	if o.Rescan <= 0 {
		o.Rescan = time.Hour
	}
	if o.Skip == nil {
		o.Skip = func(string) bool { return false }
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Longest is how long after a change the call is made at the latest, unless another is going on.
func (o Options) Longest() time.Duration { return o.withDefaults().MaxDelay }

// Folder calls changed once at the beginning and then whenever dir has changed and come to rest, until ctx ends.
// It returns ctx's error when the call that was going on has returned; other errors only if dir has no absolute
// path.
//
// Calls are never made two at once; what changes during a call leads to another one. A call that returns an
// error is logged and made again: after half a minute, a minute and so on, or at the next change. While dir is
// not there, or is no folder, it is waited for and nothing is called; it may be missing from the beginning. If
// dir cannot be watched, calls are made every 30 seconds (or every Rescan, if that is shorter).
func Folder(ctx context.Context, dir string, o Options, changed func(ctx context.Context, why string) error) error {
	return folder(ctx, dir, o, openSource, lookAgain, changed)
}

func folder(ctx context.Context, dir string, o Options, open func() (source, error), poll time.Duration, changed func(context.Context, string) error) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	o = o.withDefaults()
	w := &watcher{
		dir: abs, o: o, open: open, changed: changed, done: make(chan error, 1),
		rest: rest{debounce: o.Debounce, maxDelay: o.MaxDelay, rescan: o.Rescan, poll: poll},
	}
	defer w.close()
	return w.run(ctx)
}

// watcher is the shell of rest: it belongs to one goroutine.
type watcher struct {
	dir     string
	o       Options
	open    func() (source, error)
	changed func(context.Context, string) error
	rest    rest
	timer   *time.Timer
	done    chan error // the result of the call that is going on

	src     source              // the zero source reports nothing
	root    string              // dir without symlinks; "" while it is gone
	info    os.FileInfo         // of root
	folders map[string]struct{} // that are watched, by their paths
	stale   bool                // they may not be all, or under other names
	next    time.Time           // when watching is tried again after it was not possible
	told    bool                // that it is not
	missed  bool                // that dir is gone was told
}

func (w *watcher) run(ctx context.Context) error {
	w.timer = time.NewTimer(w.rest.poll)
	defer w.timer.Stop()
	if !w.look() {
		w.step(gone)
	}
	for e, ok := started, true; ok; e, ok = w.wait(ctx) {
		why := w.step(e)
		if why == "" {
			continue
		}
		if !w.ready(why) {
			w.step(gone)
			w.step(failed)
			continue
		}
		go func() { w.done <- w.changed(ctx, why) }()
	}
	if w.rest.running {
		<-w.done
	}
	return ctx.Err()
}

// step tells rest, and sets the clock as it wishes. It gives the reason of the call to be made, if one is.
func (w *watcher) step(e event) (why string) {
	a := w.rest.step(time.Now(), e)
	if !a.wake.IsZero() {
		w.timer.Reset(time.Until(a.wake))
	}
	return a.call
}

// wait is for the next event; false when ctx has ended.
func (w *watcher) wait(ctx context.Context) (event, bool) {
	for {
		select {
		case <-ctx.Done():
			return 0, false
		case err := <-w.done:
			if err != nil {
				w.o.Log.Warn("change not taken in", "folder", w.dir, "why", err)
				return failed, true
			}
			return succeeded, true
		case <-w.timer.C:
			if w.root == "" && w.look() {
				w.step(ticked)
				w.missed = false
				w.o.Notice(w.dir + " is back")
				return back, true
			}
			return ticked, true
		case err, open := <-w.src.errors:
			w.stale = true
			if !open {
				w.src.errors = nil
			}
			if !open || errors.Is(err, fsnotify.ErrEventOverflow) {
				return overflowed, true
			}
			w.o.Log.Debug("watching a folder", "folder", w.dir, "err", err)
			return changes, true
		case report, open := <-w.src.events:
			if !open {
				w.src.events, w.stale = nil, true
				return overflowed, true
			}
			if e, ok := w.take(report); ok {
				return e, true
			}
		}
	}
}

// ready makes sure before a call that everything is watched which the caller is going to read. False if the
// folder is gone.
func (w *watcher) ready(why string) bool {
	info, err := os.Stat(w.dir)
	if err == nil && why != Rescan && !w.stale && w.info != nil && os.SameFile(info, w.info) {
		return true
	}
	return w.look()
}

// take turns a report into an event; false if it is nobody's business.
func (w *watcher) take(report fsnotify.Event) (event, bool) {
	left := report.Has(fsnotify.Remove) || report.Has(fsnotify.Rename)
	rel, below := strings.CutPrefix(report.Name, w.root+string(filepath.Separator))
	if !below {
		if left && !w.look() { // another folder may stand in its place already
			return gone, true
		}
		return changes, true
	}
	rel = filepath.ToSlash(rel)
	if w.o.Skip(rel) {
		return 0, false
	}
	if _, watched := w.folders[report.Name]; watched && left {
		delete(w.folders, report.Name)
		// What is below a folder that was renamed goes on being reported under the old name, and its own watch
		// may or may not have survived.
		w.stale = w.stale || report.Has(fsnotify.Rename)
	}
	if report.Has(fsnotify.Create) {
		if info, err := os.Lstat(report.Name); err == nil && info.IsDir() {
			if err := w.add(report.Name, rel); err != nil {
				w.blind(err)
			}
		}
	}
	return changes, true
}
