package replica

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/segment"
)

const (
	// inlineAside is the most bytes of leaves that go into the store itself: one write on stable storage instead of
	// a file's. The store is not for more: what it holds twice is not given back before the next collection.
	inlineAside = 64 << 10
	// asideSegment is when a segment is closed, so that a fetch that is interrupted keeps what it has, bytes.
	asideSegment = 256 << 20
)

// asideDir is where the segments lie of what no folder of a set holds, or not yet: revisions that a voter has
// fetched before its folder, if it has one, is brought there.
func (r *Registry) asideDir(set cid.Cid) string {
	return filepath.Join(r.cfg.Segments, "aside", set.String())
}

// aside takes the leaves of a revision that lie nowhere under the set. What was taken is there for readers once
// finish has returned.
type aside struct {
	ctx context.Context
	r   *Registry
	set cid.Cid
	lay *dag.Layout

	mu   sync.Mutex // guards need
	need map[uint32]bool

	turn  sync.Mutex // of who writes: chunks lie one after the other. Guards what follows
	err   error      // the first of writing: what was taken for done may not be
	small []blockstore.Block
	bulk  bool // more than is taken inline
	w     *segment.Writer
	name  func() (int, error) // numbers the next segment
}

// newAside finds out which leaves are lacking. Those of base are here. Others that lie on this disk are copied: they may
// be another set's, of which readers of this one are served nothing, or what is kept of a past revision, and go with it.
func (r *Registry) newAside(ctx context.Context, rep *Replica, lay, base *dag.Layout) (*aside, error) {
	set := rep.id
	a := &aside{ctx: ctx, r: r, set: set, lay: lay, need: map[uint32]bool{}, name: func() (int, error) { return r.nextAside(rep) }}
	known := map[cid.Cid]bool{}
	if base != nil {
		for _, l := range base.Leaves {
			known[l.Cid] = true
		}
	}
	var bytes int64
	for i, l := range lay.Leaves {
		if !known[l.Cid] {
			a.need[uint32(i)] = true
			bytes += int64(l.Size)
		}
	}
	if bytes > 0 {
		if err := r.roomFor(bytes + recordWrites*recordCost*int64(len(a.need))); err != nil {
			return nil, err
		}
	}
	a.bulk = bytes > inlineAside
	for _, i := range a.Need() {
		c := lay.Leaves[i].Cid
		if has, err := r.cfg.Store.Has(ctx, c); err != nil || !has {
			continue
		}
		if b, err := r.cfg.Store.Get(ctx, c, nil); err == nil {
			if err := a.Write(i, b); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// nextAside numbers a segment. The first one of a run comes after those that are there; what a crash left of one that
// was being written goes, because nobody else writes any yet.
func (r *Registry) nextAside(rep *Replica) (int, error) {
	rep.numbering.Lock()
	defer rep.numbering.Unlock()
	if rep.segment == 0 {
		all, err := segment.List(r.asideDir(rep.id))
		if err != nil {
			return 0, err
		}
		for _, s := range all {
			if n, err := strconv.Atoi(strings.TrimSuffix(s.Name, segment.Ext)); err == nil {
				rep.segment = max(rep.segment, n)
			}
		}
	}
	rep.segment++
	return rep.segment, nil
}

// Need lists the leaves still to be had, in file order.
func (a *aside) Need() []uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]uint32, 0, len(a.need))
	for i := range a.need {
		all = append(all, i)
	}
	slices.Sort(all)
	return all
}

// Have tells whether a leaf is here or was taken.
func (a *aside) Have(i uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.need[i]
}

// Read finds nothing: what is complete is in the store.
func (a *aside) Read(uint32, []byte) ([]byte, error) { return nil, blockstore.ErrNotFound }

// Write verifies a leaf and takes it.
func (a *aside) Write(i uint32, data []byte) error {
	l := a.lay.Leaves[i]
	if len(data) != int(l.Size) {
		return fmt.Errorf("write leaf %d: %w: %d bytes instead of %d", i, blockstore.ErrCorrupt, len(data), l.Size)
	}
	b, err := blockstore.Receive(l.Cid, data)
	if err != nil {
		return fmt.Errorf("write leaf %d: %w", i, err)
	}
	a.mu.Lock()
	wanted := a.need[i]
	delete(a.need, i)
	a.mu.Unlock()
	if !wanted {
		return nil
	}
	a.turn.Lock()
	defer a.turn.Unlock()
	if a.err == nil {
		a.err = a.take(l.Cid, b)
	}
	return a.err
}

