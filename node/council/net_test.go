package council

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
)

// The bus.

func (n *node) Join(topic string, heard func(beacon.Heard), joined func(peer.ID)) (func(), error) {
	r := &room{heard: heard, joined: joined}
	n.w.mu.Lock()
	n.rooms[topic] = r
	n.w.mu.Unlock()
	for _, o := range n.w.nodes {
		if o != n && n.w.both(n.i, o.i) && o.room(topic) != nil {
			o.meet(n)
			time.AfterFunc(hop, func() { r.call(func() { joined(o.id) }) })
		}
	}
	return func() {
		r.mu.Lock()
		r.gone = true
		r.mu.Unlock()
		n.w.mu.Lock()
		delete(n.rooms, topic)
		n.w.mu.Unlock()
	}, nil
}

func (n *node) room(topic string) *room {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return n.rooms[topic]
}

func (n *node) Publish(_ context.Context, topic string, m beacon.Message) error {
	if r := n.room(topic); r != nil {
		r.mu.Lock()
		r.sent++
		for _, s := range m.Seats {
			r.bytes += len(s.Data) + rowOverhead
		}
		r.mu.Unlock()
	}
	for _, o := range n.w.nodes {
		if o == n || o.id == n.id {
			continue
		}
		hops := n.w.reaches(n.i, o.i)
		r := o.room(topic)
		if hops == 0 || r == nil {
			continue
		}
		deliver(r, hops, beacon.Heard{From: n.id, Topic: topic, Message: m})
		if twin := n.w.twinOf(o); twin != nil {
			deliver(twin.room(topic), hops, beacon.Heard{From: n.id, Topic: topic, Message: m})
		}
	}
	return nil
}

func deliver(r *room, hops int, h beacon.Heard) {
	time.AfterFunc(time.Duration(hops)*hop, func() { r.call(func() { r.heard(h) }) })
}

// twinOf is the copy of n.
func (w *world) twinOf(n *node) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.twin != nil && w.twin.id == n.id {
		return w.twin
	}
	return nil
}

// The wire.

var errUnreachable = errors.New("unreachable")

func (n *node) Send(p peer.ID, f wirecouncil.Frame) {
	o := n.w.at(p)
	if n.w.both(n.i, o.i) {
		time.AfterFunc(hop, func() {
			if n.w.both(n.i, o.i) {
				o.co.Frame(n.id, f)
			}
			if twin := n.w.twinOf(o); twin != nil {
				twin.co.Frame(n.id, f)
			}
		})
	}
}

func (n *node) ask(p peer.ID) (*node, error) {
	time.Sleep(2 * hop)
	o := n.w.at(p)
	if n.lost || !n.w.both(n.i, o.i) {
		return nil, errUnreachable
	}
	return o, nil
}

func (n *node) Table(_ context.Context, p peer.ID, topic string, since uint64) (uint64, []wirecouncil.Seat, error) {
	o, err := n.ask(p)
	if err != nil {
		return 0, nil, err
	}
	version, seats, ok := o.co.Table(n.id, topic, since)
	if !ok {
		return 0, nil, wirecouncil.ErrNotFound
	}
	return version, seats, nil
}

func (n *node) Heads(_ context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) (out [][]byte, err error) {
	o, err := n.ask(p)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if b := o.co.Sealed(set, id); b != nil {
			out = append(out, b)
		}
	}
	return out, nil
}

func (n *node) Redial(p peer.ID) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.redial = append(n.redial, redialled{time.Now(), p})
}

// RoundTrip implements RoundTrips.
func (n *node) RoundTrip(peer.ID) time.Duration { return n.w.rtt }

// redialled gives the calls since the last time.
func (n *node) redialled() []redialled {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	out := n.redial
	n.redial = nil
	return out
}
