// Package beacon carries small signed messages between the nodes that hold sets of one owner, on a pubsub
// topic of that owner.
//
// A message goes straight to every connected peer that has joined the topic, and by way of others to the rest.
// It is a hint that saves waiting: delivery is not promised, by nothing. Lost is what is sent before a peer's
// having joined is known, so a caller sends again what counts when a peer joins; what a peer's link does not
// take, beyond 256 messages; and what is received much faster than it is heard: of the messages that wait to be
// heard, 16 of a sender and 256 of a topic are kept, the newest; so no sender loses anything to another that
// sends more. Lost is also what one neighbour sends, of its own and of others, beyond 1,000 messages a second.
// Every loss that this side can see is logged, the more there are the more rarely.
//
// A message that breaks a limit or the format is neither heard nor passed on. The signature proves the sender;
// what the message says must be proved by what is in it.
package beacon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// ID is the protocol of the pubsub router's streams: gossipsub 1.2 under a name of our own, so that a node
// never gets into a network of other programs with other limits.
const ID = protocol.ID("/shoal/meshsub/1.2.0")

const (
	// frameSize is the most bytes of one frame of the router: a message and its envelope of some 200 bytes.
	frameSize = MaxMessage + 1<<10
	// queueSize is how many messages may wait for one peer, for validation, or for the goroutine that puts them
	// into the inbox: all of a group of 64 with four beacons a second, for a second.
	queueSize = 256
)

// Errors of joining and publishing. They are returned wrapped; test with errors.Is.
var (
	ErrNotJoined = errors.New("topic is not joined")
	ErrJoined    = errors.New("topic is joined already")
	ErrTopic     = errors.New("not the name of a topic")
	ErrTooMany   = errors.New("too many topics")
)

// Bus sends and hears messages for one host. Its methods may be called from any goroutine.
type Bus struct {
	ctx    context.Context
	host   host.Host
	router *pubsub.PubSub
	links  *links
	log    *slog.Logger

	mu    sync.Mutex       // guards what follows
	rooms map[string]*room // nil: about to be joined or left
}

// New starts a bus on h. It ends with ctx, with all of its goroutines but those that read a stream of a peer,
// which end with the stream: when that peer leaves or says anything, or h is closed.
func New(ctx context.Context, h host.Host, log *slog.Logger) (*Bus, error) {
	b := &Bus{ctx: ctx, host: h, log: log, rooms: map[string]*room{}}
	d := newDoor(func(p peer.ID) bool { return h.Network().Connectedness(p) == network.Connected }, b.again)
	b.links = newLinks(d, log)
	var err error
	b.router, err = pubsub.NewGossipSub(ctx, h,
		pubsub.WithGossipSubProtocols([]protocol.ID{ID}, features),
		pubsub.WithGossipSubParams(params()),
		pubsub.WithFloodPublish(true), // straight to everyone: a mesh is made only at the next heartbeat
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMaxMessageSize(frameSize),
		pubsub.WithPeerOutboundQueueSize(queueSize),
		pubsub.WithValidateQueueSize(queueSize),
		// Inline: what it looks at never changes, and takes less time than handing over to another goroutine.
		// A message counts as seen before it is validated, so one that is refused here is never heard.
		pubsub.WithDefaultValidator(validate, pubsub.WithValidatorInline(true)),
		pubsub.WithRawTracer(b.links),
		pubsub.WithSubscriptionFilter(d),
		pubsub.WithAppSpecificRpcInspector(func(p peer.ID, rpc *pubsub.RPC) error {
			if n := d.admit(p, rpc, time.Now()); n > 0 {
				b.links.refused(p, n)
			}
			return nil
		}),
		pubsub.WithLogger(slog.New(warnings{log.Handler()}).With("part", "pubsub")),
		pubsub.WithRPCLogger(slog.New(slog.DiscardHandler)), // it warns of whatever a stranger sends
	)
	if err != nil {
		return nil, fmt.Errorf("start pubsub: %w", err)
	}
	return b, nil
}

// features: no exchange of peers, who are found in other ways; notes on large messages that need not be sent.
func features(f pubsub.GossipSubFeature, id protocol.ID) bool {
	return id == ID && (f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeatureIdontwant)
}

// params fits the mesh to groups of 2 to 200 nodes, most of which are connected to each other: it only has to
// reach those that are not.
func params() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi = 4, 2, 8
	p.Dscore, p.Dout = 2, 1
	p.HeartbeatInterval = 500 * time.Millisecond // a hole in the mesh is mended by the next one
	// A node that was restarted must not be kept out of the mesh for the default of a minute.
	p.PruneBackoff, p.UnsubscribeBackoff = 5*time.Second, 2*time.Second
	return p
}

// validate accepts well-formed messages and keeps what it decoded for whoever hears it.
func validate(_ context.Context, _ peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	decoded, err := decode(m.GetData())
	if err != nil {
		return pubsub.ValidationReject
	}
	m.ValidatorData = decoded
	return pubsub.ValidationAccept
}

// Join takes part in a topic until leave is called or the bus ends. heard is called with the messages of
// others; joined with every peer that has joined and to which what is published from then on is sent, whether it
// joined before or after us, and once more when its link was broken: the caller publishes what that peer must not
// miss. Only one of them runs at a time.
// Neither may call leave, which waits until they have returned; afterwards they are not called again.
//
// Errors: ErrTopic, ErrJoined, ErrTooMany, and those of a bus that has ended.
func (b *Bus) Join(topic string, heard func(Heard), joined func(peer.ID)) (leave func(), err error) {
	if err := b.reserve(topic); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	r := &room{bus: b, name: topic, in: newInbox(), heard: heard, joined: joined,
		arrived: map[peer.ID]bool{}, signal: make(chan struct{}, 1)}
	if err := r.enter(); err != nil {
		b.release(topic)
		return nil, fmt.Errorf("join: %w", err)
	}
	b.enlist(topic, r)
	r.run()
	return sync.OnceFunc(func() {
		b.enlist(topic, nil)
		r.leave()
		b.release(topic)
	}), nil
}

func (b *Bus) reserve(topic string) error {
	if !isTopic(topic) {
		return fmt.Errorf("%w: %q", ErrTopic, topic)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.rooms[topic]; taken {
		return ErrJoined
	}
	if len(b.rooms) >= MaxTopics {
		return fmt.Errorf("%w: at most %d", ErrTooMany, MaxTopics)
	}
	b.rooms[topic] = nil
	return nil
}

func (b *Bus) enlist(topic string, r *room) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rooms[topic] = r
}

func (b *Bus) release(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rooms, topic)
}

func (b *Bus) room(topic string) *room {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rooms[topic]
}

// again: p has a new stream to us, over which it told what it had told before.
func (b *Bus) again(p peer.ID, topic string) {
	if r := b.room(topic); r != nil {
		r.arrive(p, true)
	}
}

// Publish signs m and hands it to the links of all peers known to have joined the topic, which may be none. It
// does not wait for anything to be sent.
//
// Errors: ErrNotJoined, ErrMalformed (m breaks a limit of Message), and those of a bus that has ended.
func (b *Bus) Publish(ctx context.Context, topic string, m Message) error {
	r := b.room(topic)
	if r == nil {
		return fmt.Errorf("publish: %w: %s", ErrNotJoined, topic)
	}
	data, err := encode(m)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := r.topic.Publish(ctx, data); err != nil {
		if errors.Is(err, pubsub.ErrTopicClosed) {
			err = ErrNotJoined
		}
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
