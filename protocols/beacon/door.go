package beacon

import (
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

const (
	// MaxTopics is the most topics a node joins: their names, sent to every new peer in one frame of at most
	// MaxMessage, take half of it.
	MaxTopics = 512
	// peerTopics is the most topics that are remembered of one peer: what it has, and had before it restarted.
	peerTopics = 2 * MaxTopics
	// peerRate is the messages a second that are taken from one neighbour, its own and others' it passes on: 200
	// nodes with four beacons, and some. peerBurst is a gathering of that: two seconds of it. Checking a signature
	// takes some 60 microseconds, so a neighbour that floods costs 6 % of a core.
	peerRate, peerBurst = 1000, 2000
	// sweepFloor is how many peers are remembered before those that are gone are looked for.
	sweepFloor = 64
)

// door bounds what the peers can make the pubsub router remember and check. It has no lock: the router calls
// it from its one loop. (CanSubscribe, which is called from anywhere, has no state.)
type door struct {
	connected func(peer.ID) bool
	again     func(p peer.ID, topic string) // p tells of a topic that it told of before
	peers     map[peer.ID]*visitor
	sweepAt   int // peers, when the gone are swept out
}

type visitor struct {
	topics   map[string]bool // true: subscribed to; false: was, and counts on, so that nothing is won by leaving
	messages *rate.Limiter
	mislaid  bool // the router forgot the topics
}

func newDoor(connected func(peer.ID) bool, again func(peer.ID, string)) *door {
	return &door{connected: connected, again: again, peers: map[peer.ID]*visitor{}, sweepAt: sweepFloor}
}

func (d *door) visitor(p peer.ID) *visitor {
	if v := d.peers[p]; v != nil {
		return v
	}
	if len(d.peers) >= d.sweepAt {
		for old := range d.peers {
			if !d.connected(old) {
				delete(d.peers, old)
			}
		}
		d.sweepAt = max(sweepFloor, 2*len(d.peers))
	}
	v := &visitor{topics: map[string]bool{}, messages: rate.NewLimiter(peerRate, peerBurst)}
	d.peers[p] = v
	return v
}

// admit leaves only as many messages in a frame of p as p may send by now, and puts the topics in that the router
// has mislaid. It tells how many messages it took out.
func (d *door) admit(p peer.ID, rpc *pubsub.RPC, now time.Time) (refused int) {
	v := d.visitor(p)
	for _, s := range rpc.Subscriptions {
		if topic := s.GetTopicid(); s.GetSubscribe() && v.topics[topic] {
			d.again(p, topic)
		}
	}
	if v.mislaid {
		v.mislaid = false
		for topic, in := range v.topics {
			if in {
				rpc.Subscriptions = append(rpc.Subscriptions, &pubsubpb.RPC_SubOpts{Topicid: &topic, Subscribe: &in})
			}
		}
	}
	for i := range rpc.Publish {
		if !v.messages.AllowN(now, 1) {
			refused = len(rpc.Publish) - i
			rpc.Publish = rpc.Publish[:i]
			break
		}
	}
	return refused
}

// unlinked: our stream to p has ended. The router then forgets what p told on p's stream to us, and makes a new
// stream of ours if p is still connected, as when one of two connections was closed. But p, whose stream may be
// well, has no reason to tell again, and nothing we publish would ever reach p. So p's next frame, whatever it
// is, brings its topics back; and there is a next one, because p sees our new stream tell what it knows (again),
// and answers that.
func (d *door) unlinked(p peer.ID) {
	if v := d.peers[p]; v != nil && d.connected(p) {
		v.mislaid = true
	} else {
		delete(d.peers, p)
	}
}

// CanSubscribe implements pubsub.SubscriptionFilter. It goes by the form of the name, not by what is joined
// here: a peer names its topics once, and may do so before we join one of them.
func (d *door) CanSubscribe(topic string) bool { return isTopic(topic) }

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter.
func (d *door) FilterIncomingSubscriptions(p peer.ID, subs []*pubsubpb.RPC_SubOpts) ([]*pubsubpb.RPC_SubOpts, error) {
	if len(subs) > 2*peerTopics { // with mislaid ones
		return nil, pubsub.ErrTooManySubscriptions
	}
	v := d.visitor(p)
	subs = pubsub.FilterSubscriptions(subs, d.CanSubscribe)
	return slices.DeleteFunc(subs, func(s *pubsubpb.RPC_SubOpts) bool { return !v.notes(s.GetTopicid(), s.GetSubscribe()) }), nil
}

// notes remembers what p says of a topic, if there is room.
func (v *visitor) notes(topic string, in bool) bool {
	if _, known := v.topics[topic]; !known && len(v.topics) >= peerTopics {
		return false
	}
	v.topics[topic] = in
	return true
}
