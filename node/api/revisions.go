package api

import "context"

// This file is the part of the vocabulary that is about revisions: what was published, what changed, and
// who is told.

// PublishRequest asks to make the next revision of a set that exists.
type PublishRequest struct {
	Target         string `json:"target"`                    // set, name, prefix, or the absolute path of its folder
	Note           string `json:"note,omitempty"`            // as in ShareRequest
	DryRun         bool   `json:"dry_run,omitempty"`         // say what would be published and publish nothing
	AllowDeletions bool   `json:"allow_deletions,omitempty"` // as in ShareRequest
	AllowLocal     bool   `json:"allow_local,omitempty"`     // it is no failure if no other node can take it now
	Wait           string `json:"wait,omitempty"`            // as in ShareRequest
}

// PublishResult is the revision that was made, would be made (DryRun), or stays (Changed is false).
type PublishResult struct {
	ShareResult
	Changed bool     `json:"changed"`
	DryRun  bool     `json:"dry_run,omitempty"`
	Changes []Change `json:"changes,omitempty"` // against the revision before
	Summary string   `json:"summary,omitempty"` // of Changes, in words
}

// Operations of a Change.
const (
	OpAdded    = "added"
	OpRemoved  = "removed"
	OpModified = "modified"
	OpAttr     = "attr" // same content, other mode or time
	OpRenamed  = "renamed"
	OpRetyped  = "retyped" // another kind of entry under the same path
)

// Change is one entry, or one moved folder, that differs between two revisions.
type Change struct {
	Op      string `json:"op"`
	Path    string `json:"path"`           // in the new revision; of what was removed in the old one
	From    string `json:"from,omitempty"` // of what was renamed: the path in the old revision
	Bytes   int64  `json:"bytes"`          // bytes of content that are nowhere in the old revision
	Entries int    `json:"entries"`        // 1, or of a renamed folder also all below it
}

// HistoryRequest asks for the revisions of a set.
type HistoryRequest struct {
	Set    string `json:"set"`
	Verify bool   `json:"verify,omitempty"` // check the signature of every one and that each names the one before it
}

// HistoryResult lists revisions, newest first.
type HistoryResult struct {
	Set       string     `json:"set"`
	Name      string     `json:"name"`
	Revisions []Revision `json:"revisions"`
}

// Revision is one state of a set that its author published.
type Revision struct {
	Revision uint64 `json:"revision"`
	Root     string `json:"root"`
	Head     string `json:"head"`
	Time     string `json:"time"` // RFC 3339, by the author's clock
	Note     string `json:"note,omitempty"`
	Files    uint64 `json:"files"`
	Bytes    uint64 `json:"bytes"`
	Kept     string `json:"kept"`              // what this node has of it: "here", "partly", "nodes", "gone"
	Current  bool   `json:"current,omitempty"` // the one in the folder
	Fork     bool   `json:"fork,omitempty"`    // made apart from the newest, and not merged yet
	// Parents are the heads it was made of, Abandoned those that it passes over. Vector says what it includes, both of
	// these too: by the store of a replica, in hex, the number of the last head that was made there.
	Parents   []string          `json:"parents,omitempty"`
	Abandoned []string          `json:"abandoned,omitempty"`
	Vector    map[string]uint64 `json:"vector,omitempty"`
}

// DiffRequest asks what changed from revision A to B. B 0 is the newest revision, A 0 the one before B.
type DiffRequest struct {
	Set string `json:"set"`
	A   uint64 `json:"a,omitempty"`
	B   uint64 `json:"b,omitempty"`
}

// DiffResult lists the changes in the order of their paths; A and B are the revisions compared.
type DiffResult struct {
	Set     string   `json:"set"`
	Name    string   `json:"name"`
	A       uint64   `json:"a"`
	B       uint64   `json:"b"`
	Changes []Change `json:"changes"`
	Summary string   `json:"summary"`
}

// RestoreRequest asks for an earlier revision in a folder that is not the set's own.
type RestoreRequest struct {
	Set   string `json:"set"`
	Rev   uint64 `json:"rev"`
	Dest  string `json:"dest"` // absolute
	Force bool   `json:"force,omitempty"`
}

// RestoreResult is that of a get: bytes that this disk lacked were fetched.
type RestoreResult = GetResult

