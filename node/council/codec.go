package council

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	councilpb "github.com/shoal-p2p/shoal/node/council/pb"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// errMalformed: a row, a question or a message of a peer, or a state file, is not in the format.
var errMalformed = errors.New("malformed")

const (
	// maxHash is the most bytes of a config's hash: a CID has 36.
	maxHash = 64
	// maxRowHeads is the most heads of one frontier in a row: three times 32 digests leave a quarter of beacon.MaxSeat
	// for the rest. Who is told less than all waits or asks for longer, nothing more: votes and
	// waivers, which go by all, are messages. Only liars make frontiers as large.
	maxRowHeads = 32
)

// resolver gives a head by its id, nil if it is not known.
type resolver func(cid.Cid) *election.Head

func encodeEpoch(e record.Epoch) *councilpb.Epoch {
	if e.ConfigVersion == 0 && e.N == 0 && e.Owner == "" {
		return nil
	}
	return &councilpb.Epoch{ConfigVersion: e.ConfigVersion, N: e.N, Owner: []byte(e.Owner), Instance: e.Instance}
}

func decodeEpoch(p *councilpb.Epoch) (record.Epoch, error) {
	e := record.Epoch{ConfigVersion: p.GetConfigVersion(), N: p.GetN()}
	if len(p.GetOwner()) == 0 && len(p.GetInstance()) == 0 { // the lowest epoch of a config has no owner
		return e, nil
	}
	owner, err := decodePeer(p.GetOwner())
	if err == nil && len(p.GetInstance()) != record.InstanceSize {
		err = fmt.Errorf("%w: instance of %d bytes", errMalformed, len(p.GetInstance()))
	}
	e.Owner, e.Instance = owner, p.GetInstance()
	return e, err
}

func decodePeer(b []byte) (peer.ID, error) {
	id, err := peer.IDFromBytes(b)
	if err != nil {
		return "", fmt.Errorf("%w: peer id: %v", errMalformed, err)
	}
	return id, nil
}

func decodeInstance(b []byte) (string, error) {
	if len(b) != record.InstanceSize {
		return "", fmt.Errorf("%w: instance of %d bytes", errMalformed, len(b))
	}
	return record.InstanceKey(b), nil
}

func encodeIDs(ids []cid.Cid) (out [][]byte) {
	for _, id := range ids {
		d := blockstore.Digest(id)
		out = append(out, d[:])
	}
	return out
}

func decodeIDs(digests [][]byte) ([]cid.Cid, error) {
	ids := make([]cid.Cid, 0, len(digests))
	for _, d := range digests {
		if len(d) != sha256.Size {
			return nil, fmt.Errorf("%w: head id of %d bytes", errMalformed, len(d))
		}
		ids = append(ids, blockstore.FromDigest(cid.Raw, [sha256.Size]byte(d)))
	}
	return ids, nil
}

func idsOf(heads []*election.Head) []cid.Cid {
	ids := make([]cid.Cid, len(heads))
	for i, h := range heads {
		ids[i] = h.ID
	}
	return ids
}

// index names heads by their place in a table.
type index struct {
	heads []*election.Head
	at    map[cid.Cid]uint32
}

func (x *index) add(heads []*election.Head) (places []uint32) {
	for _, h := range heads {
		at, ok := x.at[h.ID]
		if !ok {
			if x.at == nil {
				x.at = map[cid.Cid]uint32{}
			}
			at = uint32(len(x.heads))
			x.at[h.ID] = at
			x.heads = append(x.heads, h)
		}
		places = append(places, at)
	}
	return places
}

// newestOf is at most n of f, the newest ones.
func newestOf(f election.Frontier, n int) []*election.Head {
	if len(f) <= n {
		return f
	}
	heads := slices.Clone(f)
	slices.SortFunc(heads, func(a, b *election.Head) int { return compareHeads(b, a) })
	return heads[:n]
}

