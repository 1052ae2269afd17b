package record

import (
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// lastYear is the last whole year whose times fit into nanoseconds of an int64.
const lastYear = 2261

// Head makes a root a revision of a set. It is signed by the voter that is primary in its epoch, and
// embeds what the writers signed: the primary orders and merges, it never invents content.
type Head struct {
	Set           cid.Cid
	ConfigVersion uint64
	ConfigHash    cid.Cid
	Epoch         Epoch
	Vector        Vector
	Revision      uint64 // 1 + the largest of its parents'
	Root          cid.Cid
	Parents       []cid.Cid // heads; none for revision 1 only
	Proposals     [][]byte  // sealed; one, or all that a merge joins
	Abandoned     []cid.Cid // heads whose bytes nobody has any more
	Time          time.Time // for display only; the zero time is "not said"
}

// Merged tells whether h joins several proposals. Its root is then nobody's proposal: whoever has the
// parents must compute the merge and compare, nobody may trust the root before.
func (h Head) Merged() bool { return len(h.Proposals) > 1 }

// SealHead signs h with the node key of the voter that owns its epoch. Errors: ErrMalformed, ErrForged
// if the key is another's.
func SealHead(h Head, voter crypto.PrivKey) ([]byte, error) {
	m, err := h.encode()
	if err != nil {
		return nil, fmt.Errorf("seal head: %w", err)
	}
	if voter == nil || !h.Epoch.Owner.MatchesPrivateKey(voter) {
		return nil, fmt.Errorf("seal head: %w: the key is not that of the epoch's owner", ErrForged)
	}
	b, err := seal(kindHead, m, voter)
	if err != nil {
		return nil, fmt.Errorf("seal head: %w", err)
	}
	return b, nil
}

// OpenHead opens a sealed head that was made under config c, whose hash is ch, with every proposal in
// it. It gives the head's CID. The root of a head with one proposal is checked against it; of a merge
// see Merged. Errors: ErrMalformed, ErrForged.
func OpenHead(b []byte, c Config, ch cid.Cid) (Head, cid.Cid, error) {
	h, o, err := openHead(b)
	if err == nil {
		err = h.authorised(o.signer, c, ch)
	}
	if err != nil {
		return Head{}, cid.Undef, fmt.Errorf("open head: %w", err)
	}
	return h, o.id, nil
}

// openHead checks signature and shape; the signer's right is not checked yet.
func openHead(b []byte) (Head, opened, error) {
	var m recordpb.Head
	o, err := open(kindHead, b, &m)
	if err != nil {
		return Head{}, opened{}, err
	}
	h, err := decodeHead(&m)
	if err != nil {
		return Head{}, opened{}, err
	}
	again, err := h.encode()
	if err != nil {
		return Head{}, opened{}, err
	}
	return h, o, o.canonical(again)
}

// authorised tells whether h is one that config c allows signer to make.
func (h Head) authorised(signer crypto.PubKey, c Config, ch cid.Cid) error {
	switch {
	case !h.Set.Equals(c.Set):
		return fmt.Errorf("%w: of another set", ErrForged)
	case h.ConfigVersion != c.Version || !h.ConfigHash.Equals(ch):
		return fmt.Errorf("%w: made under another config", ErrForged)
	case !h.Epoch.Owner.MatchesPublicKey(signer):
		return fmt.Errorf("%w: not signed by the owner of its epoch", ErrForged)
	case !slices.Contains(c.Voters, h.Epoch.Owner):
		return fmt.Errorf("%w: %s is not a voter", ErrForged, h.Epoch.Owner)
	}
	for _, b := range h.Proposals {
		p, _, err := OpenProposal(b, c)
		if err != nil {
			return err
		}
		if !h.Merged() && !p.Root.Equals(h.Root) {
			return fmt.Errorf("%w: the root is not the proposal's", ErrForged)
		}
	}
	return nil
}

func (h Head) encode() (m *recordpb.Head, err error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	m = &recordpb.Head{ConfigVersion: h.ConfigVersion, Revision: h.Revision}
	if !h.Time.IsZero() {
		m.TimeNs = uint64(h.Time.UnixNano())
	}
	if m.Set, err = encodeCid("set", h.Set); err != nil {
		return nil, err
	}
	if m.ConfigHash, err = encodeCid("config", h.ConfigHash); err != nil {
		return nil, err
	}
	if m.Epoch, err = h.Epoch.encode(); err != nil {
		return nil, err
	}
	if m.Vector, err = h.Vector.encode(); err != nil {
		return nil, err
	}
	if m.Root, err = encodeCid("root", h.Root); err != nil {
		return nil, err
	}
	if m.Parents, err = encodeCids("parents", h.Parents, MaxParents); err != nil {
		return nil, err
	}
	if m.Abandoned, err = encodeCids("abandoned heads", h.Abandoned, MaxParents); err != nil {
		return nil, err
	}
	m.Proposals, err = sorted("proposals", slices.Clone(h.Proposals))
	return m, err
}

// check looks at what encoding alone does not.
func (h Head) check() error {
	if err := checkCounter("revision", h.Revision); err != nil {
		return err
	}
	if err := checkCounter("config version", h.ConfigVersion); err != nil {
		return err
	}
	if h.Epoch.ConfigVersion != h.ConfigVersion {
		return fmt.Errorf("%w: epoch is of config %d, head of %d", ErrMalformed, h.Epoch.ConfigVersion, h.ConfigVersion)
	}
	if (h.Revision == 1) != (len(h.Parents) == 0) {
		return fmt.Errorf("%w: revision %d has %d parents", ErrMalformed, h.Revision, len(h.Parents))
	}
	if n := len(h.Proposals); n == 0 || n > MaxProposals {
		return fmt.Errorf("%w: %d proposals, 1 to %d", ErrMalformed, n, MaxProposals)
	}
	if !h.Time.IsZero() && (h.Time.Unix() < 1 || h.Time.UTC().Year() > lastYear) {
		return fmt.Errorf("%w: time %v", ErrMalformed, h.Time)
	}
	return nil
}

func decodeHead(m *recordpb.Head) (h Head, err error) {
	h = Head{
		ConfigVersion: m.GetConfigVersion(), Revision: m.GetRevision(),
		Vector: decodeVector(m.GetVector()), Proposals: m.GetProposals(),
	}
	if ns := m.GetTimeNs(); ns > 0 {
		h.Time = time.Unix(0, int64(ns)).UTC() // beyond int64 it is a year check refuses
	}
	if h.Set, err = decodeCid("set", m.GetSet()); err != nil {
		return h, err
	}
	if h.ConfigHash, err = decodeCid("config", m.GetConfigHash()); err != nil {
		return h, err
	}
	if h.Epoch, err = decodeEpoch(m.GetEpoch()); err != nil {
		return h, err
	}
	if h.Root, err = decodeCid("root", m.GetRoot()); err != nil {
		return h, err
	}
	if h.Parents, err = decodeCids("parents", m.GetParents()); err != nil {
		return h, err
	}
	h.Abandoned, err = decodeCids("abandoned heads", m.GetAbandoned())
	return h, err
}
