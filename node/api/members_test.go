package api

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (s *stub) Members(_ context.Context, r MembersRequest) (MembersResult, error) {
	return MembersResult{Set: r.Set, Version: 1 << 52, Members: []Member{{PeerID: "p", Rights: []string{RightWriter}}}}, nil
}

func (s *stub) Grant(_ context.Context, r GrantRequest) (GrantResult, error) {
	if r.Right == "" {
		return GrantResult{}, &Error{Code: "not_owner", ExitCode: ExitDenied, Title: "no"}
	}
	return GrantResult{Set: r.Set, PeerID: r.Peer, Rights: []string{r.Right}, Changed: true}, nil
}

func (s *stub) Revoke(_ context.Context, r RevokeRequest) (RevokeResult, error) {
	return RevokeResult{GrantResult: GrantResult{Set: r.Set, PeerID: r.Peer, Rights: []string{}, Changed: r.Own}, Cuts: map[string]uint64{"a": 3}}, nil
}

func (s *stub) Invite(_ context.Context, r InviteRequest) (InviteResult, error) {
	return InviteResult{Set: r.Set, Invite: Invite{Nonce: r.Revoke, Reader: r.Reader, Expires: r.Expires, State: "open"}}, nil
}

func (s *stub) Rename(_ context.Context, r RenameRequest) (RenameResult, error) {
	return RenameResult{Set: r.Set, Name: r.Name}, nil
}

func (s *stub) Promote(_ context.Context, r PromoteRequest) (PromoteResult, error) {
	return PromoteResult{Set: r.Set, To: r.Peer, Seconds: 0.5}, nil
}

func (s *stub) Failover(_ context.Context, r FailoverRequest, progress func(Progress)) (FailoverResult, error) {
	progress(Progress{Phase: "drill", Message: "half way"})
	return FailoverResult{Set: r.Set, Passed: r.Back, Stages: []FailoverStage{}}, nil
}

func (s *stub) ExportOwner(context.Context) (OwnerKey, error) {
	return OwnerKey{Owner: "o", Key: "line\nline\n"}, nil
}

func (s *stub) ImportOwner(_ context.Context, r ImportOwnerRequest) (ImportOwnerResult, error) {
	return ImportOwnerResult{Owner: r.Key, Changed: r.Replace}, nil
}

// Everything asked over the socket is answered as if it were asked directly.
func TestMembersOverTheSocket(t *testing.T) {
	s := new(stub)
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	ctx := t.Context()
	var said string
	hear := func(p Progress) { said += p.Message }
	for name, ask := range map[string]func(Service) (any, error){
		"members": func(s Service) (any, error) { return s.Members(ctx, MembersRequest{Set: "s"}) },
		"grant": func(s Service) (any, error) {
			return s.Grant(ctx, GrantRequest{Set: "s", Peer: "p/i", Right: RightReader})
		},
		"revoke": func(s Service) (any, error) { return s.Revoke(ctx, RevokeRequest{Set: "s", Peer: "p", Own: true}) },
		"invite": func(s Service) (any, error) {
			return s.Invite(ctx, InviteRequest{Set: "s", Expires: "1h", Reader: "r"})
		},
		"rename":   func(s Service) (any, error) { return s.Rename(ctx, RenameRequest{Set: "s", Name: "n"}) },
		"promote":  func(s Service) (any, error) { return s.Promote(ctx, PromoteRequest{Set: "s", Peer: "p"}) },
		"failover": func(s Service) (any, error) { return s.Failover(ctx, FailoverRequest{Set: "s", Back: true}, hear) },
		"export":   func(s Service) (any, error) { return s.ExportOwner(ctx) },
		"import": func(s Service) (any, error) {
			return s.ImportOwner(ctx, ImportOwnerRequest{Key: "a\nb", Replace: true})
		},
	} {
		want, err := ask(s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := ask(c); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v %s", name, err, cmp.Diff(want, got))
		}
	}
	if said != "half wayhalf way" {
		t.Errorf("progress said %q", said)
	}
	var e *Error
	if _, err := c.Grant(ctx, GrantRequest{}); !errors.As(err, &e) || e.ExitCode != ExitDenied {
		t.Errorf("a refusal: %v", err)
	}
}