// compareHeads orders heads by age: epoch, number, CID.
func compareHeads(a, b *election.Head) int {
	if c := a.Epoch.Compare(b.Epoch); c != 0 {
		return c
	}
	if a.Seq() != b.Seq() {
		if a.Seq() < b.Seq() {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.ID.Bytes(), b.ID.Bytes())
}

// row is what a peer says of one of its seats.
type row struct {
	instance             string         // of its store, record.InstanceKey
	state                election.State // without the frontiers
	ids                  []cid.Cid
	known, have, durable []uint32 // places in ids
}

func encodeRow(instance []byte, s *election.State) ([]byte, error) {
	var x index
	p := &councilpb.Row{
		Instance: instance, ConfigVersion: s.ConfigVersion, ConfigHash: []byte(s.ConfigHash),
		Epoch: encodeEpoch(s.Epoch), Granted: encodeEpoch(s.Granted), Role: uint32(s.Role), Backup: []byte(s.Backup),
		Known: x.add(newestOf(s.Known, maxRowHeads)), Have: x.add(newestOf(s.Have, maxRowHeads)),
		Durable: x.add(newestOf(s.Durable, maxRowHeads)),
	}
	p.Heads = encodeIDs(idsOf(x.heads))
	b, err := proto.Marshal(p)
	if err == nil && len(b) > beacon.MaxSeat {
		err = fmt.Errorf("%w: row of %d bytes", errMalformed, len(b))
	}
	return b, err
}

func decodeRow(b []byte) (*row, error) {
	if len(b) > max(beacon.MaxSeat, wirecouncil.MaxSeat) {
		return nil, fmt.Errorf("%w: row of %d bytes", errMalformed, len(b))
	}
	p := &councilpb.Row{}
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	if p.GetRole() > uint32(election.Primary) || len(p.GetConfigHash()) > maxHash {
		return nil, fmt.Errorf("%w: role %d, hash of %d bytes", errMalformed, p.GetRole(), len(p.GetConfigHash()))
	}
	r := &row{known: p.GetKnown(), have: p.GetHave(), durable: p.GetDurable()}
	s := election.State{ConfigVersion: p.GetConfigVersion(), ConfigHash: string(p.GetConfigHash()), Role: election.Role(p.GetRole())}
	var errs [5]error
	r.instance, errs[0] = decodeInstance(p.GetInstance())
	r.ids, errs[1] = decodeIDs(p.GetHeads())
	s.Epoch, errs[2] = decodeEpoch(p.GetEpoch())
	s.Granted, errs[3] = decodeEpoch(p.GetGranted())
	if len(p.GetBackup()) > 0 {
		s.Backup, errs[4] = decodePeer(p.GetBackup())
	}
	r.state = s
	for _, places := range [][]uint32{r.known, r.have, r.durable} {
		errs[0] = errors.Join(errs[0], checkPlaces(places, len(r.ids), maxRowHeads))
	}
	return r, errors.Join(errs[:]...)
}

func checkPlaces(places []uint32, heads, most int) error {
	if len(places) > most {
		return fmt.Errorf("%w: frontier of %d heads", errMalformed, len(places))
	}
	for _, at := range places {
		if int(at) >= heads {
			return fmt.Errorf("%w: head %d of %d", errMalformed, at, heads)
		}
	}
	return nil
}

// resolve is the state with the heads that find knows, and the ids of the others.
func (r *row) resolve(find resolver) (*election.State, []cid.Cid) {
	heads := make([]*election.Head, len(r.ids))
	var missing []cid.Cid
	for i, id := range r.ids {
		if heads[i] = find(id); heads[i] == nil {
			missing = append(missing, id)
		}
	}
	s := r.state
	s.Known, s.Have, s.Durable = pick(heads, r.known), pick(heads, r.have), pick(heads, r.durable)
	return &s, missing
}

func pick(heads []*election.Head, places []uint32) (f election.Frontier) {
	for _, at := range places {
		if heads[at] != nil {
			f = f.Add(heads[at])
		}
	}
	return f
}

func encodeAsk(instance []byte, s election.Suspect) ([]byte, error) {
	return proto.Marshal(&councilpb.Ask{Instance: instance, Epoch: encodeEpoch(s.Epoch), Boot: s.Last.Boot, No: s.Last.No})
}

func decodeAsk(b []byte) (instance string, s election.Suspect, err error) {
	if len(b) > beacon.MaxAsk {
		return "", s, fmt.Errorf("%w: question of %d bytes", errMalformed, len(b))
	}
	p := &councilpb.Ask{}
	if err := proto.Unmarshal(b, p); err != nil {
		return "", s, fmt.Errorf("%w: %v", errMalformed, err)
	}
	if instance, err = decodeInstance(p.GetInstance()); err != nil {
		return "", s, err
	}
	s.Epoch, err = decodeEpoch(p.GetEpoch())
	s.Last = election.Stamp{Boot: p.GetBoot(), No: p.GetNo()}
	return instance, s, err
}

// encodeMessage gives the payload of a frame. Errors: a message that does not fit into one, or is none for one peer.
func encodeMessage(m election.Message) ([]byte, error) {
	p := &councilpb.Message{}
	switch m := m.(type) {
	case election.VoteReq:
		p.Kind, p.Epoch, p.Known, p.Flag = councilpb.Message_VOTE_REQ, encodeEpoch(m.Want), encodeIDs(idsOf(m.Known)), m.Handed
	case election.Vote:
		p.Kind, p.Epoch = councilpb.Message_VOTE, encodeEpoch(m.Want)
		p.Known, p.Have = encodeIDs(idsOf(m.Known)), encodeIDs(idsOf(m.Have))
	case election.Ack:
		p.Kind, p.Epoch, p.Seq = councilpb.Message_ACK, encodeEpoch(m.Epoch), m.Seq
	case election.WaiveReq:
		p.Kind, p.Epoch = councilpb.Message_WAIVE_REQ, encodeEpoch(m.Epoch)
		p.Known, p.Have = encodeIDs(idsOf(m.Heads)), encodeIDs(idsOf(m.Have))
	case election.Waive:
		p.Kind, p.Epoch, p.Known = councilpb.Message_WAIVE, encodeEpoch(m.Epoch), encodeIDs(m.Heads)
	case election.HandoverReq:
		p.Kind = councilpb.Message_HANDOVER_REQ
	case election.Handover:
		p.Kind, p.Epoch = councilpb.Message_HANDOVER, encodeEpoch(m.Epoch)
	case election.Seen:
		instance, err := hex.DecodeString(m.Instance)
		if err != nil {
			return nil, fmt.Errorf("%w: instance %q", errMalformed, m.Instance)
		}
		p.Kind, p.Instance, p.Boot, p.No, p.Flag = councilpb.Message_SEEN, instance, m.Stamp.Boot, m.Stamp.No, m.Other
	default:
		return nil, fmt.Errorf("%w: %T is not for one peer", errMalformed, m)
	}
	b, err := proto.Marshal(p)
	if err == nil && len(b) > wirecouncil.MaxPayload {
		err = fmt.Errorf("%w: message of %d bytes", errMalformed, len(b))
	}
	return b, err
}

// parcel is a decoded message whose heads may not be known yet.
type parcel struct {
	kind        councilpb.Message_Kind
	epoch       record.Epoch
	known, have []cid.Cid
	rest        *councilpb.Message
}

func decodeMessage(b []byte) (*parcel, error) {
	if len(b) > wirecouncil.MaxPayload {
		return nil, fmt.Errorf("%w: message of %d bytes", errMalformed, len(b))
	}
	p := &councilpb.Message{}
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	if p.GetKind() <= councilpb.Message_NONE || p.GetKind() > councilpb.Message_SEEN {
		return nil, fmt.Errorf("%w: message of kind %d", errMalformed, p.GetKind())
	}
	var errs [4]error
	c := &parcel{kind: p.GetKind(), rest: p}
	c.epoch, errs[0] = decodeEpoch(p.GetEpoch())
	c.known, errs[1] = decodeIDs(p.GetKnown())
	c.have, errs[2] = decodeIDs(p.GetHave())
	if c.kind == councilpb.Message_SEEN {
		_, errs[3] = decodeInstance(p.GetInstance())
	}
	return c, errors.Join(errs[:]...)
}

// message is the message with its heads, and the ids of those that find does not know.
func (c *parcel) message(find resolver) (election.Message, []cid.Cid) {
	var missing []cid.Cid
	resolved := func(ids []cid.Cid) (f election.Frontier) {
		for _, id := range ids {
			if h := find(id); h != nil {
				f = f.Add(h)
			} else {
				missing = append(missing, id)
			}
		}
		return f
	}
	switch c.kind {
	case councilpb.Message_VOTE_REQ:
		known := resolved(c.known)
		return election.VoteReq{Want: c.epoch, Known: known, Handed: c.rest.GetFlag()}, missing
	case councilpb.Message_VOTE:
		known, have := resolved(c.known), resolved(c.have)
		return election.Vote{Want: c.epoch, Known: known, Have: have}, missing
	case councilpb.Message_ACK:
		return election.Ack{Epoch: c.epoch, Seq: c.rest.GetSeq()}, nil
	case councilpb.Message_WAIVE_REQ:
		heads, have := resolved(c.known), resolved(c.have)
		return election.WaiveReq{Epoch: c.epoch, Heads: heads, Have: have}, missing
	case councilpb.Message_WAIVE:
		return election.Waive{Epoch: c.epoch, Heads: c.known}, nil
	case councilpb.Message_HANDOVER_REQ:
		return election.HandoverReq{}, nil
	case councilpb.Message_HANDOVER:
		return election.Handover{Epoch: c.epoch}, nil
	default:
		stamp := election.Stamp{Boot: c.rest.GetBoot(), No: c.rest.GetNo()}
		return election.Seen{Instance: record.InstanceKey(c.rest.GetInstance()), Stamp: stamp, Other: c.rest.GetFlag()}, nil
	}
}
