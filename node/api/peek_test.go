package api

import (
	"context"
	"testing"
)

// Peek implements Service.
func (*stub) Peek(_ context.Context, r PeekRequest, progress func(Progress)) (PeekResult, error) {
	progress(Progress{Phase: "find"})
	return PeekResult{Set: "b1", Name: "far", Revision: r.Rev, Path: r.Path, Entries: []Entry{{Path: r.Path + "/x", Kind: "file"}}, Truncated: true}, nil
}

func TestPeek(t *testing.T) {
	socket, _ := node(t, new(stub), ServerOptions{})
	c := dial(t, socket)
	var phases []string
	got, err := c.Peek(t.Context(), PeekRequest{Ticket: "shoal1x", Path: "docs", Rev: 3}, func(p Progress) { phases = append(phases, p.Phase) })
	if err != nil || got.Revision != 3 || got.Path != "docs" || len(got.Entries) != 1 || got.Entries[0].Path != "docs/x" || !got.Truncated {
		t.Errorf("%+v %v", got, err)
	}
	if len(phases) == 0 {
		t.Error("no word of how it goes")
	}
	// It asks peers: a host without network says so.
	socket, _ = node(t, new(stub), ServerOptions{Offline: true})
	if _, err := dial(t, socket).Peek(t.Context(), PeekRequest{Ticket: "shoal1x"}, nil); AsError(err) == nil || AsError(err).Code != CodeOfflineHost {
		t.Errorf("without a network: %v", err)
	}
}
