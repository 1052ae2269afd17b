package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"
)

// Dashboard is where a browser sees the node. Only who may ask at the socket gets in.
type Dashboard interface {
	URL() string
	// LoginURL is a URL that signs one browser in, once and within a minute.
	LoginURL() (string, error)
	// Renew makes the token another one: whoever was in is out.
	Renew() error
}

// DashboardResult is how to get there.
type DashboardResult struct {
	URL   string `json:"url"`
	Login string `json:"login"` // URL that signs one browser in, once and within a minute
}

// dashboard are the endpoint that lets a browser in, and the status with the place to go to.
func (h *handler) dashboard(mux *http.ServeMux) {
	mux.HandleFunc("GET /cli/v1/status", plain(h, func(ctx context.Context, _ *http.Request, _ none) (Status, error) {
		st, err := h.service.Status(ctx)
		if h.opts.Dashboard != nil {
			st.Dashboard = h.opts.Dashboard.URL()
		}
		return st, err
	}))
	absent := &Error{Code: "no_dashboard", ExitCode: ExitNeedsNode, Title: "this node has no dashboard",
		Detail: "it belongs to a command that ends, or its api.listen is empty", Hint: "`node run`, with api.listen set"}
	mux.HandleFunc("POST /cli/v1/renew", plain(h, func(context.Context, *http.Request, none) (none, error) {
		if h.opts.Dashboard == nil {
			return none{}, absent
		}
		return none{}, h.opts.Dashboard.Renew()
	}))
	mux.HandleFunc("POST /cli/v1/dashboard", plain(h, func(context.Context, *http.Request, none) (DashboardResult, error) {
		if h.opts.Dashboard == nil {
			return DashboardResult{}, absent
		}
		link, err := h.opts.Dashboard.LoginURL()
		return DashboardResult{URL: h.opts.Dashboard.URL(), Login: link}, err
	}))
}

// Dashboard asks for a way into the dashboard.
func (c *Client) Dashboard(ctx context.Context) (DashboardResult, error) {
	return checked[DashboardResult](ctx, c, "dashboard", http.MethodPost, "dashboard", none{})
}

// RenewToken makes the token of the API another one: scripts need the new one, and every browser has to sign in again.
func (c *Client) RenewToken(ctx context.Context) error {
	_, err := checked[none](ctx, c, "renew token", http.MethodPost, "renew", none{})
	return err
}

// RecordURL writes where the dashboard of home (absolute) is into HOME/api.json, beside what is there; "" takes it
// out. The caller holds the home's lock.
func RecordURL(home, url string) error {
	path := filepath.Join(home, "api.json")
	var r redirect
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, &r) // one that is no JSON is replaced
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record the dashboard: %w", err)
	}
	if r.URL = url; r == (redirect{}) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("record the dashboard: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = maybe.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("record the dashboard: %w", err)
	}
	return nil
}
