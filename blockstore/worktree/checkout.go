package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

const (
	// openParts and openDirs bound the open files of one checkout: 128 unfinished files (several streams,
	// each in another part of the set) and 64 folders with two descriptors each, of the usual 1,024.
	openParts = 128
	openDirs  = 64
	// minSharded is how many entries are worth eight folders: to make and remove them takes 1.5 ms, and they
	// save 6 us a file.
	minSharded = 256
)

// What a file of the checkout is.
type status uint8

const (
	open    status = iota // leaves are missing, or it is not in place yet
	moving                // it is a file of another path, which Release renames
	placing               // all leaves are in the temporary, which is being moved
	placed                // done
	skipped               // left out; see Checkout.skipped
)

// fileState is what a checkout knows of an entry. Directories and symlinks use status alone.
type fileState struct {
	status  status
	exists  bool             // something was in its place at the look; a regular file looked like seen
	ours    bool             // that file may be replaced while it looks like seen
	fixAttr bool             // it stays, but its mode or mtime are not the revision's
	unread  bool             // it stays as it is recorded
	left    uint32           // places not done
	seen    blockstore.Stamp // of the file that was there
	stamp   blockstore.Stamp // once placed
	known   int64            // when its content was known to be right, ns; ScannedNs of its record
}

// Whether a leaf is here.
type leafState uint8

const (
	missing leafState = iota
	writing
	have
)

// Checkout builds a folder out of a layout. Its methods are safe for concurrent use, but Close comes last.
type Checkout struct {
	dest string // absolute
	set  cid.Cid
	o    CheckoutOptions
	plan *plan
	made bool // dest was not there before
	disk
	journal journal
	moves   map[int32]movedFile // by entry, set by the look
	modes   []fs.FileMode       // of each folder entry that was there at the look, others 0; nil: dest was not there

	zero zeroSums

	reused int64

	mu sync.Mutex // guards progress; never held during I/O
	progress
}

// disk is what a checkout has open.
type disk struct {
	root *os.Root
	tmp  *dirHandle // TempDir
	// shards are folders in TempDir for files of at most one chunk: several goroutines that make files in one
	// folder wait for each other in the kernel (10,000 small files: 0.17 s, in eight folders 0.11 s). A checkout
	// of less than minSharded entries has none.
	shards [8]*dirHandle
	dirs   *handles[*dirHandle] // by entry, and below zero those of far
	parts  *handles[*os.File]   // temporaries of files of several leaves
}

// progress is how far a checkout is.
type progress struct {
	held      bool // complete files stay temporaries: Release has not come that far
	files     []fileState
	done      bitset // places that are written and right
	leaves    []leafState
	skipped   []Skipped
	conflicts []Conflict
	moved     int
	pinned    []io.Closer      // files that were replaced
	far       map[string]int32 // keys of the handles of folders that are not entries
}

