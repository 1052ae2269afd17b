package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Conflict is something in the folder that was not this node's to replace and had to make way.
type Conflict struct {
	Path string // where it was; the revision's entry lies there now
	Copy string // what it is called now, in the same folder; a symlink or folder is kept as such
}

// makeWay sees to it that entry e can have its name in its folder dir. over: something is there that is to be
// overwritten; otherwise the name is free. Errors: ConflictError if what is there must stay.
func (c *Checkout) makeWay(e int32, dir *dirHandle) (over bool, err error) {
	path, name := c.plan.Entries[e].Path, c.plan.name(e)
	info, err := dir.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir():
		return false, c.clearFolder(path, dir, name)
	case c.mayReplace(e, dir, info):
		return true, nil
	case c.o.copies():
		return c.copyAside(path, dir, name, info)
	}
	return false, &ConflictError{Paths: []string{path}}
}

// mayReplace decides that for what is no folder.
func (c *Checkout) mayReplace(e int32, dir *dirHandle, info fs.FileInfo) bool {
	if c.o.Force {
		return true
	}
	switch {
	case info.Mode().IsRegular():
		c.mu.Lock()
		f := c.files[e]
		c.mu.Unlock()
		return f.ours && f.seen == makeStamp(info)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := dir.root.Readlink(info.Name())
		return err == nil && c.ownLink(c.plan.Entries[e].Path, target)
	}
	return false
}

// wrote tells whether this node put a file there that it does not record, and nobody changed it since.
func (c *Checkout) wrote(path string, s blockstore.Stamp) bool {
	return c.o.Wrote(path, s) || c.journal.owns(path, s)
}

// ownLink tells whether this node made the symlink at path.
func (c *Checkout) ownLink(path, target string) bool {
	return c.o.Links(path, target) || c.journal.ownsLink(path, target)
}

// ownFile tells whether this node wrote or scanned the file at path, which looks like s, and nobody changed it
// since.
func (c *Checkout) ownFile(path string, s blockstore.Stamp) (own, recorded bool) {
	rec, recorded := c.o.Known(path)
	return recorded && (rec.Stamp == s || rotten(rec, s)) || c.wrote(path, s), recorded
}

// clearFolder takes a folder out of the way of a file or symlink: what is this node's own in it is removed, and
// if something is left all the folder is renamed aside.
func (c *Checkout) clearFolder(path string, dir *dirHandle, name string) error {
	s := &sweep{c: c, remove: c.o.copies()}
	clean, err := s.folder(dir.root, name, path)
	if err == nil && clean && !s.remove {
		s.remove = true
		clean, err = s.folder(dir.root, name, path)
	}
	if err != nil || clean {
		return err
	}
	if !c.o.copies() {
		return &ConflictError{Paths: []string{path}}
	}
	info, err := dir.root.Lstat(name)
	if err == nil {
		_, err = c.copyAside(path, dir, name, info)
	}
	return err
}

// maxSweep is how many folders below one another are swept: as many as a revision may have. What lies deeper is
// not this node's.
const maxSweep = 64

// sweep goes through a folder that must make way.
type sweep struct {
	c        *Checkout
	remove   bool // what is this node's own; otherwise it only looks
	recorded bool // something was recorded there
	depth    int
}

// folder tells whether all that lies in the folder called name is this node's own, and removes it if so, and
// else as much of it.
func (s *sweep) folder(parent *os.Root, name, path string) (clean bool, err error) {
	if s.depth++; s.depth > maxSweep {
		return false, nil
	}
	defer func() { s.depth-- }()
	dir, err := openDir(parent, name)
	if errors.Is(err, ErrKind) || errors.Is(err, errSwapped) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	names, err := readNames(dir)
	if err != nil {
		return false, err
	}
	clean = true
	for _, n := range names {
		own, err := s.entry(dir, n, join(path, n))
		if err != nil {
			return false, err
		}
		clean = clean && own
	}
	if !clean || !s.remove {
		return clean, nil
	}
	if err := s.c.o.step(); err != nil {
		return false, err
	}
	return true, parent.Remove(name)
}

func (s *sweep) entry(dir *os.Root, name, path string) (own bool, err error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return false, err
	}
	switch {
	case info.IsDir():
		return s.folder(dir, name, path)
	case info.Mode().IsRegular():
		var recorded bool
		own, recorded = s.c.ownFile(path, makeStamp(info))
		s.recorded = s.recorded || recorded
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := dir.Readlink(name)
		if err != nil {
			return false, err
		}
		own = s.c.ownLink(path, target)
	}
	if !own || !s.remove {
		return own, nil
	}
	if err := s.c.o.step(); err != nil {
		return false, err
	}
	return true, dir.Remove(name)
}

// maxCopies is how many names are tried for a conflict copy: more than come about within a second.
const maxCopies = 1000

// copyAside gives what is called name a conflict name as well (over: the first name still has it, and may be
// overwritten) or, if it can have but one, instead. With two names there is no moment without a file at path.
func (c *Checkout) copyAside(path string, dir *dirHandle, name string, info fs.FileInfo) (over bool, err error) {
	folder, _ := splitPath(path)
	if twin, err := findTwin(dir.root, name, info); twin != "" || err != nil {
		c.reportConflict(path, join(folder, twin))
		return true, err
	}
	for n := 1; n <= maxCopies; n++ {
		as := conflictName(name, info.IsDir(), c.o.Now(), n)
		if err := c.o.step(); err != nil {
			return false, err
		}
		err := fs.ErrInvalid
		if !info.IsDir() {
			err = dir.root.Link(name, as)
		}
		over = err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) { // a folder, or a file system without links
			err = moveNew(dir, name, dir, as)
		}
		if err == nil {
			c.reportConflict(path, join(folder, as))
		}
		if !errors.Is(err, fs.ErrExist) {
			return over, err
		}
	}
	return false, &ConflictError{Paths: []string{path}}
}

func (c *Checkout) reportConflict(path, as string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conflicts = append(c.conflicts, Conflict{Path: path, Copy: as})
}

const conflictMark = ".conflict-"

// findTwin finds the conflict name that a checkout gave the file called name before it was killed.
func findTwin(dir *os.Root, name string, info fs.FileInfo) (string, error) {
	if info.IsDir() {
		return "", nil
	}
	names, err := readNames(dir)
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if n == name || !strings.Contains(n, conflictMark) {
			continue
		}
		if other, err := dir.Lstat(n); err == nil && os.SameFile(other, info) {
			return n, nil
		}
	}
	return "", nil
}

// maxName is the longest name most file systems hold, bytes.
const maxName = 255

// conflictName is the n-th name for a conflict copy of name at time t, in UTC:
// report.conflict-20261122-031500.txt, report.conflict-20261122-031500-2.txt.
func conflictName(name string, isDir bool, t time.Time, n int) string {
	ext := path.Ext(name)
	if isDir || ext == name {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	mark := conflictMark + t.UTC().Format("20060102-150405")
	if n > 1 {
		mark += fmt.Sprintf("-%d", n)
	}
	if len(mark)+len(ext) > maxName { // an "extension" of which only the name can be kept
		stem, ext = name, ""
	}
	if room := maxName - len(mark) - len(ext); len(stem) > room {
		stem = stem[:room]
		for len(stem) > 0 && !utf8.ValidString(stem) {
			stem = stem[:len(stem)-1]
		}
	}
	return stem + mark + ext
}
