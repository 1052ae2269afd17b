package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/segment"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// KeepPolicy bounds what a node keeps of a set's past revisions.
//
// What the newest revision shares with them lies in the worktree. The leaves that a revision was the last to
// have are copied, before its files are replaced, into its segment: so revision N is whole as long as the
// segments of N and of all later ones are here, and giving up the oldest revision is unlinking its segment,
// from which no other one needs anything. A replaced revision has a segment even if no leaf went with it: that
// is how it is counted.
type KeepPolicy struct {
	Revisions int   // that this node can give back, the newest included; 0 = 3
	Bytes     int64 // that the segments of one set may have together; 0 = 1 GiB
}

// Defaults of KeepPolicy: enough to take back a mistake that was noticed late, and to be the base of a
// difference for readers that are two revisions behind.
const (
	defaultKeepRevisions = 3
	defaultKeepBytes     = 1 << 30
)

func (k KeepPolicy) withDefaults() KeepPolicy {
	if k.Revisions <= 0 {
		k.Revisions = defaultKeepRevisions
	}
	k.Revisions = min(k.Revisions, maxPast+1) // of older ones not even the nodes are kept
	if k.Bytes <= 0 {
		k.Bytes = defaultKeepBytes
	}
	return k
}

// kept is a segment.
type kept struct {
	revision uint64
	bytes    int64
}

// surplus lists the segments that k does not keep, newest first. The byte limit wins: the first segment above it
// goes, and every older one with it, which is not whole without. The segment of the newest revision itself is
// one that an update under way has begun with: it takes no revision's turn. One beyond the newest is nobody's.
func (k KeepPolicy) surplus(newest uint64, all []kept) []uint64 {
	k = k.withDefaults()
	all = slices.SortedFunc(slices.Values(all), func(a, b kept) int { return cmp.Compare(b.revision, a.revision) })
	var out []uint64
	left, room := k.Revisions-1, k.Bytes
	for _, s := range all {
		if s.revision > newest {
			out = append(out, s.revision)
			continue
		}
		if s.revision < newest {
			left--
		}
		if room -= s.bytes; left < 0 || room < 0 { // both only sink
			out = append(out, s.revision)
		}
	}
	return out
}

// leaving lists the leaves of a revision that the next one does not have, in the order in which they lie in files.
func leaving(old, new *dag.Layout) (gone []blockstore.Leaf, bytes int64) {
	stay := make(map[cid.Cid]bool, len(new.Leaves))
	for _, l := range new.Leaves {
		stay[l.Cid] = true
	}
	for _, l := range old.Leaves {
		if !stay[l.Cid] {
			gone = append(gone, l)
			bytes += int64(l.Size)
		}
	}
	return gone, bytes
}

// segmentName is the file that the leaves go to that revision n is the last to have.
func segmentName(n uint64) string { return strconv.FormatUint(n, 10) + segment.Ext }

// segmentRevision is the inverse of segmentName.
func segmentRevision(name string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, segment.Ext), 10, 64)
	return n, err == nil && segmentName(n) == name
}

func (r *Registry) segments(set string) string { return filepath.Join(r.cfg.Segments, set) }

// copyOut saves what the update from old to new is about to lose, before anything of old is replaced on disk.
// What cannot be read any more is left out. The same call after a crash, also with another new, begins again and
// finds in its earlier segment what is nowhere else by now. That there is no space for the past is no reason to
// stop the present: then nothing is kept, and nil returned.
//
// The segment's record is returned. It is to be put again when the files of old are not recorded any more, because
// the store remembers a bounded number of places of a chunk, and may have had no room for one more.
func (r *Registry) copyOut(ctx context.Context, rep *Replica, oldHead record.Head, old, new *dag.Layout) (blockstore.File, error) {
	if r.cfg.Segments == "" || r.cfg.Keep.withDefaults().Revisions < 2 {
		return blockstore.File{}, nil
	}
	log := r.cfg.Log.With("set", rep.id, "revision", oldHead.Revision)
	leaves, bytes := leaving(old, new)
	newest := oldHead.Revision
	if h, ok := rep.Head(); ok {
		newest = max(newest, h.Revision)
	}
	fits, err := r.tend(ctx, rep.id, newest, kept{oldHead.Revision, bytes})
	if err != nil {
		return blockstore.File{}, fmt.Errorf("keep revision %d: %w", oldHead.Revision, err)
	}
	if !fits {
		log.Info("revision is not kept: it is larger than what may be kept", "bytes", bytes)
		return blockstore.File{}, nil
	}
	f, missing, err := r.writeSegment(ctx, r.segments(rep.id.String()), rep.id, segmentName(oldHead.Revision), leaves)
	if errors.Is(err, blockstore.ErrNoSpace) {
		log.Warn("revision is not kept", "err", err)
		return blockstore.File{}, nil
	}
	if err == nil {
		err = r.cfg.Store.PutFiles(ctx, f)
	}
	if err != nil {
		return blockstore.File{}, fmt.Errorf("keep revision %d: %w", oldHead.Revision, err)
	}
	if missing > 0 {
		log.Warn("revision is kept in part: some of it cannot be read any more", "chunks", missing, "of", len(leaves))
	}
	return f, nil
}