// FollowRequest asks to keep a folder at the newest revision of a set until Unfollow.
type FollowRequest struct {
	Ticket string `json:"ticket"` // as in GetRequest
	Dest   string `json:"dest"`
	Cwd    string `json:"cwd,omitempty"`
	Force  bool   `json:"force,omitempty"`
	Exec   string `json:"exec,omitempty"` // shell command to run in Dest after each revision is complete
	// Replicate holds the set for others, as a replica once the owner grants it; Dest "" = a folder of the node's own.
	Replicate bool `json:"replicate,omitempty"`
}

// FollowResult says what is followed from now on; the revisions themselves arrive as events.
type FollowResult struct {
	Set       string `json:"set"`
	Name      string `json:"name"`
	Dest      string `json:"dest"`
	Following bool   `json:"following"`
	Already   bool   `json:"already,omitempty"` // it was followed before
	// Of Replicate: what the owner grants this node as, PEER/INSTANCE, and whether it was granted.
	Member  string `json:"member,omitempty"`
	Granted bool   `json:"granted,omitempty"`
}

// UnfollowRequest asks to leave a folder as it is.
type UnfollowRequest struct {
	Set string `json:"set"`
}

// UnfollowResult says which set is not followed any more.
type UnfollowResult struct {
	Set  string `json:"set"`
	Name string `json:"name"`
	// Replicated: it was held here for others. What is here goes on being served, and stays until the set is removed.
	Replicated bool `json:"replicated,omitempty"`
	// Member is this node where it votes on the set's revisions still: only the owner can end that, by taking the right
	// "replica" from it. To is the replica that it has handed the role of the primary to.
	Member string `json:"member,omitempty"`
	To     string `json:"to,omitempty"`
}

// EventsRequest asks for the events of one set, or of all.
type EventsRequest struct {
	Set      string `json:"set,omitempty"`      // "" = all
	Progress bool   `json:"progress,omitempty"` // EventProgress too
}

// Kinds of events; new ones may be added.
const (
	EventReady     = "ready"     // the first of every stream: whatever happens later is in it
	EventPublished = "published" // this node made a revision
	EventAvailable = "available" // a peer showed a newer revision
	EventProgress  = "progress"  // a revision is being fetched for a folder that follows
	EventComplete  = "complete"  // a revision is complete in its folder
	EventConflict  = "conflict"  // local edits were kept as copies
	EventFailed    = "failed"    // a revision could not be completed; it is tried again
	EventHook      = "hook"      // the command of a follow has run; Detail if it failed
	EventEnded     = "ended"     // the set is not followed or watched any more
	EventGranted   = "granted"   // this node is a replica of the set from now on
	EventNotice    = "notice"    // a sentence for people
	EventAlarm     = "alarm"     // bytes that others are promised of a set are not here any more: Detail says what to do
	EventMended    = "mended"    // they are again, or others are promised
)

// Event is something that happened at a node.
type Event struct {
	Time     string         `json:"time"` // RFC 3339 with nanoseconds
	Kind     string         `json:"kind"`
	Set      string         `json:"set,omitempty"` // "" = about the node as a whole
	Name     string         `json:"name,omitempty"`
	Revision uint64         `json:"revision,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	Result   *GetResult     `json:"result,omitempty"`   // of EventComplete
	Progress *Progress      `json:"progress,omitempty"` // of EventProgress
	Primary  *PrimaryChange `json:"primary,omitempty"`  // of EventPrimary
}

// Publisher makes revisions and brings them back. Progress as with Mover.
type Publisher interface {
	Publish(ctx context.Context, r PublishRequest, progress func(Progress)) (PublishResult, error)
	Restore(ctx context.Context, r RestoreRequest, progress func(Progress)) (RestoreResult, error)
}

// Historian compares revisions; it needs no network.
type Historian interface {
	History(ctx context.Context, r HistoryRequest) (HistoryResult, error)
	Diff(ctx context.Context, r DiffRequest) (DiffResult, error)
}

// Follower keeps folders at the newest revision and tells what happens.
type Follower interface {
	// Follow returns once the set is known and the wish is stored; it may be repeated. Each call is answered
	// by an EventComplete or EventFailed later on, also when the newest revision was here already.
	Follow(ctx context.Context, r FollowRequest, progress func(Progress)) (FollowResult, error)
	Unfollow(ctx context.Context, r UnfollowRequest) (UnfollowResult, error)
	// Events calls fn, first with EventReady, until ctx ends, which is its error. fn never blocks for long.
	Events(ctx context.Context, r EventsRequest, fn func(Event)) error
}
