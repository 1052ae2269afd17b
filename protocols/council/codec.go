package council

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// seatRoom is what a seat takes besides its data, at most: two tags with lengths, the set's digest, the version,
	// and the seat's own tag and length.
	seatRoom = 64
	// pageSize is what the seats of one frame take, at most; the rest of wire.MaxControl is for the other fields.
	pageSize = wire.MaxControl - 64
	// maxFrame is the cap of a Frame on the wire: its payload, and twice what the other fields take.
	maxFrame = MaxPayload + 128
	// maxRequest is the cap of a request: a sealed proposal, and twice what the other fields take.
	maxRequest = record.MaxSealed + 128
	// maxPeerID is the most bytes of a peer id: twice those of an Ed25519 key.
	maxPeerID = 76
	// maxOutcome is the cap of an outcome on the wire: a head, a text, holders and the one that orders.
	maxOutcome = record.MaxSealed + MaxText + (MaxHolders+1)*(maxPeerID+2) + 64
	// maxHeadsReply is the cap of an answer to HEADS: heads, each with a tag and a length.
	maxHeadsReply = MaxHeadsSize + MaxHeads*8
)

// setDigest is a set id on the wire.
func setDigest(set cid.Cid) ([]byte, error) {
	if err := blockstore.CheckCid(set); err != nil {
		return nil, err
	}
	d := blockstore.Digest(set)
	return d[:], nil
}

// setID is the inverse of setDigest. The ids of heads are made of digests in the same way.
func setID(digest []byte) (cid.Cid, error) {
	if len(digest) != sha256.Size {
		return cid.Undef, fmt.Errorf("%w: id of %d bytes", ErrMalformed, len(digest))
	}
	return blockstore.FromDigest(cid.Raw, [sha256.Size]byte(digest)), nil
}

func (f Frame) check() error {
	if len(f.Instance) != InstanceSize || len(f.Payload) > MaxPayload {
		return fmt.Errorf("%w: frame of %d bytes from an instance of %d", ErrMalformed, len(f.Payload), len(f.Instance))
	}
	return nil
}

func encodeFrame(f Frame) (*councilpb.Frame, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	d, err := setDigest(f.Set)
	if err != nil {
		return nil, err
	}
	return &councilpb.Frame{Set: d, Instance: f.Instance, Payload: f.Payload}, nil
}

func decodeFrame(m *councilpb.Frame) (Frame, error) {
	set, err := setID(m.GetSet())
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Set: set, Instance: m.GetInstance(), Payload: m.GetPayload()}
	return f, f.check()
}

func (s Seat) check(version uint64) error {
	if s.Version == 0 || s.Version > version || len(s.Data) > MaxSeat {
		return fmt.Errorf("%w: seat of %d bytes and version %d in a table of version %d", ErrMalformed, len(s.Data), s.Version, version)
	}
	return nil
}

// encodeTable gives the frames of an answer. When the seats do not fit into MaxTable, those that changed last are left
// out, and the answer's version is the one before them: the asker then asks again since that version.
func encodeTable(version uint64, seats []Seat) ([]*councilpb.TableReply, error) {
	seats = slices.Clone(seats)
	slices.SortStableFunc(seats, func(a, b Seat) int { return cmp.Compare(a.Version, b.Version) })
	size := 0
	for i, s := range seats {
		if err := s.check(version); err != nil {
			return nil, err
		}
		if size += seatRoom + len(s.Data); size <= MaxTable {
			continue
		}
		i = slices.IndexFunc(seats, func(o Seat) bool { return o.Version == s.Version })
		if i == 0 {
			return nil, fmt.Errorf("%w: the seats of version %d do not fit into %d bytes", ErrMalformed, s.Version, MaxTable)
		}
		seats, version = seats[:i], seats[i-1].Version
		break
	}
	pages := []*councilpb.TableReply{{Version: version}}
	room := pageSize
	for _, s := range seats {
		d, err := setDigest(s.Set)
		if err != nil {
			return nil, err
		}
		if room -= seatRoom + len(s.Data); room < 0 {
			pages[len(pages)-1].More = true
			pages = append(pages, &councilpb.TableReply{Version: version})
			room = pageSize - seatRoom - len(s.Data)
		}
		last := pages[len(pages)-1]
		last.Seats = append(last.Seats, &councilpb.Seat{Set: d, Version: s.Version, Data: s.Data})
	}
	return pages, nil
}

// table puts the frames of an answer together.
type table struct {
	version uint64
	seats   []Seat
	size    int
}

