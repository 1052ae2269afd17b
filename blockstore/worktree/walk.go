package worktree

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// scanDir is a folder of the scan. Its handle is open while files in it wait to be read.
type scanDir struct {
	path    string
	attr    dag.Attr
	root    *os.Root
	refs    atomic.Int32 // of root: the walk and each file job
	entries []*scanEntry
	failed  bool // could not be listed: not part of the snapshot
}

// scanEntry is what a folder holds: a file or symlink, whose link comes from a worker, or a folder.
type scanEntry struct {
	name string
	link dag.Link // defined when the file was read; an entry without one was skipped
	dir  *scanDir
}

// job is a file to be read.
type job struct {
	dir   *scanDir
	entry *scanEntry
	info  fs.FileInfo
}

func (d *scanDir) release() {
	if d.refs.Add(-1) == 0 {
		d.root.Close()
	}
}

// walker lists folders one by one and hands out the files. It runs in one goroutine; the number of open
// folders is bounded by the depth plus the jobs that wait.
type walker struct {
	ctx  context.Context
	o    ScanOptions
	own  private
	jobs chan<- job
	skip func(path string, err error)
	link func(e *scanEntry, target string) error // makes a symlink node
	dirs int
}

// walk fills d and what is below. It owns one reference to d and gives it up.
func (w *walker) walk(d *scanDir, rules *ignoreRules, depth int) error {
	defer d.release()
	names, err := readNames(d.root)
	if err != nil && d.path == "" {
		return fmt.Errorf("scan: %w", err)
	}
	if err != nil {
		d.failed = true
		w.skip(d.path, err)
		return nil
	}
	if w.marked(names) && w.o.Only == "" {
		if d.path == "" {
			return fmt.Errorf("scan: %w", ErrPrivate)
		}
		d.failed = true
		w.skip(d.path, ErrPrivate)
		return nil
	}
	w.dirs++
	if depth == 0 && w.o.Only != "" {
		names = []string{w.o.Only}
	} else if rules, err = w.readRules(d, names, rules); err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(d, name, rules, depth); err != nil {
			return err
		}
	}
	return nil
}

// marked tells whether a folder with these names is some node's home.
func (w *walker) marked(names []string) bool {
	for _, mark := range w.o.PrivateMarks {
		if !slices.Contains(names, mark) {
			return false
		}
	}
	return len(w.o.PrivateMarks) > 0
}

// readRules adds the ignore file of d, if it has one. A rule that cannot be read ends the scan: it may
// be there to keep something secret.
func (w *walker) readRules(d *scanDir, names []string, rules *ignoreRules) (*ignoreRules, error) {
	if w.o.IgnoreFile == "" || !slices.Contains(names, w.o.IgnoreFile) {
		return rules, nil
	}
	text, err := readSmall(d.root, w.o.IgnoreFile)
	if err != nil {
		return nil, fmt.Errorf("scan: read rules of %q: %w", join(d.path, w.o.IgnoreFile), err)
	}
	return rules.with(d.path, text), nil
}

// readSmall reads an ignore file; one that is no regular file has no rules, as in git.
func readSmall(dir *os.Root, name string) (string, error) {
	info, err := dir.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	if info.Size() > maxIgnoreFile {
		return "", fmt.Errorf("larger than %d bytes", maxIgnoreFile)
	}
	f, _, err := openRegular(dir, name, os.O_RDONLY, info)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile))
	return string(text), err
}

// entry looks at one name of d: queues a file, notes a symlink, walks a folder, or skips it. The error is
// one that ends the scan.
func (w *walker) entry(d *scanDir, name string, rules *ignoreRules, depth int) error {
	full := join(d.path, name)
	info, err := d.root.Lstat(name)
	if err != nil {
		w.skip(full, err)
		return nil
	}
	only := depth == 0 && w.o.Only != "" // what was named is shared, rules or not
	if !only && rules.ignored(d.path, name, info.IsDir()) {
		return nil
	}
	if err := dag.CheckName(name); err != nil {
		w.skip(full, fmt.Errorf("%w: %w", ErrName, err))
		return nil
	}
	e := &scanEntry{name: name}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return w.queue(job{dir: d, entry: e, info: info})
	case only:
		return fmt.Errorf("scan %q: %w: share its folder instead", full, ErrKind)
	case mode.IsDir():
		return w.descend(d, e, info, rules, depth)
	case mode&fs.ModeSymlink != 0:
		return w.symlink(d, e)
	}
	w.skip(full, fmt.Errorf("%w: %s", ErrKind, info.Mode().Type()))
	return nil
}

func (w *walker) queue(j job) error {
	j.dir.entries = append(j.dir.entries, j.entry)
	j.dir.refs.Add(1)
	select {
	case w.jobs <- j:
		return nil
	case <-w.ctx.Done():
		j.dir.release()
		return w.ctx.Err()
	}
}

func (w *walker) descend(d *scanDir, e *scanEntry, info fs.FileInfo, rules *ignoreRules, depth int) error {
	full := join(d.path, e.name)
	if w.own.has(info) {
		w.skip(full, ErrPrivate)
		return nil
	}
	if limit := dag.DefaultLimits().Depth; depth+2 > limit { // a file in it would be deeper than readers go
		w.skip(full, fmt.Errorf("%w: more than %d folders deep", dag.ErrLimit, limit))
		return nil
	}
	sub, err := openDir(d.root, e.name)
	if err != nil {
		w.skip(full, err)
		return nil
	}
	e.dir = newScanDir(full, sub, info)
	d.entries = append(d.entries, e)
	return w.walk(e.dir, rules, depth+1)
}

// newScanDir holds the walk's reference.
func newScanDir(path string, root *os.Root, info fs.FileInfo) *scanDir {
	d := &scanDir{path: path, root: root, attr: dag.Attr{Mode: uint32(info.Mode().Perm())}}
	d.refs.Store(1)
	return d
}

func (w *walker) symlink(d *scanDir, e *scanEntry) error {
	full := join(d.path, e.name)
	target, err := d.root.Readlink(e.name)
	if err == nil {
		err = checkTarget(full, target)
	}
	if err != nil {
		w.skip(full, err)
		return nil
	}
	d.entries = append(d.entries, e)
	return w.link(e, target)
}
