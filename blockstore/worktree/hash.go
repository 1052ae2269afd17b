package worktree

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/chunk"
)

// errChanged: the file is not what it was when reading began.
var errChanged = errors.New("changed while being read")

const (
	// slabMemory bounds the buffers of one scan (bytes): below the 64 MiB a scan may take in all.
	slabMemory = 48 << 20
	// bigSlab is read at once with few workers, smallSlab with many: large enough that the system
	// calls do not show, small enough that each worker can hold one and others are being hashed.
	bigSlab, smallSlab = 4 << 20, 2 << 20
	// maxWorkers: 16 cores hash some 17 GB/s, more than any disk gives, and with smallSlab there are
	// 24 slabs for them, so that somebody can always go on (see hasher.take).
	maxWorkers = 16
	// queuedChunks is how far reading may run ahead of hashing; the slabs are the real bound
	// (48 MiB of chunks of 64 KiB at least).
	queuedChunks = slabMemory / (64 << 10)
)

// hasher cuts and hashes files with a fixed number of workers. A worker that reads a file puts the
// chunks it has cut on a queue; workers without a file, and readers that must wait, hash what is there.
// So one big file keeps all cores busy, and so do many small ones, without more goroutines than cores.
type hasher struct {
	chunker  *chunk.Chunker
	max      int // the chunker's largest chunk
	slabSize int
	slabs    chan *slab // the free ones
	tasks    chan task
	read     atomic.Int64 // bytes
}

// slab is a buffer in use by its reader and by the chunks in it that are not hashed yet.
type slab struct {
	buf  []byte
	refs atomic.Int32
}

// task is to hash one chunk.
type task struct {
	data []byte
	out  *blockstore.Leaf
	slab *slab
	file *pending
}

// pending counts the unhashed chunks of a file, and its reader as one; done is closed at zero.
type pending struct {
	refs atomic.Int64
	done chan struct{}
}

func newHasher(p chunk.Params, workers int) (*hasher, error) {
	c, err := chunk.New(p)
	if err != nil {
		return nil, err
	}
	h := &hasher{chunker: c, max: p.Max, slabSize: bigSlab, tasks: make(chan task, queuedChunks)}
	if workers > slabMemory/bigSlab/3 { // three for each: one read, one carried over, one hashed
		h.slabSize = smallSlab
	}
	h.slabSize = max(h.slabSize, 2*p.Max)
	n := max(slabMemory/h.slabSize, workers+1)
	h.slabs = make(chan *slab, n)
	for range n {
		h.slabs <- &slab{}
	}
	return h, nil
}

func (h *hasher) run(t task) {
	*t.out = blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, t.data), Size: uint32(len(t.data))}
	h.release(t.slab)
	t.file.drop()
}

func (p *pending) drop() {
	if p.refs.Add(-1) == 0 {
		close(p.done)
	}
}

func (h *hasher) release(s *slab) {
	if s != nil && s.refs.Add(-1) == 0 {
		h.slabs <- s // never blocks: the channel holds all slabs
	}
}

// take waits for a free slab and hashes meanwhile. It cannot starve: a reader holds at most one slab
// here (the one it carries bytes over from), there are more slabs than readers, and the rest are freed by
// tasks that anybody who waits here works off.
func (h *hasher) take(ctx context.Context) (*slab, error) {
	for {
		select {
		case s := <-h.slabs:
			if s.buf == nil {
				s.buf = make([]byte, h.slabSize)
			}
			s.refs.Store(1)
			return s, nil
		case t := <-h.tasks:
			h.run(t)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// file cuts and hashes the first size bytes of r. errChanged if there are fewer.
func (h *hasher) file(ctx context.Context, r io.ReaderAt, size int64) ([]blockstore.Leaf, error) {
	var (
		parts [][]blockstore.Leaf // of one slab each
		prev  *slab
		carry []byte // the end of prev that could not be cut yet
		wait  = &pending{done: make(chan struct{})}
		err   error
	)
	wait.refs.Store(1)
	for off := int64(0); off < size && err == nil; {
		var s *slab
		if s, err = h.take(ctx); err != nil {
			break
		}
		n := copy(s.buf, carry)
		h.release(prev)
		prev, carry = s, nil
		more := int(min(int64(h.slabSize-n), size-off))
		if err = readFull(r, s.buf[n:n+more], off); err != nil {
			break
		}
		h.read.Add(int64(more))
		off += int64(more)
		var part []blockstore.Leaf
		part, carry = h.cut(s, s.buf[:n+more], off == size, wait)
		parts = append(parts, part)
	}
	h.release(prev)
	wait.drop()
	for {
		select {
		case t := <-h.tasks:
			h.run(t)
		case <-wait.done:
			return flatten(parts), err
		}
	}
}

// cut divides data, which lies in s, queues its chunks and returns their leaves to be, and the rest.
func (h *hasher) cut(s *slab, data []byte, final bool, wait *pending) ([]blockstore.Leaf, []byte) {
	var lengths []int
	rest := data
	for len(rest) > 0 && (final || len(rest) >= h.max) {
		n := h.chunker.Cut(rest, final)
		lengths = append(lengths, n)
		rest = rest[n:]
	}
	leaves := make([]blockstore.Leaf, len(lengths))
	s.refs.Add(int32(len(lengths)))
	wait.refs.Add(int64(len(lengths)))
	for i, n := range lengths {
		t := task{data: data[:n], out: &leaves[i], slab: s, file: wait}
		data = data[n:]
		if len(lengths) == 1 {
			h.run(t) // a small file is not worth a hand-over
			break
		}
		select {
		case h.tasks <- t:
		default:
			h.run(t)
		}
	}
	return leaves, rest
}

func flatten(parts [][]blockstore.Leaf) []blockstore.Leaf {
	if len(parts) == 1 {
		return parts[0]
	}
	var all []blockstore.Leaf
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == io.EOF {
		return errChanged
	}
	return err
}
