package beacon

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	beaconpb "github.com/shoal-p2p/shoal/protocols/beacon/pb"
)

// The repeated fields of the protobuf message.
const headsField, seatsField, asksField = 3, 7, 8

// check tells whether m keeps the limits of everything but its size.
func (m Message) check() error {
	switch {
	case len(m.Heads) > MaxHeads:
		return fmt.Errorf("%w: %d heads, at most %d", ErrMalformed, len(m.Heads), MaxHeads)
	case len(m.Seats) > MaxSeats:
		return fmt.Errorf("%w: %d seats, at most %d", ErrMalformed, len(m.Seats), MaxSeats)
	case len(m.Asks) > MaxAsks:
		return fmt.Errorf("%w: %d asks, at most %d", ErrMalformed, len(m.Asks), MaxAsks)
	case m.Interval < 0 || m.Interval > MaxInterval:
		return fmt.Errorf("%w: interval of %v", ErrMalformed, m.Interval)
	case m.Since > m.Table:
		return fmt.Errorf("%w: changes since version %d of a table of version %d", ErrMalformed, m.Since, m.Table)
	}
	for _, h := range m.Heads {
		if len(h.Sealed) == 0 {
			return fmt.Errorf("%w: an empty head of %s", ErrMalformed, h.Set)
		}
	}
	size := 0
	for _, s := range m.Seats {
		if size += len(s.Data); len(s.Data) > MaxSeat || size > MaxSeatsSize {
			return fmt.Errorf("%w: a seat of %d bytes, with those before it %d", ErrMalformed, len(s.Data), size)
		}
		if s.Version == 0 || s.Version > m.Table {
			return fmt.Errorf("%w: seat of version %d in a table of version %d", ErrMalformed, s.Version, m.Table)
		}
	}
	for _, a := range m.Asks {
		if len(a.Data) > MaxAsk {
			return fmt.Errorf("%w: an ask of %d bytes, at most %d", ErrMalformed, len(a.Data), MaxAsk)
		}
	}
	return nil
}

func encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	var bad error
	digest := func(set cid.Cid) []byte {
		if err := blockstore.CheckCid(set); err != nil {
			bad = fmt.Errorf("%w: set id: %v", ErrMalformed, err)
			return nil
		}
		d := blockstore.Digest(set)
		return d[:]
	}
	// Versions go out as differences, which mostly are 0 and then take no room.
	p := &beaconpb.Message{Boot: m.Boot, No: m.No, Table: m.Table, Changes: m.Table - m.Since,
		Interval: uint32((m.Interval + time.Millisecond - 1) / time.Millisecond)}
	for _, h := range m.Heads {
		p.Heads = append(p.Heads, &beaconpb.Head{Set: digest(h.Set), Sealed: h.Sealed})
	}
	for _, s := range m.Seats {
		p.Seats = append(p.Seats, &beaconpb.Seat{Set: digest(s.Set), Age: m.Table - s.Version, Data: s.Data})
	}
	for _, a := range m.Asks {
		p.Asks = append(p.Asks, &beaconpb.Ask{Set: digest(a.Set), Data: a.Data})
	}
	if bad != nil {
		return nil, bad
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
	if !fewEntries(b) {
		return Message{}, fmt.Errorf("%w: more than %d heads, %d seats or %d asks", ErrMalformed, MaxHeads, MaxSeats, MaxAsks)
	}
	p := &beaconpb.Message{}
	if err := proto.Unmarshal(b, p); err != nil {
		return Message{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	table, changes := p.GetTable(), p.GetChanges()
	if changes > table {
		return Message{}, fmt.Errorf("%w: changes in %d of %d versions", ErrMalformed, changes, table)
	}
	m := Message{Boot: p.GetBoot(), No: p.GetNo(), Table: table, Since: table - changes,
		Interval: time.Duration(p.GetInterval()) * time.Millisecond}
	var bad error
	set := func(digest []byte) cid.Cid {
		if len(digest) != sha256.Size {
			bad = fmt.Errorf("%w: set id of %d bytes", ErrMalformed, len(digest))
			return cid.Undef
		}
		return blockstore.FromDigest(cid.Raw, [sha256.Size]byte(digest))
	}
	for _, h := range p.GetHeads() {
		m.Heads = append(m.Heads, Head{Set: set(h.GetSet()), Sealed: h.GetSealed()})
	}
	for _, s := range p.GetSeats() {
		// An age above the table's version comes out as 0 or as more than that version, which check refuses.
		m.Seats = append(m.Seats, Seat{Set: set(s.GetSet()), Version: table - s.GetAge(), Data: s.GetData()})
	}
	for _, a := range p.GetAsks() {
		m.Asks = append(m.Asks, Ask{Set: set(a.GetSet()), Data: a.GetData()})
	}
	if bad != nil {
		return Message{}, bad
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// fewEntries tells whether no repeated field of b has more entries than it may, as far as b can be read.
func fewEntries(b []byte) bool {
	left := map[protowire.Number]int{headsField: MaxHeads, seatsField: MaxSeats, asksField: MaxAsks}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return true
		}
		b = b[n:]
		if most, repeated := left[field]; repeated {
			if most == 0 {
				return false
			}
			left[field]--
		}
	}
	return true
}
