package beacon

import (
	"context"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// room is a topic that is joined: one goroutine takes messages from the router, which drops what is not taken,
// one follows who joins, and one does the callbacks.
type room struct {
	bus    *Bus
	name   string
	in     *inbox
	heard  func(Heard)
	joined func(peer.ID)

	topic  *pubsub.Topic
	sub    *pubsub.Subscription
	events *pubsub.TopicEventHandler
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex       // guards what follows, but not the channel's use
	arrived map[peer.ID]bool // joined, and the callback does not know it yet; true: to be answered
	signal  chan struct{}    // holds one token when arrived is not empty
}

func (r *room) enter() (err error) {
	if r.topic, err = r.bus.router.Join(r.name); err != nil {
		return err
	}
	if r.events, err = r.topic.EventHandler(); err != nil {
		r.topic.Close()
		return err
	}
	self := r.bus.host.ID()
	r.sub, err = r.topic.Subscribe(
		pubsub.WithBufferSize(queueSize),
		pubsub.WithMessageFilter(func(m *pubsub.Message) bool { return m.GetFrom() != self }))
	if err != nil {
		r.events.Cancel()
		r.topic.Close()
	}
	return err
}

func (r *room) run() {
	ctx, cancel := context.WithCancel(r.bus.ctx)
	r.cancel = cancel
	r.wg.Go(func() { r.receive(ctx) })
	r.wg.Go(func() { r.follow(ctx) })
	r.wg.Go(func() { r.call(ctx) })
}

// leave waits for the callbacks.
func (r *room) leave() {
	r.cancel()
	r.events.Cancel()
	r.sub.Cancel()
	r.wg.Wait()
	r.bus.links.closed(r)
	r.topic.Close() // fails only if the bus has ended
}

func (r *room) receive(ctx context.Context) {
	for {
		m, err := r.sub.Next(ctx)
		if err != nil {
			return
		}
		decoded, ok := m.ValidatorData.(Message)
		if !ok || len(m.GetData()) == 0 { // an answer, see arrive
			continue
		}
		if n := r.in.push(Heard{From: m.GetFrom(), Topic: r.name, Message: decoded}); n > 0 && loggable(n-1, n) {
			r.bus.log.Warn("beacons come faster than they are heard", "topic", r.name, "lost", n)
		}
	}
}

func (r *room) follow(ctx context.Context) {
	for {
		e, err := r.events.NextPeerEvent(ctx)
		if err != nil {
			return
		}
		if e.Type == pubsub.PeerJoin {
			r.bus.links.joined(e.Peer, r)
		} else {
			r.bus.links.left(e.Peer, r)
		}
	}
}

// arrive has joined called, and before that p answered if p may not know that we joined. It does not wait.
func (r *room) arrive(p peer.ID, answer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived[p] = r.arrived[p] || answer
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

func (r *room) arrival() (p peer.ID, answer, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, answer := range r.arrived {
		delete(r.arrived, p)
		return p, answer, true
	}
	return "", false, false
}

func (r *room) call(ctx context.Context) {
	for ctx.Err() == nil {
		if p, answer, ok := r.arrival(); ok {
			if answer {
				r.topic.Publish(ctx, nil) // fails only if the room is being left
			}
			r.joined(p)
		} else if h, ok := r.in.pop(); ok {
			r.heard(h)
		} else {
			select {
			case <-r.signal:
			case <-r.in.signal:
			case <-ctx.Done():
			}
		}
	}
}
