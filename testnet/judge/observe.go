package judge

import (
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// Observation is something that was seen of a network; one of the types below.
type Observation interface{ observation() }

// Vector says which heads a head includes, itself among them: by the store of a replica, the number of the last head
// that was made there.
type Vector map[string]uint64

// covers tells whether v includes everything that o includes.
func (v Vector) covers(o Vector) bool {
	for store, n := range o {
		if v[store] < n {
			return false
		}
	}
	return true
}

// Acked is a publish that a node was told the end of.
type Acked struct {
	At       time.Duration
	Set      string // name in the script
	Node     string // name
	Revision uint64
	Root     string
	Head     string
	Vector   Vector // of Head
	Durable  bool
	Strict   bool     // the set asks for a majority
	On       []string // nodes whose disks have it, each by its name or its peer id; empty = it is not known
}

// AckedOf is an Acked of what a publish or share answered. Nodes are named by their peer ids in On.
func AckedOf(at time.Duration, set, node string, strict bool, r api.ShareResult) Acked {
	return Acked{At: at, Set: set, Node: node, Revision: r.Revision, Root: r.Root, Head: r.Head, Vector: r.Vector, Durable: r.Durable, Strict: strict, On: r.On}
}

// Claim is what a node says of the primary of a set.
type Claim struct {
	At      time.Duration
	Node    string // name
	Set     string // name in the script
	Epoch   string // as api.SetInfo.Epoch
	Owner   string // as api.SetInfo.EpochOwner: epochs with one number are different ones if their owners are
	Primary string // peer id; "" = it knows of none
	Leads   bool   // it says that it is primary itself
}

// ClaimOf is the Claim in what a node says of a set.
func ClaimOf(at time.Duration, node, set string, i api.SetInfo) Claim {
	return Claim{At: at, Node: node, Set: set, Epoch: i.Epoch, Owner: i.EpochOwner, Primary: i.Primary, Leads: i.Role == api.RolePrimary}
}

// Ended is a node's process that has ended.
type Ended struct {
	At       time.Duration
	Node     string // name
	Expected bool   // it was asked to, or killed
	Detail   string // the last lines of its log, say
}

// OnDisk is a file on a node's disk that should not be as it is.
type OnDisk struct {
	At     time.Duration
	Node   string // name
	Set    string // name in the script
	Path   string // in the set's folder
	Detail string // how it should be, and how it is
}

// Lost is a file that was called durable, and is nowhere in a node's folder though nobody changed it since.
type Lost struct {
	At     time.Duration
	Node   string // name
	Set    string // name in the script
	Path   string // in the set's folder, where it was published
	Detail string
}

// Damaged is a node whose disk was damaged on purpose: what it had acknowledged before counts as lost there.
type Damaged struct {
	At   time.Duration
	Node string // name
	Peer string // its peer id
}

// Remembered is the history of a set as a node shows it at some time before the end. Histories are short: whoever asks
// for them while a set is published sees revisions that are forgotten in the end.
type Remembered struct {
	At      time.Duration
	Node    string // name
	Set     string // name in the script
	History []api.Revision
}

func (Acked) observation()      {}
func (Claim) observation()      {}
func (Ended) observation()      {}
func (OnDisk) observation()     {}
func (Lost) observation()       {}
func (Damaged) observation()    {}
func (Remembered) observation() {}

// Final is what a node shows of a set when all is quiet.
type Final struct {
	Node     string // name
	Peer     string // its peer id
	Set      string // name in the script
	Group    int    // nodes of one group reach each other, those of different groups do not
	Revision uint64
	Root     string
	Keeps    bool           // it is to be at the newest revision: it follows, keeps the set for others, votes or is its author
	Holds    bool           // it has all of the revision
	Stale    bool           // it says itself that there may be something newer
	History  []api.Revision // the revision, and what is remembered of those before
}

// FinalOf is the Final of what a node says of a set and of its history.
func FinalOf(node, peer, set string, group int, i api.SetInfo, h api.HistoryResult) Final {
	keeps := i.Following || i.Replicating || i.Role != api.RoleReader
	return Final{Node: node, Peer: peer, Set: set, Group: group, Revision: i.Revision, Root: i.Root, Keeps: keeps, Holds: holds(i, h), Stale: i.Stale, History: h.Revisions}
}

// keptHere is the word of a history for a revision all of which is there.
const keptHere = "here"

func holds(i api.SetInfo, h api.HistoryResult) bool {
	return len(h.Revisions) > 0 && h.Revisions[0].Root == i.Root && h.Revisions[0].Kept == keptHere
}

// head is the revision that f shows; none if its history does not begin with it.
func (f Final) head() (api.Revision, bool) {
	if len(f.History) == 0 || f.History[0].Root != f.Root || f.History[0].Head == "" {
		return api.Revision{}, false
	}
	return f.History[0], true
}

// is tells whether name is f's node.
func (f Final) is(name string) bool { return name != "" && (name == f.Node || name == f.Peer) }

// Violation is an invariant that broke.
type Violation struct {
	At        time.Duration // when it was noticed; of Settle, when the last observation was made
	Invariant string        // of package script: script.Acknowledged and so on
	Node      string        // name; "" = about several
	Set       string        // name in the script; "" = about none
	Text      string        // what was seen, and why that cannot be
}
