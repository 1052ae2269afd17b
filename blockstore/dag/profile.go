package dag

import (
	"fmt"

	"github.com/shoal-p2p/shoal/blockstore/chunk"
)

// Meta says which metadata a revision carries.
type Meta string

// The metadata policies. Folders never carry an mtime: a temporary file made and removed in one would
// change the revision. Symlinks carry neither: few systems can set their mode, and their mtime is noise.
const (
	MetaNone      Meta = "none"       // a file of one chunk is its leaf, without a node
	MetaMode      Meta = "mode"       // files and folders: the low nine bits
	MetaModeMtime Meta = "mode+mtime" // also the mtime of files, in nanoseconds
)

// Rules a profile names; each is spelled out in docs/format.md.
const (
	TreeCid1    = "cid-1" // the content-defined tree of tree.go
	UnicodeNone = "none"  // names are kept byte for byte
)

// maxFan bounds the fan-out so that a file node (at most 66 bytes a link) is far below MaxBlockSize.
const maxFan = 4096

// maxThreshold bounds HAMTThreshold for the same reason: a folder node takes at most 52 bytes a link
// where the threshold counts 37, so it stays below 1.5 MiB.
const maxThreshold = 1 << 20

// Profile is the import profile of a set: everything on which the root of a tree of files depends, apart
// from the files. Two profiles are the same if they are ==.
type Profile struct {
	Chunker       string // algorithm and gear table: chunk.ID
	Min, Avg, Max int    // sizes of chunks, bytes
	Tree          string // rule of the tree above the leaves: TreeCid1
	FanMin        int    // fewest children of a file node that is not the last of its level
	FanAvg        int    // expected number
	FanMax        int    // most children
	HAMTThreshold int    // a folder whose names and binary CIDs have more bytes than this is sharded
	Meta          Meta
	Unicode       string // rule for names: UnicodeNone
}

// DefaultProfile is the profile of new sets.
func DefaultProfile() Profile {
	c := chunk.Default()
	return Profile{
		Chunker: chunk.ID, Min: c.Min, Avg: c.Avg, Max: c.Max,
		// At 32 children a node is about 1.8 KB and the tree of a 1 GiB file is three levels high: an
		// insertion costs about 5 KB of new nodes.
		Tree: TreeCid1, FanMin: 8, FanAvg: 32, FanMax: 128,
		// A change in a sharded folder rewrites about 15 KB whatever its size; one node of 32 KiB of
		// links (about 500 entries) costs twice that, but takes one block to read instead of hundreds.
		HAMTThreshold: 32 << 10,
		Meta:          MetaModeMtime,
		Unicode:       UnicodeNone,
	}
}

// Validate refuses a profile that this version cannot build.
func (p Profile) Validate() error {
	if p.Chunker != chunk.ID {
		return fmt.Errorf("profile: unknown chunker %q", p.Chunker)
	}
	if err := (chunk.Params{Min: p.Min, Avg: p.Avg, Max: p.Max}).Validate(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if p.Tree != TreeCid1 {
		return fmt.Errorf("profile: unknown tree rule %q", p.Tree)
	}
	if p.FanMin < 2 || p.FanAvg < p.FanMin || p.FanMax < p.FanAvg || p.FanMax > maxFan {
		return fmt.Errorf("profile: fan-out %d/%d/%d: want 2 <= min <= avg <= max <= %d", p.FanMin, p.FanAvg, p.FanMax, maxFan)
	}
	if p.HAMTThreshold < 1 || p.HAMTThreshold > maxThreshold {
		return fmt.Errorf("profile: HAMT threshold %d: want 1 to %d", p.HAMTThreshold, maxThreshold)
	}
	if p.Meta != MetaNone && p.Meta != MetaMode && p.Meta != MetaModeMtime {
		return fmt.Errorf("profile: unknown metadata policy %q", p.Meta)
	}
	if p.Unicode != UnicodeNone {
		return fmt.Errorf("profile: unknown Unicode rule %q", p.Unicode)
	}
	return nil
}

// attr is what of a stays under the profile, as a node carries it: see Node.
func (p Profile) attr(kind Kind, a Attr) (kept Attr, hasMode bool) {
	kept.Mode = defaultMode(kind)
	if mode := a.Mode & modeBits; p.Meta != MetaNone && mode != kept.Mode {
		kept.Mode, hasMode = mode, true
	}
	if p.Meta == MetaModeMtime && kind == KindFile && validMtime(a.Mtime) {
		kept.Mtime = a.Mtime.UTC().Round(0)
	}
	return kept, hasMode
}

// defaultMode is the mode of a node that names none.
func defaultMode(kind Kind) uint32 {
	switch kind {
	case KindFile:
		return DefaultFileMode
	case KindDir:
		return DefaultDirMode
	default: // a symlink has no mode
		return 0
	}
}
