package worktree

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// journalName is the file in TempDir that says what a checkout puts in place, so that a later one knows what
// is this node's own work although no record says so: the checkout was killed before Finish.
const journalName = "journal"

const (
	// maxJournal is how much of a journal is read, bytes: half a million lines of usual length. What lies
	// beyond is taken for somebody else's work, which is kept.
	maxJournal = 64 << 20
	// maxLine is the longest line: two paths of 4096 bytes, each byte quoted as \x00, and four numbers.
	maxLine = 2*4*4096 + 128
	// lazyLines is how many lines a lazy journal gathers for one write: few enough that little is in doubt when
	// it is lost, enough that it costs nothing.
	lazyLines = 64
)

// line says that a checkout was about to put something in place.
type line struct {
	kind   dag.Kind
	path   string
	target string // of a symlink
	// inode, size (bytes) and mtime (nanoseconds) of a file. Its ctime and mode change on the way.
	inode       uint64
	size, mtime int64
}

func fileLine(path string, s blockstore.Stamp) line {
	return line{kind: dag.KindFile, path: path, inode: s.Inode, size: s.Size, mtime: s.MtimeNs}
}

// matches tells whether a file that looks like s is the one that was put in place, not changed since.
func (l line) matches(s blockstore.Stamp) bool {
	return l.kind == dag.KindFile && l.inode == s.Inode && l.size == s.Size && l.mtime == s.MtimeNs
}

// append encodes the line: kind, inode, size, mtime and the two quoted texts, separated by spaces.
func (l line) append(b []byte) []byte {
	return fmt.Appendf(b, "%d %d %d %d %q %q\n", l.kind, l.inode, l.size, l.mtime, l.path, l.target)
}

// parseLine is the inverse of append; ok is false for what a crash or somebody else left.
func parseLine(text string) (l line, ok bool) {
	var kind uint8
	n, err := fmt.Sscanf(text, "%d %d %d %d %q %q", &kind, &l.inode, &l.size, &l.mtime, &l.path, &l.target)
	l.kind = dag.Kind(kind)
	return l, err == nil && n == 6 && fs.ValidPath(l.path) && l.path != "."
}

// journal is safe for concurrent use once its fields above the line are set.
type journal struct {
	dir  *dirHandle        // TempDir
	step func() error      // see CheckoutOptions
	lazy bool              // see later
	old  map[string][]line // what earlier checkouts wrote, by path

	open sync.Once // guards f and err
	f    *os.File
	err  error

	mu      sync.Mutex // guards what follows; not held during I/O
	pending []byte
	lines   int
}

// read reads what earlier checkouts wrote. A line that is no line is passed over.
func (j *journal) read(tmp *os.Root) error {
	info, err := tmp.Lstat(journalName)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	f, _, err := openRegular(tmp, journalName, os.O_RDONLY, info)
	if err != nil {
		return err
	}
	defer f.Close()
	j.old, err = parseJournal(f)
	return err
}

func parseJournal(r io.Reader) (map[string][]line, error) {
	lines := map[string][]line{}
	in := bufio.NewScanner(io.LimitReader(r, maxJournal))
	in.Buffer(nil, maxLine)
	for in.Scan() {
		if l, ok := parseLine(in.Text()); ok {
			lines[l.path] = append(lines[l.path], l)
		}
	}
	if err := in.Err(); !errors.Is(err, bufio.ErrTooLong) {
		return lines, err
	}
	return lines, nil
}

// owns tells whether the file at path, which looks like s, is an earlier checkout's.
func (j *journal) owns(path string, s blockstore.Stamp) bool {
	for _, l := range j.old[path] {
		if l.matches(s) {
			return true
		}
	}
	return false
}

// ownsLink is owns for a symlink.
func (j *journal) ownsLink(path, target string) bool {
	for _, l := range j.old[path] {
		if l.kind == dag.KindSymlink && l.target == target {
			return true
		}
	}
	return false
}

// write adds lines before what they say is done. They need no sync: they are for a killed process, not for
// a machine that lost its power.
func (j *journal) write(lines ...line) error {
	var b []byte
	for _, l := range lines {
		b = l.append(b)
	}
	return j.append(b)
}

// later is write after the fact, some time before Close at the latest. It is for a folder that was empty: its
// files need no system call of their own, and if the process is killed at most lazyLines of them are taken for
// somebody else's. That is why an error does not matter.
func (j *journal) later(l line) {
	j.mu.Lock()
	j.pending = l.append(j.pending)
	j.lines++
	full := j.lines >= lazyLines
	j.mu.Unlock()
	if full {
		_ = j.flush()
	}
}

func (j *journal) flush() error {
	j.mu.Lock()
	b := j.pending
	j.pending, j.lines = nil, 0
	j.mu.Unlock()
	if len(b) == 0 {
		return nil
	}
	return j.append(b)
}

// append writes whole lines with one call, so that those of several goroutines do not mix.
func (j *journal) append(b []byte) error {
	if err := j.step(); err != nil {
		return err
	}
	j.open.Do(func() { j.f, j.err = openJournal(j.dir.root) })
	if j.err != nil {
		return j.err
	}
	_, err := j.f.Write(b)
	return err
}

// openJournal appends to the journal that is there; what has its name and is no file is removed.
func openJournal(tmp *os.Root) (*os.File, error) {
	const flag = os.O_WRONLY | os.O_APPEND | openNoBlock
	info, err := tmp.Lstat(journalName)
	if err == nil && info.Mode().IsRegular() {
		f, _, err := openRegular(tmp, journalName, flag, info)
		if err != nil {
			return nil, err
		}
		_, err = f.Write([]byte("\n")) // ends a line that was cut off
		if err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	if err == nil {
		if err := tmp.RemoveAll(journalName); err != nil {
			return nil, err
		}
	}
	return tmp.OpenFile(journalName, flag|os.O_CREATE|os.O_EXCL, 0o600)
}

// drop forgets lines that are not written yet: the files are recorded.
func (j *journal) drop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending, j.lines = nil, 0
}

// Close writes what was put off: a checkout that is ended without Finish goes on as another one.
func (j *journal) Close() error {
	if j.dir == nil {
		return nil
	}
	err := j.flush()
	if j.f != nil {
		err = errors.Join(err, j.f.Close())
	}
	return err
}