// take keeps a leaf. a.turn is held.
func (a *aside) take(c cid.Cid, b blockstore.Block) error {
	if !a.bulk {
		own, err := blockstore.Receive(c, slices.Clone(b.Data()))
		a.small = append(a.small, own)
		return err
	}
	if a.w == nil {
		n, err := a.name()
		if err != nil {
			return err
		}
		if a.w, err = segment.Create(a.r.asideDir(a.set), strconv.Itoa(n)+segment.Ext); err != nil {
			return err
		}
	}
	if err := a.w.Add(c, b.Data()); err != nil {
		return err
	}
	if a.w.Bytes() >= asideSegment {
		return a.flush()
	}
	return nil
}

// flush makes the open segment durable and records it.
func (a *aside) flush() error {
	w := a.w
	a.w = nil
	if w == nil {
		return nil
	}
	f, err := w.Close()
	if err != nil {
		return err
	}
	f.Set = a.set
	return a.r.cfg.Store.PutFiles(a.ctx, f)
}

// finish makes everything that was taken durable, and visible to readers of the set.
func (a *aside) finish() error {
	a.turn.Lock()
	defer a.turn.Unlock()
	if a.err != nil {
		return a.err
	}
	if len(a.small) > 0 {
		if err := a.r.cfg.Store.Put(a.ctx, a.set, a.small...); err != nil {
			return err
		}
		a.small = nil
	}
	return a.flush()
}

// Close keeps what is in complete segments, and gives the rest up.
func (a *aside) Close() error {
	a.turn.Lock()
	defer a.turn.Unlock()
	if a.w == nil {
		return nil
	}
	w := a.w
	a.w = nil
	return w.Abort()
}

// dropAside gives up the segments of a set once a folder holds, on stable storage, all that is of use in them.
func (r *Registry) dropAside(ctx context.Context, set cid.Cid) error {
	dir := r.asideDir(set)
	all, err := segment.List(dir)
	if err != nil || len(all) == 0 {
		return err
	}
	if err := r.cfg.Store.DropFiles(ctx, dir); err != nil {
		return fmt.Errorf("drop what a folder holds: %w", err)
	}
	for _, s := range all {
		if err := segment.Remove(dir, s.Name); err != nil {
			return fmt.Errorf("drop what a folder holds: %w", err)
		}
	}
	return nil
}

// slackAside is which part of the segments may be of no use before they are written anew: a twentieth is what a
// collection may leave.
const slackAside = 20