// add takes one frame in. Every frame but the last has a seat, so an answer ends.
func (t *table) add(m *councilpb.TableReply) error {
	if m.GetMore() && len(m.GetSeats()) == 0 {
		return fmt.Errorf("%w: a page of no seats", ErrMalformed)
	}
	t.version = m.GetVersion()
	for _, s := range m.GetSeats() {
		set, err := setID(s.GetSet())
		if err != nil {
			return err
		}
		seat := Seat{Set: set, Version: s.GetVersion(), Data: s.GetData()}
		if err := seat.check(t.version); err != nil {
			return err
		}
		if t.size += seatRoom + len(seat.Data); t.size > MaxTable {
			return fmt.Errorf("%w: a table of more than %d bytes", ErrMalformed, MaxTable)
		}
		t.seats = append(t.seats, seat)
	}
	return nil
}

func encodeIDs(ids []cid.Cid) ([]byte, error) {
	if len(ids) == 0 || len(ids) > MaxHeads {
		return nil, fmt.Errorf("%w: %d ids of heads, at most %d", ErrMalformed, len(ids), MaxHeads)
	}
	var b []byte
	for _, id := range ids {
		d, err := setDigest(id)
		if err != nil {
			return nil, err
		}
		b = append(b, d...)
	}
	return b, nil
}

func decodeIDs(b []byte) ([]cid.Cid, error) {
	if len(b) == 0 || len(b) > MaxHeads*sha256.Size {
		return nil, fmt.Errorf("%w: %d bytes of ids", ErrMalformed, len(b))
	}
	var ids []cid.Cid
	for d := range slices.Chunk(b, sha256.Size) {
		id, err := setID(d)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// encodeHeads leaves out what does not fit.
func encodeHeads(heads [][]byte) *councilpb.HeadsReply {
	m, room := &councilpb.HeadsReply{}, MaxHeadsSize
	for _, h := range heads {
		if len(h) > 0 && len(h) <= min(room, record.MaxSealed) && len(m.Heads) < MaxHeads {
			m.Heads = append(m.Heads, h)
			room -= len(h)
		}
	}
	return m
}

// decodeHeads allows as many heads as were asked for.
func decodeHeads(m *councilpb.HeadsReply, asked int) ([][]byte, error) {
	if len(m.GetHeads()) > asked {
		return nil, fmt.Errorf("%w: %d heads for %d ids", ErrMalformed, len(m.GetHeads()), asked)
	}
	for _, h := range m.GetHeads() {
		if len(h) == 0 || len(h) > record.MaxSealed {
			return nil, fmt.Errorf("%w: a head of %d bytes", ErrMalformed, len(h))
		}
	}
	return m.GetHeads(), nil
}

// encodeOutcome cuts the text and the holders to what is allowed.
func encodeOutcome(o Outcome) (*councilpb.OutcomeReply, error) {
	if o.Code == 0 || o.Holders < 0 || o.Holders > record.MaxMembers || len(o.Head) > record.MaxSealed {
		return nil, fmt.Errorf("%w: outcome %d of %d holders with a head of %d bytes", ErrMalformed, o.Code, o.Holders, len(o.Head))
	}
	text := o.Text[:min(len(o.Text), MaxText)]
	m := &councilpb.OutcomeReply{Outcome: uint32(o.Code), Head: o.Head, Holders: uint32(o.Holders), Primary: []byte(o.Primary),
		Text: strings.ToValidUTF8(text, "")} // never longer; the cut may have left a part of a character
	for _, p := range o.On[:min(len(o.On), MaxHolders)] {
		m.On = append(m.On, []byte(p))
	}
	return m, nil
}

// decodeOutcome takes from the text what would do more to a terminal than be read.
func decodeOutcome(m *councilpb.OutcomeReply) (Outcome, error) {
	o := Outcome{Code: OutcomeCode(m.GetOutcome()), Head: m.GetHead(), Holders: int(m.GetHolders())}
	switch {
	case o.Code == 0 || m.GetHolders() > record.MaxMembers || len(o.Head) > record.MaxSealed:
		return Outcome{}, fmt.Errorf("%w: outcome %d of %d holders with a head of %d bytes", ErrMalformed, o.Code, m.GetHolders(), len(o.Head))
	case len(m.GetText()) > MaxText || len(m.GetOn()) > MaxHolders:
		return Outcome{}, fmt.Errorf("%w: outcome with %d bytes of text, %d holders named", ErrMalformed, len(m.GetText()), len(m.GetOn()))
	case o.Code > Failed:
		o.Code = Failed
	}
	o.Text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, m.GetText())
	for _, b := range m.GetOn() {
		p, err := peerID(b)
		if err != nil {
			return Outcome{}, err
		}
		o.On = append(o.On, p)
	}
	if len(m.GetPrimary()) == 0 {
		return o, nil
	}
	var err error
	o.Primary, err = peerID(m.GetPrimary())
	return o, err
}

func peerID(b []byte) (peer.ID, error) {
	if len(b) > maxPeerID {
		return "", fmt.Errorf("%w: peer id of %d bytes", ErrMalformed, len(b))
	}
	p, err := peer.IDFromBytes(bytes.Clone(b))
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return p, nil
}
