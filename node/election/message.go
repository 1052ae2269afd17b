package election

import (
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Message is what members tell each other: Beacon and Suspect to all of the topic, the others on a stream to
// one. Messages get lost, and come late, twice and out of order.
type Message interface{ message() }

// Beacon says that its sender is alive, and how things stand with it.
type Beacon struct {
	Stamp    Stamp
	Interval time.Duration // the next one comes within this time and its jitter
	// State may be nil: the sender is alive and its state is not known yet. The same beacon may come again
	// with it.
	State *State
}

// Stamp orders the beacons of one store.
type Stamp struct{ Boot, No uint64 }

// After tells whether s is newer than o.
func (s Stamp) After(o Stamp) bool { return s.Boot > o.Boot || s.Boot == o.Boot && s.No > o.No }

// State is how things stand with a member. It is never modified.
type State struct {
	ConfigVersion uint64
	ConfigHash    string
	Epoch         record.Epoch
	Granted       record.Epoch
	Role          Role
	Backup        peer.ID // of a primary; empty while it has none
	Known         Frontier
	Have          Frontier
	Durable       Frontier
}

// Suspect asks the primary of an epoch whether it is alive; it answers with a beacon.
type Suspect struct {
	Epoch record.Epoch
	Last  Stamp // the primary's last beacon heard
}

// VoteReq asks for a vote (strict).
type VoteReq struct {
	Want   record.Epoch
	Known  Frontier
	Handed bool // the primary handed its role to the asker: that it is alive is no reason to refuse
}

// Vote grants Want (strict). It carries what the voter has, which the asker must absorb.
type Vote struct {
	Want        record.Epoch
	Known, Have Frontier
}

// Ack tells the primary of Epoch that its heads up to number Seq are on the sender's disk.
type Ack struct {
	Epoch record.Epoch
	Seq   uint64
}

// WaiveReq asks a voter to give Heads up: nobody seems to have their bytes. Have is what the asking primary has.
type WaiveReq struct {
	Epoch record.Epoch
	Heads []*Head
	Have  Frontier
}

// Waive promises that the sender has no bytes of Heads, knows nothing durable that the asker lacks, and will
// not take their bytes any more.
type Waive struct {
	Epoch record.Epoch
	Heads []cid.Cid
}

// HandoverReq asks the primary to hand its role to the sender.
type HandoverReq struct{}

// Handover gives the role of the primary of Epoch to the receiver. The sender has stepped down.
type Handover struct{ Epoch record.Epoch }

// Seen tells a peer that another store speaks under its peer id, or that its own store has spoken with a
// newer stamp than it has now: its identity is in use twice, or its home was restored from a copy.
type Seen struct {
	Instance string
	Stamp    Stamp
	Other    bool // another store was heard just now, too; each of the two is told of itself
}

func (*Beacon) message()     {}
func (Suspect) message()     {}
func (VoteReq) message()     {}
func (Vote) message()        {}
func (Ack) message()         {}
func (WaiveReq) message()    {}
func (Waive) message()       {}
func (HandoverReq) message() {}
func (Handover) message()    {}
func (Seen) message()        {}
