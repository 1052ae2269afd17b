package node

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/chunks"
)

const (
	// maxTallied bounds the files of one set that are counted: more are a set that nobody looks through by name.
	maxTallied = 1 << 16
	// maxTallies bounds those of all sets together, at 12 bytes each: 3 MiB.
	maxTallies = 1 << 18
)

// downloads counts how often files were sent, from the start of the node: how often the first leaf of each was given out
// whole by the chunks protocol. It is an estimate: who stops after the first leaf counts, who asks again counts twice, who
// gets the file as part of an update does not count. Files that begin alike count together. A new revision keeps the
// counts of the files whose beginning it keeps.
type downloads struct {
	mu   sync.Mutex // guards sets; never held while a layout is read
	sets map[cid.Cid]*tally
}

// tally counts for one set, at one revision.
type tally struct {
	building sync.Mutex // guards what follows but counts' members; held while a layout is read
	root     cid.Cid
	keys     []uint64 // of first leaves, ascending
	counts   []atomic.Uint32

	used atomic.Int64 // Unix seconds
	size atomic.Int64 // files
}

// keyOf are 64 bits of a leaf's hash: an author can make two of his own files count together, and nobody else's.
func keyOf(c cid.Cid) uint64 {
	s := c.KeyString()
	return binary.BigEndian.Uint64([]byte(s[len(s)-8:]))
}

// of finds the tally of a set, or makes it. The sets that were not used for the longest time make room.
func (d *downloads) of(set cid.Cid, now time.Time) *tally {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.sets[set]
	if t == nil {
		if d.sets == nil {
			d.sets = map[cid.Cid]*tally{}
		}
		t = &tally{}
		d.sets[set] = t
	}
	t.used.Store(now.Unix())
	d.shrink(set)
	return t
}

// shrink keeps all sets together within bounds; the one in use stays.
func (d *downloads) shrink(inUse cid.Cid) {
	for {
		total, oldest := int64(0), cid.Undef
		for set, t := range d.sets {
			total += t.size.Load()
			if set != inUse && (!oldest.Defined() || t.used.Load() < d.sets[oldest].used.Load()) {
				oldest = set
			}
		}
		if total <= maxTallies && len(d.sets) <= maxTallied || !oldest.Defined() {
			return
		}
		delete(d.sets, oldest)
	}
}

// forget drops a set that is not here any more.
func (d *downloads) forget(set cid.Cid) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sets, set)
}

// at makes the tally one of the revision root, whose layout read gives. What read fails for is not counted.
func (t *tally) at(root cid.Cid, read func() (*dag.Layout, error)) (keys []uint64, counts []atomic.Uint32) {
	t.building.Lock()
	defer t.building.Unlock()
	if t.root == root {
		return t.keys, t.counts
	}
	lay, err := read()
	if err != nil {
		return nil, nil
	}
	next := firsts(lay)
	fresh := make([]atomic.Uint32, len(next))
	for i, k := range next {
		if j, ok := slices.BinarySearch(t.keys, k); ok {
			fresh[i].Store(t.counts[j].Load())
		}
	}
	t.root, t.keys, t.counts = root, next, fresh
	t.size.Store(int64(len(next)))
	return next, fresh
}

// firsts are the keys of the first leaves of a revision's files, ascending; none where there are too many.
func firsts(lay *dag.Layout) []uint64 {
	keys := make([]uint64, 0, min(len(lay.Entries), maxTallied))
	for _, e := range lay.Entries {
		if e.Kind != dag.KindFile || len(e.Leaves) == 0 {
			continue
		}
		if len(keys) == maxTallied {
			return nil
		}
		keys = append(keys, keyOf(lay.Leaves[e.Leaves[0]].Cid))
	}
	slices.Sort(keys)
	return slices.Clip(slices.Compact(keys))
}

// count tells how often an entry of the layout was sent.
func (d *downloads) count(set cid.Cid, lay *dag.Layout, e dag.Entry) uint64 {
	d.mu.Lock()
	t := d.sets[set]
	d.mu.Unlock()
	if t == nil || e.Kind != dag.KindFile || len(e.Leaves) == 0 {
		return 0
	}
	t.building.Lock()
	defer t.building.Unlock()
	if i, ok := slices.BinarySearch(t.keys, keyOf(lay.Leaves[e.Leaves[0]].Cid)); ok {
		return uint64(t.counts[i].Load())
	}
	return 0
}

// talliedChunks counts the files that peers take.
type talliedChunks struct {
	chunks.Source
	n *Node
}

// Open implements chunks.Source.
func (s talliedChunks) Open(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (chunks.Reader, error) {
	r, err := s.Source.Open(ctx, p, set, invite)
	if err != nil {
		return nil, err
	}
	rep, err := s.n.sets.Resolve(set.String())
	if err != nil {
		return r, nil // gone since: the reader will say so
	}
	return &talliedReader{Reader: r, n: s.n, rep: rep}, nil
}

// talliedReader is used by one goroutine, as any reader. It learns at its first leaf what is to be counted.
type talliedReader struct {
	chunks.Reader
	n      *Node
	rep    *replica.Replica
	begun  bool
	keys   []uint64
	counts []atomic.Uint32
}

// Get implements chunks.Reader.
func (r *talliedReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	b, err := r.Reader.Get(ctx, c, buf)
	if err != nil || c.Type() != cid.Raw {
		return b, err
	}
	if !r.begun {
		r.begun = true
		r.begin(ctx)
	}
	if i, ok := slices.BinarySearch(r.keys, keyOf(c)); ok {
		r.counts[i].Add(1)
	}
	return b, nil
}

func (r *talliedReader) begin(ctx context.Context) {
	h, ok := r.rep.Head()
	if !ok {
		return
	}
	if files, _, _ := h.Totals(); files > maxTallied {
		return
	}
	r.keys, r.counts = r.n.downloads.of(r.rep.Set(), r.n.now()).at(h.Root, func() (*dag.Layout, error) {
		from := r.n.sets.Inside(r.rep)
		defer from.Close()
		return from.Layout(ctx, h.Root)
	})
}
