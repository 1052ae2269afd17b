package api

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (s *stub) Limits(context.Context) (Limits, error) {
	return Limits{Up: 1, Sets: []SetLimits{}, MaxSize: 1 << 40}, nil
}

// SetLimits answers with what arrived.
func (s *stub) SetLimits(_ context.Context, r LimitsRequest) (Limits, error) {
	out := Limits{Sets: []SetLimits{{Set: r.Set}}, LANExempt: r.LANExempt != nil && *r.LANExempt}
	if r.Up != nil {
		out.Up = *r.Up + 1
	}
	if r.Down != nil {
		out.Down = *r.Down + 1
	}
	if r.Set == "missing" {
		return out, &Error{Code: "unknown_set", ExitCode: ExitNotFound, Title: "not here"}
	}
	return out, nil
}

func (s *stub) Search(_ context.Context, r SearchRequest) (SearchResult, error) {
	return SearchResult{Items: []SearchHit{{Set: r.Set, Path: r.Pattern, Size: int64(r.Limit), Downloads: 3}}, Next: r.Cursor + "+"}, nil
}

func TestLimitsOverTheSocket(t *testing.T) {
	s := new(stub)
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	ctx := t.Context()
	want, _ := s.Limits(ctx)
	if got, err := c.Limits(ctx); err != nil || !cmp.Equal(got, want) {
		t.Errorf("limits: %v %s", err, cmp.Diff(want, got))
	}
	zero, many, yes := int64(0), int64(1)<<50, true
	for _, q := range []LimitsRequest{{}, {Up: &zero}, {Set: "s", Down: &many}, {Up: &many, Down: &zero, LANExempt: &yes}} {
		want, _ := s.SetLimits(ctx, q)
		if got, err := c.SetLimits(ctx, q); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%+v: %v %s", q, err, cmp.Diff(want, got))
		}
	}
	var e *Error
	if _, err := c.SetLimits(ctx, LimitsRequest{Set: "missing"}); !errors.As(err, &e) || e.Code != "unknown_set" {
		t.Errorf("no such set: %v", err)
	}
	q := SearchRequest{Pattern: "*.jpg", Set: "s", Limit: 7, Cursor: "c"}
	found, _ := s.Search(ctx, q)
	if got, err := c.Search(ctx, q); err != nil || !cmp.Equal(got, found) {
		t.Errorf("search: %v %s", err, cmp.Diff(found, got))
	}
}
