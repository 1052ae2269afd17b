// Package record is the signed memory of a file set: who owns it, who may do what, and which revision
// is the newest. Records are values; this package encodes, signs, opens and compares them and does
// nothing else.
//
// Terms: the genesis names the owner keys and the import profile, and the hash of its payload is the
// set id for ever. A config, signed by an owner and chained to the one before, lists voters, writers
// and readers by peer id. A proposal, signed by a writer, is one root that the writer asks to have
// published. A head, signed by a voter, makes proposals a revision, several of them merged. A bundle is a
// genesis, its chain of configs and some heads, all a stranger needs to check a revision. An invite, signed
// by an owner, lets a peer read a private set.
//
// A sealed record is a go-libp2p record envelope around a payload in protobuf. The payload has exactly
// one encoding: whatever does not come out the same when it is encoded again is refused, and so are
// unknown fields, unsorted lists and keys other than Ed25519. A record is named by the CID (raw,
// sha2-256) of its payload, so a second signature over it is the same record.
package record

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/record"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Limits of records. Every one bounds what a stranger can make us hold or verify.
const (
	// MaxSealed is the most bytes of one sealed record: a config with three full member lists of the
	// longest peer ids has 198 KiB, and what it cuts and revokes must fit into the rest; a head with a full
	// vector, full proposals and a merge has about 130 KiB.
	MaxSealed = 256 << 10
	// MaxBundle is the most bytes of all records of a bundle together: room for some 3,000 configs of
	// a small group, or five of the largest.
	MaxBundle = 1 << 20
	// MaxConfigs bounds the signatures one bundle can make us verify (about 60 microseconds each).
	MaxConfigs = 1000
	// MaxMembers is the most peer ids in each of a config's lists.
	MaxMembers = 1000
	// MaxParents is the most heads a head, a proposal or a bundle refers to: the frontier of a set that
	// fell into more parts than that is merged in steps.
	MaxParents = 16
	// MaxAbandoned is the most heads one head abandons: of a frontier all but one, and as many that nobody has.
	MaxAbandoned = 2 * MaxParents
	// MaxProposals is the most proposals in one head, one for each parent of a merge.
	MaxProposals = 16
	// MaxVector is the most instances in a version vector: a full writer list, each with four stores.
	MaxVector = 4 * MaxMembers
	// MaxRevoked is the most invites a config revokes: 18 KiB of it. An invite that expired need not be listed.
	MaxRevoked = 1024
	// MaxOwners is the owner key and the spare one.
	MaxOwners = 2
	// MaxCounter is the largest version, revision, epoch or sequence number: what a JSON number
	// carries exactly. It also stops a counter from being driven to its end.
	MaxCounter = 1<<53 - 1
	// InstanceSize is the bytes of a store instance id.
	InstanceSize = 8
	// maxPeerID is the longest peer id in bytes; Ed25519 ids have 38, hashed ones 34.
	maxPeerID = 64
)

// Errors of opening a record. They are returned wrapped; test with errors.Is.
var (
	// ErrMalformed: the bytes are not a record of this kind in its one encoding, or a limit is broken.
	ErrMalformed = errors.New("malformed record")
	// ErrForged: the signature is wrong, or whoever signed had no right to, or the record belongs to
	// another set, chain or config.
	ErrForged = errors.New("forged record")
	// ErrNoConfig: a head was made under a config that is not there; with a newer chain it may verify. It comes
	// with ErrForged.
	ErrNoConfig = errors.New("made under a config that is not there")
)

// kind separates the signatures of the kinds of records: one can never be passed off as another.
type kind string

const (
	kindGenesis  kind = "genesis"
	kindConfig   kind = "config"
	kindProposal kind = "proposal"
	kindHead     kind = "head"
	kindInvite   kind = "invite"
)

// envelope adapts a payload to go-libp2p's record interface.
type envelope struct {
	kind    kind
	payload []byte
}

func (e *envelope) Domain() string                 { return "shoal-" + string(e.kind) }
func (e *envelope) Codec() []byte                  { return []byte("/shoal/" + string(e.kind) + "/1") }
func (e *envelope) MarshalRecord() ([]byte, error) { return e.payload, nil }
func (e *envelope) UnmarshalRecord(b []byte) error { e.payload = b; return nil }

// encode is the one encoding of a payload.
func encode(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return b, nil
}

// seal signs m as a record of kind k.
func seal(k kind, m proto.Message, key crypto.PrivKey) ([]byte, error) {
	if key == nil || key.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("%w: the key is not Ed25519", ErrMalformed)
	}
	payload, err := encode(m)
	if err != nil {
		return nil, err
	}
	env, err := record.Seal(&envelope{kind: k, payload: payload}, key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b, err := env.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	if len(b) > MaxSealed {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxSealed)
	}
	return b, nil
}

// opened is an envelope whose signature is right; whether the signer may sign is the caller's question.
type opened struct {
	signer  crypto.PubKey
	payload []byte
	id      cid.Cid // of the payload
}

// open checks the envelope and its signature and decodes the payload into m. The caller then builds
// its value of m and must call canonical on it.
func open(k kind, b []byte, m proto.Message) (opened, error) {
	if len(b) > MaxSealed {
		return opened{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxSealed)
	}
	rec := &envelope{kind: k}
	env, err := record.ConsumeTypedEnvelope(b, rec)
	if err != nil {
		if env != nil { // it is an envelope, but the signature does not fit
			return opened{}, fmt.Errorf("%w: %v", ErrForged, err)
		}
		return opened{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if !bytes.Equal(env.PayloadType, rec.Codec()) {
		return opened{}, fmt.Errorf("%w: payload type is not that of a %s", ErrMalformed, k)
	}
	if env.PublicKey.Type() != crypto.Ed25519 {
		return opened{}, fmt.Errorf("%w: the key is not Ed25519", ErrMalformed)
	}
	// The envelope's own encoding is not signed; without this, bytes could be added to it.
	again, err := env.Marshal()
	if err != nil || !bytes.Equal(again, b) {
		return opened{}, fmt.Errorf("%w: the envelope is not in its one encoding", ErrMalformed)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(rec.payload, m); err != nil {
		return opened{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return opened{signer: env.PublicKey, payload: rec.payload, id: blockstore.Sum(cid.Raw, rec.payload)}, nil
}

// canonical tells whether m, encoded from the value that was read, gives the payload that was signed.
// Unknown fields, unsorted lists, defaults written out and long varints all fail here.
func (o opened) canonical(m proto.Message) error {
	again, err := encode(m)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, o.payload) {
		return fmt.Errorf("%w: the payload is not in its one encoding", ErrMalformed)
	}
	return nil
}
