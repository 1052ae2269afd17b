package node

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/beacon"
)

// herald announces the newest heads of this node's sets on the topic of their owner, and hands on what it hears:
// a hint of who has something newer, which the hearer verifies by asking.
type herald struct {
	bus  *topics
	sets *replica.Registry
	// followed tells whether a set is of interest that is not this node's own.
	followed func(set string) bool
	log      *slog.Logger

	say    chan cid.Cid // sets that have a new revision, or are new
	again  chan string  // topics that a peer has joined
	topics map[string]bool
	no     uint64
	boot   uint64
}

// joinPause joins what several new peers of a topic must be told into one message.
const joinPause = 300 * time.Millisecond

func newHerald(bus *topics, sets *replica.Registry, followed func(string) bool, boot time.Time, log *slog.Logger) *herald {
	return &herald{bus: bus, sets: sets, followed: followed, log: log, say: make(chan cid.Cid, 64), again: make(chan string, 64),
		topics: map[string]bool{}, boot: uint64(boot.UnixNano() & math.MaxInt64)}
}

// run takes part in the topics of the sets that are shared or followed here until ctx ends. events tells of the
// sets' new revisions. Only the author announces one: whoever has fetched it has heard of it, and would only repeat it.
func (h *herald) run(ctx context.Context, events *hub) error {
	leave := events.listen(func(e api.Event) {
		if e.Kind != api.EventPublished && (e.Kind != api.EventComplete || !h.followed(e.Set)) {
			return
		}
		if set, err := cid.Decode(e.Set); err == nil {
			select {
			case h.say <- set:
			default: // a great many at once; those who follow hear of it by their watch
			}
		}
	})
	defer leave()
	for _, rep := range h.sets.Replicas() {
		if st := rep.State(); st.Shared || h.followed(st.Set) {
			h.join(h.topic(rep))
		}
	}
	var due map[string]bool
	var pause <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case set := <-h.say:
			if rep, err := h.sets.Resolve(set.String()); err == nil {
				topic := h.topic(rep)
				h.join(topic)
				if rep.State().Shared {
					h.publish(ctx, topic, rep)
				}
			}
		case topic := <-h.again:
			if due == nil {
				due, pause = map[string]bool{}, time.After(joinPause)
			}
			due[topic] = true
		case <-pause:
			h.repeat(ctx, due)
			due, pause = nil, nil
		}
	}
}

func (h *herald) topic(rep *replica.Replica) string {
	return beacon.Topic(rep.Verified().Genesis.Owners)
}

func (h *herald) join(topic string) {
	if h.topics[topic] {
		return
	}
	_, err := h.bus.Join(topic, func(m beacon.Heard) {
		for _, head := range m.Message.Heads {
			h.sets.Heard(m.From, head.Set, head.Sealed)
		}
	}, func(peer.ID) {
		select {
		case h.again <- topic:
		default: // it is about to be repeated
		}
	})
	if err != nil {
		h.log.Warn("announcements", "topic", topic, "err", err)
		return
	}
	h.topics[topic] = true
}

// repeat says of all sets of some topics how they stand.
func (h *herald) repeat(ctx context.Context, topics map[string]bool) {
	of := map[string][]*replica.Replica{}
	for _, rep := range h.sets.Replicas() {
		if t := h.topic(rep); topics[t] && rep.State().Complete {
			of[t] = append(of[t], rep)
		}
	}
	for topic, reps := range of {
		for len(reps) > 0 {
			n := min(len(reps), beacon.MaxHeads)
			h.publish(ctx, topic, reps[:n]...)
			reps = reps[n:]
		}
	}
}

func (h *herald) publish(ctx context.Context, topic string, reps ...*replica.Replica) {
	h.no++
	m := beacon.Message{Boot: h.boot, No: h.no}
	for _, rep := range reps {
		// A head of a private set says more than a stranger may know: those who follow it hear of it by their watch.
		if heads := rep.State().Bundle.Heads; len(heads) > 0 && rep.Verified().Config.Public {
			m.Heads = append(m.Heads, beacon.Head{Set: rep.Set(), Sealed: heads[0]})
		}
	}
	if err := h.bus.Publish(ctx, topic, m); err != nil {
		h.log.Debug("announce", "topic", topic, "err", err)
	}
}
