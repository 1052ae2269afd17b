package api

import (
	"context"
	"net/http"
)

// SearchRequest asks for sets and files by their names. The pattern is sought anywhere in a name, or with *, ? or [ in it
// has to fit all of it; upper and lower case are the same. Names are those of sets, and the paths of what the newest
// revision holds; a glob without a slash has to fit only the last part of a path.
type SearchRequest struct {
	Pattern string `json:"pattern"`          // 1 to 1024 bytes
	Set     string `json:"set,omitempty"`    // only there; "" = everywhere
	Limit   int    `json:"limit,omitempty"`  // of one page, 1 to 1000; 0 = 100
	Cursor  string `json:"cursor,omitempty"` // Next of the page before; "" = from the beginning
}

// SearchResult is one page, sets in order of name, then id, each followed by its files in the order of ls. What changes
// between two pages may be missed or told twice.
type SearchResult struct {
	Items []SearchHit `json:"items"`
	Next  string      `json:"next"` // "" = this is the last page
	// Unsearched counts the sets looked at for this page whose files are not known here yet: only their names were sought.
	Unsearched int `json:"unsearched,omitempty"`
}

// SearchHit is a set, or an entry of one.
type SearchHit struct {
	Set       string `json:"set"`
	Name      string `json:"name"` // of the set
	Revision  uint64 `json:"revision"`
	Path      string `json:"path,omitempty"` // "" = the set itself
	Kind      string `json:"kind"`           // "set", "file", "dir", "symlink"
	Size      int64  `json:"size"`
	Cid       string `json:"cid"`
	Downloads uint64 `json:"downloads,omitempty"` // as in Entry
}

// Searcher finds by name.
type Searcher interface {
	Search(ctx context.Context, r SearchRequest) (SearchResult, error)
}

// Search implements Service.
func (c *Client) Search(ctx context.Context, r SearchRequest) (SearchResult, error) {
	return checked[SearchResult](ctx, c, "search", http.MethodPost, "search", r)
}
