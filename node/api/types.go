package api

import "context"

// This file is the vocabulary of the local API: what a command asks of a node and what it answers. The
// same structs are the JSON of `--json`; members are only ever added within v1.

// ShareRequest asks to make a file set of a folder or a single file, or to update the one it already is.
type ShareRequest struct {
	Path           string `json:"path"`                      // absolute
	Name           string `json:"name,omitempty"`            // default: the folder's base name
	Set            string `json:"set,omitempty"`             // re-link a moved folder to this set
	AllowDeletions bool   `json:"allow_deletions,omitempty"` // publish although more than half of the files are gone
	Note           string `json:"note,omitempty"`            // what the author says of the revision, at most 1 KiB
	Watch          bool   `json:"watch,omitempty"`           // from now on publish whatever changes
	Private        bool   `json:"private,omitempty"`         // of a new set: only members and the invited may read it
	Strict         bool   `json:"strict,omitempty"`          // of a new set: only a majority of its replicas publishes
	Wait           string `json:"wait,omitempty"`            // how long to wait for the revision to be durable (Go duration); "" = 10 s
}

// ShareResult is the revision a share made or found unchanged.
type ShareResult struct {
	Set      string    `json:"set"`
	Ticket   string    `json:"ticket"`
	Name     string    `json:"name"`
	Revision uint64    `json:"revision"`
	Root     string    `json:"root"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	BytesNew int64     `json:"bytes_new"` // bytes read from disk because they were new or changed
	Durable  bool      `json:"durable"`   // on stable storage at primary and backup
	Holders  int       `json:"holders"`   // peers known to hold the revision, this one included
	Seconds  float64   `json:"seconds"`
	On       []string  `json:"on"`                // peer ids of the replicas whose disks have it
	Primary  string    `json:"primary"`           // that ordered it
	Merged   bool      `json:"merged"`            // with something newer that this node did not have
	Alone    bool      `json:"alone"`             // the set has one replica, so that nothing of it can be durable
	Private  bool      `json:"private,omitempty"` // the ticket alone does not let anybody read
	Skipped  []Skipped `json:"skipped,omitempty"`
	// Head and Vector are of the revision, as in Revision: another one includes it if its vector is nowhere smaller.
	Head   string            `json:"head,omitempty"`
	Vector map[string]uint64 `json:"vector,omitempty"`
}

// Skipped is a file that was left out, and why.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// GetRequest asks for a revision of a set in a folder.
type GetRequest struct {
	Ticket   string   `json:"ticket"`              // a ticket, a set id, or a name or prefix this node knows
	Dest     string   `json:"dest"`                // absolute; "" = NAME below Cwd
	Cwd      string   `json:"cwd,omitempty"`       // absolute
	Force    bool     `json:"force,omitempty"`     // overwrite what this node did not write
	MaxBytes int64    `json:"max_bytes,omitempty"` // refuse a set that is larger; 0 = no bound
	Timeout  string   `json:"timeout,omitempty"`   // give up when nobody has answered for this long (Go duration)
	Rev      uint64   `json:"rev,omitempty"`       // 0 = the newest
	Plan     bool     `json:"plan,omitempty"`      // say what would be done and write nothing
	Using    []string `json:"using,omitempty"`     // absolute; folders whose files may hold bytes of the set
	// Only names what is wanted of the set, at most 10,000 paths and patterns; absent = all of it. The path of a file is that
	// file, that of a folder all below it. In a pattern *, ? and [ fit within a name and ** any number of folders; one
	// without a slash fits a name in any folder. Then Dest becomes no folder of the set, and nothing is recorded of it.
	Only []string `json:"only,omitempty"`
}

// GetResult is what a get did, or with Plan would do: BytesTotal = BytesReused + BytesPatched + BytesFetched.
type GetResult struct {
	Set          string     `json:"set"`
	Name         string     `json:"name"`
	Revision     uint64     `json:"revision"`
	Root         string     `json:"root"`
	Dest         string     `json:"dest"`
	Files        int        `json:"files"`
	Links        int        `json:"links,omitempty"` // with Only, as Folders: those that were chosen
	Folders      int        `json:"folders,omitempty"`
	BytesTotal   int64      `json:"bytes_total"`
	BytesReused  int64      `json:"bytes_reused"`  // leaf bytes that were on this disk
	BytesPatched int64      `json:"bytes_patched"` // leaf bytes made of a patch and of bytes on this disk
	BytesFetched int64      `json:"bytes_fetched"` // verified leaf bytes received whole
	WireIn       int64      `json:"wire_in"`       // all bytes received on the protocols' streams
	WireOut      int64      `json:"wire_out"`
	FilesRemoved int        `json:"files_removed"` // of an earlier revision, gone in this one
	FilesMoved   int        `json:"files_moved,omitempty"`
	Sources      int        `json:"sources"` // peers that delivered at least one block
	Seconds      float64    `json:"seconds"`
	Changed      bool       `json:"changed"`               // false: it was complete already
	Unconfirmed  bool       `json:"unconfirmed,omitempty"` // nobody could be asked whether there is a newer revision
	Skipped      []Skipped  `json:"skipped,omitempty"`
	Conflicts    []Conflict `json:"conflicts,omitempty"`
	Plan         bool       `json:"plan,omitempty"` // nothing was written
	WireEstimate int64      `json:"wire_estimate,omitempty"`
	Lines        []string   `json:"lines,omitempty"`  // the plan in words
	InWay        []string   `json:"in_way,omitempty"` // of a plan: paths in Dest because of which a get without Force is refused
	Only         []string   `json:"only,omitempty"`   // what was asked for: Files and the bytes are of these alone
}

// Conflict is a file that was edited here: the edit was kept as Copy, and Path is as the author has it.
type Conflict struct {
	Path string `json:"path"`
	Copy string `json:"copy"`
}

// Progress is one state of a running operation; BytesTotal 0 = not known yet.
type Progress struct {
	Phase      string `json:"phase"` // "scan", "find", "list", "fetch", "check", "finish"
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	Files      int    `json:"files"`
	Sources    int    `json:"sources"`
	Message    string `json:"message,omitempty"` // a sentence worth a line of its own
	Set        string `json:"set,omitempty"`     // what it is about, once, where the request named it by a ticket
}

// LsRequest asks for the sets of this node, or for the entries of one.
type LsRequest struct {
	Set  string `json:"set,omitempty"`  // "" = list the sets
	Path string `json:"path,omitempty"` // folder or file inside the set
}

// LsResult has Sets or Entries, as asked.
type LsResult struct {
	Sets    []SetInfo `json:"sets,omitzero"` // empty, not absent, when there are none
	Entries []Entry   `json:"entries,omitempty"`
}

// Entry is a file, folder or symlink of a revision.
type Entry struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`            // "file", "dir", "symlink"
	Size   int64  `json:"size"`            // of a folder: of all files below it; in a peek about that, as it counts what lists them
	Mode   string `json:"mode,omitempty"`  // octal, "0644"
	Mtime  string `json:"mtime,omitempty"` // RFC 3339
	Cid    string `json:"cid"`
	Target string `json:"target,omitempty"`
	Files  int    `json:"files,omitempty"` // of a folder: how many files are below it, where that is known
	// Downloads is how often peers took the file from this node since it started, about.
	Downloads uint64 `json:"downloads,omitempty"`
}

