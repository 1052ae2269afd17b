package main

import (
	"context"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

// fakeOther is the peer that takes part in every set of a fake node.
const fakeOther = "12D3KooWOther"

func (f *fakeHost) Members(_ context.Context, r api.MembersRequest) (api.MembersResult, error) {
	s, err := f.find(r.Set)
	return api.MembersResult{Set: s.Set, Name: s.Name, Version: 3, Mode: "ap", Public: s.Public, Owner: s.Owner,
		Members: []api.Member{
			{PeerID: "12D3KooWFake", Rights: []string{api.RightReplica, api.RightWriter}, Role: api.RolePrimary, Self: true, Durable: true},
			{PeerID: fakeOther, Rights: []string{api.RightReplica}, Role: api.RoleBackup, Instance: "0102030405060708", Connected: true},
			{PeerID: "12D3KooWThird", Rights: []string{api.RightReader}},
		},
		Invites: []api.Invite{{Nonce: "5f1c0000000000000000000000000000", Expires: fakeTime, State: "expired"},
			{Nonce: "aa000000000000000000000000000000", Reader: fakeOther, State: "open"}},
	}, err
}

func (f *fakeHost) Grant(_ context.Context, r api.GrantRequest) (api.GrantResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.GrantResult{}, err
	}
	if !s.Owner {
		return api.GrantResult{}, &api.Error{Code: "not_owner", ExitCode: api.ExitDenied, Title: "only the owner of the set may do that", Detail: s.Name, Hint: "`id import-owner FILE` here"}
	}
	p, instance, _ := strings.Cut(r.Peer, "/")
	return api.GrantResult{Set: s.Set, Name: s.Name, PeerID: p, Rights: []string{r.Right}, Instance: instance, Changed: f.getenv("FAKE_UNCHANGED") == "", Version: 4}, nil
}

func (f *fakeHost) Revoke(_ context.Context, r api.RevokeRequest) (api.RevokeResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.RevokeResult{}, err
	}
	if r.Peer == "12D3KooWFake" && !r.Own {
		return api.RevokeResult{}, &api.Error{Code: "own_rights", ExitCode: api.ExitConflict, Title: "that takes rights from this node itself", Hint: "the same command with -y"}
	}
	res := api.RevokeResult{GrantResult: api.GrantResult{Set: s.Set, Name: s.Name, PeerID: r.Peer, Rights: []string{}, Changed: f.getenv("FAKE_UNCHANGED") == "", Version: 5}}
	switch r.Right {
	case api.RightReplica:
		res.Rights = []string{api.RightWriter}
	case "", api.RightWriter:
		res.Cuts = map[string]uint64{"0102030405060708": 7}
	}
	return res, nil
}

func (f *fakeHost) Invite(_ context.Context, r api.InviteRequest) (api.InviteResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.InviteResult{}, err
	}
	res := api.InviteResult{Set: s.Set, Name: s.Name, Ticket: s.Ticket + "invite", Changed: true,
		Invite: api.Invite{Nonce: "5f1c0000000000000000000000000000", Reader: r.Reader, Expires: fakeTime, State: "open"}}
	switch {
	case r.Revoke != "":
		res.Ticket, res.State, res.Version, res.Changed = "", "revoked", 6, f.getenv("FAKE_UNCHANGED") == ""
	case r.Expires == "0s":
		res.Expires = ""
	}
	return res, nil
}

func (f *fakeHost) Rename(_ context.Context, r api.RenameRequest) (api.RenameResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.RenameResult{}, err
	}
	res := api.RenameResult{Set: s.Set, Name: r.Name, Changed: s.Name != r.Name, Version: 7}
	s.Name = r.Name
	return res, f.put(s)
}

func (f *fakeHost) Promote(_ context.Context, r api.PromoteRequest) (api.PromoteResult, error) {
	s, err := f.find(r.Set)
	return api.PromoteResult{Set: s.Set, Name: s.Name, From: "12D3KooWFake", To: r.Peer, Epoch: "3.8", Changed: r.Peer != "12D3KooWFake", Seconds: 0.125}, err
}

func (f *fakeHost) Failover(_ context.Context, r api.FailoverRequest, progress func(api.Progress)) (api.FailoverResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.FailoverResult{}, err
	}
	progress(api.Progress{Phase: "drill", Message: "12D3KooWOther is primary after 0.25 s"})
	res := api.FailoverResult{Set: s.Set, Name: s.Name, Stages: []api.FailoverStage{{From: "12D3KooWFake", To: fakeOther, Seconds: 0.25}},
		Primary: fakeOther, Epoch: "3.9", Seconds: 0.5, Reads: 26, Revision: s.Revision, Passed: true}
	if r.Back {
		res.Stages = append(res.Stages, api.FailoverStage{From: fakeOther, To: "12D3KooWFake", Seconds: 0.5})
	}
	if f.getenv("FAKE_DAMAGE") != "" {
		res.ReadsFailed, res.Passed = 2, false
	}
	return res, nil
}

func (f *fakeHost) ExportOwner(context.Context) (api.OwnerKey, error) {
	return api.OwnerKey{Owner: "owner-fp", Key: "-----BEGIN KEY-----\n"}, nil
}

func (f *fakeHost) ImportOwner(_ context.Context, r api.ImportOwnerRequest) (api.ImportOwnerResult, error) {
	if !strings.Contains(r.Key, "BEGIN KEY") {
		return api.ImportOwnerResult{}, &api.Error{Code: "bad_owner_key", ExitCode: api.ExitUsage, Title: "that is no owner key"}
	}
	res := api.ImportOwnerResult{Owner: "owner-fp", Changed: r.Replace}
	if r.Replace {
		res.Kept = "/home/owner-old.txt"
	}
	return res, nil
}
