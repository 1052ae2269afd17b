// Package trace is what was observed of a test network: its vocabulary, which whoever observes writes and whoever
// judges or draws reads. It holds data and decides nothing. All moments are counted from the trace's beginning.
package trace

import "time"

// Trace is one run.
type Trace struct {
	Scenario  string     `json:"scenario"`        // name of the script
	About     string     `json:"about,omitempty"` // what it teaches, from the script's first comment
	Seed      uint64     `json:"seed"`
	Started   time.Time  `json:"started"`
	Seconds   float64    `json:"seconds"`
	Version   string     `json:"version,omitempty"` // of the program
	Nodes     []Node     `json:"nodes"`
	Sets      []Set      `json:"sets"`
	Links     []Link     `json:"links,omitempty"` // that were not plain at some time, as they were last
	Events    []Event    `json:"events"`          // in the order of time
	Samples   []Sample   `json:"samples"`         // in the order of time
	Transfers []Transfer `json:"transfers"`       // in the order of their ends
	Checks    []Check    `json:"checks"`          // what had to hold
}

// Node is a member of the network.
type Node struct {
	Name   string `json:"name"`
	PeerID string `json:"peer_id"`
}

// Set is a file set that was shared.
type Set struct {
	Name  string `json:"name"` // in the script
	ID    string `json:"id"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"` // of its first revision
}

// Link is how bytes travel from one node to another; zero members are unlimited.
type Link struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Latency time.Duration `json:"latency,omitempty"`
	Jitter  time.Duration `json:"jitter,omitempty"`
	Loss    float64       `json:"loss,omitempty"` // 0 to 1
	Rate    int64         `json:"rate,omitempty"` // bytes per second
	Cut     bool          `json:"cut,omitempty"`
}

// Kinds of Event.
const (
	Step      = "step"      // a statement of the script begins; Text is the statement
	Up        = "up"        // a node runs
	Killed    = "killed"    // with SIGKILL, as the script says
	Stopped   = "stopped"   // asked to end, as the script says
	Crashed   = "crashed"   // ended, and nobody asked it to
	Paused    = "paused"    // with SIGSTOP
	Resumed   = "resumed"   // with SIGCONT
	Cut       = "cut"       // bytes to or from Node are dropped; Text says which
	Healed    = "healed"    // no bytes are dropped any more
	Linked    = "linked"    // a link or an uplink has changed; Text says how
	Published = "published" // Node's publish was acknowledged; Durable tells how
	Refused   = "refused"   // Node's publish was refused; Text says why
	Role      = "role"      // Node is something else in Set from now on; Text is the role
	Complete  = "complete"  // Node's folder holds Revision of Set
	Failed    = "failed"    // something that Node was asked for did not work; Text says why
	Damaged   = "damaged"   // bytes were flipped on Node's disk
	Full      = "full"      // Node's disk is full
	Freed     = "freed"     // Node's disk has room again
	Lying     = "lying"     // Node serves wrong bytes
	Honest    = "honest"    // Node serves right bytes again
	Violation = "violation" // an invariant broke; Text says which and how
	Note      = "note"      // a sentence of the script
)

// Event is something that happened at one moment.
type Event struct {
	At       time.Duration `json:"at"`
	Kind     string        `json:"kind"`
	Node     string        `json:"node,omitempty"` // name; "" = about all
	Set      string        `json:"set,omitempty"`  // name in the script
	Revision uint64        `json:"revision,omitempty"`
	Epoch    string        `json:"epoch,omitempty"`
	Durable  bool          `json:"durable,omitempty"`
	Text     string        `json:"text,omitempty"`
}

// Sample is the state of one node at one moment.
type Sample struct {
	At      time.Duration `json:"at"`
	Node    string        `json:"node"`
	WireIn  int64         `json:"wire_in"`  // bytes since the node's process started: it begins again with the process
	WireOut int64         `json:"wire_out"` // likewise
	Peers   int           `json:"peers"`    // connections
	Memory  int64         `json:"memory"`   // resident bytes of the process
	Sets    []SetState    `json:"sets,omitempty"`
}

// SetState is what a node has and is in a set.
type SetState struct {
	Set      string  `json:"set"` // name in the script
	Revision uint64  `json:"revision"`
	Root     string  `json:"root"`
	Role     string  `json:"role"` // primary, backup, replica, candidate, reader
	Epoch    string  `json:"epoch,omitempty"`
	Part     float64 `json:"part"` // 0 to 1 of the newest revision it is fetching; 1 = its folder is complete
}

// Transfer is one revision that became complete in a node's folder.
type Transfer struct {
	Node     string        `json:"node"`
	Set      string        `json:"set"` // name in the script
	Revision uint64        `json:"revision"`
	Began    time.Duration `json:"began"`
	Ended    time.Duration `json:"ended"`
	Total    int64         `json:"total"`   // bytes of the revision
	Reused   int64         `json:"reused"`  // of these, the ones that lay on the node's disk
	Patched  int64         `json:"patched"` // of these, the ones made of patches
	Fetched  int64         `json:"fetched"` // of these, the ones received whole
	WireIn   int64         `json:"wire_in"` // all bytes received on the streams
	WireOut  int64         `json:"wire_out"`
	Sources  int           `json:"sources"` // peers that delivered something
}

// Check is one thing that had to hold.
type Check struct {
	Name    string        `json:"name"`
	OK      bool          `json:"ok"`
	Detail  string        `json:"detail"`
	Line    int           `json:"line,omitempty"` // of the script; 0 = an invariant that is always on
	At      time.Duration `json:"at"`
	Seconds float64       `json:"seconds,omitempty"` // how long it was waited for
}
