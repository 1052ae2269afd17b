package worktree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// tempName is where the bytes of an entry are gathered: the same for every checkout of this file in this
// state, so that one that was killed is resumed. 128 bits of hash do not collide by chance, and a
// collision made on purpose would only mix up two files whose leaves are verified when resumed.
func tempName(e dag.Entry) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s", e.Path, e.Cid)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func isTempName(name string) bool { return strings.EqualFold(name, TempDir) }

// Write verifies data as leaf i and writes it at all its places; a file whose last leaf this is gets
// its mode and mtime and is renamed into place. A leaf that is here or being written by another call is
// accepted and dropped. On an error the leaf is missing as before. Errors: blockstore.ErrCorrupt for data
// that is not leaf i, blockstore.ErrNoSpace, ErrNotWritable. A conflict is not an error: the file is left
// out and reported by Finish.
func (c *Checkout) Write(i uint32, data []byte) error {
	if int(i) >= len(c.leaves) {
		return fmt.Errorf("checkout: write: no leaf %d", i)
	}
	if l := c.plan.Leaves[i]; int(l.Size) != len(data) {
		return fmt.Errorf("checkout: write leaf %d: %w: %d bytes, not %d", i, blockstore.ErrCorrupt, len(data), l.Size)
	} else if err := blockstore.Verify(l.Cid, data); err != nil {
		return fmt.Errorf("checkout: write leaf %d: %w", i, err)
	}
	return c.write(i, data)
}

// write is Write for data that was verified.
func (c *Checkout) write(i uint32, data []byte) error {
	c.mu.Lock()
	if c.leaves[i] != missing {
		c.mu.Unlock()
		return nil
	}
	c.leaves[i] = writing
	todo := c.openPlaces(i)
	c.mu.Unlock()
	var err error
	for _, p := range todo {
		if err = c.writePlace(p, data); err != nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaves[i] = missing
	if err == nil && c.somewhere(i) {
		c.leaves[i] = have
	}
	return err
}

// openPlaces are the places of leaf i that must be written. c.mu is held.
func (c *Checkout) openPlaces(i uint32) []uint32 {
	var todo []uint32
	for _, p := range c.plan.places(i) {
		if !c.done.get(p) && c.files[c.plan.owner[p]].status == open {
			todo = append(todo, p)
		}
	}
	return todo
}

// somewhere: leaf i can be read from a file that is not left out. c.mu is held.
func (c *Checkout) somewhere(i uint32) bool {
	return slices.ContainsFunc(c.plan.places(i), func(p uint32) bool {
		return c.done.get(p) && c.files[c.plan.owner[p]].status != skipped
	})
}

// writePlace writes one place and finishes its file if it was the last.
func (c *Checkout) writePlace(p uint32, data []byte) error {
	e := c.plan.owner[p]
	if len(c.plan.Entries[e].Leaves) == 1 {
		return c.writeWhole(e, p, data)
	}
	h, err := c.parts.get(e, func() (*os.File, error) { return c.openTemp(e, 0) })
	if err != nil {
		return ioError("open temporary", err)
	}
	defer c.parts.put(h)
	if err := c.o.step(); err != nil {
		return err
	}
	if _, err := h.v.WriteAt(data, c.plan.off[p]); err != nil {
		return ioError("write temporary", err)
	}
	if !c.markDone(p) {
		return nil
	}
	err = c.place(e, h.v)
	if err != nil {
		c.unmark(p)
	}
	c.parts.drop(e) // closed when the deferred put has run
	return err
}

// writeWhole writes a file of one leaf (or none: data is nil) with as few system calls as there can be.
func (c *Checkout) writeWhole(e int32, p uint32, data []byte) error {
	f, err := c.openTemp(e, os.O_TRUNC)
	if err != nil {
		return ioError("open temporary", err)
	}
	defer f.Close()
	if len(data) > 0 {
		if err := c.o.step(); err != nil {
			return err
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			return ioError("write temporary", err)
		}
		if !c.markDone(p) {
			return nil
		}
	}
	err = c.place(e, f)
	if err != nil && len(data) > 0 {
		c.unmark(p)
	}
	return err
}

// openTemp makes the temporary of e, or opens the one that a checkout before left. A thing of another
// kind that has its name is removed.
func (c *Checkout) openTemp(e int32, flag int) (*os.File, error) {
	// openNoBlock spares the four fcntl calls with which os prepares a file for its poller, in vain.
	const create = os.O_RDWR | os.O_CREATE | os.O_EXCL | openNoBlock
	dir, name := c.temp(e)
	if err := c.o.step(); err != nil {
		return nil, err
	}
	f, err := dir.root.OpenFile(name, create, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if info, err := dir.root.Lstat(name); err == nil && info.Mode().IsRegular() {
		if info.Mode().Perm()&0o600 != 0o600 { // it was about to be moved
			_ = dir.root.Chmod(name, 0o600) // if it fails, so does the open
		}
		if f, _, err = openRegular(dir.root, name, os.O_RDWR|flag, info); err == nil {
			if size := c.plan.Entries[e].Size; info.Size() > size {
				err = f.Truncate(size)
			}
			return f, err
		}
	}
	if err := dir.root.RemoveAll(name); err != nil {
		return nil, err
	}
	return dir.root.OpenFile(name, create, 0o600)
}

// markDone notes that place p is written, and tells whether its file is complete, which is then the
// caller's to place.
func (c *Checkout) markDone(p uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done.get(p) {
		return false
	}
	c.done.set(p)
	f := &c.files[c.plan.owner[p]]
	f.left--
	if f.left > 0 || f.status != open || c.held {
		return false
	}
	f.status = placing
	return true
}

// unmark takes markDone back after a failure, so that the leaf is asked for again and the file placed.
func (c *Checkout) unmark(p uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done.clear(p)
	f := &c.files[c.plan.owner[p]]
	f.left++
	f.status = open
}

// place gives the complete temporary f of entry e its mode and mtime and moves it into place. If that
// would overwrite something that is not ours the entry is skipped, which is no error.
func (c *Checkout) place(e int32, f *os.File) error {
	entry := c.plan.Entries[e]
	tmp, name := c.temp(e)
	if err := c.o.step(); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(entry.Attr.Mode & 0o777)); err != nil {
		return ioError("set mode", err)
	}
	if t := entry.Attr.Mtime; !t.IsZero() {
		if err := c.o.step(); err != nil {
			return err
		}
		if err := setMtime(tmp, name, t); err != nil {
			return ioError("set mtime", err)
		}
	}
	if !c.journal.lazy {
		info, err := f.Stat()
		if err == nil {
			err = c.journal.write(fileLine(entry.Path, makeStamp(info)))
		}
		if err != nil {
			return ioError("write journal", err)
		}
	}
	err := c.moveInto(e, tmp, name)
	if refused(err) {
		c.skip(e, err)
		if err := c.o.step(); err != nil {
			return err
		}
		return tmp.root.Remove(name)
	}
	if err != nil {
		return ioError("rename", err)
	}
	known := c.o.Now().UnixNano()
	info, err := f.Stat() // after the rename: that changes the ctime
	if err != nil {
		return ioError("stat", err)
	}
	stamp := makeStamp(info)
	c.mu.Lock()
	s := &c.files[e]
	s.status, s.stamp, s.known = placed, stamp, known
	c.mu.Unlock()
	if c.journal.lazy {
		c.journal.later(fileLine(entry.Path, stamp))
	}
	return nil
}

// refused: an entry cannot be put in place, which is no failure of the checkout.
func refused(err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrCollision) || isBadName(err)
}

