package badgerstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Stats is what a store holds.
type Stats struct {
	Blocks    int   // distinct blocks, inline or in files
	Files     int   // recorded files
	DiskBytes int64 // what the store's folder takes on disk
}

// Stats counts; it reads every key, which takes about a second for 4,000,000 (1 TiB of files).
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	err := s.view(func(txn *badger.Txn) error {
		var inRefs int
		for kind, n := range map[byte]*int{kindBlock: &st.Blocks, kindFile: &st.Files, kindRefs: &inRefs} {
			err := scan(txn, []byte{kind}, nil, func(*badger.Item) error {
				*n++
				return ctx.Err()
			})
			if err != nil {
				return err
			}
		}
		both, err := countBoth(txn)
		st.Blocks += inRefs - both
		return err
	})
	if err != nil {
		return Stats{}, fmt.Errorf("count records: %w", err)
	}
	if st.DiskBytes, err = folderBytes(s.dir); err != nil {
		return Stats{}, fmt.Errorf("measure store: %w", err)
	}
	return st, nil
}

// DiskBytes is what the store takes on disk; unlike Stats it reads no key.
func (s *Store) DiskBytes() (int64, error) {
	n, err := folderBytes(s.dir)
	if err != nil {
		return 0, fmt.Errorf("measure store: %w", err)
	}
	return n, nil
}

// countBoth counts the leaves that lie inline and in files; few do, and inline leaves are few.
func countBoth(txn *badger.Txn) (n int, err error) {
	err = scan(txn, []byte{kindBlock}, nil, func(item *badger.Item) error {
		k := item.Key()
		if len(k) != 1+sha256.Size+1 || codecOf(k[1+sha256.Size]) != cid.Raw {
			return nil
		}
		_, err := txn.Get(append([]byte{kindRefs}, k[1:1+sha256.Size]...))
		if err == nil {
			n++
		}
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	return n, err
}

func folderBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		n += diskBytes(info)
		return nil
	})
	return n, err
}

// ignoreGone: Badger deletes files while we walk.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// VerifyChecksums reads the whole database and checks its checksums. Errors: ErrDamaged.
func (s *Store) VerifyChecksums(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.with((*badger.DB).VerifyChecksum); err != nil {
		return fmt.Errorf("verify checksums: %w", damage(err))
	}
	return nil
}

