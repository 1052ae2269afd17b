package beacon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	beaconpb "github.com/shoal-p2p/shoal/protocols/beacon/pb"
)

const (
	// MaxMessage is the most bytes of one encoded message: 64 heads of ordinary size, about 600 bytes, fill
	// more than half of it.
	MaxMessage = 64 << 10
	// MaxHeads is the most heads in one message, so that its reader knows how many signatures it may cost.
	MaxHeads = 64

	topicPrefix = "/shoal/ctl/1/"
	topicHash   = 16 // bytes of the hash in a topic's name
	headsField  = 3  // of the protobuf message
)

// ErrMalformed: a message is not in the format of docs/format.md, or breaks a limit.
var ErrMalformed = errors.New("malformed beacon")

// Message is what a node says to all others of a topic. Messages get lost, and come late and twice: whoever
// sends one says how things stand, and says it again. Boot and No order the messages of one sender; the bus
// itself neither sets nor compares them. The zero Message is not heard.
type Message struct {
	Boot  uint64 // how often the sender's store has been started
	No    uint64 // of this message since then
	Heads []Head
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

func encode(m Message) ([]byte, error) {
	if len(m.Heads) > MaxHeads {
		return nil, fmt.Errorf("%w: %d heads, at most %d", ErrMalformed, len(m.Heads), MaxHeads)
	}
	p := &beaconpb.Message{Boot: m.Boot, No: m.No}
	for _, h := range m.Heads {
		if err := blockstore.CheckCid(h.Set); err != nil {
			return nil, fmt.Errorf("%w: set id: %v", ErrMalformed, err)
		}
		if len(h.Sealed) == 0 {
			return nil, fmt.Errorf("%w: an empty head of %s", ErrMalformed, h.Set)
		}
		d := blockstore.Digest(h.Set)
		p.Heads = append(p.Heads, &beaconpb.Head{Set: d[:], Sealed: h.Sealed})
	}
	b, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxMessage)
	}
	return b, nil
}

// decode is the inverse of encode. Fields that it does not know are passed over: later versions add some.
func decode(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return Message{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxMessage)
	}
	// Counted before anything is made of them: an empty head is two bytes here and a hundred in memory.
	if n := countHeads(b); n > MaxHeads {
		return Message{}, fmt.Errorf("%w: more than %d heads", ErrMalformed, MaxHeads)
	}
	p := &beaconpb.Message{}
	if err := proto.Unmarshal(b, p); err != nil {
		return Message{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	m := Message{Boot: p.GetBoot(), No: p.GetNo()}
	for _, h := range p.GetHeads() {
		if len(h.GetSet()) != sha256.Size || len(h.GetSealed()) == 0 {
			return Message{}, fmt.Errorf("%w: a head of %d bytes under a set id of %d", ErrMalformed, len(h.GetSealed()), len(h.GetSet()))
		}
		set := blockstore.FromDigest(cid.Raw, [sha256.Size]byte(h.GetSet()))
		m.Heads = append(m.Heads, Head{Set: set, Sealed: h.GetSealed()})
	}
	return m, nil
}

// countHeads counts as far as b can be read, at least to one more than is allowed.
func countHeads(b []byte) (heads int) {
	for len(b) > 0 && heads <= MaxHeads {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return heads
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return heads
		}
		b = b[n:]
		if field == headsField {
			heads++
		}
	}
	return heads
}