// NewCheckout looks at what lies in dest and prepares it. What is already right is kept: files whose
// stamps can be trusted unread, others after hashing them; so are the temporaries of a checkout that was
// killed. Leaves that lie elsewhere on this disk are copied into temporaries. dest is created if only its
// last component is missing.
//
// Errors: *ConflictError if the folder was never ours and holds
// files that are not in the revision, or if a file differs from the revision and this node did not write
// it; ErrNotWritable; blockstore.ErrNoSpace; dag.ErrMalformed. On a conflict, and when the space cannot
// suffice, dest is as it was.
//
// A file whose stamp equals its record may be replaced. That is no proof of "unchanged" within one tick
// after it was written: an edit that soon, by something that watches the folder, is not seen.
func NewCheckout(ctx context.Context, dest string, set cid.Cid, lay *dag.Layout, o CheckoutOptions) (*Checkout, error) {
	abs, err := filepath.Abs(dest)
	if err != nil {
		return nil, fmt.Errorf("checkout: %w", err)
	}
	c, err := newCheckout(abs, set, lay, o)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// newCheckout is one that has not looked yet; dest is absolute.
func newCheckout(dest string, set cid.Cid, lay *dag.Layout, o CheckoutOptions) (*Checkout, error) {
	o.applyDefaults()
	p, err := newPlan(lay, o.MinLeaf)
	if err != nil {
		return nil, err
	}
	c := &Checkout{
		dest: dest, set: set, o: o, plan: p,
		disk: disk{dirs: newHandles[*dirHandle](openDirs), parts: newHandles[*os.File](openParts)},
		progress: progress{
			// A file that is put in place may take leaves away that others need.
			held:   o.Hold || o.Local != nil || len(o.Moves) > 0,
			files:  make([]fileState, len(p.Entries)),
			done:   newBitset(len(p.leaf)),
			leaves: make([]leafState, len(p.Leaves)),
			far:    map[string]int32{},
		},
	}
	for i := range c.files {
		c.files[i].left = p.first[i+1] - p.first[i]
	}
	c.refuseNames()
	return c, nil
}

// prepare looks, decides, and only then touches anything.
func (c *Checkout) prepare(ctx context.Context) error {
	l := &look{c: c}
	if err := l.run(ctx); err != nil {
		return err
	}
	if err := c.checkSpace(l.root == nil); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	c.journal.lazy = c.made || l.empty()
	c.skipped = append(c.skipped, l.skipped...)
	c.inheritSkips()
	if !c.held {
		if err := c.makeDirs(); err != nil {
			return err
		}
	}
	if err := c.fill(ctx, l.old); err != nil {
		return err
	}
	for i, s := range c.leaves {
		if s == have {
			c.reused += int64(c.plan.Leaves[i].Size)
		}
	}
	if c.o.Hold {
		return nil
	}
	return c.Release(ctx)
}

// refuseNames skips what this operating system cannot name, and what would lie in our own folder.
func (c *Checkout) refuseNames() {
	for i, e := range c.plan.Entries[1:] {
		i := int32(i + 1)
		if _, err := filepath.Localize(c.plan.name(i)); err != nil {
			c.skip(i, fmt.Errorf("%w: %w", ErrName, err))
		} else if c.plan.parent[i] == 0 && isTempName(e.Path) {
			c.skip(i, fmt.Errorf("%w: reserved for unfinished files", ErrName))
		}
	}
	c.inheritSkips()
}

// inheritSkips leaves out what lies in a folder that is left out, without a report of its own.
func (c *Checkout) inheritSkips() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < len(c.files); i++ {
		if c.files[c.plan.parent[i]].status == skipped && c.files[i].status != skipped {
			c.leaveOut(int32(i))
		}
	}
}

// checkSpace compares what must be written with what the file system has.
func (c *Checkout) checkSpace(fresh bool) error {
	need := int64(0)
	for p := range c.plan.leaf {
		if !c.done.get(uint32(p)) && c.files[c.plan.owner[p]].status == open {
			need += int64(c.plan.size(uint32(p)))
		}
	}
	dir := c.dest
	if fresh {
		dir = filepath.Dir(dir)
	}
	free, err := c.o.FreeSpace(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkout: %w: %w", ErrNotWritable, err)
	}
	if err != nil {
		return fmt.Errorf("checkout: free space: %w", err)
	}
	if need > free {
		return fmt.Errorf("checkout %q: %w: %d bytes are needed, %d may be written there", c.dest, blockstore.ErrNoSpace, need, free)
	}
	return nil
}

// open makes dest and TempDir.
func (c *Checkout) open() error {
	if err := c.o.step(); err != nil {
		return err
	}
	err := os.Mkdir(c.dest, 0o700)
	c.made = err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("checkout: %w: %w", ErrNotWritable, err)
	}
	if c.root == nil {
		if c.root, err = os.OpenRoot(c.dest); err != nil {
			return fmt.Errorf("checkout: %w: %w", ErrNotWritable, err)
		}
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if err := c.makeWritable(0); err != nil {
		return err
	}
	if err := c.root.Mkdir(TempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return ioError("make "+TempDir, err)
	}
	tmp, err := openDir(c.root, TempDir)
	if errors.Is(err, ErrKind) {
		return &ConflictError{Paths: []string{TempDir}}
	}
	if err != nil {
		return ioError("open "+TempDir, err)
	}
	c.tmp, err = newDirHandle(c.root, tmp, TempDir)
	if err != nil {
		return ioError("open "+TempDir, err)
	}
	c.journal.dir, c.journal.step = c.tmp, c.o.step
	if err := c.openShards(); err != nil {
		return err
	}
	return c.rememberMade()
}

