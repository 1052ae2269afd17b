// Package badgerstore is the store of a node: an index in a Badger database that maps a CID to inline
// bytes or to places in the files of worktrees. It is the only package that knows Badger.
//
// Records, by the first byte of the key (integers in keys are big-endian):
//
//	b digest codec        -> the sets it belongs to, size, bytes     an inline block
//	p digest codec n      -> bytes                                   piece n of a long inline block
//	r digest              -> references: set, tree, offset, size, path   where a leaf lies in files
//	f tree path           -> set, stamp, cid, the first 1,024 leaves     a file
//	l tree path NUL page  -> up to 1,024 more leaves
//	s set, t tree         -> number                                  names of sets and trees in short
//	n                     -> the last number given
//
// A small file is thus three records: its node (b), its reference (r) and itself (f).
//
// What Badger does not promise is made good here. Every block is hashed when it is read, so that a
// damaged database or a changed file costs availability and never hands out a wrong byte. All values
// are below the value threshold, hence in the LSM tree, and the value log stays empty: Badger's
// checksums cover the tree, and compaction gives space back. Every table is verified before Badger
// opens it, because Badger ends the process, or silently leaves the table out, where one is damaged.
// Writes are synchronous, and refused before the disk is full, because a full disk kills a process
// that writes to mapped files: only where others fill the disk, reserve and all, while Badger is
// rewriting tables, that can still happen, and loses nothing. What is lost all the same (a damaged log loses its tail without an
// error) shows as ErrNotFound: whoever needs to know that a revision is all there must walk it, the
// index alone is no proof.
package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/gofrs/flock"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Errors of Open and of every method, besides those of package blockstore.
var (
	// ErrLocked: another process has the store open; use that process, or end it.
	ErrLocked = errors.New("store is in use by another process")
	// ErrDamaged: the database is damaged. No user file is: move the store's folder away, start again,
	// and re-scan the shared folders; what lay only inline is fetched from peers again.
	ErrDamaged = errors.New("store is damaged: move its folder away, then scan the shared folders again and fetch the rest from peers")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Sizes of the database. A node's state must stay below 2 % of 1 GiB (20 MiB), also by apparent size.
const (
	// memTableSize: Badger maps a log of twice this size, so 8 MiB, as a sparse file.
	memTableSize = 4 << 20
	// valueThreshold keeps every value in the LSM tree: the longest is a piece (256 KiB) or a list of
	// references. Badger wants it below 15 % of the memtable (614 KiB).
	valueThreshold = 512 << 10
	// valueLogSize is Badger's minimum; it maps a sparse file of twice this size and writes 20 bytes.
	valueLogSize = 1 << 20
	// memTables is how many may wait for being written out: each is 5 MiB of memory.
	memTables = 2
	// compactors is Badger's minimum. Each wakes 20 times a second.
	compactors = 2

	// DefaultReserve covers what Badger may write by itself after the last block was accepted: tables
	// of the waiting memtables (3 x 4 MiB) and two compactions that each rewrite ten tables of the
	// next level while the old ones are still there (2 x 40 MiB), twice over.
	DefaultReserve = 256 << 20
	// needed is the part of the reserve that a store must have to work at all: a compaction fits into a quarter.
	needed = 4
	// closeReserve is what closing may write: a table of each memtable.
	closeReserve = (memTables + 1) * memTableSize
)

// LeastFree is how many bytes must be free for a store with this reserve to start, and for things to be removed from it.
func LeastFree(reserve int64) int64 { return reserve / needed }

// Options of a store; the zero value is ready to use.
type Options struct {
	// Reserve is the free bytes of the file system that writing never eats into; 0 is DefaultReserve.
	Reserve int64
	// Log receives Badger's messages and the files that turned out changed; nil discards them.
	Log *slog.Logger
	// FreeSpace tells the free bytes of the file system of dir; nil asks the operating system.
	FreeSpace func(dir string) (int64, error)
}

func (o Options) withDefaults() Options {
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FreeSpace == nil {
		o.FreeSpace = FreeSpace
	}
	return o
}

// Store implements every role of package blockstore. It is safe for concurrent use.
type Store struct {
	dir     string
	opts    Options
	lock    *flock.Flock
	names   *names
	scratch sync.Pool // of *scratch

	life sync.RWMutex // guards db: held for reading while the database is used
	db   *badger.DB   // nil once closed

	write   sync.Mutex          // one writer at a time; guards the following; taken before life
	touched map[string]struct{} // keys of blocks put since GC began; nil while none runs
}

// Open opens the store in dir, making it if it is not there. Errors: ErrLocked, ErrDamaged,
// blockstore.ErrNoSpace if the reserve is eaten into already: Badger would not survive opening then.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, opts: o.withDefaults()}
	s.scratch.New = func() any { return new(scratch) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.lock = flock.New(filepath.Join(dir, "store.lock"))
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("open store: lock: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("open store %s: %w", dir, ErrLocked)
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.lock.Unlock())
	}
	return s, nil
}

