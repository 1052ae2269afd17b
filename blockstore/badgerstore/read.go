package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// anySet is no set's number: Get reads on behalf of the node itself.
const anySet = 0

// scratch is the memory of one read, used again by later ones.
type scratch struct {
	key  [64]byte
	sets [16]uint32
	refs refList
}

// Get implements blockstore.Getter. Inline bytes are tried first, then every place in files; a place
// with wrong bytes is forgotten and its file marked as changed, so that it is read anew by a scan.
func (s *Store) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	return s.get(ctx, anySet, c, buf)
}

// GetFrom implements blockstore.SetGetter.
func (s *Store) GetFrom(ctx context.Context, set, c cid.Cid, buf []byte) ([]byte, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return nil, fmt.Errorf("get block: %w", err)
	}
	no, ok := s.names.number(kindSet, set.KeyString())
	if !ok {
		return nil, fmt.Errorf("get %s: %w: unknown set", c, blockstore.ErrNotFound)
	}
	return s.get(ctx, no, c, buf)
}

func (s *Store) get(ctx context.Context, set uint32, c cid.Cid, buf []byte) ([]byte, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return nil, fmt.Errorf("get block: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := s.scratch.Get().(*scratch)
	defer s.scratch.Put(m)
	m.refs = m.refs[:0]
	data, err := s.lookUp(set, c, buf, m)
	if err == nil && data != nil {
		return data, nil
	}
	if err != nil && !errors.Is(err, blockstore.ErrCorrupt) {
		return nil, fmt.Errorf("get %s: %w", c, err)
	}
	return s.getFromFiles(ctx, set, c, buf, m.refs, err)
}

// lookUp returns the verified inline block, or nil and the references in m. An inline block that is
// corrupt gives ErrCorrupt, and the references too.
func (s *Store) lookUp(set uint32, c cid.Cid, buf []byte, m *scratch) (data []byte, err error) {
	var corrupt error
	err = s.view(func(txn *badger.Txn) error {
		data, corrupt = readInline(txn, set, c, buf, m)
		if data != nil || c.Type() != cid.Raw || (corrupt != nil && !errors.Is(corrupt, blockstore.ErrCorrupt)) {
			return corrupt
		}
		item, err := txn.Get(refsKey(m.key[:0], c))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return corrupt
		}
		if err != nil {
			return err
		}
		if m.refs, err = item.ValueCopy(m.refs[:0]); err != nil {
			return err
		}
		return corrupt
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// readInline returns nil, nil if the block is not there for the set. An empty block is not nil.
func readInline(txn *badger.Txn, set uint32, c cid.Cid, buf []byte, m *scratch) ([]byte, error) {
	item, err := txn.Get(blockKey(m.key[:0], c))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var data []byte
	err = item.Value(func(v []byte) error {
		in, err := parseInline(v, m.sets[:0])
		if err != nil {
			return fmt.Errorf("%w: %w", blockstore.ErrCorrupt, err)
		}
		if set != anySet && !contains(in.sets, set) {
			return nil
		}
		if in.size > inlineMax {
			data, err = readPieces(txn, c, in.size, buf)
		} else {
			data = append(buf[:0], in.data...)
		}
		if err != nil {
			return err
		}
		if data == nil {
			data = []byte{}
		}
		return blockstore.Verify(c, data)
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func contains(sets []uint32, set uint32) bool {
	for _, s := range sets { // mostly one or two
		if s == set {
			return true
		}
	}
	return false
}

func readPieces(txn *badger.Txn, c cid.Cid, size int, buf []byte) ([]byte, error) {
	data := sized(buf, size)[:0]
	for i := 0; len(data) < size; i++ {
		item, err := txn.Get(pieceKey(c, i))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil, fmt.Errorf("%w: piece %d is missing", blockstore.ErrCorrupt, i)
		}
		if err != nil {
			return nil, err
		}
		err = item.Value(func(v []byte) error {
			if len(v) == 0 || len(v) > size-len(data) {
				return fmt.Errorf("%w: piece %d has a wrong length", blockstore.ErrCorrupt, i)
			}
			data = append(data, v...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

// sized is a slice of n bytes, in buf if that is large enough.
func sized(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// Why a place in a file did not give the block. errChanged and errGone drop the reference; any other
// error (a folder that is not mounted, no permission, too many open files) may pass.
var (
	errChanged = errors.New("file has changed")
	errGone    = errors.New("file is gone")
)

// getFromFiles tries the places one after the other. failed is what went wrong before, if anything.
func (s *Store) getFromFiles(ctx context.Context, set uint32, c cid.Cid, buf []byte, refs refList, failed error) ([]byte, error) {
	var bad []ref
	defer func() {
		if len(bad) > 0 {
			s.forget(ctx, c, bad)
		}
	}()
	reason := blockstore.ErrNotFound
	if failed != nil {
		reason = blockstore.ErrCorrupt
	}
	for {
		r, rest, ok := refs.next()
		if !ok {
			break
		}
		refs = rest
		if set != anySet && r.set != set {
			continue
		}
		data, err := s.readPlace(c, r, buf)
		if err == nil {
			return data, nil
		}
		if errors.Is(err, errChanged) {
			reason = blockstore.ErrCorrupt
		}
		if errors.Is(err, errChanged) || errors.Is(err, errGone) {
			bad = append(bad, r)
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return nil, fmt.Errorf("get %s: %w: %v", c, reason, failed)
	}
	return nil, fmt.Errorf("get %s: %w", c, reason)
}

// readPlace reads and verifies a block at its place. The tree is opened anew each time: a root kept
// open would go on meaning a folder that was moved away, and would keep a disk from being unmounted.
func (s *Store) readPlace(c cid.Cid, r ref, buf []byte) ([]byte, error) {
	tree, ok := s.names.of(kindTree, r.tree)
	if !ok || r.size > blockstore.MaxBlockSize {
		return nil, errGone // left behind by a crash, or damaged
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openPlain(root, string(r.path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(tree, string(r.path)), err)
	}
	defer f.Close()
	data := sized(buf, int(r.size))
	_, err = f.ReadAt(data, int64(r.off))
	if err == nil {
		err = blockstore.Verify(c, data)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, blockstore.ErrCorrupt) {
		err = errChanged
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %d: %w", filepath.Join(tree, string(r.path)), r.off, err)
	}
	return data, nil
}

// openPlain opens a regular file below root. A link or a pipe in its place is not the file any more.
func openPlain(root *os.Root, path string) (*os.File, error) {
	info, err := root.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errChanged
	}
	return root.OpenFile(path, openFlags, 0)
}

// forget drops places that failed and marks their files as changed. It is best effort: a place that
// stays is found wrong again.
func (s *Store) forget(ctx context.Context, c cid.Cid, bad []ref) {
	for _, r := range bad {
		tree, _ := s.names.of(kindTree, r.tree)
		// One line for each block: that a set has lost bytes is said once, by who promised them.
		s.opts.Log.Debug("file does not hold the block it held when it was scanned", "tree", tree,
			"path", string(r.path), "offset", r.off, "block", c.String())
	}
	err := s.update(ctx, func(b *batch) error {
		p, err := b.load(refsKey(nil, c))
		if err != nil {
			return err
		}
		for _, r := range bad {
			b.set(p, refList(p.now).without(r.equal))
			if err := b.markChanged(r.tree, string(r.path)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.opts.Log.Warn("cannot forget a changed file", "err", err)
	}
}

// Has implements blockstore.Haser.
func (s *Store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return false, fmt.Errorf("look for block: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	has := false
	err := s.view(func(txn *badger.Txn) error {
		keys := [][]byte{blockKey(nil, c)}
		if c.Type() == cid.Raw {
			keys = append(keys, refsKey(nil, c))
		}
		for _, k := range keys {
			_, err := txn.Get(k)
			if err == nil {
				has = true
				return nil
			}
			if !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", c, err)
	}
	return has, nil
}
