package worktree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/chunk"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// ScanOptions says what to publish as what. Set and Profile are required.
type ScanOptions struct {
	Set     cid.Cid
	Profile dag.Profile
	// IgnoreFile is the name of the ignore files, gitignore syntax, in any folder; "" for none.
	IgnoreFile string
	// Private lists folders that are never published, wherever they are met: the node's home.
	Private []string
	// PrivateMarks are names that together mark a folder as one of another node's, whose keys must not be
	// published either.
	PrivateMarks []string
	// Workers read and hash; 0 is GOMAXPROCS.
	Workers int
	// Only is the base name of the one file to publish: the root directory then holds just that.
	Only string
	// Known and Get let unchanged files be published unread: Known says what was recorded, Get reads
	// the nodes of that record, which must be in the sink's store. nil: read everything.
	Known Known
	Get   blockstore.Getter
	// Now is the clock of the machine that keeps the files; nil is time.Now.
	Now func() time.Time
	// Progress is told how far the scan is, ten times a second, by one goroutine at a time. May be nil.
	Progress func(files int, bytes int64)
}

// Snapshot is what a scan found.
type Snapshot struct {
	Root                         cid.Cid
	Files, Dirs, Symlinks, Nodes int   // Dirs counts the root; Nodes are blocks put, equal ones each time
	Bytes                        int64 // of all files
	BytesRead                    int64 // of those that had to be read
	Skipped                      []Skipped
}

const (
	// attempts is how often a file that changes while being read is tried. More would only heat the
	// disk: what is written all the time is better shared as a copy.
	attempts = 3
	// progressEvery is how often Progress is called.
	progressEvery = 100 * time.Millisecond
)

// scanner is one scan under way.
type scanner struct {
	o    ScanOptions
	tree string // absolute path of the folder
	own  private
	hash *hasher
	out  chan found

	files, symlinks, nodes atomic.Int64
	bytes                  atomic.Int64

	mu      sync.Mutex // guards skipped
	skipped []Skipped
}

// Scan publishes the folder dir: it puts the nodes and records the files that were read into sink, and
// returns the root. When it returns, all of it is in the sink. A file that cannot be read, or an entry
// that a set cannot hold, is listed in Skipped and missing from the snapshot. Nothing is synced: the files
// are the user's.
func Scan(ctx context.Context, dir string, sink Sink, o ScanOptions) (Snapshot, error) {
	tree, err := filepath.Abs(dir)
	if err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	if err := o.Profile.Validate(); err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	o.applyDefaults()
	h, err := newHasher(chunkParams(o.Profile), o.Workers)
	if err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	s := &scanner{o: o, tree: tree, hash: h, out: make(chan found, 64)} // some files of lead for the sink
	return s.run(ctx, sink)
}

func chunkParams(p dag.Profile) chunk.Params {
	return chunk.Params{Min: p.Min, Avg: p.Avg, Max: p.Max}
}

func (o *ScanOptions) applyDefaults() {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	o.Workers = min(o.Workers, maxWorkers)
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (s *scanner) run(ctx context.Context, sink Sink) (Snapshot, error) {
	if err := CheckOutside(s.tree, s.o.Private...); err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	var err error
	if s.own, err = statPrivate(s.o.Private); err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	root, err := os.OpenRoot(s.tree)
	if err != nil {
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return Snapshot{}, fmt.Errorf("scan: %w", err)
	}
	top := newScanDir("", root, info)
	if s.o.Only != "" {
		top.attr.Mode = dag.DefaultDirMode // of a shared file's folder nothing is published
	}
	var link dag.Link
	var dirs int
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.collect(ctx, sink) })
	g.Go(func() (err error) {
		defer close(s.out)
		if dirs, err = s.read(ctx, top); err != nil {
			return err
		}
		link, err = s.build(ctx, top)
		return err
	})
	if err := g.Wait(); err != nil {
		return Snapshot{}, err
	}
	slices.SortFunc(s.skipped, func(a, b Skipped) int { return cmp.Compare(a.Path, b.Path) })
	return Snapshot{
		Root:  link.Cid,
		Files: int(s.files.Load()), Dirs: dirs, Symlinks: int(s.symlinks.Load()), Nodes: int(s.nodes.Load()),
		Bytes: s.bytes.Load(), BytesRead: s.hash.read.Load(),
		Skipped: s.skipped,
	}, nil
}