// SetInfo is one set as `ls`, `show` and `status` print it.
type SetInfo struct {
	Set      string `json:"set"`
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
	Root     string `json:"root"`
	Dir      string `json:"dir"`
	State    string `json:"state"` // "shared", "complete", "incomplete"
	Role     string `json:"role"`  // of Role*: what this node is in it
	Files    uint64 `json:"files"`
	Bytes    uint64 `json:"bytes"`
	Public   bool   `json:"public"`
	Owner    bool   `json:"owner"` // this home holds the owner key
	Ticket   string `json:"ticket,omitempty"`
	Head     string `json:"head,omitempty"`
	Holders  int    `json:"holders"` // nodes known to hold the whole revision, this one included
	Peers    int    `json:"peers"`   // connected ones that are known to hold at least a part of it
	Durable  bool   `json:"durable"`
	Profile  string `json:"profile,omitempty"`
	// Following: Dir is kept at the newest revision. Watching: what changes in Dir is published.
	Following bool `json:"following,omitempty"`
	Watching  bool `json:"watching,omitempty"`
	// Replicating: Dir is kept at the newest revision for others. InHome: Dir is this node's own, not a person's; without
	// Replicating it is left from when it was held for others, is served on, and goes when the set is removed.
	InHome      bool   `json:"in_home,omitempty"`
	Replicating bool   `json:"replicating,omitempty"`
	Primary     string `json:"primary"` // peer id; "" = none is known
	Backup      string `json:"backup"`  // peer id; "" = none is known
	// PrimarySince is since when this node sees Primary be that (RFC 3339); "" = it takes no part in the set's elections.
	PrimarySince string `json:"primary_since,omitempty"`
	Epoch        string `json:"epoch"` // of the newest primary known: version of the config and number; "" = none
	// EpochOwner is the peer id of who made the epoch. Two nodes may give theirs one number: it is not the same epoch then.
	EpochOwner  string   `json:"epoch_owner,omitempty"`
	Behind      int      `json:"behind"`                 // revisions that are known here and not complete
	Mode        string   `json:"mode,omitempty"`         // "ap" or "strict"
	Stale       bool     `json:"stale,omitempty"`        // not in touch with a primary, or with a majority where the set asks for one
	Forks       int      `json:"forks,omitempty"`        // newest revisions beside the one shown, until they are merged
	Alarms      []string `json:"alarms,omitempty"`       // what somebody has to look at
	DirRevision uint64   `json:"dir_revision,omitempty"` // that Dir holds, if it is not Revision: what is newer lies beside it
	FolderGone  bool     `json:"folder_gone,omitempty"`  // Dir is not there, is no folder any more, or is another one; Alarms say which
}

