package worktree

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Read returns leaf i if it is here, verified, in buf if that has the capacity: a checkout serves what it
// has while it is incomplete. Errors: blockstore.ErrNotFound, also if somebody changed the file since.
func (c *Checkout) Read(i uint32, buf []byte) ([]byte, error) {
	if int(i) < len(c.leaves) {
		size := int(c.plan.Leaves[i].Size)
		buf = slices.Grow(buf[:0], size)[:size]
		for _, p := range c.plan.places(i) {
			if c.readPlace(p, buf) && blockstore.Verify(c.plan.Leaves[i].Cid, buf) == nil {
				return buf, nil
			}
		}
	}
	return nil, fmt.Errorf("checkout: read leaf %d: %w", i, blockstore.ErrNotFound)
}

// readPlace fills buf from a place that is done. While a file is being moved it may be found under
// either name, and if not under the first one it is under the second.
func (c *Checkout) readPlace(p uint32, buf []byte) bool {
	e := c.plan.owner[p]
	c.mu.Lock()
	ok, st := c.done.get(p), c.files[e].status
	c.mu.Unlock()
	if !ok || st == skipped {
		return false
	}
	if m, ok := c.moves[e]; ok && st != placed && c.readMove(m, buf, c.plan.off[p]) == nil {
		return true
	}
	if st != placed {
		if dir, name := c.temp(e); readAt(dir.root, name, buf, c.plan.off[p]) == nil {
			return true
		}
	}
	return c.readFinal(e, buf, c.plan.off[p]) == nil
}

// readFinal reads from the file that lies in place of entry e.
func (c *Checkout) readFinal(e int32, buf []byte, off int64) error {
	dir, err := c.dir(c.plan.parent[e])
	if err != nil {
		return err
	}
	defer c.dirs.put(dir)
	return readAt(dir.v.root, c.plan.name(e), buf, off)
}

func readAt(dir *os.Root, name string, buf []byte, off int64) error {
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	f, _, err := openRegular(dir, name, os.O_RDONLY, info)
	if err != nil {
		return err
	}
	defer f.Close()
	return readFull(f, buf, off)
}

// isZero tells whether b, not empty, has only zero bytes; far cheaper than hashing the holes of a
// temporary.
func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
