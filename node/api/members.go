package api

import "context"

// This file is the part of the vocabulary that is about who takes part in a set: rights, invites, roles and
// the owner key.

// Rights of a member, as Grant takes them and Members lists them.
const (
	RightReader  = "reader"  // may read, where not everybody may
	RightReplica = "replica" // holds all of it and votes: it can be primary or backup
	RightWriter  = "writer"  // may publish
)

// Roles of a node in a set.
const (
	RolePrimary   = "primary"   // orders the revisions
	RoleBackup    = "backup"    // has what is durable, and is the next primary
	RoleReplica   = "replica"   // a voter that is neither
	RoleCandidate = "candidate" // a voter that is about to become primary, or to find out that it need not
	RoleReader    = "reader"    // no voter
)

// MembersRequest asks who takes part in a set.
type MembersRequest struct {
	Set string `json:"set"`
}

// MembersResult is the set's config, with what this node knows of those it lists.
type MembersResult struct {
	Set     string   `json:"set"`
	Name    string   `json:"name"`
	Version uint64   `json:"version"` // of the config
	Mode    string   `json:"mode"`    // "ap" or "strict"
	Public  bool     `json:"public"`  // everybody who has the set's id may read
	Owner   bool     `json:"owner"`   // this home holds an owner key: it may change this
	Members []Member `json:"members"`
	Invites []Invite `json:"invites,omitempty"` // made in this home
}

// Member is one node that the config lists.
type Member struct {
	PeerID    string   `json:"peer_id"`
	Rights    []string `json:"rights"`             // of Right*
	Role      string   `json:"role,omitempty"`     // of Role*, of replicas, as far as it is known
	Instance  string   `json:"instance,omitempty"` // hex: the only store of the node that votes; "" = any
	Self      bool     `json:"self,omitempty"`
	Connected bool     `json:"connected,omitempty"`
	Durable   bool     `json:"durable,omitempty"` // its disk is known to have the newest revision
}

// Invite lets somebody read a private set who is not a member of it.
type Invite struct {
	Nonce   string `json:"nonce"`             // hex; what names it when it is revoked
	Reader  string `json:"reader,omitempty"`  // peer id; "" = whoever holds it
	Expires string `json:"expires,omitempty"` // RFC 3339; "" = never
	State   string `json:"state"`             // "open", "expired" or "revoked"
}

// GrantRequest gives a node a right.
type GrantRequest struct {
	Set   string `json:"set"`
	Peer  string `json:"peer"`  // PEER or, for a replica, PEER/INSTANCE; PEER is whole or the beginning of a known one
	Right string `json:"right"` // of Right*
}

// GrantResult is what the node may do now.
type GrantResult struct {
	Set      string   `json:"set"`
	Name     string   `json:"name"`
	PeerID   string   `json:"peer_id"`
	Rights   []string `json:"rights"`
	Instance string   `json:"instance,omitempty"`
	Changed  bool     `json:"changed"` // false: it had the right already
	Version  uint64   `json:"version"` // of the config
}

// RevokeRequest takes rights from a node.
type RevokeRequest struct {
	Set   string `json:"set"`
	Peer  string `json:"peer"`
	Right string `json:"right,omitempty"` // of Right*; "" = all
	Own   bool   `json:"own,omitempty"`   // also if it is this node that loses them
}

// RevokeResult is what the node may still do. What it published stays; what it signed later than Cuts says is
// refused.
type RevokeResult struct {
	GrantResult
	Cuts map[string]uint64 `json:"cuts,omitempty"` // by the writer's store, the last revision of it that counts
}

// InviteRequest asks for a ticket to a private set, or with Revoke takes one back.
type InviteRequest struct {
	Set     string `json:"set"`
	Expires string `json:"expires,omitempty"` // Go duration from now on; "" = a week, "0s" = never
	Reader  string `json:"reader,omitempty"`  // only this peer may use it
	Revoke  string `json:"revoke,omitempty"`  // nonce, or the beginning of that of an invite made here
}

