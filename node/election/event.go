package election

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Event is what can happen to a member.
type Event interface{ event() }

// Tick says that time has passed; due at Member.Next.
type Tick struct{}

// Received is a message whose sender is authenticated and whose heads are valid under a config the member
// has, as far as signatures go.
type Received struct {
	From     peer.ID
	Instance string // of the sender's store, record.InstanceKey
	Message  Message
}

// Disconnected says that the last connection to a peer broke.
type Disconnected struct{ Peer peer.ID }

// Joined says that a peer came to the topic.
type Joined struct{ Peer peer.ID }

// Fetched says that all blocks of a head, and the head, are on disk and synced.
type Fetched struct{ Head *Head }

// Lost says that blocks of a head that was had are not on disk any more, because somebody changed the files that held
// them. Held are heads below it whose blocks are. A head that is known to be durable is had by others, and stays; and a
// primary puts its next head on top of it anyway.
type Lost struct {
	Head *Head
	Held []*Head
}

// Proposed asks for a proposal to be made a revision. ID is the caller's, and comes back in Accepted or Refused.
type Proposed struct{ ID uint64 }

// Made answers Make: the head was built and signed, and is on disk with its blocks, synced, but is not
// shown to anybody. A nil head says that it failed.
type Made struct {
	Plan *Plan
	Head *Head
}

// ConfigChanged brings a config. Known and Have are the frontiers less what its cuts refuse, which only the
// keeper of all heads can tell; nil means that the cuts change nothing.
type ConfigChanged struct {
	Config      Config
	Known, Have *Frontier
}

// PersistFailed says that Persist, and so everything after it, was not carried out. What is on disk is not
// known any more: the member stays silent until it is made anew from what the disk really holds.
type PersistFailed struct{}

// HandoverRequested asks a primary to hand its role to To, or to its backup if To is empty. Clean shutdown and
// the `promote` verb send it. HandedOver answers.
type HandoverRequested struct{ To peer.ID }

// PromoteRequested asks a voter to become primary: by handover if there is a live one.
type PromoteRequested struct{}

// IntervalChanged sets the interval of the node's own beacons, see IntervalFor.
type IntervalChanged struct{ Interval time.Duration }

func (Tick) event()              {}
func (Received) event()          {}
func (Disconnected) event()      {}
func (Joined) event()            {}
func (Fetched) event()           {}
func (Lost) event()              {}
func (Proposed) event()          {}
func (Made) event()              {}
func (ConfigChanged) event()     {}
func (PersistFailed) event()     {}
func (HandoverRequested) event() {}
func (PromoteRequested) event()  {}
func (IntervalChanged) event()   {}
