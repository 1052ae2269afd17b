package beacon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// MaxMessage is the most bytes of one encoded message: 64 heads of ordinary size, about 600 bytes, fill
	// more than half of it.
	MaxMessage = 64 << 10
	// MaxHeads is the most heads in one message, so that its reader knows how many signatures it may cost.
	MaxHeads = 64
	// MaxSeats is the most seats in one message, MaxSeat the most bytes of one, and MaxSeatsSize of all together: an
	// ordinary one has 300. What does not fit is pulled by who needs it.
	MaxSeats, MaxSeat, MaxSeatsSize = 64, 4 << 10, 16 << 10
	// MaxAsks is the most questions in one message, and MaxAsk the most bytes of one: it names a member and an epoch.
	MaxAsks, MaxAsk = 64, 512
	// MaxInterval is the longest interval that can be announced, as in a set's config.
	MaxInterval = time.Minute

	topicPrefix = "/shoal/ctl/1/"
	topicHash   = 16 // bytes of the hash in a topic's name
)

// ErrMalformed: a message is not in the format of docs/format.md, or breaks a limit.
var ErrMalformed = errors.New("malformed beacon")

// Message is what a node says to all others of a topic. Messages get lost, and come late and twice: whoever
// sends one says how things stand, and says it again. Boot and No order the messages of one sender; the bus
// itself neither sets nor compares them. The zero Message is not heard.
//
// The sender may keep a table of seats, whose version grows with each change. A message has all that changed since
// one version; a hearer that does not have that version pulls the rest elsewhere. Seats and asks always fit into one
// message; with heads besides, there may be more than MaxMessage bytes.
type Message struct {
	Boot     uint64 // how often the sender's store has been started
	No       uint64 // of this message since then
	Heads    []Head
	Interval time.Duration // between the sender's messages, at most MaxInterval, rounded up to milliseconds; 0 = it sends no regular ones
	Table    uint64        // version of the sender's table, with Seats; 0 = it has none
	Since    uint64        // Seats are all that changed after this version; at most Table
	Seats    []Seat        // at most MaxSeats with MaxSeatsSize bytes of data
	Asks     []Ask         // at most MaxAsks
}

// Seat is a row of the sender's table. Nothing of it is checked here.
type Seat struct {
	Set     cid.Cid
	Version uint64 // of the table when the row changed last, 1 to Message.Table
	Data    []byte // at most MaxSeat bytes; empty: the seat was given up
}

// Ask is a question about a set to whoever it concerns.
type Ask struct {
	Set  cid.Cid
	Data []byte // at most MaxAsk bytes
}

// Head says that a set has a newer revision.
type Head struct {
	Set    cid.Cid
	Sealed []byte // the sealed newest head, not empty. Nothing of it is checked here
}

// Heard is a message with its sender, whose signature over it is right. Whether that peer has a say is the
// hearer's question: anyone who knows the owner's public key finds the topic.
type Heard struct {
	From    peer.ID
	Topic   string
	Message Message
}

// Topic names the topic of a set: all sets with the same owner keys, in any order, share one.
func Topic(owners []crypto.PubKey) string {
	keys := make([][]byte, len(owners))
	for i, k := range owners {
		keys[i], _ = crypto.MarshalPublicKey(k) // cannot fail for Ed25519, and records hold no others
	}
	slices.SortFunc(keys, bytes.Compare)
	sum := sha256.Sum256(bytes.Join(keys, nil))
	return topicPrefix + hex.EncodeToString(sum[:topicHash])
}

// isTopic tells whether a name could come from Topic.
func isTopic(name string) bool {
	hash, ok := strings.CutPrefix(name, topicPrefix)
	if !ok || len(hash) != hex.EncodedLen(topicHash) {
		return false
	}
	return strings.IndexFunc(hash, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}