// compactAside writes what is of use of a set's segments anew, without the rest, once that is more than a little. No
// aside is being filled meanwhile.
func (r *Registry) compactAside(ctx context.Context, rep *Replica) error {
	if r.cfg.Segments == "" || r.absent(rep) || !rep.aside.TryLock() {
		return nil // the next collection does
	}
	defer rep.aside.Unlock()
	dir := r.asideDir(rep.id)
	all, err := segment.List(dir)
	if err != nil || len(all) == 0 {
		return err
	}
	var total int64
	for _, s := range all {
		total += s.Bytes
	}
	leaves, bytes, err := r.beside(ctx, rep)
	if err != nil || bytes+bytes/slackAside+inlineAside >= total {
		return nil // what cannot be told is kept
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	if len(leaves) > 0 {
		n, err := r.nextAside(rep)
		if err != nil {
			return err
		}
		f, missing, err := r.writeSegment(ctx, dir, rep.id, strconv.Itoa(n)+segment.Ext, leaves)
		if err == nil {
			err = r.cfg.Store.PutFiles(ctx, f)
		}
		if err != nil {
			return err
		}
		if missing > 0 {
			r.cfg.Log.Warn("some of a revision cannot be read any more", "set", rep.id, "chunks", missing)
		}
	}
	if err := r.cfg.Store.DropFiles(ctx, dir, names...); err != nil {
		return err
	}
	for _, name := range names {
		if err := segment.Remove(dir, name); err != nil {
			return err
		}
	}
	return nil
}

// beside lists the leaves that are kept of a set and that its folder does not have.
func (r *Registry) beside(ctx context.Context, rep *Replica) (leaves []blockstore.Leaf, bytes int64, err error) {
	inFolder := map[cid.Cid]bool{}
	if root := rep.built(); root.Defined() {
		lay, err := r.layoutOf(ctx, rep.id, root)
		if err != nil {
			return nil, 0, err
		}
		st, b := rep.State(), base{lay: lay}
		b.look(st.Dir, false)
		for _, e := range lay.Entries {
			if _, lost := b.lost[e.Path]; lost || st.Only != "" && e.Path != st.Only {
				continue
			}
			for _, l := range e.Leaves {
				inFolder[lay.Leaves[l].Cid] = true
			}
		}
	}
	whole, _ := r.roots(rep)
	for _, root := range whole {
		lay, err := r.layoutOf(ctx, rep.id, root)
		if err != nil {
			return nil, 0, err
		}
		for _, l := range lay.Leaves {
			if !inFolder[l.Cid] {
				inFolder[l.Cid] = true
				leaves = append(leaves, l)
				bytes += int64(l.Size)
			}
		}
	}
	return leaves, bytes, nil
}

// keepAside is the most bytes of a new revision that are copied before it is ordered, until other disks have them: its
// author goes on changing the files that hold them, and what was accepted must not go with that. More is not worth
// writing twice.
const keepAside = 64 << 20

// copyAside copies leaves of a set that lie in its folder.
func (r *Registry) copyAside(ctx context.Context, rep *Replica, leaves []blockstore.Leaf, bytes int64) error {
	if len(leaves) == 0 || r.cfg.Segments == "" {
		return nil
	}
	rep.aside.RLock()
	defer rep.aside.RUnlock()
	if bytes <= inlineAside {
		var blocks []blockstore.Block
		for _, l := range leaves {
			data, err := r.cfg.Store.GetFrom(ctx, rep.id, l.Cid, nil)
			if isMissing(err) {
				continue // it was changed again: the next revision has it
			}
			if err != nil {
				return fmt.Errorf("set aside: %w", err)
			}
			b, err := blockstore.Receive(l.Cid, data)
			if err != nil {
				return fmt.Errorf("set aside: %w", err)
			}
			blocks = append(blocks, b)
		}
		return r.cfg.Store.Put(ctx, rep.id, blocks...)
	}
	missing, err := r.segmentAside(ctx, rep, leaves)
	if missing > 0 {
		r.cfg.Log.Info("files were changed while they were published", "set", rep.id, "chunks", missing)
	}
	return err
}

// segmentAside copies leaves of a set to a segment of their own; missing counts those that are not here intact.
func (r *Registry) segmentAside(ctx context.Context, rep *Replica, leaves []blockstore.Leaf) (missing int, err error) {
	n, err := r.nextAside(rep)
	if err != nil {
		return 0, fmt.Errorf("set aside: %w", err)
	}
	f, missing, err := r.writeSegment(ctx, r.asideDir(rep.id), rep.id, strconv.Itoa(n)+segment.Ext, leaves)
	if err == nil {
		err = r.cfg.Store.PutFiles(ctx, f)
	}
	if err != nil {
		return missing, fmt.Errorf("set aside: %w", err)
	}
	return missing, nil
}

// setAside copies what the folder is about to lose and a revision needs that the council knows: one that lost to
// another is to be merged yet. That it can be done is a condition of going on.
func (g *get) setAside(ctx context.Context, next *dag.Layout) error {
	if g.rep.seated() == nil || g.r.cfg.Segments == "" {
		return nil
	}
	g.rep.aside.RLock()
	defer g.rep.aside.RUnlock()
	gone, _ := leaving(g.base.lay, next)
	losing := make(map[cid.Cid]bool, len(gone))
	for _, l := range gone {
		losing[l.Cid] = true
	}
	var leaves []blockstore.Leaf
	whole, _ := g.r.roots(g.rep)
	for _, root := range whole {
		if root == next.Root {
			continue
		}
		lay, err := g.r.layoutOf(ctx, g.id, root)
		if isMissing(err) {
			continue // it is known and not here
		}
		if err != nil {
			return fmt.Errorf("set aside: %w", err)
		}
		for _, l := range lay.Leaves {
			if losing[l.Cid] {
				losing[l.Cid] = false
				leaves = append(leaves, l)
			}
		}
	}
	if len(leaves) == 0 {
		return nil
	}
	missing, err := g.r.segmentAside(ctx, g.rep, leaves)
	if err != nil {
		return err
	}
	if missing > 0 {
		g.r.cfg.Log.Warn("some of a revision that waits to be merged cannot be read any more", "set", g.id, "chunks", missing)
	}
	return nil
}