// InviteResult is the invite; Ticket is "" when it was revoked.
type InviteResult struct {
	Set    string `json:"set"`
	Name   string `json:"name"`
	Ticket string `json:"ticket,omitempty"`
	Invite
	Changed bool   `json:"changed"`           // false: it was revoked already
	Version uint64 `json:"version,omitempty"` // of the config that revokes it
}

// RenameRequest gives a set another name.
type RenameRequest struct {
	Set  string `json:"set"`
	Name string `json:"name"`
}

// RenameResult is the set under its new name.
type RenameResult struct {
	Set     string `json:"set"`
	Name    string `json:"name"`
	Changed bool   `json:"changed"`
	Version uint64 `json:"version"`
}

// PromoteRequest asks the primary to hand its role to another replica.
type PromoteRequest struct {
	Set  string `json:"set"`
	Peer string `json:"peer"`
}

// PromoteResult says who orders the revisions now.
type PromoteResult struct {
	Set     string  `json:"set"`
	Name    string  `json:"name"`
	From    string  `json:"from"`
	To      string  `json:"to"`
	Epoch   string  `json:"epoch"`
	Changed bool    `json:"changed"` // false: it was primary already
	Seconds float64 `json:"seconds"`
}

// FailoverRequest rehearses the loss of the primary: the role goes to the backup as in a clean end.
type FailoverRequest struct {
	Set  string `json:"set"`
	Back bool   `json:"back,omitempty"` // and back again
}

// FailoverResult is what the rehearsal showed.
type FailoverResult struct {
	Set     string          `json:"set"`
	Name    string          `json:"name"`
	Stages  []FailoverStage `json:"stages"`  // in order
	Primary string          `json:"primary"` // afterwards
	Epoch   string          `json:"epoch"`   // afterwards
	Seconds float64         `json:"seconds"`
	// Readers: how often the newest revision was read meanwhile, and how often it could not be.
	Reads       int    `json:"reads"`
	ReadsFailed int    `json:"reads_failed"`
	Revision    uint64 `json:"revision"` // that was read
	Passed      bool   `json:"passed"`
}

// FailoverStage is one hand-over.
type FailoverStage struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Seconds float64 `json:"seconds"` // without a primary that this node knew of
}

// OwnerKey is the key of this home that may change who takes part in its sets.
type OwnerKey struct {
	Owner string `json:"owner"` // fingerprint
	Key   string `json:"key"`   // as text: a secret
}

// ImportOwnerRequest brings an owner key into this home.
type ImportOwnerRequest struct {
	Key     string `json:"key"`
	Replace bool   `json:"replace,omitempty"` // also if there is another one, which is kept aside
}

// ImportOwnerResult is the key that counts now.
type ImportOwnerResult struct {
	Owner   string `json:"owner"`
	Changed bool   `json:"changed"`        // false: it was here already
	Kept    string `json:"kept,omitempty"` // file that the key before was moved to
}

// Governor says who may do what.
type Governor interface {
	Members(ctx context.Context, r MembersRequest) (MembersResult, error)
	Grant(ctx context.Context, r GrantRequest) (GrantResult, error)
	Revoke(ctx context.Context, r RevokeRequest) (RevokeResult, error)
}

// Host lets others in.
type Host interface {
	Invite(ctx context.Context, r InviteRequest) (InviteResult, error)
	Rename(ctx context.Context, r RenameRequest) (RenameResult, error)
}

// Leader moves the role of the primary.
type Leader interface {
	Promote(ctx context.Context, r PromoteRequest) (PromoteResult, error)
	// Failover tells its stages as messages of progress.
	Failover(ctx context.Context, r FailoverRequest, progress func(Progress)) (FailoverResult, error)
}

// KeyHolder moves the owner key between homes.
type KeyHolder interface {
	ExportOwner(ctx context.Context) (OwnerKey, error)
	ImportOwner(ctx context.Context, r ImportOwnerRequest) (ImportOwnerResult, error)
}
