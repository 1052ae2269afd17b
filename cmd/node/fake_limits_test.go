package main

import (
	"context"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

func (f *fakeHost) Limits(context.Context) (api.Limits, error) {
	return api.Limits{Up: f.cfg.Transfer.Up, Down: f.cfg.Transfer.Down, Sets: []api.SetLimits{}, MaxConnections: 256}, nil
}

func (f *fakeHost) SetLimits(ctx context.Context, r api.LimitsRequest) (api.Limits, error) {
	l, err := f.Limits(ctx)
	if r.Set != "" {
		s, err := f.find(r.Set)
		if err != nil {
			return l, err
		}
		own := api.SetLimits{Set: s.Set, Name: s.Name}
		if r.Up != nil {
			own.Up = *r.Up
		}
		if r.Down != nil {
			own.Down = *r.Down
		}
		l.Sets = append(l.Sets, own)
		return l, nil
	}
	if r.Up != nil {
		l.Up = *r.Up
	}
	if r.Down != nil {
		l.Down = *r.Down
	}
	l.LANExempt = r.LANExempt != nil && *r.LANExempt
	return l, err
}

func (f *fakeHost) Search(_ context.Context, r api.SearchRequest) (api.SearchResult, error) {
	if strings.Contains(r.Pattern, "nothing") {
		return api.SearchResult{Items: []api.SearchHit{}, Unsearched: 1}, nil
	}
	all := []api.SearchHit{
		{Set: "set-data", Name: "data", Revision: 1, Kind: "set", Size: 6, Cid: "root-data"},
		{Set: "set-data", Name: "data", Revision: 1, Path: "a.txt", Kind: "file", Size: 6, Cid: "bafk", Downloads: 3},
		{Set: "set-data", Name: "data", Revision: 1, Path: "evil\x1b[2J", Kind: "symlink", Cid: "bafy"},
	}
	if r.Cursor == "" && r.Limit == 1 {
		return api.SearchResult{Items: all[:1], Next: "more"}, nil
	}
	if r.Cursor == "more" {
		all = all[1:]
	}
	return api.SearchResult{Items: all}, nil
}