// DeleteSet implements blockstore.Deleter. Deleting again after an error goes on where it stopped.
func (s *Store) DeleteSet(ctx context.Context, set cid.Cid) error {
	no, ok := s.names.number(kindSet, set.KeyString())
	if !ok {
		return nil
	}
	of := func(n uint32) bool { return n == no }
	err := s.update(ctx, func(b *batch) error {
		return b.dropFiles(ctx, []byte{kindFile}, func(r fileRecord) bool { return of(r.set) })
	})
	if err == nil {
		err = s.eachBlock(ctx, func(b *batch, key []byte, in inline) error {
			_, err := b.takeOut(key, in, of)
			return err
		})
	}
	if err == nil {
		err = s.update(ctx, func(b *batch) error {
			if err := b.put(append([]byte{kindSet}, set.KeyString()...), nil); err != nil {
				return err
			}
			if err := b.flush(); err != nil {
				return err
			}
			s.names.remove(kindSet, no)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("delete set %s: %w", set, err)
	}
	return nil
}

// eachBlock calls fn for every block record in batches of its own, so that other writers get a turn.
// in.data is valid until fn returns.
func (s *Store) eachBlock(ctx context.Context, fn func(b *batch, key []byte, in inline) error) error {
	prefix := []byte{kindBlock}
	for from := prefix; from != nil; {
		err := s.update(ctx, func(b *batch) (err error) {
			from, err = scanSome(b.txn, prefix, from, func(key, v []byte) error {
				in, err := parseInline(v, nil)
				if err != nil {
					in = inline{} // damaged: in no set
				}
				return fn(b, bytes.Clone(key), in)
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Reclaimed is what a GC removed.
type Reclaimed struct {
	Blocks int   // inline blocks
	Bytes  int64 // their bytes
	Refs   int   // references into files that are not recorded any more
}

// GC removes the inline blocks that keep wants in no set, and references that a crash left behind, and
// gives their space back to the file system. References of recorded files stay: they go with the
// file. Blocks that are put while GC runs are kept, so that publishing may go on. keep is called with
// the writer's lock held: it must be quick and not use the store.
func (s *Store) GC(ctx context.Context, keep func(set, c cid.Cid) bool) (Reclaimed, error) {
	if err := s.startGC(); err != nil {
		return Reclaimed{}, err
	}
	defer s.endGC()
	var out Reclaimed
	err := s.eachBlock(ctx, func(b *batch, key []byte, in inline) error {
		if _, ok := s.touched[string(key)]; ok {
			return nil
		}
		c, err := cidOfBlockKey(key)
		if err != nil {
			return b.put(key, nil)
		}
		gone, err := b.takeOut(key, in, func(no uint32) bool {
			set, ok := s.set(no)
			return !ok || !keep(set, c)
		})
		if gone {
			out.Blocks++
			out.Bytes += int64(in.size)
		}
		return err
	})
	if err == nil {
		out.Refs, err = s.sweepRefs(ctx)
	}
	if err == nil {
		err = s.compact()
	}
	if err != nil {
		return out, fmt.Errorf("collect garbage: %w", err)
	}
	return out, nil
}

var errBusy = errors.New("garbage collection is running already")

func (s *Store) startGC() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.touched != nil {
		return errBusy
	}
	s.touched = map[string]struct{}{}
	return nil
}

func (s *Store) endGC() {
	s.write.Lock()
	defer s.write.Unlock()
	s.touched = nil
}

func (s *Store) set(no uint32) (cid.Cid, bool) {
	name, ok := s.names.of(kindSet, no)
	if !ok {
		return cid.Undef, false
	}
	c, err := cid.Cast([]byte(name))
	return c, err == nil
}

// sweepRefs drops references into files that are not recorded.
func (s *Store) sweepRefs(ctx context.Context) (dropped int, err error) {
	prefix := []byte{kindRefs}
	for from := prefix; from != nil; {
		err := s.update(ctx, func(b *batch) (err error) {
			from, err = scanSome(b.txn, prefix, from, func(key, v []byte) error {
				left := refList(v).without(func(r ref) bool {
					_, err := b.txn.Get(fileKey(r.tree, string(r.path)))
					gone := errors.Is(err, badger.ErrKeyNotFound)
					if gone {
						dropped++
					}
					return gone
				})
				if len(left) == len(v) {
					return nil
				}
				return b.put(key, left)
			})
			return err
		})
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// compact writes the memtable out and merges all tables into one level, which is when Badger gives up
// what was deleted. Dropping a prefix is Badger's way to flush; it wants a record to drop. Without room for a
// second copy of the store nothing is done: Badger's own compactions, a few tables each, get there later.
func (s *Store) compact() error {
	s.write.Lock() // Badger refuses writes meanwhile
	defer s.write.Unlock()
	size, err := folderBytes(s.dir)
	if err != nil {
		return fmt.Errorf("measure store: %w", err)
	}
	if err := s.room(size+closeReserve, 0); errors.Is(err, blockstore.ErrNoSpace) {
		s.opts.Log.Info("not enough free space to compact the store now", "err", err)
		return nil
	}
	return s.with(func(db *badger.DB) error {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte{kindUnused}, []byte{0}) })
		if err != nil {
			return err
		}
		// Badger keeps what the last reader may still see; this one sees that all is deleted.
		if err := db.View(func(*badger.Txn) error { return nil }); err != nil {
			return err
		}
		if err := db.DropPrefix([]byte{kindUnused}); err != nil {
			return err
		}
		return db.Flatten(compactors)
	})
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