// writeSegment copies leaves of a set; missing counts those that are not here intact.
func (r *Registry) writeSegment(ctx context.Context, dir string, set cid.Cid, name string, leaves []blockstore.Leaf) (f blockstore.File, missing int, err error) {
	w, err := segment.Create(dir, name)
	if err != nil {
		return f, 0, err
	}
	var buf []byte
	for _, l := range leaves {
		data, err := r.cfg.Store.GetFrom(ctx, set, l.Cid, buf)
		if isMissing(err) {
			missing++
			continue
		}
		if err == nil {
			err = w.Add(l.Cid, data)
		}
		if err != nil {
			return f, missing, errors.Join(err, w.Abort())
		}
		buf = data
	}
	if f, err = w.Close(); err != nil {
		return f, missing, err
	}
	f.Set = set
	return f, missing, nil
}

// isMissing: the block is not here, or not intact.
func isMissing(err error) bool {
	return errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt)
}

// retain gives up what the policy does not keep of a set's past. Nobody may be writing a segment of the set.
func (r *Registry) retain(ctx context.Context, rep *Replica) error {
	h, ok := rep.Head()
	if !ok || r.cfg.Segments == "" {
		return nil
	}
	if _, err := r.tend(ctx, rep.id, h.Revision); err != nil {
		return fmt.Errorf("give up old revisions: %w", err)
	}
	return nil
}

// tend removes the segments of a set that the policy does not keep once those that are coming have come, those
// that were not recorded before a crash, and records of segments that are gone. fits tells whether all that are
// coming will be kept. The record goes before the file: nothing then names what is not there.
func (r *Registry) tend(ctx context.Context, set cid.Cid, newest uint64, coming ...kept) (fits bool, err error) {
	dir := r.segments(set.String())
	files, err := segment.List(dir)
	if err != nil {
		return false, err
	}
	recorded := map[string]bool{}
	err = r.cfg.Store.Files(ctx, dir, func(f blockstore.File) error {
		recorded[f.Path] = true
		return nil
	})
	if err != nil {
		return false, err
	}
	var drop []string
	all := slices.Clone(coming)
	for _, f := range files {
		n, ok := segmentRevision(f.Name)
		if !ok || !recorded[f.Name] {
			drop = append(drop, f.Name)
		} else if !slices.ContainsFunc(coming, func(c kept) bool { return c.revision == n }) {
			all = append(all, kept{n, f.Bytes})
		}
		delete(recorded, f.Name)
	}
	for name := range recorded { // without a file
		drop = append(drop, name)
	}
	fits = true
	for _, n := range r.cfg.Keep.surplus(newest, all) {
		drop = append(drop, segmentName(n))
		fits = fits && !slices.ContainsFunc(coming, func(c kept) bool { return c.revision == n })
	}
	if len(drop) == 0 {
		return fits, nil
	}
	if err := r.cfg.Store.DropFiles(ctx, dir, drop...); err != nil {
		return false, err
	}
	for _, name := range drop {
		if err := segment.Remove(dir, name); err != nil {
			return false, err
		}
	}
	return fits, nil
}

// sweepSegments tends the segments of every set and, if all sets are known, removes those of sets that are not.
// Nobody may be writing one.
func (r *Registry) sweepSegments(ctx context.Context, allKnown bool) error {
	if r.cfg.Segments == "" {
		return nil
	}
	entries, err := os.ReadDir(r.cfg.Segments)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var all []error
	for _, e := range entries {
		set, cerr := cid.Decode(e.Name())
		if !e.IsDir() || cerr != nil {
			continue // not ours
		}
		if rep, ok := r.lookup(set); ok {
			all = append(all, r.retain(ctx, rep))
		} else if allKnown {
			all = append(all, r.dropSegments(ctx, e.Name()))
		}
	}
	if allKnown {
		beside, berr := os.ReadDir(filepath.Join(r.cfg.Segments, "aside"))
		if berr != nil && !errors.Is(berr, fs.ErrNotExist) {
			all = append(all, berr)
		}
		for _, e := range beside {
			set, cerr := cid.Decode(e.Name())
			if _, ok := r.lookup(set); cerr == nil && !ok {
				all = append(all, r.dropAside(ctx, set))
			}
		}
	}
	return errors.Join(append(all, err)...)
}

// dropSegments removes every segment of a set, the records first.
func (r *Registry) dropSegments(ctx context.Context, set string) error {
	if r.cfg.Segments == "" {
		return nil
	}
	if err := r.cfg.Store.DropFiles(ctx, r.segments(set)); err != nil {
		return fmt.Errorf("drop segments: %w", err)
	}
	if err := os.RemoveAll(r.segments(set)); err != nil {
		return fmt.Errorf("drop segments: %w", err)
	}
	if id, err := cid.Decode(set); err == nil {
		return r.dropAside(context.WithoutCancel(ctx), id)
	}
	return nil
}