// read walks the tree and reads its files, and returns the number of folders.
func (s *scanner) read(ctx context.Context, top *scanDir) (int, error) {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job, 4*s.o.Workers) // enough that listing a folder does not stop the readers
	w := &walker{ctx: ctx, o: s.o, own: s.own, jobs: jobs, skip: s.skip}
	w.link = func(e *scanEntry, target string) error { return s.symlink(ctx, e, target) }
	g.Go(func() error {
		defer close(jobs)
		return w.walk(top, nil, 0)
	})
	var readers sync.WaitGroup
	readers.Add(s.o.Workers)
	for range s.o.Workers {
		g.Go(func() error {
			err := s.work(ctx, jobs)
			readers.Done()
			for t := range s.hash.tasks { // help those who still read
				s.hash.run(t)
			}
			return err
		})
	}
	g.Go(func() error {
		readers.Wait()
		close(s.hash.tasks)
		return nil
	})
	err := g.Wait()
	return w.dirs, err
}

// work takes files, and chunks of others' files while there is none.
func (s *scanner) work(ctx context.Context, jobs <-chan job) (err error) {
	for {
		select {
		case j, ok := <-jobs:
			if !ok {
				return err
			}
			if err == nil { // after an error only the handles are released
				err = s.file(ctx, j)
			}
			j.dir.release()
		case t := <-s.hash.tasks:
			s.hash.run(t)
		}
	}
}

// file makes the link of one file, or skips it. The error is one that ends the scan.
func (s *scanner) file(ctx context.Context, j job) error {
	path := join(j.dir.path, j.entry.name)
	link, size, err := s.unread(ctx, path, j)
	for n := 0; err != nil; n++ {
		if link, size, err = s.readOnce(ctx, path, j, n); err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, errChanged) && !errors.Is(err, errSwapped) {
			s.skip(path, err)
			return nil
		}
		if n+1 == attempts {
			s.skip(path, fmt.Errorf("%w: %d attempts", ErrChanging, attempts))
			return nil
		}
	}
	j.entry.link = link
	s.files.Add(1)
	s.bytes.Add(size)
	return nil
}

// errUnknown: the file must be read.
var errUnknown = errors.New("not known unchanged")

// unread is the link of a file that is recorded under this set and surely unchanged.
func (s *scanner) unread(ctx context.Context, path string, j job) (dag.Link, int64, error) {
	if s.o.Known == nil || s.o.Get == nil {
		return dag.Link{}, 0, errUnknown
	}
	f, ok := s.o.Known(path)
	if !ok || f.Set != s.o.Set || !Trusted(makeStamp(j.info), f) {
		return dag.Link{}, 0, errUnknown
	}
	link, err := storedLink(ctx, s.o.Get, f)
	link.Name = j.entry.name
	return link, f.Stamp.Size, err
}

// readOnce reads a file and emits its nodes and its record. n counts the attempts before.
func (s *scanner) readOnce(ctx context.Context, path string, j job, n int) (link dag.Link, size int64, err error) {
	info := j.info
	if n > 0 {
		if info, err = j.dir.root.Lstat(j.entry.name); err != nil {
			return link, 0, err
		}
	}
	f, info, err := openRegular(j.dir.root, j.entry.name, os.O_RDONLY, info)
	if err != nil {
		return link, 0, err
	}
	defer f.Close()
	before := makeStamp(info)
	scanned := s.o.Now()
	if d := settle(before, scanned); d > 0 {
		if err := wait(ctx, d); err != nil {
			return link, 0, err
		}
		if err := sameStamp(f, before); err != nil {
			return link, 0, err
		}
		scanned = scanned.Add(d)
	}
	leaves, err := s.hash.file(ctx, f, before.Size)
	if err != nil {
		return link, 0, err
	}
	if err := sameStamp(f, before); err != nil {
		return link, 0, err
	}
	rec := blockstore.File{Set: s.o.Set, Tree: s.tree, Path: path, Stamp: before, ScannedNs: scanned.UnixNano(), Leaves: leaves}
	link, err = s.emitFile(ctx, j.entry.name, attrOf(info), rec)
	return link, before.Size, err
}

// sameStamp is errChanged if f no longer looks like before.
func sameStamp(f *os.File, before blockstore.Stamp) error {
	info, err := f.Stat()
	if err == nil && makeStamp(info) != before {
		err = errChanged
	}
	return err
}

func attrOf(info fs.FileInfo) dag.Attr {
	return dag.Attr{Mode: uint32(info.Mode().Perm()), Mtime: info.ModTime()}
}

// wait is a pause of at most one tick of the file system's clock.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *scanner) skip(path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped = append(s.skipped, Skipped{Path: path, Err: err})
}
