// Package script is the language of scenarios: plain text, one statement a line, readable aloud. Parse checks
// everything that can be known before a node runs, and every error names its line and column. It decides nothing
// else: who plays a script gives the statements their meaning. docs/scenarios.md is the language for those who write it.
//
// A line is cut into words, commas and texts in quotes, and read from left to right: its first word says what the rest
// must be. The one place where a reader looks further is `to`, which means a range in a list of nodes (edge-1 to edge-4)
// and a direction between the two sides of a link: see sides. Names declared on earlier lines, and words that name
// nothing (keywords), are what makes a wrong word an error at once.
package script

import "time"

// Script is a scenario.
type Script struct {
	About      string // the first comment, if it is before the first statement: its lines, without marks, as one
	Statements []Statement
}

// Statement is one line.
type Statement struct {
	Line, Col int    // where it begins, from 1
	Text      string // as it was written, without its comment and the blanks around
	When      When
	Do        Action
}

// When is when a statement is carried out, as its line says before the action. Zero is: when the one before has ended.
// At most one of At, After and Every is there, and with Every either For or Times. The first round of Every is at once.
// Nodes, Share and Wait have no Every.
type When struct {
	At    time.Duration // `at 5s`: this long after the script began, or at once if that has passed
	After time.Duration // `after 2s`: this long after the one before has ended
	Every time.Duration // `every 500ms`: again and again, beside the statements that follow
	For   time.Duration // of Every, `for 10s`: how long; 0 = Times decides
	Times int           // of Every, `20 times`: how often; 0 = For decides
}

// Who names nodes: by their names or by what they are at that moment.
type Who struct {
	Names []string // in the order written, each once, ranges spelled out; empty = Role
	Role  string   // "primary" or "backup", of Set; "all" = every node started so far, whether it runs or not
	Set   string
}

// Action is what a statement does; one of the types below.
type Action interface{ action() }

// Nodes starts new nodes: `nodes origin, edge-1 to edge-4`.
type Nodes struct{ Names []string }

// Link sets how bytes travel: `link a to b latency 20ms jitter 5ms loss 1% rate 10Mbit/s`, or `link a and b …` in both
// directions: between each of From and each of To that is another node. Members that the line does not name are nil and
// stay as they are. `link a and b plain` makes it as it was, but for a cut.
type Link struct {
	From, To        Who
	Both            bool
	Latency, Jitter *time.Duration
	Loss            *float64 // 0 to 1
	Rate            *int64   // bytes per second; 0 = unlimited
	Plain           bool     // then the others are nil
}

// Limit bounds all that each of the nodes sends or receives: `uplink origin 100Mbit/s`, `downlink edge-1 1MB/s`, `uplink origin
// unlimited`. `slow edge-1 to 1Mbit/s` is both.
type Limit struct {
	Who      Who
	Up, Down *int64 // bytes per second; 0 = unlimited; nil = stays
}

// Cut drops bytes: `cut a to b`, or `cut a and b` in both directions; pairs as of Link.
type Cut struct {
	From, To Who
	Both     bool
}

// Partition drops bytes between groups, in both directions: `partition a, b from c, d`, and `from` further groups. No
// name is in two groups; a role may stand for a node of another group, and no node is parted from itself: `partition
// primary of docs from all` leaves it alone.
type Partition struct{ Groups []Who } // at least two

// Heal ends what Cut and Partition did: `heal`, or `heal a and b`, `heal a to b`. Both Who are zero for all.
type Heal struct {
	From, To Who
	Both     bool
	All      bool
}

// Share makes a set, by one node: `share docs at origin size 64MiB in 8 files`, `share docs at origin from "/some/folder"`, `share docs
// at origin from toolchain`; then `strict` or `private` where it is to be. Size has seeded, incompressible content.
type Share struct {
	Set     string
	At      Who
	Size    int64  // bytes, at least 1; 0 = From says what it is made of
	Files   int    // of Size, at least 1; 0 with From
	From    string // folder; "toolchain" = the sources of Go; "" = Size
	Strict  bool
	Private bool
}

// Publish makes what is in a node's folder of the set the next revision: `publish docs at origin`.
type Publish struct {
	Set string
	At  Who
}

// Kinds of Edit.
const (
	Overwrite = "overwrite" // Size bytes in the middle of a file
	Insert    = "insert"    // Size bytes in the middle of a file
	Append    = "append"    // Size bytes at the end of a file
	Add       = "add"       // a new file of Size bytes
	Rename    = "rename"    // a file
	Remove    = "remove"    // a file
	Upgrade   = "upgrade"   // of a set shared from toolchain: newer vendored packages, a real change; only once
)

// Edit changes a node's folder of a set without publishing: `edit docs at origin overwrite 4KiB`, `… 3 times`. Which
// files it is follows from the seed.
type Edit struct {
	Set   string
	At    Who
	Kind  string
	Size  int64 // bytes, at least 1; 0 for rename, remove and upgrade
	Times int   // at least 2; 0 = once
}

// Get fetches the newest revision, Follow keeps a folder at it, Replicate holds it and becomes a replica: `get docs at
// edge-1, edge-2`. They begin, and the script goes on.
type Get struct {
	Set string
	At  Who
}

// Follow is described at Get.
type Follow struct {
	Set string
	At  Who
}

// Replicate is described at Get.
type Replicate struct {
	Set string
	At  Who
}

// Grant gives a right in a set: `grant docs to backup-1 writer`; reader or writer.
type Grant struct {
	Set   string
	To    Who
	Right string
}

