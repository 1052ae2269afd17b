package api

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (s *stub) Why(_ context.Context, r WhyRequest, progress func(Progress)) (WhyResult, error) {
	if r.Ticket == "fails" {
		return WhyResult{}, &Error{Code: "offline", ExitCode: ExitNeedsNode, Title: "no network"}
	}
	progress(Progress{Phase: StepLink})
	return WhyResult{Set: r.Ticket, Code: WhyNoChunk, ExitCode: ExitNotFound, Steps: []WhyStep{{Name: StepLink, OK: r.Deep, Detail: "d", Hint: "h", Seconds: float64(r.Rev)}}}, nil
}

func (s *stub) Doctor(context.Context) (DoctorResult, error) {
	return DoctorResult{OK: true, Home: "/h", Checks: []Check{{Name: "disk", State: CheckWarn, Detail: "little", Hint: "more"}}}, nil
}

func TestExaminingOverTheSocket(t *testing.T) {
	s := new(stub)
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	var told []Progress
	q := WhyRequest{Ticket: "t", Rev: 3, Deep: true}
	want, _ := s.Why(t.Context(), q, func(Progress) {})
	got, err := c.Why(t.Context(), q, func(p Progress) { told = append(told, p) })
	if err != nil || !cmp.Equal(got, want) || len(told) != 1 || told[0].Phase != StepLink {
		t.Errorf("%+v, %v, told %v", got, err, told)
	}
	if _, err := c.Why(t.Context(), WhyRequest{Ticket: "fails"}, func(Progress) {}); AsError(err).Code != "offline" {
		t.Errorf("failure: %v", err)
	}
	health, _ := s.Doctor(t.Context())
	if got, err := c.Doctor(t.Context()); err != nil || !cmp.Equal(got, health) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A host without network cannot walk the way, and can be examined.
func TestExaminingWithoutNetwork(t *testing.T) {
	socket, _ := node(t, new(stub), ServerOptions{Offline: true})
	c := dial(t, socket)
	if _, err := c.Why(t.Context(), WhyRequest{Ticket: "t"}, func(Progress) {}); AsError(err).Code != CodeOfflineHost {
		t.Errorf("why: %v", err)
	}
	if _, err := c.Doctor(t.Context()); err != nil {
		t.Errorf("doctor: %v", err)
	}
}