// PeerInfo is one connected peer.
type PeerInfo struct {
	PeerID    string  `json:"peer_id"`
	Addr      string  `json:"addr"`
	Transport string  `json:"transport"` // "tcp", "quic-v1"
	RTTms     float64 `json:"rtt_ms"`
	Agent     string  `json:"agent,omitempty"`
	Role      string  `json:"role"` // "", "dht", "seeder"
	// Bytes a second on its streams, smoothed over some seconds; 0 where nobody reads them, as in a command that ends soon.
	RateIn  int64 `json:"rate_in"`
	RateOut int64 `json:"rate_out"`
}

// Status is the node as a whole.
type Status struct {
	PeerID        string     `json:"peer_id"`
	Owner         string     `json:"owner,omitempty"` // fingerprint of the owner key, if this home holds one
	Listen        []string   `json:"listen"`          // dialable addresses with /p2p/
	Version       string     `json:"version"`
	API           string     `json:"api"`                 // path of the socket
	Dashboard     string     `json:"dashboard,omitempty"` // URL; it has to be signed in to
	Home          string     `json:"home"`
	UptimeSeconds float64    `json:"uptime_seconds"`
	Sets          []SetInfo  `json:"sets"`
	Peers         []PeerInfo `json:"peers"`
	WireIn        int64      `json:"wire_in"`
	WireOut       int64      `json:"wire_out"`
	DiskBytes     int64      `json:"disk_bytes"` // of the node's own state
	Traffic       *Traffic   `json:"traffic,omitempty"`
}

