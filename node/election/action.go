package election

import (
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Action is what the shell must do, in the order given.
type Action interface{ action() }

// Persist must be on disk, synced, before any action after it is carried out; if that fails, those are dropped
// and PersistFailed is the next event.
type Persist struct{ State Persistent }

// Broadcast sends a message to the topic.
type Broadcast struct{ Message Message }

// Send sends a message to one peer, or drops it.
type Send struct {
	To      peer.ID
	Message Message
}

// Fetch asks for the blocks of a head. It comes again with other sources when they change; a fetch of the
// same head goes on. Fetched answers; failure needs no answer.
type Fetch struct {
	Head *Head
	From []peer.ID // voters that have it, ascending; none = look for other holders
}

// Make asks for a head to be built and signed. Made answers. Nothing of it may leave the node before Accepted.
type Make struct{ Plan *Plan }

// Plan says what a new head is made of.
type Plan struct {
	Epoch    record.Epoch
	Seq      uint64
	Vector   record.Vector
	Parents  []*Head // what it joins, deterministically if several; ascending by ID; none for the first revision
	Dropped  []*Head // covered but not joined: abandoned (nobody has the bytes), or hidden (strict)
	Proposal uint64  // to put on top of the join
	Kind     PlanKind
}

// PlanKind is why a head is made.
type PlanKind uint8

// The kinds there are.
const (
	Publish PlanKind = iota // Proposal is to be published
	Merge                   // joins a fork, or drops what lost it
	Confirm                 // repeats its only parent in the new epoch, so that it can become durable
	Abandon                 // drops heads whose bytes nobody has
)

// Became tells the role, whenever it changes.
type Became struct {
	Role  Role
	Epoch record.Epoch
}

// Accepted says that a plan's head is a revision now: local, and to be served. For a Publish it answers Proposed.
type Accepted struct {
	Plan *Plan
	Head *Head
}

// Refused answers Proposed: it is not ordered here. Primary is whom to ask, empty if nobody is known.
type Refused struct {
	Proposal uint64
	Primary  peer.ID
}

// Durable says that a head made here is durable now: on the backup's disk too, in strict on those of a majority.
type Durable struct{ Head *Head }

// HandedOver answers HandoverRequested. OK tells whether another was told to take over.
type HandedOver struct{ OK bool }

// FetchConfig asks for the configs that From has and this node lacks. ConfigChanged answers.
type FetchConfig struct{ From peer.ID }

// Redial says that a voter is silent: connections to it are to be closed and made anew.
type Redial struct{ Peer peer.ID }

// Alarm is for people.
type Alarm struct {
	Kind  AlarmKind
	Peer  peer.ID   // concerned
	Heads []cid.Cid // concerned
}

// AlarmKind is what is wrong.
type AlarmKind uint8

// The alarms there are.
const (
	// TwoHeads: a store signed two heads with one number. Both are kept.
	TwoHeads AlarmKind = iota
	// TwoConfigs: an owner signed two configs with one version. The higher hash wins.
	TwoConfigs
	// Cloned: this node's identity is in use twice, or its home was restored from a copy. It is read-only.
	Cloned
	// ClonedPeer: a voter's identity is in use twice.
	ClonedPeer
	// DiskFailed: the state could not be written. The member is silent.
	DiskFailed
)

func (Persist) action()     {}
func (Broadcast) action()   {}
func (Send) action()        {}
func (Fetch) action()       {}
func (Make) action()        {}
func (Became) action()      {}
func (Accepted) action()    {}
func (Refused) action()     {}
func (Durable) action()     {}
func (HandedOver) action()  {}
func (FetchConfig) action() {}
func (Redial) action()      {}
func (Alarm) action()       {}
