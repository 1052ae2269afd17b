// Package council seats the members of node/election: it gives each set of this node that has voters a member of
// the core, what the core needs of disk and network, and carries out what the core says.
//
// Terms: a seat is what the council needs of one set. A cohort is all seats of one pubsub topic, that is of one
// owner. A row says how things stand with one seat; the rows of a cohort are its table, and each change of a row
// gives the table its next version. A voice is what was heard of one peer in a cohort.
//
// One beacon each interval speaks for all seats of a cohort: it proves that the node lives and names the version
// of its table, with the rows that changed in the last beacons. Who has missed a version pulls the rows; who does not
// know a head that a row or a message names pulls the head from whoever named it, verifies it by the seat, and only
// then lets the core hear of it. A beacon that brings no change costs a member nothing until it has something to do
// anyway; it then hears the latest of each voice, at the time it came.
//
// A member is owned by one goroutine at a time. While nothing has to be written, sent or told, that is the cohort's,
// which steps 1,000 members with few wakes; otherwise one of its own, which ends when the member has
// come to rest.
//
// What follows a Persist waits for its sync. If the sync fails the seat is given up in the table, the member gets
// PersistFailed, and is made anew from what the disk really holds, as soon as that can be had.
package council

import (
	"context"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Config is what a council is made of. All but Interval is needed.
type Config struct {
	Self     peer.ID
	Dir      string // of the state files, one <set>.state each; it must be there
	Boot     uint64 // counts the starts of this home, persisted before; below 2^31
	Bus      Bus
	Wire     Wire
	Swarm    Swarm
	Interval time.Duration // of beacons; 0 = election.DefaultInterval, longer where round trips are (see RoundTrips)
	Log      *slog.Logger
}

// Bus carries beacons; see protocols/beacon. Messages of others that have no Interval, Seats or Asks are not the
// council's and may be passed on or not.
type Bus interface {
	// Join is beacon.Bus.Join: leave waits until the callbacks have returned.
	Join(topic string, heard func(beacon.Heard), joined func(peer.ID)) (leave func(), err error)
	// Publish must not wait for the network. Of m everything is set but Heads.
	Publish(ctx context.Context, topic string, m beacon.Message) error
}

// Wire carries what members tell one peer; protocols/council.Client is one.
type Wire interface {
	Send(p peer.ID, f wirecouncil.Frame)
	Table(ctx context.Context, p peer.ID, topic string, since uint64) (version uint64, seats []wirecouncil.Seat, err error)
	Heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error)
}

// Swarm makes connections.
type Swarm interface {
	// Redial closes what connections to p there are, which are silent or broken, and dials p, for a second at most. It
	// does not wait. The council calls it again and again while p is away.
	Redial(p peer.ID)
}

// RoundTrips is a Swarm that measures. With one, a council that is not told an Interval takes election.IntervalFor
// of the slowest voter.
type RoundTrips interface {
	// RoundTrip is the 95th percentile of the round trips to p; 0 = not known.
	RoundTrip(p peer.ID) time.Duration
}

// Seat is what the council needs of one set. But for Set, Topic and Instance, which never change and are called
// from anywhere, its methods are called one at a time; they may do I/O, but whatever takes long they start and
// return. They may call the council's Tell, MadeHead, Reconfigured, View and Sealed, but neither Rise nor Leave, which
// wait for them.
type Seat interface {
	Set() cid.Cid
	Topic() string
	Instance() []byte // of the store, record.InstanceSize bytes
	// Fresh tells whether the store never had a head of the set. It is asked when there is no state file.
	Fresh() bool
	// Config is the newest config that is on disk.
	Config() election.Config
	// Head verifies a sealed head under a config that is known, and remembers nothing.
	Head(sealed []byte) (*election.Head, error)
	// Fetch starts the fetch of a head, or points it to other sources; no source means that others are to be looked
	// for. Tell(set, election.Fetched) answers.
	Fetch(h *election.Head, sealed []byte, from []peer.ID)
	// Make starts making a head; sealed gives the bytes of its parents and may be called while Make runs. MadeHead answers.
	Make(p *election.Plan, sealed func(cid.Cid) []byte)
	// FetchConfig starts a fetch of the configs that from has and this node lacks. Reconfigured answers.
	FetchConfig(from peer.ID)
	// Accepted says that a head made here is a revision now.
	Accepted(p *election.Plan, h *election.Head, sealed []byte)
	// Refused answers a proposal that is not ordered here. primary is whom to ask, empty if nobody is known.
	// When the state could not be written, a proposal that was refused may become a revision all the same.
	Refused(proposal uint64, primary peer.ID)
	// Durable says that a head made here has become durable.
	Durable(h *election.Head)
	// Changed brings the newest view, when anything in it has changed and is on disk.
	Changed(v View)
	// HandedOver answers election.HandoverRequested.
	HandedOver(ok bool)
}

// Archive is a Seat that knows heads of which the council has not heard. Optional.
type Archive interface {
	// Heads are the newest sealed heads whose blocks are all on disk. They are asked for when there is no state file.
	Heads() [][]byte
	// Uncut are the newest sealed heads that h includes and that the cuts of c accept, with complete only those whose
	// blocks are all on disk. They are asked for when a config cuts h.
	Uncut(c election.Config, h *election.Head, complete bool) [][]byte
}

// SealedHead is a head with its signed bytes.
type SealedHead struct {
	ID     cid.Cid
	Sealed []byte
	Head   *election.Head
}

// View is how things stand with a seat. It is never modified.
type View struct {
	Role    election.Role
	Epoch   record.Epoch
	Primary peer.ID // that is heard, or this node; empty if there is none
	Backup  peer.ID // of the primary; empty if not known
	Known   []SealedHead
	Have    []SealedHead
	Durable []SealedHead
	Best    cid.Cid // the newest of Have by epoch, number and CID; undefined if it has none
	// Absorbed: a primary that may publish. Halted: the member has stopped taking part. Stale, of a strict set: no
	// primary is heard, or no majority of the voters.
	Absorbed, Halted, Stale bool
	Alarms                  []election.Alarm // all that were raised, oldest first, without repetitions
	Voters                  []VoterView      // of the config, this node included, ascending
}

// VoterView is what is known of a voter.
type VoterView struct {
	ID   peer.ID
	Live bool              // heard within four of its intervals
	Have election.Frontier // what it last said it had

	epoch record.Epoch // of acked
	acked uint64       // the last head of epoch that it acknowledged to this node
}

// Holds tells whether the voter has said that h's blocks are on its disk.
func (v VoterView) Holds(h *election.Head) bool {
	return v.Have.Covers(h) || h.Epoch.Compare(v.epoch) == 0 && h.Seq() <= v.acked
}
