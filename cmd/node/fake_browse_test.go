package main

import (
	"context"
	"io"

	"github.com/shoal-p2p/shoal/node/api"
)

func (f *fakeHost) Content(_ context.Context, r api.ContentRequest, w io.Writer) error {
	if _, err := f.find(r.Set); err != nil {
		return err
	}
	_, err := io.WriteString(w, "the bytes of "+r.Path)
	return err
}

func (f *fakeHost) Availability(_ context.Context, r api.AvailabilityRequest) (api.AvailabilityResult, error) {
	s, err := f.find(r.Set)
	return api.AvailabilityResult{Set: s.Set, Name: s.Name, Revision: s.Revision, Root: s.Root, Leaves: 4, Columns: 2, Copies: []int{1, 1},
		Peers: []api.PeerHave{{PeerID: "12D3KooWFake", Self: true, State: api.HaveAll, Leaves: 4, Have: []int{100, 100}}}}, err
}