// Kinds of Process.
const (
	Kill    = "kill"    // SIGKILL
	Stop    = "stop"    // SIGTERM, and wait
	Restart = "restart" // start again what was killed or stopped; what runs is killed first
	Pause   = "pause"   // SIGSTOP
	Resume  = "resume"  // SIGCONT
)

// Process ends, starts or halts nodes: `kill origin`, `kill primary of docs`, `restart origin`.
type Process struct {
	Do  string
	Who Who
}

// Corrupt flips bytes on a disk: `corrupt docs at origin` in a file of the folder, `corrupt store of origin` in the
// node's own database; `… 10 times`.
type Corrupt struct {
	Set   string // "" = the store
	Who   Who
	Times int // at least 2; 0 = once
}

// Disk fills a node's disk or frees it again: `fill disk of edge-1`, `free disk of edge-1`.
type Disk struct {
	Who  Who
	Full bool
}

// Lie makes nodes serve wrong bytes from now on, or right ones again: `liar edge-1`, `honest edge-1`.
type Lie struct {
	Who  Who
	Lies bool
}

// Wait lets time pass, `wait 2s`, or until something holds: `wait until edge-1 has docs within 30s`. If it does not hold
// in time, the script ends there.
type Wait struct {
	For    time.Duration
	Until  Condition     // nil = For; none that is only looked at now: see Expect
	Within time.Duration // of Until; 0 = a default
}

// Expect is a check: `expect edge-1 has docs within 30s`, `expect origin sent at most 1.3 docs`. The script goes on if it
// does not hold, and fails in the end. Conditions that time makes no truer, which are Moved at most, Took and Refuses, are
// looked at now and have no Within.
type Expect struct {
	What   Condition
	Within time.Duration // how long it may take to come true; 0 = it holds now
}

// Invariants are what Check can name.
const (
	Acknowledged = "acknowledged" // what was called durable is there, or was merged
	Primaries    = "primaries"    // one primary per epoch
	Agree        = "agree"        // who can reach each other has the same root
	Files        = "files"        // no wrong byte on any disk
	Crashes      = "crashes"      // no node ended by itself
)

// Check checks invariants now, `check agree, files`, or all of them: `check`. They are checked at the end anyway.
type Check struct{ Names []string } // empty = all

// Say prints a sentence and puts it into the report: `say "…"`.
type Say struct{ Text string }

func (Nodes) action()     {}
func (Link) action()      {}
func (Limit) action()     {}
func (Cut) action()       {}
func (Partition) action() {}
func (Heal) action()      {}
func (Share) action()     {}
func (Publish) action()   {}
func (Edit) action()      {}
func (Get) action()       {}
func (Follow) action()    {}
func (Replicate) action() {}
func (Grant) action()     {}
func (Process) action()   {}
func (Corrupt) action()   {}
func (Disk) action()      {}
func (Lie) action()       {}
func (Wait) action()      {}
func (Expect) action()    {}
func (Check) action()     {}
func (Say) action()       {}

// Condition is what Wait and Expect look at; one of the types below. Of several nodes it must hold for each.
type Condition interface{ condition() }

// Has: `edge-1 has docs` is complete at the newest revision that was published, `edge-1 has revision 2 of docs`, the
// second one that was acknowledged in this run, or a newer one; `edge-1 has 40% of docs`.
type Has struct {
	Who      Who
	Set      string
	Revision uint64  // that or a newer one; 0 = the newest
	Part     float64 // 0 to 1, of what the node fetches now; 0 = all. Not with Revision
}

// Is: `origin is primary of docs`, `backup-1 is not primary of docs`, `edge-1 is down`. What is one of primary, backup,
// replica (which those two are too), reader, up, down.
type Is struct {
	Who  Who
	What string
	Set  string // of a role
	Not  bool
}

// There: `docs has a primary`, `docs has a backup`, `docs is durable` (the last publish), `docs agrees` (its author, who
// follows and who replicates are complete at the same root, as far as they reach each other).
type There struct {
	Set  string
	What string // "primary", "backup", "durable", "agrees"
}

// Moved: `origin sent at most 1.3 docs`, `edge-1 received at most 200kB`; each of the nodes, counted from its start, or
// from the last `mark`.
type Moved struct {
	Who   Who
	Sent  bool    // else received
	Least bool    // `at least`
	Bytes int64   // 0 = Times
	Times float64 // of the bytes of Set's first revision; 0 = Bytes
	Set   string  // of Times
}

// Took: `get docs took at most 8s at edge-1 to edge-16`, the slowest of them, from the statement to the whole folder;
// `follow docs took …`, likewise to the first whole folder; `publish docs took …`, the last one, to its acknowledgement;
// `failover of docs took at most 2s`, the longest time between the end or cut of its primary and the next publish that was
// accepted or primary that was seen. What has not ended took too long.
type Took struct {
	What string // "get", "follow", "failover", "publish"
	Set  string
	At   Who // of get and follow; zero = all who did
	Most time.Duration
}

// Refuses: `backup-1 refuses to publish docs`, now. Other than the rest it acts: it tries.
type Refuses struct {
	Who Who
	Set string
}

func (Has) condition()     {}
func (Is) condition()      {}
func (There) condition()   {}
func (Moved) condition()   {}
func (Took) condition()    {}
func (Refuses) condition() {}

// Mark lets Moved count from now on: `mark`.
type Mark struct{}

func (Mark) action() {}
