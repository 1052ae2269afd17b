package node

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/beacon"
)

// topics lets several parts of a node take part in the topics of one bus, which knows each topic once.
type topics struct {
	bus *beacon.Bus

	mu    sync.Mutex // guards what follows
	rooms map[string]*room
}

// room is one topic. Listeners are called one at a time, because the bus does so.
type room struct {
	entering sync.Mutex // held while the topic is joined or left
	leave    func()     // of the bus; nil while nobody is in

	mu        sync.Mutex // guards what follows
	listeners map[*listener]bool
	arrived   []peer.ID // who has joined so far, for those who come later
}

type listener struct {
	heard  func(beacon.Heard)
	joined func(peer.ID)
}

func newTopics(bus *beacon.Bus) *topics { return &topics{bus: bus, rooms: map[string]*room{}} }

func (t *topics) room(name string) *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rooms[name]
	if r == nil {
		r = &room{listeners: map[*listener]bool{}}
		t.rooms[name] = r
	}
	return r
}

// Join is beacon.Bus.Join for one more listener of the topic.
func (t *topics) Join(topic string, heard func(beacon.Heard), joined func(peer.ID)) (leave func(), err error) {
	r := t.room(topic)
	l := &listener{heard, joined}
	r.entering.Lock()
	defer r.entering.Unlock()
	r.mu.Lock()
	r.listeners[l] = true
	before := append([]peer.ID(nil), r.arrived...)
	r.mu.Unlock()
	if r.leave == nil {
		if r.leave, err = t.bus.Join(topic, r.heard, r.joined); err != nil {
			r.leave = nil
			r.drop(l)
			return nil, err
		}
	}
	for _, p := range before {
		joined(p)
	}
	return sync.OnceFunc(func() {
		r.entering.Lock()
		defer r.entering.Unlock()
		if r.drop(l) == 0 {
			r.leave()
			r.leave = nil
		}
	}), nil
}

// drop removes a listener, and tells how many are left. When none is, who had arrived is forgotten: the bus says it
// again to the next one.
func (r *room) drop(l *listener) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.listeners, l)
	if len(r.listeners) == 0 {
		r.arrived = nil
	}
	return len(r.listeners)
}

func (r *room) all() []*listener {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*listener, 0, len(r.listeners))
	for l := range r.listeners {
		all = append(all, l)
	}
	return all
}

func (r *room) heard(m beacon.Heard) {
	for _, l := range r.all() {
		l.heard(m)
	}
}

// maxArrived bounds who is remembered to have joined a topic: more than a swarm has that votes.
const maxArrived = 256

func (r *room) joined(p peer.ID) {
	r.mu.Lock()
	if len(r.arrived) < maxArrived {
		r.arrived = append(r.arrived, p)
	}
	r.mu.Unlock()
	for _, l := range r.all() {
		l.joined(p)
	}
}

// Publish is beacon.Bus.Publish.
func (t *topics) Publish(ctx context.Context, topic string, m beacon.Message) error {
	return t.bus.Publish(ctx, topic, m)
}
