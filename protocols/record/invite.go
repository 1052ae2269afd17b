package record

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// NonceSize is the bytes of an invite's nonce: random ones never meet.
const NonceSize = 16

// Invite lets a peer read a private set until it expires or a config revokes it. Any holder of the set can check
// it without the owner, who signed it. It goes into Ticket.Cap.
type Invite struct {
	Set     cid.Cid
	Nonce   []byte    // NonceSize random bytes, by which a config revokes it
	Reader  peer.ID   // "" = whoever holds it
	Expires time.Time // the zero time = never
}

// Allows tells whether i lets p read, at now, the set whose newest config is c. That an owner signed i is what
// OpenInvite tells.
func (i Invite) Allows(p peer.ID, c Config, now time.Time) bool {
	switch {
	case !i.Set.Equals(c.Set):
		return false
	case i.Reader != "" && i.Reader != p:
		return false
	case !i.Expires.IsZero() && !now.Before(i.Expires):
		return false
	}
	return !slices.ContainsFunc(c.Revoked, func(n []byte) bool { return bytes.Equal(n, i.Nonce) })
}

// SealInvite signs i with an owner's key. Errors: ErrMalformed.
func SealInvite(i Invite, owner crypto.PrivKey) ([]byte, error) {
	m, err := i.encode()
	if err != nil {
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	b, err := seal(kindInvite, m, owner)
	if err != nil {
		return nil, fmt.Errorf("seal invite: %w", err)
	}
	return b, nil
}

// OpenInvite opens a sealed invite to the set that g founds. Whom it lets read, and whether it still counts, Allows
// tells. Errors: ErrMalformed; ErrForged if it is to another set or not signed by an owner.
func OpenInvite(b []byte, g Genesis) (Invite, error) {
	i, err := openInvite(b, g)
	if err != nil {
		return Invite{}, fmt.Errorf("open invite: %w", err)
	}
	return i, nil
}

func openInvite(b []byte, g Genesis) (Invite, error) {
	i, signer, err := readInvite(b)
	if err != nil {
		return Invite{}, err
	}
	set, err := g.ID()
	switch {
	case err != nil:
		return Invite{}, fmt.Errorf("genesis: %w", err)
	case !i.Set.Equals(set):
		return Invite{}, fmt.Errorf("%w: to another set", ErrForged)
	case !g.owns(signer):
		return Invite{}, fmt.Errorf("%w: not signed by an owner", ErrForged)
	}
	return i, nil
}

// ReadInvite reads a sealed invite for its bearer, who may not know the set's genesis yet: somebody signed it, and
// nobody may be let in for it. Errors: ErrMalformed, ErrForged.
func ReadInvite(b []byte) (Invite, error) {
	i, _, err := readInvite(b)
	if err != nil {
		return Invite{}, fmt.Errorf("read invite: %w", err)
	}
	return i, nil
}

func readInvite(b []byte) (Invite, crypto.PubKey, error) {
	if len(b) > MaxCapability {
		return Invite{}, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxCapability)
	}
	var m recordpb.Invite
	o, err := open(kindInvite, b, &m)
	if err != nil {
		return Invite{}, nil, err
	}
	i, err := decodeInvite(&m)
	if err != nil {
		return Invite{}, nil, err
	}
	again, err := i.encode()
	if err == nil {
		err = o.canonical(again)
	}
	return i, o.signer, err
}

func (i Invite) encode() (m *recordpb.Invite, err error) {
	if err := checkNonce(i.Nonce); err != nil {
		return nil, err
	}
	m = &recordpb.Invite{Nonce: i.Nonce}
	if m.ExpiresNs, err = encodeTime("expiry", i.Expires); err != nil {
		return nil, err
	}
	if i.Reader != "" {
		if m.Reader, err = encodePeerID("reader", i.Reader); err != nil {
			return nil, err
		}
	}
	m.Set, err = encodeCid("set", i.Set)
	return m, err
}

func decodeInvite(m *recordpb.Invite) (i Invite, err error) {
	i = Invite{Nonce: m.GetNonce(), Expires: decodeTime(m.GetExpiresNs())}
	if len(m.GetReader()) > 0 {
		if i.Reader, err = decodePeerID("reader", m.GetReader()); err != nil {
			return i, err
		}
	}
	i.Set, err = decodeCid("set", m.GetSet())
	return i, err
}

func checkNonce(b []byte) error {
	if len(b) != NonceSize {
		return fmt.Errorf("%w: nonce has %d bytes, not %d", ErrMalformed, len(b), NonceSize)
	}
	return nil
}
