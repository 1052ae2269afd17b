// Package memstore is a store in memory: the reference that other stores are compared with, and the
// store of tests. Inline bytes are kept in maps; leaves of files are read from the files.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Store implements every role of package blockstore. The zero value is an empty store. It is safe for
// concurrent use.
type Store struct {
	mu     sync.RWMutex // guards the following; not held while files are read
	blocks map[cid.Cid]entry
	files  map[name]blockstore.File
	places map[cid.Cid][]place
}

type entry struct {
	data []byte
	sets map[cid.Cid]bool
}

type name struct{ tree, path string }

type place struct {
	name
	set  cid.Cid
	off  int64
	size uint32
}

// New makes an empty store.
func New() *Store { return new(Store) }

// Get implements blockstore.Getter.
func (s *Store) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	return s.get(ctx, c, buf, func(cid.Cid) bool { return true })
}

// GetFrom implements blockstore.SetGetter.
func (s *Store) GetFrom(ctx context.Context, set, c cid.Cid, buf []byte) ([]byte, error) {
	return s.get(ctx, c, buf, func(of cid.Cid) bool { return of.Equals(set) })
}

func (s *Store) get(ctx context.Context, c cid.Cid, buf []byte, may func(set cid.Cid) bool) ([]byte, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return nil, fmt.Errorf("get block: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, places := s.look(c, may)
	if data != nil {
		return append(buf[:0], data...), nil
	}
	reason := blockstore.ErrNotFound
	var failed error
	for _, p := range places {
		data, err := p.read(c, buf)
		if err == nil {
			return data, nil
		}
		wrong := errors.Is(err, blockstore.ErrCorrupt)
		if wrong {
			reason = blockstore.ErrCorrupt
		}
		if wrong || errors.Is(err, fs.ErrNotExist) {
			s.forget(c, p)
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return nil, fmt.Errorf("get %s: %w: %v", c, reason, failed)
	}
	return nil, fmt.Errorf("get %s: %w", c, reason)
}

func (s *Store) look(c cid.Cid, may func(set cid.Cid) bool) (data []byte, places []place) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for set := range s.blocks[c].sets {
		if may(set) {
			return s.blocks[c].data, nil
		}
	}
	for _, p := range s.places[c] {
		if may(p.set) {
			places = append(places, p)
		}
	}
	return nil, places
}

// read returns the verified bytes at the place. Errors: blockstore.ErrCorrupt where other bytes are,
// fs.ErrNotExist.
func (p place) read(c cid.Cid, buf []byte) ([]byte, error) {
	root, err := os.OpenRoot(p.tree)
	if err != nil { // perhaps a disk that is not mounted: not fs.ErrNotExist of the file
		return nil, fmt.Errorf("open tree: %v", err)
	}
	defer root.Close()
	info, err := root.Lstat(p.path)
	if err != nil {
		return nil, err
	}
	full := filepath.Join(p.tree, p.path)
	if !info.Mode().IsRegular() || info.Size() < p.off+int64(p.size) {
		return nil, fmt.Errorf("%s: %w", full, blockstore.ErrCorrupt)
	}
	f, err := root.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := slices.Grow(buf[:0], int(p.size))[:p.size]
	if _, err := f.ReadAt(data, p.off); err != nil {
		return nil, err
	}
	if err := blockstore.Verify(c, data); err != nil {
		return nil, fmt.Errorf("%s at %d: %w", full, p.off, err)
	}
	return data, nil
}

// forget drops a place that failed and marks its file as changed.
func (s *Store) forget(c cid.Cid, bad place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropPlaces(c, func(p place) bool { return p == bad })
	if f, ok := s.files[bad.name]; ok {
		f.ScannedNs = 0
		s.files[bad.name] = f
	}
}

// dropPlaces needs mu.
func (s *Store) dropPlaces(c cid.Cid, drop func(place) bool) {
	left := slices.DeleteFunc(slices.Clone(s.places[c]), drop) // readers may hold the old slice
	if len(left) == 0 {
		delete(s.places, c)
		return
	}
	s.places[c] = left
}

// Has implements blockstore.Haser.
func (s *Store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return false, fmt.Errorf("look for block: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, inline := s.blocks[c]
	return inline || len(s.places[c]) > 0, ctx.Err()
}

// Put implements blockstore.Putter.
func (s *Store) Put(ctx context.Context, set cid.Cid, blocks ...blockstore.Block) error {
	if !set.Defined() && len(blocks) > 0 {
		return fmt.Errorf("put blocks: %w: undefined set", blockstore.ErrInvalid)
	}
	for _, b := range blocks {
		if err := blockstore.CheckCid(b.Cid()); err != nil {
			return fmt.Errorf("put block: %w", err)
		}
		if n := len(b.Data()); n > blockstore.MaxBlockSize {
			return fmt.Errorf("put block: %w: %d bytes", blockstore.ErrInvalid, n)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blocks == nil {
		s.blocks = map[cid.Cid]entry{}
	}
	for _, b := range blocks {
		e, ok := s.blocks[b.Cid()]
		if !ok {
			e = entry{data: append([]byte{}, b.Data()...), sets: map[cid.Cid]bool{}}
			s.blocks[b.Cid()] = e
		}
		e.sets[set] = true
	}
	return nil
}

// PutFiles implements blockstore.FilePutter.
func (s *Store) PutFiles(ctx context.Context, files ...blockstore.File) error {
	for _, f := range files {
		if err := checkFile(f); err != nil {
			return fmt.Errorf("put file %q: %w", f.Path, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files, s.places = map[name]blockstore.File{}, map[cid.Cid][]place{}
	}
	for _, f := range files {
		n := name{f.Tree, f.Path}
		s.dropFile(n)
		f.Leaves = slices.Clone(f.Leaves)
		s.files[n] = f
		var off int64
		for _, l := range f.Leaves {
			s.places[l.Cid] = append(slices.Clip(s.places[l.Cid]), place{name: n, set: f.Set, off: off, size: l.Size})
			off += int64(l.Size)
		}
	}
	return nil
}

func checkFile(f blockstore.File) error {
	if !f.Set.Defined() || !filepath.IsAbs(f.Tree) || !fs.ValidPath(f.Path) || f.Path == "." ||
		strings.IndexByte(f.Path, 0) >= 0 {
		return fmt.Errorf("%w: set, tree or path", blockstore.ErrInvalid)
	}
	if err := blockstore.CheckCid(f.Cid); err != nil {
		return err
	}
	var sum int64
	for _, l := range f.Leaves {
		if err := blockstore.CheckCid(l.Cid); err != nil {
			return err
		}
		if l.Cid.Type() != cid.Raw || l.Size > blockstore.MaxBlockSize {
			return fmt.Errorf("%w: leaf %s of %d bytes", blockstore.ErrInvalid, l.Cid, l.Size)
		}
		sum += int64(l.Size)
	}
	if sum != f.Stamp.Size {
		return fmt.Errorf("%w: leaves of %d bytes in a file of %d", blockstore.ErrInvalid, sum, f.Stamp.Size)
	}
	return nil
}

// dropFile needs mu.
func (s *Store) dropFile(n name) {
	for _, l := range s.files[n].Leaves {
		s.dropPlaces(l.Cid, func(p place) bool { return p.name == n })
	}
	delete(s.files, n)
}

// DropFiles implements blockstore.FileDropper.
func (s *Store) DropFiles(ctx context.Context, tree string, paths ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range paths {
		s.dropFile(name{tree, p})
	}
	if len(paths) > 0 {
		return nil
	}
	for n := range s.files {
		if n.tree == tree {
			s.dropFile(n)
		}
	}
	return nil
}

// Files implements blockstore.FileLister. A file that was found changed when it was read has the zero
// Stamp.
func (s *Store) Files(ctx context.Context, tree string, fn func(blockstore.File) error) error {
	for _, f := range s.list(tree) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) list(tree string) []blockstore.File {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []blockstore.File
	for n, f := range s.files {
		if n.tree == tree {
			f.Leaves = nil
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b blockstore.File) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return out
}

// LookupFile returns what is recorded of one file, without Leaves.
func (s *Store) LookupFile(ctx context.Context, tree, path string) (blockstore.File, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f, ok := s.files[name{tree, path}]
	f.Leaves = nil
	return f, ok, ctx.Err()
}

// DeleteSet implements blockstore.Deleter.
func (s *Store) DeleteSet(ctx context.Context, set cid.Cid) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, e := range s.blocks {
		delete(e.sets, set)
		if len(e.sets) == 0 {
			delete(s.blocks, c)
		}
	}
	for n, f := range s.files {
		if f.Set.Equals(set) {
			s.dropFile(n)
		}
	}
	return nil
}

var _ interface {
	blockstore.Getter
	blockstore.SetGetter
	blockstore.Haser
	blockstore.Putter
	blockstore.FilePutter
	blockstore.FileDropper
	blockstore.FileLister
	blockstore.Deleter
} = (*Store)(nil)