// moveInto renames the file that is to become entry e to its final name, if what is there may go.
func (c *Checkout) moveInto(e int32, from *dirHandle, fromName string) error {
	path, name := c.plan.Entries[e].Path, c.plan.name(e)
	dir, err := c.dir(c.plan.parent[e])
	if errors.Is(err, ErrKind) || errors.Is(err, errSwapped) || errors.Is(err, fs.ErrNotExist) {
		return &ConflictError{Paths: []string{path}} // its folder was replaced
	}
	if err != nil {
		return err
	}
	defer c.dirs.put(dir)
	c.mu.Lock()
	existed := c.files[e].exists
	c.mu.Unlock()
	if err := c.o.step(); err != nil {
		return err
	}
	if !existed {
		err := moveNew(from, fromName, dir.v, name)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := c.occupied(e, dir.v); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	over, err := c.makeWay(e, dir.v)
	if err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if over {
		c.pin(dir.v.root, name)
		return move(from, fromName, dir.v, name)
	}
	if err = moveNew(from, fromName, dir.v, name); errors.Is(err, fs.ErrExist) {
		err = c.occupied(e, dir.v)
	}
	return err
}

// maxPinned bounds the files that pin keeps open.
const maxPinned = 64

// pin keeps a file that is about to be replaced open until Close: a file system may need long to free it (1 ms for
// a small file, 1 s for 1 GiB on ext4 with discard), which nobody needs to wait for who waits for the new one.
func (c *Checkout) pin(dir *os.Root, name string) {
	if !keepsOpen {
		return
	}
	info, err := dir.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	c.mu.Lock()
	full := len(c.pinned) >= maxPinned
	c.mu.Unlock()
	if full {
		return
	}
	f, _, err := openRegular(dir, name, os.O_RDONLY, info)
	if err != nil {
		return // it is only a matter of time
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinned = append(c.pinned, f)
}

func isDir(dir *os.Root, name string) bool {
	info, err := dir.Lstat(name)
	return err == nil && info.IsDir()
}

// occupied says why a name that was free at the look is not: the file system takes it for another one,
// or somebody else made it.
func (c *Checkout) occupied(e int32, dir *dirHandle) error {
	names, err := readNames(dir.root)
	if err != nil {
		return err
	}
	if !slices.Contains(names, c.plan.name(e)) {
		return ErrCollision
	}
	return &ConflictError{Paths: []string{c.plan.Entries[e].Path}}
}

func (c *Checkout) statusOf(e int32) status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files[e].status
}

// skip leaves entry e out for good and forgets the leaves that only it had.
func (c *Checkout) skip(e int32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveOut(e)
	c.skipped = append(c.skipped, Skipped{Path: c.plan.Entries[e].Path, Err: err})
}

// leaveOut is skip without a report. c.mu is held.
func (c *Checkout) leaveOut(e int32) {
	c.files[e].status = skipped
	for p := c.plan.first[e]; p < c.plan.first[e+1]; p++ {
		if i := c.plan.leaf[p]; c.leaves[i] == have && !c.somewhere(i) {
			c.leaves[i] = missing
		}
	}
}
