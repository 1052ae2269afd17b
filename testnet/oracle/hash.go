package oracle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempDir is the folder in a set's folder where a node keeps unfinished files.
const tempDir = ".shoal-tmp"

// entry is one thing in a folder, as far as it must arrive: folders have no bits or times that are looked at.
type entry struct {
	kind   byte // 'd', 'f' or 'l', or '?' for what no set can hold
	mode   fs.FileMode
	mtime  int64 // nanoseconds since 1970
	size   int64
	sum    [sha256.Size]byte
	target string // of 'l'
}

func (e entry) String() string {
	switch e.kind {
	case 'd':
		return "a folder"
	case 'l':
		return fmt.Sprintf("a symlink to %q", e.target)
	case 'f':
		return fmt.Sprintf("%d bytes with SHA-256 %x", e.size, e.sum)
	}
	return "no file, folder or symlink"
}

// differs says in what e is not as want is; "" = in nothing.
func (e entry) differs(want entry) string {
	switch {
	case e.kind != want.kind || e.target != want.target || e.sum != want.sum:
		return fmt.Sprintf("it should be %s, and is %s", want, e)
	case e.mode != want.mode:
		return fmt.Sprintf("its mode should be %04o, and is %04o", want.mode, e.mode)
	case e.mtime != want.mtime:
		return fmt.Sprintf("its mtime should be %d ns, and is %d ns", want.mtime, e.mtime)
	}
	return ""
}

// Snapshot is what a folder held. It is never modified.
type Snapshot struct {
	entries map[string]entry // by slash-separated path
	number  uint64           // of those that were published
	fresh   []string         // paths whose contents nobody had published before, under any name
}

// Hash reads a folder, but for a node's unfinished files, without any code of the node. Errors: of the disk, and
// ErrChanging.
func Hash(ctx context.Context, dir string) (Snapshot, error) {
	s := Snapshot{entries: map[string]entry{}}
	err := walk(ctx, dir, func(path string, e entry) error {
		s.entries[path] = e
		return nil
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("hash %s: %w", dir, err)
	}
	return s, nil
}

// ErrChanging: a file was written to each time it was read.
var ErrChanging = errors.New("the file changes while it is read")

// walk reads everything below dir in the order of names. What vanishes meanwhile is left out, and dir need not exist.
func walk(ctx context.Context, dir string, found func(path string, e entry) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if path := filepath.ToSlash(rel); strings.EqualFold(path, tempDir) {
			return fs.SkipDir
		} else if e, err := look(name, d); err == nil {
			return found(path, e)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// look reads one entry.
func look(name string, d fs.DirEntry) (entry, error) {
	switch {
	case d.IsDir():
		return entry{kind: 'd'}, nil
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		return entry{kind: 'l', target: target}, err
	case d.Type().IsRegular():
		return read(name)
	}
	return entry{kind: '?'}, nil
}

// readings is how often a file is read that changes meanwhile: an author's file is edited a few times a second at most.
const readings = 8

// read hashes a file. It is one file from begin to end even if another one takes its name meanwhile.
func read(name string) (entry, error) {
	for range readings {
		e, same, err := readOnce(name)
		if err != nil || same {
			return e, err
		}
	}
	return entry{}, fmt.Errorf("%s: %w", name, ErrChanging)
}

func readOnce(name string) (e entry, same bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return entry{}, false, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return entry{}, false, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return entry{}, false, err
	}
	after, err := f.Stat()
	if err != nil {
		return entry{}, false, err
	}
	e = entry{kind: 'f', mode: after.Mode().Perm(), mtime: after.ModTime().UnixNano(), size: n}
	h.Sum(e.sum[:0])
	return e, before.ModTime().Equal(after.ModTime()) && before.Size() == n && after.Size() == n, nil
}
