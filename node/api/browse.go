package api

import (
	"context"
	"io"
)

// This file is the part of the vocabulary that is about looking into a set: the bytes of a file, and who has how much.

// StatusOf is the HTTP status that an error is answered with.
func StatusOf(e *Error) int { return httpStatus(e) }

// ContentRequest asks for bytes of a file of a set's newest revision.
type ContentRequest struct {
	Set    string `json:"set"`
	Path   string `json:"path"`
	Cid    string `json:"cid,omitempty"`    // of the file; refuse if it is another one by now
	Offset int64  `json:"offset,omitempty"` // of the first byte
	Length int64  `json:"length,omitempty"` // 0 = to the end
}

// AvailabilityRequest asks which peers have how much of a set's newest revision.
type AvailabilityRequest struct {
	Set     string `json:"set"`
	Columns int    `json:"columns,omitempty"` // parts of equal size that the revision is cut into, 1 to 512; 0 = 64
}

// AvailabilityResult tells it for this node and for the peers it is in touch with about the set.
type AvailabilityResult struct {
	Set      string     `json:"set"`
	Name     string     `json:"name"`
	Revision uint64     `json:"revision"`
	Root     string     `json:"root"`
	Leaves   int        `json:"leaves"`  // pieces of the revision's files; 0 = not known yet
	Columns  int        `json:"columns"` // members of Copies and of every Have: never more than Leaves
	Copies   []int      `json:"copies"`  // of each column: how many of Peers have all of it
	Peers    []PeerHave `json:"peers"`   // this node first
}

// PeerHave is what one node has.
type PeerHave struct {
	PeerID   string  `json:"peer_id"`
	Self     bool    `json:"self,omitempty"`
	State    string  `json:"state"` // of Have*
	Leaves   int     `json:"leaves"`
	Have     []int   `json:"have"`               // of each column, percent of its leaves; empty unless State is HaveAll or HaveSome
	Revision uint64  `json:"revision,omitempty"` // of HaveOther: the one it has
	RTTms    float64 `json:"rtt_ms,omitempty"`
}

// States of a PeerHave.
const (
	HaveAll     = "all"
	HaveSome    = "some"
	HaveOther   = "other"   // it is at another revision
	HaveUnknown = "unknown" // it did not answer
)

// Browser looks into sets.
type Browser interface {
	// Content writes the bytes, each leaf verified before it is written, and stops at one that is not here: nothing
	// written means that nothing of it is.
	Content(ctx context.Context, r ContentRequest, w io.Writer) error
	Availability(ctx context.Context, r AvailabilityRequest) (AvailabilityResult, error)
}