func (c *Checkout) openShards() error {
	if len(c.plan.Entries) < minSharded {
		return nil
	}
	for i := range c.shards {
		name := strconv.Itoa(i)
		if err := c.tmp.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return ioError("make "+TempDir, err)
		}
		dir, err := openDir(c.tmp.root, name)
		if err == nil {
			c.shards[i], err = newDirHandle(c.root, dir, TempDir+"/"+name)
		}
		if err != nil {
			return ioError("open "+TempDir, err)
		}
	}
	return nil
}

// temp is where the temporary of entry e lies, and its name.
func (c *Checkout) temp(e int32) (*dirHandle, string) {
	name := tempName(c.plan.Entries[e])
	if i := c.shard(e, name); i >= 0 {
		return c.shards[i], name
	}
	return c.tmp, name
}

// shard is the folder of shards for the temporary of entry e, or -1 for TempDir itself.
func (c *Checkout) shard(e int32, name string) int {
	if len(c.plan.Entries[e].Leaves) > 1 || len(c.plan.Entries) < minSharded {
		return -1
	}
	return int(name[0]) % len(c.shards)
}

// madeMark is the file in TempDir that says that a checkout made the folder around it, so that one that
// goes on after a crash knows whose the folder's mode is. No temporary has this name: theirs are hashes.
const madeMark = "made"

func (c *Checkout) rememberMade() error {
	if !c.made {
		_, err := c.tmp.root.Lstat(madeMark)
		c.made = err == nil
		return nil
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if err := c.tmp.root.WriteFile(madeMark, nil, 0o600); err != nil {
		return ioError("mark "+TempDir, err)
	}
	return nil
}

// ioError gives an error of the operating system the sentinel that callers look for.
func ioError(op string, err error) error {
	switch {
	case isFull(err):
		return fmt.Errorf("checkout: %s: %w: %w", op, blockstore.ErrNoSpace, err)
	case isReadOnly(err):
		return fmt.Errorf("checkout: %s: %w: %w", op, ErrNotWritable, err)
	}
	return fmt.Errorf("checkout: %s: %w", op, err)
}

// Interrupted tells whether a checkout into dest did not come to its end. If it was one of another revision,
// the difference of two revisions does not tell what dest holds, and the next checkout must not be Partial.
// It tells no more once Finish has removed the temporaries: whoever does more after that keeps a note.
func Interrupted(dest string) bool {
	_, err := os.Lstat(filepath.Join(dest, TempDir))
	return err == nil
}

// Need lists the leaves still to be fetched, in file order. It leaves out those that are being written.
func (c *Checkout) Need() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var need []uint32
	for i, s := range c.leaves {
		if s == missing && c.wanted(uint32(i)) {
			need = append(need, uint32(i))
		}
	}
	return need
}

// wanted: some file that is not left out lacks leaf i. c.mu is held.
func (c *Checkout) wanted(i uint32) bool {
	for _, p := range c.plan.places(i) {
		if !c.done.get(p) && c.files[c.plan.owner[p]].status == open {
			return true
		}
	}
	return false
}

// Reused is how many bytes of leaves were on this disk at the start, equal leaves once.
func (c *Checkout) Reused() int64 { return c.reused }

// Have tells whether leaf i is here.
func (c *Checkout) Have(i uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(i) < len(c.leaves) && c.leaves[i] == have
}

// Close releases the handles, and with them files that were replaced, which may take the file system a second
// for a large one. Temporaries stay, for the next checkout to go on with.
func (c *Checkout) Close() error {
	c.mu.Lock()
	pinned := c.pinned
	c.pinned = nil
	c.mu.Unlock()
	errs := []error{c.journal.Close(), c.parts.Close(), c.dirs.Close()}
	for _, f := range pinned {
		errs = append(errs, f.Close())
	}
	for _, s := range c.shards {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if c.tmp != nil {
		errs = append(errs, c.tmp.Close())
	}
	if c.root != nil {
		errs = append(errs, c.root.Close())
	}
	return errors.Join(errs...)
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset       { return make(bitset, (n+63)/64) }
func (b bitset) get(i uint32) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i uint32)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) clear(i uint32)    { b[i/64] &^= 1 << (i % 64) }
