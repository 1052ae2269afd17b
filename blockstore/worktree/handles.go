package worktree

import (
	"errors"
	"io"
	"sync"
)

// handles keeps at most max things open, by entry, and closes the one that was not used for longest. A
// handle in use is never closed, so with more users than max more are open. Opening and closing happen
// outside the lock.
type handles[T io.Closer] struct {
	max int

	mu    sync.Mutex // guards what follows, and users and used of every handle
	open  map[int32]*handle[T]
	clock uint64
}

// handle is something open; v may be used between get and put.
type handle[T io.Closer] struct {
	once  sync.Once
	v     T
	err   error
	users int
	used  uint64
	gone  bool // no longer in the map: closed by its last user
}

func newHandles[T io.Closer](max int) *handles[T] {
	return &handles[T]{max: max, open: map[int32]*handle[T]{}}
}

// get returns the handle of key, opened by one of its users if it is not open yet.
func (h *handles[T]) get(key int32, open func() (T, error)) (*handle[T], error) {
	h.mu.Lock()
	x := h.open[key]
	if x == nil {
		x = &handle[T]{}
		h.open[key] = x
	}
	x.users++
	h.clock++
	x.used = h.clock
	victim := h.evict()
	h.mu.Unlock()
	if victim != nil {
		victim.v.Close() // what was written through it shows its errors when read or synced
	}
	x.once.Do(func() { x.v, x.err = open() })
	if x.err != nil {
		h.drop(key)
		h.put(x)
		return nil, x.err
	}
	return x, nil
}

// evict takes the handle that was used least lately out of the map, if there are too many.
func (h *handles[T]) evict() *handle[T] {
	if len(h.open) <= h.max {
		return nil
	}
	var victim *handle[T]
	var key int32
	for k, x := range h.open {
		if x.users == 0 && (victim == nil || x.used < victim.used) {
			victim, key = x, k
		}
	}
	if victim != nil {
		victim.gone = true
		delete(h.open, key)
	}
	return victim
}

// put gives a handle back.
func (h *handles[T]) put(x *handle[T]) error {
	h.mu.Lock()
	x.users--
	last := x.users == 0 && x.gone
	h.mu.Unlock()
	if last && x.err == nil {
		return x.v.Close()
	}
	return nil
}

// drop forgets the handle of key; its last user closes it.
func (h *handles[T]) drop(key int32) error {
	h.mu.Lock()
	x := h.open[key]
	if x == nil {
		h.mu.Unlock()
		return nil
	}
	delete(h.open, key)
	x.gone = true
	idle := x.users == 0
	h.mu.Unlock()
	if idle && x.err == nil {
		return x.v.Close()
	}
	return nil
}

// Close drops all.
func (h *handles[T]) Close() error {
	h.mu.Lock()
	keys := make([]int32, 0, len(h.open))
	for k := range h.open {
		keys = append(keys, k)
	}
	h.mu.Unlock()
	var errs []error
	for _, k := range keys {
		errs = append(errs, h.drop(k))
	}
	return errors.Join(errs...)
}
