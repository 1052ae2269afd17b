// Package segment keeps chunks that no file of a worktree holds any more: append-only files, each written once
// and unlinked whole.
//
// Terms: a segment is a file of chunks one after the other and nothing else; what lies where in it is known to
// the store alone, which records a segment like any file (blockstore.FilePutter) with the segment's folder as
// its tree. So a chunk of an old revision is found by its CID after the files that held it were replaced, is
// verified whenever it is read, and is forgotten with its segment (blockstore.FileDropper).
//
// The order of steps that loses nothing:
//
//  1. Create, Add each chunk that is about to lose its last place, Close: the bytes are on stable storage.
//  2. Put the File that Close gave into the store, with Set filled in.
//  3. Only then replace or remove what held the chunks.
//  4. When the segment is not wanted any more: drop the file from the store, then Remove it.
//
// What a crash leaves of step 1 is removed by List, and a segment that was not recorded is written anew under
// the same name.
package segment

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Ext is how the name of every segment ends, and tempExt what is behind it until the segment is complete.
const (
	Ext     = ".seg"
	tempExt = ".tmp"
)

// bufferSize joins small chunks into writes of the size of a usual large one, bytes.
const bufferSize = 256 << 10

// Writer writes one segment. It is used by one goroutine and ends with Close or Abort.
type Writer struct {
	dir, name string
	f         *os.File
	buf       *bufio.Writer // after an error it refuses everything
	bytes     int64
	leaves    []blockstore.Leaf
}

// Create begins the segment name, which ends in ".seg", in dir, an absolute path that is made if it is not
// there, for the owner only. Nothing of that name is seen in dir before Close, which takes the place of an
// earlier segment of that name. One writer at a time may be at work on a name.
// Errors: blockstore.ErrInvalid for a name or path that is none, blockstore.ErrNoSpace.
func Create(dir, name string) (*Writer, error) {
	if !filepath.IsAbs(dir) || !isName(name) {
		return nil, fmt.Errorf("create segment %q in %q: %w: not a segment's name in an absolute path", name, dir, blockstore.ErrInvalid)
	}
	if err := makeDir(dir); err != nil {
		return nil, ioError("create segment", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name+tempExt), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, ioError("create segment", err)
	}
	return &Writer{dir: dir, name: name, f: f, buf: bufio.NewWriterSize(f, bufferSize)}, nil
}

// Add appends a chunk, whose bytes the caller has verified against c. A chunk should be added once. After an
// error the segment can only be aborted. Errors: blockstore.ErrInvalid for what is no chunk,
// blockstore.ErrNoSpace.
func (w *Writer) Add(c cid.Cid, data []byte) error {
	if err := blockstore.CheckCid(c); err != nil {
		return fmt.Errorf("add to segment: %w", err)
	}
	if c.Type() != cid.Raw || len(data) > blockstore.MaxBlockSize {
		return fmt.Errorf("add to segment: %w: %s of %d bytes", blockstore.ErrInvalid, c, len(data))
	}
	if _, err := w.buf.Write(data); err != nil {
		return ioError("add to segment", err)
	}
	w.bytes += int64(len(data))
	w.leaves = append(w.leaves, blockstore.Leaf{Cid: c, Size: uint32(len(data))})
	return nil
}

// Bytes is the length of the segment so far.
func (w *Writer) Bytes() int64 { return w.bytes }

// Close makes the segment durable under its name and gives it as the file to record, complete but for Set. No
// scan ever trusts it: it is not part of a revision, and its Cid is that of no bytes. On an error nothing of
// the segment remains. Errors: blockstore.ErrNoSpace.
func (w *Writer) Close() (blockstore.File, error) {
	err := w.buf.Flush()
	if err == nil {
		err = w.f.Sync()
	}
	var info fs.FileInfo
	if err == nil {
		info, err = w.f.Stat()
	}
	if err != nil {
		return blockstore.File{}, errors.Join(ioError("close segment", err), w.Abort())
	}
	temp := w.f.Name()
	err = w.f.Close()
	if err == nil {
		err = os.Rename(temp, filepath.Join(w.dir, w.name))
	}
	if err != nil {
		return blockstore.File{}, errors.Join(ioError("close segment", err), remove(temp))
	}
	if err := syncDir(w.dir); err != nil {
		return blockstore.File{}, ioError("close segment", err)
	}
	return blockstore.File{
		Tree: w.dir, Path: w.name, Cid: blockstore.Sum(cid.Raw, nil), Leaves: w.leaves,
		Stamp: blockstore.Stamp{Size: w.bytes, MtimeNs: info.ModTime().UnixNano(), Mode: uint32(info.Mode().Perm())},
	}, nil
}

// Abort removes what was written.
func (w *Writer) Abort() error {
	temp := w.f.Name()
	if err := errors.Join(w.f.Close(), remove(temp)); err != nil {
		return fmt.Errorf("abort segment: %w", err)
	}
	return nil
}

// Info is a segment on disk.
type Info struct {
	Name  string
	Bytes int64
	Time  time.Time // when it was written
}

// List gives the segments in dir in byte order of their names, and removes what writers that did not come to
// their end have left; none may be at work. A folder that is not there has none. Other files are left alone.
func List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var all []Info
	for _, e := range entries {
		if temp, ok := strings.CutSuffix(e.Name(), tempExt); ok && isName(temp) {
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("list segments: %w", err)
			}
		}
		if !isName(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list segments: %w", err)
		}
		all = append(all, Info{Name: e.Name(), Bytes: info.Size(), Time: info.ModTime()})
	}
	return all, nil
}

// Remove unlinks a segment; one that is not there is no error. The store must have dropped it before.
// Errors: blockstore.ErrInvalid for a name that is none.
func Remove(dir, name string) error {
	if !isName(name) {
		return fmt.Errorf("remove segment %q: %w: not a segment's name", name, blockstore.ErrInvalid)
	}
	if err := remove(filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// isName tells whether name is a segment's: a file name with something before the extension.
func isName(name string) bool {
	return strings.HasSuffix(name, Ext) && name != Ext && !strings.ContainsAny(name, "/\\\x00")
}

// makeDir makes dir and what is missing above it, durably: a file in a folder that a crash takes away is none.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// remove unlinks a file if it is there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func ioError(op string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%s: %w: %w", op, blockstore.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}
