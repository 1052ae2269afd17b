package record

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/record"
	"google.golang.org/protobuf/proto"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

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
	Proposals     [][]byte  // sealed; exactly one, unless there is a Merge
	Abandoned     []cid.Cid // heads whose bytes nobody has any more, or, in a strict set, that lost a fork
	Time          time.Time // for display only; the zero time is "not said"
	Merge         *Merge    // nil: Root is that of the only proposal
}

// Merged tells whether h's root was merged. It is then nobody's proposal: whoever can get the sides must compute
// the merge and compare, nobody may trust the root before.
func (h Head) Merged() bool { return h.Merge != nil }

// Written gives the proposals in h, which must have been opened: neither signatures nor rights are checked again.
// Errors: ErrMalformed, for a head that was not opened.
func (h Head) Written() ([]Proposal, error) {
	out := make([]Proposal, 0, len(h.Proposals))
	for _, b := range h.Proposals {
		var m recordpb.Proposal
		env, err := record.UnmarshalEnvelope(b)
		if err == nil {
			err = proto.Unmarshal(env.RawPayload, &m)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: proposal: %v", ErrMalformed, err)
		}
		p, err := decodeProposal(&m)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Totals are those below h's root, as the writer stated them or, of a merge, the primary. h must have been opened;
// of another head they may be 0. Entries counts files, folders and symlinks.
func (h Head) Totals() (files, entries, bytes uint64) {
	if h.Merged() {
		return h.Merge.Files, h.Merge.Entries, h.Merge.Bytes
	}
	if all, err := h.Written(); err == nil && len(all) == 1 {
		return all[0].Files, all[0].Entries, all[0].Bytes
	}
	return 0, 0, 0
}

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
// it. It gives the head's CID. The root of a head is checked against its proposal; of a merge see Merged. All
// writers must be of c: OpenHeads also knows those of the configs before. Errors: ErrMalformed, ErrForged.
func OpenHead(b []byte, c Config, ch cid.Cid) (Head, cid.Cid, error) {
	h, o, err := openHead(b)
	if err == nil {
		err = h.authorised(o.signer, []Config{c}, ch)
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

// authorised tells whether h is one that signer may make under the last of configs, whose hash is ch. The ones before
// it are those it follows, as far as they are known.
func (h Head) authorised(signer crypto.PubKey, configs []Config, ch cid.Cid) error {
	c := configs[len(configs)-1]
	instance, bound := c.Instances[h.Epoch.Owner]
	switch {
	case !h.Set.Equals(c.Set):
		return fmt.Errorf("%w: of another set", ErrForged)
	case h.ConfigVersion != c.Version || !h.ConfigHash.Equals(ch):
		return fmt.Errorf("%w: made under another config", ErrForged)
	case !h.Epoch.Owner.MatchesPublicKey(signer):
		return fmt.Errorf("%w: not signed by the owner of its epoch", ErrForged)
	case !slices.Contains(c.Voters, h.Epoch.Owner):
		return fmt.Errorf("%w: %s is not a voter", ErrForged, h.Epoch.Owner)
	case bound && !bytes.Equal(instance, h.Epoch.Instance):
		return fmt.Errorf("%w: %s votes with another store", ErrForged, h.Epoch.Owner)
	case !h.Merged() && len(h.Proposals) != 1:
		return fmt.Errorf("%w: %d proposals without a merge", ErrForged, len(h.Proposals))
	}
	for _, b := range h.Proposals {
		p, _, err := openProposal(b)
		if err == nil {
			err = p.authorised(configs)
		}
		if err != nil {
			return fmt.Errorf("proposal: %w", err)
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
	if m.TimeNs, err = encodeTime("time", h.Time); err != nil {
		return nil, err
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
	if m.Abandoned, err = encodeCids("abandoned heads", h.Abandoned, MaxAbandoned); err != nil {
		return nil, err
	}
	if m.Merge, err = h.Merge.encode(); err != nil {
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
	if slices.ContainsFunc(h.Abandoned, func(id cid.Cid) bool { return slices.Contains(h.Parents, id) }) {
		return fmt.Errorf("%w: a parent is abandoned", ErrMalformed)
	}
	return nil
}

func decodeHead(m *recordpb.Head) (h Head, err error) {
	h = Head{
		ConfigVersion: m.GetConfigVersion(), Revision: m.GetRevision(),
		Vector: decodeVector(m.GetVector()), Proposals: m.GetProposals(), Time: decodeTime(m.GetTimeNs()),
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
	if h.Abandoned, err = decodeCids("abandoned heads", m.GetAbandoned()); err != nil {
		return h, err
	}
	h.Merge, err = decodeMerge(m.GetMerge())
	return h, err
}