func (s *Store) open() error {
	reserve := s.opts.Reserve
	if _, err := os.Stat(filepath.Join(s.dir, badger.ManifestFilename)); err == nil {
		reserve /= needed // one that was filled up must start again, to serve and to be cleared
	}
	if err := s.room(0, reserve); err != nil {
		return err
	}
	if err := preflight(s.dir); err != nil {
		return err
	}
	db, err := openBadger(s.dir, s.opts.Log)
	if err != nil {
		return err
	}
	s.db = db
	err = s.view(func(txn *badger.Txn) (err error) {
		s.names, err = loadNames(txn)
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("read names: %w", damage(err)), db.Close())
	}
	return nil
}

func openBadger(dir string, log *slog.Logger) (db *badger.DB, err error) {
	defer caught(&err)
	o := badger.DefaultOptions(dir).
		WithLogger(logger{log}).
		WithSyncWrites(true).
		WithCompression(options.None). // digests do not compress
		WithBlockCacheSize(0).         // tables are mapped: the system's page cache serves
		WithDetectConflicts(false).    // there is one writer
		WithMetricsEnabled(false).
		WithMemTableSize(memTableSize).
		WithNumMemtables(memTables).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(valueLogSize).
		WithNumCompactors(compactors)
	db, err = badger.Open(o)
	return db, damage(err)
}

// damage makes ErrDamaged of an error unless the operating system explains it. Badger keeps only the
// text of what it wraps.
func damage(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrClosed) {
		return err
	}
	for _, e := range []error{syscall.ENOSPC, syscall.EMFILE, syscall.EACCES, syscall.ENOMEM, syscall.EROFS} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return err
		}
	}
	return fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// caught turns a panic of Badger, which damaged records and unreadable pages of mapped files cause,
// into ErrDamaged.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w (%v)", ErrDamaged, r)
	}
}

// Close writes out what is in memory and releases the store. Methods that run finish first.
//
// Errors: blockstore.ErrNoSpace where the disk is so full that Badger would not survive writing its
// memtable out. It is then left as a crash leaves it: nothing is lost, but this process cannot open the
// store again and Badger's goroutines run until it ends.
func (s *Store) Close() (err error) {
	s.life.Lock()
	defer s.life.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if err := s.room(0, closeReserve); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	if err := closeBadger(db); err != nil {
		return errors.Join(fmt.Errorf("close store: %w", err), s.lock.Unlock())
	}
	return s.lock.Unlock()
}

func closeBadger(db *badger.DB) (err error) {
	defer caught(&err)
	return db.Close()
}

// with runs fn while the database is sure to stay open. fn must not call back into the store's user.
func (s *Store) with(fn func(*badger.DB) error) (err error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return fn(s.db)
}

func (s *Store) view(fn func(*badger.Txn) error) error {
	return s.with(func(db *badger.DB) error { return db.View(fn) })
}

// update runs fn as the only writer and makes durable what it wrote. fn does no I/O of its own.
func (s *Store) update(ctx context.Context, fn func(*batch) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.with(func(db *badger.DB) error {
		b := s.newBatch(db)
		defer b.discard()
		if err := fn(b); err != nil {
			return err
		}
		return b.flush()
	})
}

// room tells whether need more bytes can be written with reserve left; they are counted twice, for log
// and table.
func (s *Store) room(need, reserve int64) error {
	free, err := s.opts.FreeSpace(s.dir)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	if free < reserve+2*need {
		return fmt.Errorf("%w: %d MiB free at %s, %d MiB are kept in reserve",
			blockstore.ErrNoSpace, free>>20, s.dir, reserve>>20)
	}
	return nil
}

// Left is how many bytes of the file system may be written before the store takes nothing more; below zero it takes
// nothing now.
func (s *Store) Left() (int64, error) {
	free, err := s.opts.FreeSpace(s.dir)
	if err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return free - s.opts.Reserve, nil
}

// logger hands Badger's messages to slog: its errors and warnings as warnings, the rest for debugging.
type logger struct{ log *slog.Logger }

func (l logger) print(level slog.Level, format string, args []any) {
	ctx := context.Background() // Badger has none to give
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l logger) Errorf(f string, a ...any) { l.print(slog.LevelWarn, f, a) }

// Warningf is told of normal life (a compaction that found nothing to do) as well as of trouble, which then
// comes back as an error.
func (l logger) Warningf(f string, a ...any) { l.print(slog.LevelInfo, f, a) }
func (l logger) Infof(f string, a ...any)    { l.print(slog.LevelDebug, f, a) }
func (l logger) Debugf(f string, a ...any)   { l.print(slog.LevelDebug, f, a) }
