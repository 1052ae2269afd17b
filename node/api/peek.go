package api

import (
	"context"
	"net/http"
)

// This file is the part of the vocabulary that is about a set that is not here.

// MaxPeeked is how many entries one peek tells at most: more nobody looks through, and each of them costs its node.
const MaxPeeked = 10_000

// PeekRequest asks what lies in a folder of a set that need not be here. Of the set only the nodes on the way to the folder
// and those of its entries are fetched and verified; nothing of them is kept.
type PeekRequest struct {
	Ticket  string `json:"ticket"`            // as in GetRequest
	Path    string `json:"path,omitempty"`    // of a folder, or of one file; "" = the top
	Rev     uint64 `json:"rev,omitempty"`     // 0 = the newest
	Timeout string `json:"timeout,omitempty"` // give up after this long (Go duration); "" = 30s
}

// PeekResult is what lies there, by path. The size of a file is what the revision's author says.
type PeekResult struct {
	Set       string  `json:"set"`
	Name      string  `json:"name"`
	Revision  uint64  `json:"revision"`
	Path      string  `json:"path"`
	Entries   []Entry `json:"entries"`
	Truncated bool    `json:"truncated"` // there are more than MaxPeeked, and these are some of them
}

// Peeker looks into sets that others hold.
type Peeker interface {
	Peek(ctx context.Context, r PeekRequest, progress func(Progress)) (PeekResult, error)
}

// Peek implements Service.
func (c *Client) Peek(ctx context.Context, r PeekRequest, progress func(Progress)) (PeekResult, error) {
	return await[PeekResult](ctx, c, "peek", r, listener{progress: progress})
}

// peeking is the endpoint of Peeker.
func (h *handler) peeking(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/peek", stream(h, h.service.Peek, always))
}
