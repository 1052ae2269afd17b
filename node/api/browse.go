package api

import (
	"context"
	"errors"
	"io"
	"net/http"
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

// browsing are the endpoints of Browser.
func (h *handler) browsing(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/availability", plain(h, requested(h.service.Availability)))
	mux.HandleFunc("POST /cli/v1/content", h.content)
}

// content answers with bytes. What fails before the first of them is a problem; after it the connection is broken, so
// that nobody takes a part for the whole.
func (h *handler) content(w http.ResponseWriter, r *http.Request) {
	var q ContentRequest
	if e := decode(w, r, &q); e != nil {
		writeProblem(w, httpStatus(e), e)
		return
	}
	if !h.ready(r.Context()) {
		return
	}
	out := &counted{Writer: w}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, err := guard(h, r, func() (none, error) { return none{}, h.service.Content(r.Context(), q, out) })
	switch {
	case err == nil:
	case out.n > 0:
		panic(http.ErrAbortHandler)
	default:
		e := AsError(err)
		writeProblem(w, httpStatus(e), e)
	}
}

// counted is a writer that knows whether anything was written.
type counted struct {
	io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}

// Content implements Service.
func (c *Client) Content(ctx context.Context, r ContentRequest, w io.Writer) error {
	if err := c.checkVersion(); err != nil {
		return err
	}
	resp, err := c.send(ctx, "content", http.MethodPost, prefix+"content", r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &source{Reader: resp.Body}
	if _, err = io.Copy(w, body); body.err != nil {
		return gone(ctx, "content", body.err)
	}
	return err // of w
}

// source is a reader that remembers why it ended early.
type source struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Availability implements Service.
func (c *Client) Availability(ctx context.Context, r AvailabilityRequest) (AvailabilityResult, error) {
	return checked[AvailabilityResult](ctx, c, "availability", http.MethodPost, "availability", r)
}
