package main

import (
	"context"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

// Peek looks into what lies in FAKE_NET, which other homes share.
func (f *fakeHost) Peek(_ context.Context, r api.PeekRequest, progress func(api.Progress)) (api.PeekResult, error) {
	progress(api.Progress{Phase: "find"})
	out := api.PeekResult{Set: "set-" + strings.TrimPrefix(r.Ticket, "shoal1"), Name: "far", Revision: 3, Path: r.Path, Entries: []api.Entry{
		{Path: "docs", Kind: "dir", Mode: "0755"}, {Path: "evil\x1b[2J", Kind: "file", Size: 3, Mode: "0644", Mtime: "2026-01-01T00:00:00Z"}}}
	out.Truncated = f.getenv("FAKE_MANY") != ""
	return out, nil
}
