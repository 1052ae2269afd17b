package record

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
)

const (
	// lastYear is the last whole year whose times fit into nanoseconds of an int64.
	lastYear = 2261
	// MaxName is the most bytes of a set's name: what every file system takes as a file name.
	MaxName = 255
	// MaxNote is the most bytes of a note: ten lines of 100. Every reader of the set gets it with the head.
	MaxNote = 1 << 10
)

// CheckName tells whether name may name a set. Names come from strangers, end up in terminals and
// become folder names, so it refuses everything but 1 to 255 bytes of UTF-8 without control or
// text-direction characters, slashes and backslashes, and the names "." and "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: name is empty", ErrMalformed)
	case len(name) > MaxName:
		return fmt.Errorf("%w: name has %d bytes, at most %d", ErrMalformed, len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: name is not UTF-8", ErrMalformed)
	case name == "." || name == "..":
		return fmt.Errorf("%w: name is %q", ErrMalformed, name)
	}
	for _, r := range name {
		if r == '/' || r == '\\' || controls(r) {
			return fmt.Errorf("%w: name has the character %q", ErrMalformed, r)
		}
	}
	return nil
}

// CheckNote tells whether a proposal may carry note. Like names, notes come from strangers and end up in
// terminals: at most MaxNote bytes of UTF-8 without control or text-direction characters, but for line breaks
// ("\n") and tabs. An empty one is none.
func CheckNote(note string) error {
	switch {
	case len(note) > MaxNote:
		return fmt.Errorf("%w: note has %d bytes, at most %d", ErrMalformed, len(note), MaxNote)
	case !utf8.ValidString(note):
		return fmt.Errorf("%w: note is not UTF-8", ErrMalformed)
	}
	for _, r := range note {
		if r != '\n' && r != '\t' && controls(r) {
			return fmt.Errorf("%w: note has the character %q", ErrMalformed, r)
		}
	}
	return nil
}

// controls tells whether r tells a terminal something instead of being text.
func controls(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' // line and paragraph separator
}

// checkCounter refuses 0 and what JSON could not carry.
func checkCounter(what string, n uint64) error {
	if n == 0 || n > MaxCounter {
		return fmt.Errorf("%w: %s is %d", ErrMalformed, what, n)
	}
	return nil
}

// checkTotals refuses what JSON could not carry.
func checkTotals(files, entries, bytes uint64) error {
	if n := max(files, entries, bytes); n > MaxCounter {
		return fmt.Errorf("%w: a total is %d", ErrMalformed, n)
	}
	return nil
}

// encodeTime gives t in nanoseconds of Unix time, 0 for the zero time.
func encodeTime(what string, t time.Time) (uint64, error) {
	switch {
	case t.IsZero():
		return 0, nil
	case t.Unix() < 1 || t.UTC().Year() > lastYear:
		return 0, fmt.Errorf("%w: %s is %v", ErrMalformed, what, t)
	}
	return uint64(t.UnixNano()), nil
}

// decodeTime is the inverse of encodeTime. Beyond int64 it gives a time that encodeTime refuses.
func decodeTime(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

func checkInstance(b []byte) error {
	if len(b) != InstanceSize {
		return fmt.Errorf("%w: instance has %d bytes, not %d", ErrMalformed, len(b), InstanceSize)
	}
	return nil
}

// encodeCid gives the bytes of a CID of our kind.
func encodeCid(what string, c cid.Cid) ([]byte, error) {
	if err := blockstore.CheckCid(c); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrMalformed, what, err)
	}
	return c.Bytes(), nil
}

// decodeCid is the inverse of encodeCid; that the CID is of our kind is checked on encoding it again.
func decodeCid(what string, b []byte) (cid.Cid, error) {
	c, err := cid.Cast(b)
	if err != nil {
		return cid.Undef, fmt.Errorf("%w: %s: %v", ErrMalformed, what, err)
	}
	return c, nil
}

// encodeCids sorts and encodes; duplicates are refused.
func encodeCids(what string, cids []cid.Cid, most int) ([][]byte, error) {
	if len(cids) > most {
		return nil, fmt.Errorf("%w: %d %s, at most %d", ErrMalformed, len(cids), what, most)
	}
	out := make([][]byte, 0, len(cids))
	for _, c := range cids {
		b, err := encodeCid(what, c)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return sorted(what, out)
}

func decodeCids(what string, bs [][]byte) ([]cid.Cid, error) {
	var out []cid.Cid
	for _, b := range bs {
		c, err := decodeCid(what, b)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// sorted sorts in place and refuses duplicates, so that a list has one encoding.
func sorted(what string, bs [][]byte) ([][]byte, error) {
	slices.SortFunc(bs, bytes.Compare)
	for i := 1; i < len(bs); i++ {
		if bytes.Equal(bs[i-1], bs[i]) {
			return nil, fmt.Errorf("%w: %s: the same one twice", ErrMalformed, what)
		}
	}
	return bs, nil
}

func encodePeerID(what string, p peer.ID) ([]byte, error) {
	if len(p) > maxPeerID {
		return nil, fmt.Errorf("%w: %s: peer id of %d bytes", ErrMalformed, what, len(p))
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrMalformed, what, err)
	}
	return []byte(p), nil
}

func decodePeerID(what string, b []byte) (peer.ID, error) {
	p, err := peer.IDFromBytes(b)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %v", ErrMalformed, what, err)
	}
	return p, nil
}

// encodePeerIDs sorts and encodes a member list; duplicates are refused.
func encodePeerIDs(what string, ids []peer.ID) ([][]byte, error) {
	if len(ids) > MaxMembers {
		return nil, fmt.Errorf("%w: %d %s, at most %d", ErrMalformed, len(ids), what, MaxMembers)
	}
	out := make([][]byte, 0, len(ids))
	for _, p := range ids {
		b, err := encodePeerID(what, p)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return sorted(what, out)
}

func decodePeerIDs(what string, bs [][]byte) ([]peer.ID, error) {
	var out []peer.ID
	for _, b := range bs {
		p, err := decodePeerID(what, b)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// compareCids orders CIDs by their bytes, the order lists of them are encoded in.
func compareCids(a, b cid.Cid) int { return cmp.Compare(a.KeyString(), b.KeyString()) }
