package record

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Limits of a merge.
const (
	// MaxSides is every parent of a head, and a proposal on top of them.
	MaxSides = MaxParents + 1
	// MaxBases is one common ancestor for each parent: with more, a two-way merge does as well.
	MaxBases = MaxParents
	// maxWriterName is the longest name of a side's writer, which becomes part of file names.
	maxWriterName = 16
)

// Merge says what a head's root was merged from, so that whoever can get the bases and sides can compute the
// root again (blockstore/merge). All of it is the primary's word: the writers' is in the head's proposals.
type Merge struct {
	Bases []cid.Cid   // roots of past content, in the order in which they are folded; none: a two-way merge
	Sides []MergeSide // in the order in which they win; 2 to MaxSides

	Files, Entries, Bytes uint64 // totals below the merged root; Entries counts files, folders and symlinks
}

// MergeSide is one of the contents that were merged. Writer and Seq name the copies that its losing files become.
type MergeSide struct {
	Root   cid.Cid
	Writer string // 1 to 16 ASCII letters and digits
	Seq    uint64
}

// Equal tells whether m and o are the same merge, or both none.
func (m *Merge) Equal(o *Merge) bool {
	if m == nil || o == nil {
		return m == o
	}
	return slices.Equal(m.Bases, o.Bases) && slices.Equal(m.Sides, o.Sides) &&
		m.Files == o.Files && m.Entries == o.Entries && m.Bytes == o.Bytes
}

func (m *Merge) encode() (out *recordpb.Merge, err error) {
	if m == nil {
		return nil, nil
	}
	if n := len(m.Sides); n < 2 || n > MaxSides {
		return nil, fmt.Errorf("%w: %d sides, 2 to %d", ErrMalformed, n, MaxSides)
	}
	if n := len(m.Bases); n > MaxBases {
		return nil, fmt.Errorf("%w: %d bases, at most %d", ErrMalformed, n, MaxBases)
	}
	if err := checkTotals(m.Files, m.Entries, m.Bytes); err != nil {
		return nil, err
	}
	out = &recordpb.Merge{Files: m.Files, Entries: m.Entries, Bytes: m.Bytes}
	for _, c := range m.Bases {
		b, err := encodeCid("base", c)
		if err != nil {
			return nil, err
		}
		out.Bases = append(out.Bases, b)
	}
	for _, s := range m.Sides {
		side, err := s.encode()
		if err != nil {
			return nil, err
		}
		out.Sides = append(out.Sides, side)
	}
	return out, nil
}

func (s MergeSide) encode() (*recordpb.MergeSide, error) {
	if len(s.Writer) == 0 || len(s.Writer) > maxWriterName || !isAlnum(s.Writer) {
		return nil, fmt.Errorf("%w: a side's writer is %q", ErrMalformed, s.Writer)
	}
	if err := checkCounter("sequence number of a side", s.Seq); err != nil {
		return nil, err
	}
	root, err := encodeCid("root of a side", s.Root)
	if err != nil {
		return nil, err
	}
	return &recordpb.MergeSide{Root: root, Writer: s.Writer, Seq: s.Seq}, nil
}

func decodeMerge(m *recordpb.Merge) (*Merge, error) {
	if m == nil {
		return nil, nil
	}
	out := &Merge{Files: m.GetFiles(), Entries: m.GetEntries(), Bytes: m.GetBytes()}
	var err error
	if out.Bases, err = decodeCids("bases", m.GetBases()); err != nil {
		return nil, err
	}
	for _, s := range m.GetSides() {
		root, err := decodeCid("root of a side", s.GetRoot())
		if err != nil {
			return nil, err
		}
		out.Sides = append(out.Sides, MergeSide{Root: root, Writer: s.GetWriter(), Seq: s.GetSeq()})
	}
	return out, nil
}

// isAlnum tells whether s is made of ASCII letters and digits.
func isAlnum(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}
