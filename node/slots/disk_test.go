package slots

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
)

var (
	errCrash = errors.New("crash")
	errIO    = errors.New("input/output error")
)

// sector is what a disk writes whole or not at all.
const sector = 512

// inode is a file: what processes see, what the disk has, and which sectors differ because nothing was synced.
type inode struct {
	cache, durable []byte
	dirty          map[int]bool
}

// memDisk is a disk that forgets in a crash what was not synced, wholly or in part.
type memDisk struct {
	names, durable map[string]*inode
	random         *rand.Rand
	steps          int   // left until fault happens; negative: never
	fault          error // errCrash: nothing works from then on; errIO: this step alone fails
	dead           bool
	unreadable     map[int64]bool // offsets at which reading fails
}

func newMemDisk(seed uint64) *memDisk {
	return &memDisk{
		names: map[string]*inode{}, durable: map[string]*inode{},
		random: rand.New(rand.NewPCG(seed, 0)), steps: -1,
	}
}

// step counts down to the fault.
func (d *memDisk) step() error {
	if d.dead {
		return errCrash
	}
	d.steps--
	if d.steps != -1 {
		return nil
	}
	d.dead = d.fault == errCrash
	return d.fault
}

// reboot ends the crash: some of what was not synced has reached the disk, the rest is gone.
func (d *memDisk) reboot() {
	for _, m := range []map[string]*inode{d.durable, d.names} {
		for _, n := range m {
			n.crash(d.random)
		}
	}
	for _, name := range []string{"state", "state.tmp"} { // each name is the old or the new one
		if d.random.IntN(2) == 0 {
			continue
		}
		if n := d.names[name]; n != nil {
			d.durable[name] = n
		} else {
			delete(d.durable, name)
		}
	}
	d.names = maps.Clone(d.durable)
	d.steps, d.dead = -1, false
}

func (n *inode) crash(random *rand.Rand) {
	for at := 0; at < len(n.cache); at += sector {
		if n.dirty[at] && random.IntN(2) == 0 {
			n.flush(at)
		}
	}
	n.dirty = map[int]bool{}
	n.cache = append([]byte(nil), n.durable...)
}

// flush writes one sector to the disk.
func (n *inode) flush(at int) {
	end := min(at+sector, len(n.cache))
	if end > len(n.durable) {
		n.durable = append(n.durable, make([]byte, end-len(n.durable))...)
	}
	copy(n.durable[at:end], n.cache[at:end])
}

func (d *memDisk) open(path string, flag int) (handle, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	n := d.names[path]
	if n == nil && flag&os.O_CREATE == 0 {
		return nil, fs.ErrNotExist
	}
	if n == nil || flag&os.O_TRUNC != 0 {
		n = &inode{dirty: map[int]bool{}}
		d.names[path] = n
	}
	return &memHandle{d: d, n: n}, nil
}

func (d *memDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *memDisk) syncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	return nil
}

type memHandle struct {
	d *memDisk
	n *inode
}

func (h *memHandle) ReadAt(b []byte, at int64) (int, error) {
	if h.d.dead {
		return 0, errCrash
	}
	if h.d.unreadable[at] {
		return 0, errIO
	}
	if at >= int64(len(h.n.cache)) {
		return 0, io.EOF
	}
	n := copy(b, h.n.cache[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(b []byte, at int64) (int, error) {
	if h.d.dead {
		return 0, errCrash
	}
	err := h.d.step()
	if err != nil {
		b = b[:h.d.random.IntN(len(b))]
	}
	n := h.n
	if end := int(at) + len(b); end > len(n.cache) {
		n.cache = append(n.cache, make([]byte, end-len(n.cache))...)
	}
	copy(n.cache[at:], b)
	for s := int(at) / sector * sector; s < int(at)+len(b); s += sector {
		n.dirty[s] = true
	}
	return len(b), err
}

// Sync that fails does what Linux does: the pages count as clean and stay in the cache, the disk lacks some.
func (h *memHandle) Sync() error {
	if h.d.dead {
		return errCrash
	}
	err := h.d.step()
	if err == errCrash {
		return err
	}
	for at := range h.n.dirty {
		if err == nil || h.d.random.IntN(2) == 0 {
			h.n.flush(at)
		}
	}
	h.n.dirty = map[int]bool{}
	return err
}

func (h *memHandle) Close() error { return nil }
