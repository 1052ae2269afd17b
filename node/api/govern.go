package api

import (
	"context"
	"net/http"
)

// This file asks for what members.go has words for.

// Members implements Service.
func (c *Client) Members(ctx context.Context, r MembersRequest) (MembersResult, error) {
	return checked[MembersResult](ctx, c, "members", http.MethodPost, "members", r)
}

// Grant implements Service.
func (c *Client) Grant(ctx context.Context, r GrantRequest) (GrantResult, error) {
	return checked[GrantResult](ctx, c, "grant", http.MethodPost, "grant", r)
}

// Revoke implements Service.
func (c *Client) Revoke(ctx context.Context, r RevokeRequest) (RevokeResult, error) {
	return checked[RevokeResult](ctx, c, "revoke", http.MethodPost, "revoke", r)
}

// Invite implements Service.
func (c *Client) Invite(ctx context.Context, r InviteRequest) (InviteResult, error) {
	return checked[InviteResult](ctx, c, "invite", http.MethodPost, "invite", r)
}

// Rename implements Service.
func (c *Client) Rename(ctx context.Context, r RenameRequest) (RenameResult, error) {
	return checked[RenameResult](ctx, c, "rename", http.MethodPost, "rename", r)
}

// Promote implements Service.
func (c *Client) Promote(ctx context.Context, r PromoteRequest) (PromoteResult, error) {
	return checked[PromoteResult](ctx, c, "promote", http.MethodPost, "promote", r)
}

// Failover implements Service.
func (c *Client) Failover(ctx context.Context, r FailoverRequest, progress func(Progress)) (FailoverResult, error) {
	return await[FailoverResult](ctx, c, "failover", r, listener{progress: progress})
}

// ExportOwner implements Service.
func (c *Client) ExportOwner(ctx context.Context) (OwnerKey, error) {
	return checked[OwnerKey](ctx, c, "export-owner", http.MethodPost, "export-owner", none{})
}

// ImportOwner implements Service.
func (c *Client) ImportOwner(ctx context.Context, r ImportOwnerRequest) (ImportOwnerResult, error) {
	return checked[ImportOwnerResult](ctx, c, "import-owner", http.MethodPost, "import-owner", r)
}