// VerifyRequest asks to re-read every block of a set.
type VerifyRequest struct {
	Set  string `json:"set"` // set, name, prefix, or the absolute path of its folder
	Heal bool   `json:"heal,omitempty"`
}

// VerifyResult counts what was read. Damaged is what was found, Healed how many of those are right now; more
// damaged than healed is an integrity error after the report.
type VerifyResult struct {
	Set     string    `json:"set"`
	Blocks  int       `json:"blocks"`
	Bytes   int64     `json:"bytes"`
	Damaged int       `json:"damaged"`
	Healed  int       `json:"healed"`
	Files   []string  `json:"files,omitempty"`   // names of files that are damaged still
	Skipped []Skipped `json:"skipped,omitempty"` // with Heal: files somebody edited, which stay as they are
}

// RmRequest forgets a set; its files stay unless Files.
type RmRequest struct {
	Set   string `json:"set"`
	Files bool   `json:"files,omitempty"`
}

// RmResult tells what went.
type RmResult struct {
	Set          string `json:"set"`
	Name         string `json:"name"`
	FilesRemoved int    `json:"files_removed"`
}

// GCResult tells what a collection gave back.
type GCResult struct {
	Blocks    int   `json:"blocks"`
	Bytes     int64 `json:"bytes"`
	DiskBytes int64 `json:"disk_bytes"` // of the node's own state, afterwards
}

// Service is what the API serves: the node, or a fake in tests. It is the sum of small roles; every
// method may be called concurrently and ends early when ctx does.
type Service interface {
	Mover
	Looker
	Keeper
	Publisher
	Historian
	Follower
	Governor
	Host
	Leader
	KeyHolder
	Browser
	Limiter
	Searcher
	Examiner
	Peeker
}

// Mover publishes and fetches; progress may be called from any goroutine, one at a time.
type Mover interface {
	Share(ctx context.Context, r ShareRequest, progress func(Progress)) (ShareResult, error)
	Get(ctx context.Context, r GetRequest, progress func(Progress)) (GetResult, error)
}

// Looker answers questions.
type Looker interface {
	Ls(ctx context.Context, r LsRequest) (LsResult, error)
	Show(ctx context.Context, set string) (SetInfo, error)
	Status(ctx context.Context) (Status, error)
}

// Keeper keeps a home healthy.
type Keeper interface {
	Verify(ctx context.Context, r VerifyRequest, progress func(Progress)) (VerifyResult, error)
	Rm(ctx context.Context, r RmRequest) (RmResult, error)
	GC(ctx context.Context) (GCResult, error)
}

// Error is a failure as people and scripts see it: what happened, why, and what to type next. It is the
// body of the API's application/problem+json (RFC 9457) and the last line of `--json`.
type Error struct {
	Code      string `json:"code"`      // stable, snake_case: "no_providers", "bad_ticket", "conflict"
	ExitCode  int    `json:"exit_code"` // see Exit*
	Title     string `json:"title"`
	Detail    string `json:"detail,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Retryable bool   `json:"retryable"`
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Title
	}
	return e.Title + ": " + e.Detail
}

// Exit codes, as `help exit-codes` lists them; a new one is only ever added.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitPartial     = 3  // finished, but some files were skipped or failed
	ExitNotFound    = 4  // set, revision or peer not found, or nobody has it
	ExitTimeout     = 5  // timed out, nobody reachable
	ExitIntegrity   = 6  // hash or signature mismatch; nothing wrong was written
	ExitConflict    = 7  // would overwrite local changes
	ExitNeedsNode   = 8  // needs a running node, or its API version does not match
	ExitDenied      = 9  // not authorised
	ExitStore       = 10 // store missing, locked or damaged
	ExitNoSpace     = 11 // out of disk or quota
	ExitNotDurable  = 12 // published, but not durable although replicas are listed
	ExitBug         = 70
	ExitInterrupted = 130
	ExitTerminated  = 143
)
