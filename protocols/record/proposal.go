package record

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Proposal is one root that a writer asks to have published on top of the heads it was built from.
type Proposal struct {
	Set, Root cid.Cid
	Base      []cid.Cid // heads the writer's folder was built from; none for the first revision
	Writer    peer.ID
	Instance  []byte // of the writer's store, InstanceSize bytes
	Seq       uint64 // 1, 2, 3 ... of that instance
	Files     uint64 // totals below Root; Entries counts files, folders and symlinks
	Entries   uint64
	Bytes     uint64
	Note      string // what the author says of the revision, see CheckNote; "" = nothing
	// From is the root of the content it was made from, where that is not the root of a head of Base.
	From cid.Cid
}

// SealProposal signs p with the writer's node key. Errors: ErrMalformed, ErrForged if the key is not
// p.Writer's.
func SealProposal(p Proposal, writer crypto.PrivKey) ([]byte, error) {
	m, err := p.encode()
	if err != nil {
		return nil, fmt.Errorf("seal proposal: %w", err)
	}
	if writer == nil || !p.Writer.MatchesPrivateKey(writer) {
		return nil, fmt.Errorf("seal proposal: %w: the key is not the writer's", ErrForged)
	}
	b, err := seal(kindProposal, m, writer)
	if err != nil {
		return nil, fmt.Errorf("seal proposal: %w", err)
	}
	return b, nil
}

// OpenProposal opens a sealed proposal by a writer that c lists, not beyond c's cut of the writer's store, and gives
// the CID of its payload. Errors: ErrMalformed, ErrForged.
func OpenProposal(b []byte, c Config) (Proposal, cid.Cid, error) {
	p, id, err := openProposal(b)
	if err == nil {
		err = p.authorised([]Config{c})
	}
	if err != nil {
		return Proposal{}, cid.Undef, fmt.Errorf("open proposal: %w", err)
	}
	return p, id, nil
}

// openProposal checks signature and shape, and that the writer signed; the writer's right is not checked yet.
func openProposal(b []byte) (Proposal, cid.Cid, error) {
	var m recordpb.Proposal
	o, err := open(kindProposal, b, &m)
	if err != nil {
		return Proposal{}, cid.Undef, err
	}
	p, err := decodeProposal(&m)
	if err != nil {
		return Proposal{}, cid.Undef, err
	}
	again, err := p.encode()
	if err == nil {
		err = o.canonical(again)
	}
	if err == nil && !p.Writer.MatchesPublicKey(o.signer) {
		err = fmt.Errorf("%w: not signed by its writer", ErrForged)
	}
	return p, o.id, err
}

// authorised tells whether p may stand in a head that was made under the last of configs. The ones before it are
// those it follows, as far as they are known: what a writer published before it was struck off the list may be
// repeated and merged, up to the cut.
func (p Proposal) authorised(configs []Config) error {
	c := configs[len(configs)-1]
	last, cut := c.Cuts[InstanceKey(p.Instance)]
	switch {
	case !p.Set.Equals(c.Set):
		return fmt.Errorf("%w: of another set", ErrForged)
	case cut && p.Seq > last:
		return fmt.Errorf("%w: it is number %d of a store that is cut after %d", ErrForged, p.Seq, last)
	case !slices.Contains(c.Writers, p.Writer) && !cut: // who is struck off the list is cut
		return fmt.Errorf("%w: %s is not a writer", ErrForged, p.Writer)
	case !slices.ContainsFunc(configs, func(c Config) bool { return slices.Contains(c.Writers, p.Writer) }):
		return fmt.Errorf("%w: %s is not a writer", ErrForged, p.Writer)
	}
	return nil
}

func (p Proposal) encode() (m *recordpb.Proposal, err error) {
	if err := checkInstance(p.Instance); err != nil {
		return nil, err
	}
	if err := checkCounter("sequence number", p.Seq); err != nil {
		return nil, err
	}
	if err := checkTotals(p.Files, p.Entries, p.Bytes); err != nil {
		return nil, err
	}
	if err := CheckNote(p.Note); err != nil {
		return nil, err
	}
	m = &recordpb.Proposal{
		Instance: p.Instance, Seq: p.Seq, Files: p.Files, Entries: p.Entries, Bytes: p.Bytes, Note: p.Note,
	}
	if m.Set, err = encodeCid("set", p.Set); err != nil {
		return nil, err
	}
	if m.Root, err = encodeCid("root", p.Root); err != nil {
		return nil, err
	}
	if m.Base, err = encodeCids("base heads", p.Base, MaxParents); err != nil {
		return nil, err
	}
	if p.From.Defined() {
		if m.From, err = encodeCid("origin", p.From); err != nil {
			return nil, err
		}
	}
	m.Writer, err = encodePeerID("writer", p.Writer)
	return m, err
}

func decodeProposal(m *recordpb.Proposal) (p Proposal, err error) {
	p = Proposal{
		Instance: m.GetInstance(), Seq: m.GetSeq(), Files: m.GetFiles(), Entries: m.GetEntries(), Bytes: m.GetBytes(),
		Note: m.GetNote(),
	}
	if p.Set, err = decodeCid("set", m.GetSet()); err != nil {
		return p, err
	}
	if p.Root, err = decodeCid("root", m.GetRoot()); err != nil {
		return p, err
	}
	if p.Base, err = decodeCids("base heads", m.GetBase()); err != nil {
		return p, err
	}
	if len(m.GetFrom()) > 0 {
		if p.From, err = decodeCid("origin", m.GetFrom()); err != nil {
			return p, err
		}
	}
	p.Writer, err = decodePeerID("writer", m.GetWriter())
	return p, err
}
