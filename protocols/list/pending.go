package list

import (
	"fmt"

	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// pending joins updates that were not sent yet into one frame. Its memory is bounded by one bitmap,
// however slow the watcher is. The zero value is ready; it is not safe for concurrent use.
type pending struct {
	msg    *listpb.Update // nil = nothing to send
	have   Bitmap         // new leaves, of the Info sent last or in msg
	leaves int            // of that Info

	sent known // records the watcher has
	next known // and will have when msg is sent
}

// add takes in one update.
func (p *pending) add(u Update) {
	if p.msg == nil {
		p.msg = &listpb.Update{}
	}
	if u.Info != nil {
		p.msg.Info, p.next = encodeInfo(*u.Info, p.sent)
		p.leaves = int(p.msg.Info.GetLeaves())
		p.have = nil // those were leaves of another root
		u.Complete = u.Complete || u.Info.Complete
	}
	p.msg.Complete = u.Complete
	if u.Peers != nil {
		p.msg.Peers = record.EncodePeers(u.Peers, MaxPeers)
	}
	for _, i := range u.Have {
		if int64(i) >= int64(p.leaves) {
			continue
		}
		if p.have == nil {
			p.have = NewBitmap(p.leaves)
		}
		p.have.Set(int(i))
	}
}

// take gives what is to be sent, nil if nothing, and forgets it. What follows counts on its arrival.
func (p *pending) take() *listpb.Update {
	m := p.msg
	if m != nil {
		m.Have = encodeLeaves(p.have)
	}
	if m.GetInfo() != nil {
		p.sent = p.next
	}
	p.msg, p.have = nil, nil
	return m
}

// follower turns frames of a watch into updates. It passes each leaf on once, so that a peer cannot
// make its watcher do the same work again and again.
type follower struct {
	bundle record.Bundle // of the Info before; at first what the watcher had
	leaves int
	have   Bitmap
	begun  bool
}

// take decodes one frame; ok is false for one that only keeps the stream alive.
func (f *follower) take(m *listpb.Update) (u Update, ok bool, err error) {
	if m.GetInfo() != nil {
		info, err := decodeInfo(m.GetInfo(), f.bundle)
		if err != nil {
			return u, false, err
		}
		u.Info, f.bundle, f.leaves, f.begun = &info, info.Bundle, info.Leaves, true
		f.have = NewBitmap(info.Leaves)
		copy(f.have, info.Have)
	}
	if !f.begun {
		return u, false, fmt.Errorf("%w: the first update has no info", ErrMalformed)
	}
	if u.Peers, err = record.DecodePeers(m.GetPeers(), MaxPeers); err != nil {
		return u, false, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	u.Complete = m.GetComplete()
	err = decodeLeaves(m.GetHave(), f.leaves, func(start, n int) {
		for i := start; i < start+n; i++ {
			if !f.have.Get(i) {
				f.have.Set(i)
				u.Have = append(u.Have, uint32(i))
			}
		}
	})
	ok = u.Info != nil || u.Have != nil || u.Complete || u.Peers != nil
	return u, ok, err
}
