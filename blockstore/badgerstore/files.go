package badgerstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// filesPerView is how many files are read from the database at a time, so that neither a lister's own
// work nor a long list keeps it from being closed.
const filesPerView = 512

// PutFiles implements blockstore.FilePutter. Calls of some hundred files cost one fsync together.
func (s *Store) PutFiles(ctx context.Context, files ...blockstore.File) error {
	for _, f := range files {
		if err := checkFile(f); err != nil {
			return fmt.Errorf("put file %q: %w", f.Path, err)
		}
	}
	if len(files) == 0 {
		return nil
	}
	err := s.update(ctx, func(b *batch) error {
		for _, f := range files {
			if err := b.putFile(f); err != nil {
				return err
			}
			if err := b.flushIfFull(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put %d files: %w", len(files), err)
	}
	return nil
}

func checkFile(f blockstore.File) error {
	if !filepath.IsAbs(f.Tree) {
		return fmt.Errorf("%w: tree %q is not absolute", blockstore.ErrInvalid, f.Tree)
	}
	if !fs.ValidPath(f.Path) || f.Path == "." || strings.IndexByte(f.Path, 0) >= 0 {
		return fmt.Errorf("%w: path", blockstore.ErrInvalid)
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

func (b *batch) putFile(f blockstore.File) error {
	set, err := b.setNo(f.Set)
	if err != nil {
		return err
	}
	tree, err := b.number(kindTree, f.Tree)
	if err != nil {
		return err
	}
	if err := b.dropOld(tree, set, f); err != nil {
		return err
	}
	if err := b.addRefs(tree, set, f); err != nil {
		return err
	}
	for page := 1; page < pages(len(f.Leaves)); page++ {
		part := f.Leaves[page*leavesPerPage : min((page+1)*leavesPerPage, len(f.Leaves))]
		if err := b.put(leavesKey(tree, f.Path, page), encodeLeaves(part)); err != nil {
			return err
		}
		if err := b.flushIfFull(); err != nil {
			return err
		}
	}
	r := fileRecord{set: set, stamp: f.Stamp, scannedNs: f.ScannedNs, cid: f.Cid, leaves: len(f.Leaves)}
	first := encodeLeaves(f.Leaves[:min(leavesPerPage, len(f.Leaves))])
	return b.put(fileKey(tree, f.Path), encodeFile(r, first))
}

// dropOld removes what an earlier record of f says and f does not. A small file whose leaves did not
// change keeps its references: adding them again is then nothing.
func (b *batch) dropOld(tree, set uint32, f blockstore.File) error {
	p, err := b.load(fileKey(tree, f.Path))
	if err != nil || p.now == nil {
		return err
	}
	r, page, err := parseFile(p.now)
	if err == nil && r.set == set && r.leaves == len(f.Leaves) && r.leaves <= leavesPerPage &&
		bytes.Equal(page, encodeLeaves(f.Leaves)) {
		return nil
	}
	return b.dropFile(tree, f.Path)
}

// addRefs may flush: references to a file that has no record yet are verified like any.
func (b *batch) addRefs(tree, set uint32, f blockstore.File) error {
	r := ref{set: set, tree: tree, path: []byte(f.Path)}
	var key [64]byte
	for _, l := range f.Leaves {
		p, err := b.load(refsKey(key[:0], l.Cid))
		if err != nil {
			return err
		}
		r.size = l.Size
		b.set(p, refList(p.now).add(r))
		r.off += uint64(l.Size)
		if err := b.flushIfFull(); err != nil {
			return err
		}
	}
	return nil
}

// dropFile removes a file's record first and then its references: what a crash leaves of them is
// verified, found wrong and dropped when it is read, or dropped by GC.
func (b *batch) dropFile(tree uint32, path string) error {
	p, err := b.load(fileKey(tree, path))
	if err != nil || p.now == nil {
		return err
	}
	r, page, err := parseFile(p.now)
	b.set(p, nil)
	if err != nil {
		return nil // damaged: its leaves are not known
	}
	for i := 1; ; i++ {
		if err := b.dropRefs(tree, path, page); err != nil {
			return err
		}
		if i >= pages(r.leaves) {
			return nil
		}
		next, err := b.load(leavesKey(tree, path, i))
		if err != nil {
			return err
		}
		page = next.now
		b.set(next, nil)
	}
}

// dropRefs removes the references into a file to the leaves on a page.
func (b *batch) dropRefs(tree uint32, path string, page []byte) error {
	key := []byte{kindRefs}
	for ; len(page) >= leafLen; page = page[leafLen:] {
		p, err := b.load(append(key[:1], page[:leafLen-4]...))
		if err != nil {
			return err
		}
		b.set(p, refList(p.now).without(func(r ref) bool { return r.in(tree, path) }))
		if err := b.flushIfFull(); err != nil {
			return err
		}
	}
	return nil
}

// markChanged makes a file's record one that no scan trusts: as if it had been scanned at the beginning of
// time. The stamp stays: it tells bit rot, which leaves it alone, from somebody's edit.
func (b *batch) markChanged(tree uint32, path string) error {
	p, err := b.load(fileKey(tree, path))
	if err != nil || p.now == nil {
		return err
	}
	r, page, err := parseFile(p.now)
	if err != nil {
		b.set(p, nil)
		return nil
	}
	r.scannedNs = 0
	b.set(p, encodeFile(r, page))
	return nil
}

// DropFiles implements blockstore.FileDropper.
func (s *Store) DropFiles(ctx context.Context, tree string, paths ...string) error {
	no, ok := s.names.number(kindTree, tree)
	if !ok {
		return nil
	}
	err := s.update(ctx, func(b *batch) error {
		if len(paths) == 0 {
			prefix := fileKey(no, "")
			return b.dropFiles(ctx, prefix, func(fileRecord) bool { return true })
		}
		for _, path := range paths {
			if err := b.dropFile(no, path); err != nil {
				return err
			}
			if err := b.flushIfFull(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop files of %s: %w", tree, err)
	}
	return nil
}

// dropFiles drops the selected files among those with a key prefix, some hundred at a time.
func (b *batch) dropFiles(ctx context.Context, prefix []byte, drop func(fileRecord) bool) error {
	for from := prefix; from != nil; {
		var keys [][]byte
		next, err := scanSome(b.txn, prefix, from, func(key, v []byte) error {
			if r, _, err := parseFile(v); err != nil || drop(r) {
				keys = append(keys, bytes.Clone(key))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			tree := binary.BigEndian.Uint32(k[1:])
			if err := b.dropFile(tree, string(k[5:])); err != nil {
				return err
			}
			if err := b.flushIfFull(); err != nil {
				return err
			}
		}
		if err := errors.Join(b.flush(), ctx.Err()); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// scanSome calls fn for at most filesPerView records and returns where to go on; nil at the end.
func scanSome(txn *badger.Txn, prefix, from []byte, fn func(key, value []byte) error) (next []byte, err error) {
	n := 0
	err = scan(txn, prefix, from, func(item *badger.Item) error {
		if n++; n > filesPerView {
			next = item.KeyCopy(nil)
			return errEnough
		}
		return item.Value(func(v []byte) error { return fn(item.Key(), v) })
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return next, nil
}

var errEnough = errors.New("enough")

// Files implements blockstore.FileLister. A file that was found changed when it was read has the zero
// Stamp. fn may use the store.
func (s *Store) Files(ctx context.Context, tree string, fn func(blockstore.File) error) error {
	no, ok := s.names.number(kindTree, tree)
	if !ok {
		return nil
	}
	prefix := fileKey(no, "")
	for from := prefix; from != nil; {
		files := make([]blockstore.File, 0, filesPerView)
		err := s.view(func(txn *badger.Txn) (err error) {
			from, err = scanSome(txn, prefix, from, func(key, v []byte) error {
				if r, _, err := parseFile(v); err == nil { // a damaged one is read anew by the next scan
					files = append(files, s.file(r, tree, string(key[len(prefix):])))
				}
				return nil
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("list files of %s: %w", tree, err)
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) file(r fileRecord, tree, path string) blockstore.File {
	f := blockstore.File{Tree: tree, Path: path, Stamp: r.stamp, ScannedNs: r.scannedNs, Cid: r.cid}
	if name, ok := s.names.of(kindSet, r.set); ok {
		f.Set, _ = cid.Cast([]byte(name)) // it was a CID when it was numbered
	}
	return f
}

// LookupFile returns what is recorded of one file, without Leaves. A file that was found changed when
// it was read has the zero Stamp.
func (s *Store) LookupFile(ctx context.Context, tree, path string) (blockstore.File, bool, error) {
	no, ok := s.names.number(kindTree, tree)
	if !ok {
		return blockstore.File{}, false, ctx.Err()
	}
	var r fileRecord
	err := s.view(func(txn *badger.Txn) error {
		item, err := txn.Get(fileKey(no, path))
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) (err error) {
			r, _, err = parseFile(v)
			return err
		})
	})
	if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, errRecord) {
		return blockstore.File{}, false, nil
	}
	if err != nil {
		return blockstore.File{}, false, fmt.Errorf("look up %s in %s: %w", path, tree, err)
	}
	return s.file(r, tree, path), true, nil
}
