// Package merge joins revisions that were made apart, file by file, so that everybody who has them gets the same
// root and nothing that anybody made is lost.
//
// Terms: the sides are the revisions to be merged, the winner first. The base is the revision they have in common.
// A side changed an entry if it differs from the base's under that path. Content is what leaves or a symlink's
// target say, without mode and mtime. A copy is the loser's version of an entry under a name of its own.
//
// Sides are folded: the first two are merged, the result with the third, and so on, always on the one base. Of
// two, every path is decided by the first of these rules that fits:
//
//  1. Both have the same: that. One side changed it: what that side has, be it nothing.
//  2. A folder on one side at least: the folders are merged by these rules, a side without one having none of its
//     entries. So what was added to or changed in a folder stays when the other side removed the folder, and the
//     folder with it; of the rest of it nothing stays. The folder itself also stays if its mode was changed.
//  3. A folder and a file: if anything of the folder stays, it keeps the name, and the file becomes a copy.
//  4. Removed on one side, changed on the other: the change.
//  5. Only mode or mtime differ from the base, or from the other side: on one side, the other side's version; on
//     both, the winner's. There is no copy.
//  6. Both have other content: the winner's keeps the name, the loser's becomes a copy.
//
// Without a base all entries count as added, so that no removal is kept. A symlink is treated as a file.
//
// The copy of name.ext is name.conflict-<writer>-<seq>.ext, called after the side that it comes from (names.go). No
// copy is made of content that an earlier copy of the entry has, or the entry that has the name already: merging
// again gives the same.
//
// A rename is followed where one side renamed a file or folder and the other changed it, or something in it: then
// the change is made under the new name (moves.go says which renames, and why others are not followed). A rename
// that is not followed is a removal and an addition; a change at the old name then keeps that name alive, and the
// unchanged file stands at the new one.
//
// Equal arguments give equal results. Time and memory are linear in the sizes of the layouts; what is the same on
// all sides is not looked at. The package is pure: no I/O, no goroutine, no clock.
package merge

import (
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// ErrInvalid: arguments that cannot be merged: no side, a layout that is none, a writer that no name can hold.
var ErrInvalid = errors.New("invalid merge")

// Side is a revision to be merged.
type Side struct {
	Layout *dag.Layout
	// Writer and Seq name the copies of what loses against another side. Writer is a short text that tells the
	// writers of a set apart: 1 to 16 ASCII letters and digits.
	Writer string
	Seq    uint64
}

// Conflict is a copy that was made. The other versions of the entry are at Path, and in other copies of it.
type Conflict struct {
	Path string // of the entry; where a side after Side renamed it, the one before
	Copy string // where the version of Side is
	Side int    // index of the side it comes from
}

// Result is a merged revision. It has everything of a layout but the CIDs that Build finds: those of folders that
// are on no side are undefined, and others stand for what they were made from.
type Result struct {
	Entries   []dag.Entry       // as in a layout
	Leaves    []blockstore.Leaf // as in a layout
	Conflicts []Conflict        // in the order of Copy in Entries
}

// Merge merges sides on a base, which is nil if it is not known. The sides are in the order in which they win, the
// first over all others: for everybody to get the same result, they must be given in the same order, which is that
// of epoch, sequence number and CID of their heads, the highest first. Layouts are those of dag.ReadLayout, or of
// Layout here; they are not changed, and the result may share their memory.
//
// Errors: ErrInvalid; dag.ErrLimit if the result is more than dag.DefaultLimits allow, as two large revisions
// together can be; dag.ErrMalformed if sides disagree on the length of a leaf.
func Merge(base *dag.Layout, sides ...Side) (Result, error) {
	if err := check(base, sides); err != nil {
		return Result{}, fmt.Errorf("merge: %w", err)
	}
	m := merger{sides: sides}
	var from *source
	if base != nil {
		from = newSource(base, 0)
	}
	var merged *node
	var renamed []move // by the sides that are merged
	for i, s := range sides {
		src := newSource(s.Layout, i)
		side, renames := src.root(), findRenames(from, src)
		if i == 0 {
			merged, renamed = side, renames
			continue
		}
		var o *node
		if base != nil {
			o = from.root()
			follow(o, merged, side, renamed, renames)
		}
		merged, renamed = m.dirs(o, merged, side), append(renamed, renames...)
	}
	r, err := flatten(merged, dag.DefaultLimits())
	if err != nil {
		return Result{}, fmt.Errorf("merge: %w", err)
	}
	return r, nil
}

func check(base *dag.Layout, sides []Side) error {
	if len(sides) == 0 {
		return fmt.Errorf("%w: no side", ErrInvalid)
	}
	if base != nil {
		if err := checkLayout(base); err != nil {
			return fmt.Errorf("base: %w", err)
		}
	}
	for i, s := range sides {
		if s.Layout == nil {
			return fmt.Errorf("side %d: %w: no layout", i, ErrInvalid)
		}
		if err := checkLayout(s.Layout); err != nil {
			return fmt.Errorf("side %d: %w", i, err)
		}
		if !isWriter(s.Writer) {
			return fmt.Errorf("side %d: %w: writer %q: want 1 to %d letters and digits", i, ErrInvalid, s.Writer, maxWriter)
		}
	}
	return nil
}

// checkLayout refuses what has not come from dag.ReadLayout, as far as that could do harm unseen: two folders
// without a CID would be taken for equal.
func checkLayout(l *dag.Layout) error {
	if len(l.Entries) == 0 || l.Entries[0].Path != "" || l.Entries[0].Kind != dag.KindDir {
		return fmt.Errorf("%w: layout without a root folder", ErrInvalid)
	}
	for i := range l.Entries {
		if !l.Entries[i].Cid.Defined() {
			return fmt.Errorf("%w: entry %q has no CID", ErrInvalid, l.Entries[i].Path)
		}
	}
	return nil
}
