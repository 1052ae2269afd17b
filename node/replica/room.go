package replica

import (
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
)

// leaver is a store that leaves a part of its disk free.
type leaver interface {
	// Left is how many bytes may be written before the store takes no more; below zero it takes none now.
	Left() (int64, error)
}

const (
	// recordCost is what the store keeps of a leaf or a file, bytes: two digests, numbers, a path of usual length.
	recordCost = 160
	// recordWrites is how often a record is written: to the log, and to a table.
	recordWrites = 2
)

// recordBytes is about how much a store writes of a get: nodes that came, and what is recorded of files and leaves that
// are not here yet. plan may be nil: then none are.
func recordBytes(lay *dag.Layout, plan *diff.Plan, nodes []blockstore.Block) int64 {
	n := int64(0)
	if plan == nil {
		n = recordCost * int64(len(lay.Leaves)+lay.Files)
	} else {
		for _, l := range plan.Leaves {
			if l.Source != diff.Reuse {
				n += recordCost
			}
		}
		for _, f := range plan.Files {
			if f.Action != diff.Keep {
				n += recordCost
			}
		}
	}
	for _, b := range nodes {
		n += recordCost + int64(len(b.Data()))
	}
	return recordWrites * n
}

// room is about how much the store will write of a get. Errors: blockstore.ErrNoSpace if it cannot.
func (r *Registry) room(got Got, lay *dag.Layout, plan *diff.Plan, nodes []blockstore.Block) (records int64, err error) {
	if !got.Changed {
		return 0, nil
	}
	records = recordBytes(lay, plan, nodes)
	if err := r.roomFor(records); err != nil {
		return 0, fmt.Errorf("get %s: %w", got.Name, err)
	}
	return records, nil
}

// roomFor refuses what the store would take no records of: when all files were fetched it is too late to say so.
func (r *Registry) roomFor(records int64) error {
	left, known, err := r.left()
	if err != nil {
		return err
	}
	if r.cfg.FreeSpace != nil { // which knows of a quota
		free, err := r.cfg.FreeSpace(r.cfg.Home)
		if err != nil {
			return fmt.Errorf("free space: %w", err)
		}
		if !known || free < left {
			left, known = free, true
		}
	}
	if known && left < records {
		return fmt.Errorf("%w: about %d bytes are to be recorded in %s, and %d are left beside what is kept in reserve",
			blockstore.ErrNoSpace, records, r.cfg.Home, max(left, 0))
	}
	return nil
}

// left is how much the store may still write; not known of one that does not say.
func (r *Registry) left() (left int64, known bool, err error) {
	s, ok := r.cfg.Store.(leaver)
	if !ok {
		return 0, false, nil
	}
	if left, err = s.Left(); err != nil {
		return 0, false, fmt.Errorf("free space: %w", err)
	}
	return left, true, nil
}

// spaceFor is worktree.CheckoutOptions.FreeSpace: files on the disk of the store leave room for its records, and for what
// it keeps free.
func (r *Registry) spaceFor(records int64) func(dir string) (int64, error) {
	free := r.cfg.FreeSpace
	if free == nil {
		free = worktree.FreeSpace
	}
	return func(dir string) (int64, error) {
		n, err := free(dir)
		if err != nil || !sameDisk(dir, r.cfg.Home) {
			return n, err
		}
		left, known, err := r.left()
		if known {
			n = min(n, left)
		}
		return max(n-records, 0), err
	}
}

// sameDisk tells whether two folders lie on one file system, as far as the platform says.
func sameDisk(a, b string) bool {
	at, err := markerOf(a)
	of, berr := markerOf(b)
	return errors.Join(err, berr) == nil && at.Device == of.Device && at != marker{}
}
