// Package council is the stream protocol of the nodes that order the revisions of sets: what they tell one
// another, and what others ask of them. Payloads are opaque here.
//
// Terms: a frame is a one-way message about one set; nothing tells its sender whether it arrived. A seat is one
// set's row in the table that a node keeps of one pubsub topic; each change of a row gives the table its next
// version. A proposal is what a writer asks a node to publish; an outcome is what became of it.
//
// One stream carries one of four things, named by its first frame: MESSAGES is followed by frames until the
// sender ends it or has none for a minute; TABLE is answered with the seats that changed after a version, HEADS
// with sealed heads by their ids, and PROPOSE with outcomes as they come. What is not there and what the asker
// has no right to give the same answer.
package council

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ID is the protocol's id on streams, and ServiceName its name in the resource manager.
const (
	ID          = "/shoal/council/1.0.0"
	ServiceName = "shoal.council"
)

// Limits of the protocol.
const (
	// MaxPayload is the most bytes of a frame's payload: a vote names two frontiers of 16 heads by their CIDs and
	// some hundred bytes more, a tenth of this.
	MaxPayload = 32 << 10
	// InstanceSize is the length of a store instance in bytes.
	InstanceSize = 8
	// MaxSeat is the most bytes of one seat; an ordinary one has some 300.
	MaxSeat = 4 << 10
	// MaxTable is the most bytes of an answer to TABLE: 1,000 seats of a kilobyte. The rest of a larger table comes
	// with the next question.
	MaxTable = 1 << 20
	// MaxHeads is the most ids in a request for heads: what a full frontier of known and one of had heads name, twice.
	MaxHeads = 64
	// MaxHeadsSize is the most bytes of an answer to HEADS: four of the largest sealed heads, or all of ordinary size.
	MaxHeadsSize = 4 * record.MaxSealed
	// MaxText is the most bytes of the text of an outcome.
	MaxText = 1 << 10
	// MaxHolders is the most holders that an outcome names: more replicas than a set is given.
	MaxHolders = 64
	// MaxOutcomes is the most outcomes of one proposal: one for each new holder, and some.
	MaxOutcomes = 2 * MaxHolders
	// MaxStreams is the most streams one peer may have open with us.
	MaxStreams = 64
	// maxTopic is the longest name of a topic in bytes, twice what they have.
	maxTopic = 128
	// maxMessageStreams is the most streams with frames one peer may have open with us. It needs one; others
	// are what is left of connections that it has lost and we have not yet.
	maxMessageStreams = 4
)

// Times of the protocol.
const (
	requestTimeout = 10 * time.Second       // from the opening of a stream to the end of its first frame
	answerTimeout  = 10 * time.Second       // until an answer begins
	slowest        = 16 << 10               // bytes a second an answer must get on at, after a first answerTimeout
	sendTimeout    = 500 * time.Millisecond // for the frames of one write: later they are of no use
	openTimeout    = 2 * time.Second        // for opening a stream on a connection: some round trips of a slow one
	idleTime       = time.Minute            // without frames, after which their sender ends a stream
	idleLimit      = 2 * time.Minute        // the same at the receiver, which ends the stream of a sender that does not
)

// Errors of the protocol. They are returned wrapped; test with errors.Is.
var (
	// ErrNotFound: the peer has no such set or topic, or we have no right to it. It is a blockstore.ErrNotFound.
	ErrNotFound = wire.ErrNotFound
	// ErrBusy: too many of our streams are open with the peer.
	ErrBusy = wire.ErrBusy
	// ErrRemote: the peer failed, or did not understand us.
	ErrRemote = wire.ErrRemote
	// ErrMalformed: the peer sent what is not of this protocol, or broke a limit; or what is to be sent does.
	ErrMalformed = errors.New("malformed council message")
)

// Frame is a one-way message about one set.
type Frame struct {
	Set      cid.Cid
	Instance []byte // of the sender's store for that set, InstanceSize bytes
	Payload  []byte // at most MaxPayload bytes
}

// Seat is a row of a table.
type Seat struct {
	Set     cid.Cid
	Version uint64 // of the table when the row changed last, at least 1
	Data    []byte // at most MaxSeat bytes; empty: the seat was given up
}

// OutcomeCode says what became of a proposal. The numbers are on the wire: new ones are appended.
type OutcomeCode uint32

// The outcomes there are. Refused and Failed are the last of a proposal; which of the others is, is for the two
// sides to know.
const (
	Accepted OutcomeCode = 1 // there is a head with the proposal
	Durable  OutcomeCode = 2 // that head is on as many disks as were promised
	Refused  OutcomeCode = 3 // the node asked does not order the set's revisions; Primary does, if it is named
	Failed   OutcomeCode = 4 // it does, but nothing was published, for the reason in Text
)

// String is the code in words.
func (c OutcomeCode) String() string {
	switch c {
	case Accepted:
		return "accepted"
	case Durable:
		return "durable"
	case Refused:
		return "refused"
	}
	return "failed"
}

// Outcome is what became of a proposal.
type Outcome struct {
	Code    OutcomeCode
	Head    []byte    // sealed, with Accepted. It is not verified
	Holders int       // disks that the head is on
	On      []peer.ID // whose they are, at most MaxHolders
	Primary peer.ID   // with Refused; empty: not known
	Text    string    // for people, at most MaxText bytes
}

// Handler is the node behind the server. from is the authenticated peer. "May not" must look like "is not here", in
// the answer and in the time it takes. Methods are called from many goroutines.
type Handler interface {
	// Frame takes a message. The next ones on the same stream wait until it returns.
	Frame(from peer.ID, f Frame)
	// Table gives the seats of a topic's table that changed after version since, and the table's version with
	// them; false if there is no such table, or from has no right to it.
	Table(from peer.ID, topic string, since uint64) (version uint64, seats []Seat, ok bool)
	// Heads gives the sealed heads with these ids, those that are here. Errors: ErrNotFound (or
	// blockstore.ErrNotFound).
	Heads(from peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error)
	// Propose takes a sealed proposal, nothing of which is verified, and tells what becomes of it until there is no
	// more to tell, at most MaxOutcomes times and one at a time. ctx ends when the asker is gone. Errors: as Heads;
	// one after an outcome tells the asker that the rest is not known.
	Propose(ctx context.Context, from peer.ID, set cid.Cid, sealed []byte, tell func(Outcome) error) error
}

// answerTime is how long a frame of n bytes of an answer may take.
func answerTime(n int) time.Duration {
	return answerTimeout + time.Duration(n)*time.Second/slowest
}

// isEnd tells whether a read failed because the other side has ended the stream and all is well. An error of a lost
// connection may be an io.EOF as well: it tells of what the connection itself was read from.
func isEnd(err error) bool { return errors.Is(err, io.EOF) && !errors.Is(err, network.ErrReset) }
