package api

import (
	"context"
	"net/http"
)

// This file is the part of the vocabulary that is about bounds: how fast a node sends and receives, and how much it keeps.

// LeastRate is the lowest limit there is, in bytes a second: a piece of a file takes minutes with it, and what would stop a node
// in practice was meant otherwise.
const LeastRate = 1000

// LimitsRequest asks to change limits while the node runs. What is absent stays as it is.
type LimitsRequest struct {
	Set       string `json:"set,omitempty"`        // of this set; "" = of the node as a whole
	Up        *int64 `json:"up,omitempty"`         // bytes a second of payload sent, at least LeastRate; 0 = no limit
	Down      *int64 `json:"down,omitempty"`       // bytes a second of payload received, as Up
	LANExempt *bool  `json:"lan_exempt,omitempty"` // of the node only: peers of the local network are outside of all of them
}

// Limits are those that are in force. Those of sets are remembered; those of the node are again as configured when it
// starts the next time.
type Limits struct {
	Up        int64       `json:"up"`   // bytes a second of payload sent, all sets together; 0 = no limit
	Down      int64       `json:"down"` // bytes a second of payload received, all sets together; 0 = no limit
	LANExempt bool        `json:"lan_exempt"`
	Sets      []SetLimits `json:"sets"` // those that have some, in order of name, then id
	// These need a restart to change.
	MaxConnections int   `json:"max_connections"` // idle connections above are closed, twice as many are refused
	MaxSize        int64 `json:"max_size"`        // bytes of the node's own state; 0 = no limit
	Size           int64 `json:"size"`            // what that is now
}

// SetLimits are those of one set, within the node's.
type SetLimits struct {
	Set  string `json:"set"`
	Name string `json:"name"`
	Up   int64  `json:"up"`   // bytes a second; 0 = no limit
	Down int64  `json:"down"` // bytes a second; 0 = no limit
}

// Limiter bounds what a node moves.
type Limiter interface {
	Limits(ctx context.Context) (Limits, error)
	SetLimits(ctx context.Context, r LimitsRequest) (Limits, error)
}

// limiting are the endpoints of Limiter and of Searcher.
func (h *handler) limiting(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/limits", plain(h, func(ctx context.Context, _ *http.Request, _ none) (Limits, error) {
		return h.service.Limits(ctx)
	}))
	mux.HandleFunc("POST /cli/v1/limit", plain(h, requested(h.service.SetLimits)))
	mux.HandleFunc("POST /cli/v1/search", plain(h, requested(h.service.Search)))
}

// Limits implements Service.
func (c *Client) Limits(ctx context.Context) (Limits, error) {
	return checked[Limits](ctx, c, "limits", http.MethodPost, "limits", none{})
}

// SetLimits implements Service.
func (c *Client) SetLimits(ctx context.Context, r LimitsRequest) (Limits, error) {
	return checked[Limits](ctx, c, "limit", http.MethodPost, "limit", r)
}
