package beacon

import (
	"slices"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"
)

// What the inbox holds is, of every sender, its newest messages in order; and no sender that has few loses any
// while another has more.
func TestInbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, held := newInbox(), map[peer.ID][]uint64{}
		total, no := 0, uint64(0)
		senders := rapid.IntRange(1, 2*inboxSize).Draw(t, "senders")
		for range rapid.IntRange(1, 6*inboxSize).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "pop") == 0 {
				h, ok := q.pop()
				if ok != (total > 0) {
					t.Fatalf("pop of %d: %v", total, ok)
				} else if !ok {
					continue
				}
				if held[h.From][0] != h.Message.No {
					t.Fatalf("%s: popped %d of %v", h.From, h.Message.No, held[h.From])
				}
				held[h.From] = held[h.From][1:]
				total--
				continue
			}
			no++
			p := peer.ID(rune(rapid.IntRange(1, senders).Draw(t, "from")))
			before, most := q.lost, 0
			for _, l := range held {
				most = max(most, len(l))
			}
			lost := q.push(Heard{From: p, Message: Message{No: no}})
			held[p] = append(held[p], no)
			total++
			if lost == 0 {
				continue
			}
			if lost != before+1 {
				t.Fatalf("%d lost after %d", lost, before)
			}
			who := loser(q, held)
			if len(held[who])-1 < most-1 || (total <= inboxSize && who != p) {
				t.Fatalf("%q lost one of its %d; %q sent, the loudest has %d, %d in all", who, len(held[who]), p, most, total)
			}
			held[who] = held[who][1:]
			total--
		}
		if total > inboxSize || len(q.queue) != total {
			t.Fatalf("%d waiting, %d expected", len(q.queue), total)
		}
		for p, l := range held {
			if len(l) > inboxPeer || q.from[p] != len(l) {
				t.Fatalf("%q has %d, counted %d", p, len(l), q.from[p])
			}
		}
	})
}

// loser is the sender of whom the inbox has fewer than held, in which case it is the oldest that is missing.
func loser(q *inbox, held map[peer.ID][]uint64) peer.ID {
	have := map[uint64]bool{}
	for _, h := range q.queue {
		have[h.Message.No] = true
	}
	for p, l := range held {
		if len(l) > 0 && !have[l[0]] && !slices.ContainsFunc(l[1:], func(n uint64) bool { return !have[n] }) {
			return p
		}
	}
	return ""
}

func topicNo(i int) string {
	const hex = "0123456789abcdef"
	return topicPrefix + "0000000000000000000000000000" + string([]byte{hex[i>>12&15], hex[i>>8&15], hex[i>>4&15], hex[i&15]})
}

func TestDoorBoundsSubscriptions(t *testing.T) {
	d := newDoor(func(peer.ID) bool { return true }, func(peer.ID, string) {})
	sub := func(p peer.ID, topics ...string) int {
		var subs []*pubsubpb.RPC_SubOpts
		yes := true
		for _, topic := range topics {
			subs = append(subs, &pubsubpb.RPC_SubOpts{Topicid: &topic, Subscribe: &yes})
		}
		kept, err := d.FilterIncomingSubscriptions(p, subs)
		if err != nil {
			return -1
		}
		return len(kept)
	}
	if n := sub("a", "elsewhere", topicNo(0)); n != 1 {
		t.Errorf("%d of a foreign and a good topic", n)
	}
	kept := 1
	for i := 1; i < 3*peerTopics; i++ {
		kept += sub("a", topicNo(i))
	}
	if kept != peerTopics {
		t.Errorf("%d topics remembered of one peer", kept)
	}
	if n := sub("a", topicNo(3)); n != 1 {
		t.Error("a topic that is known is refused")
	}
	if n := sub("b", topicNo(3*peerTopics)); n != 1 {
		t.Error("another peer pays")
	}
	if n := sub("c", make([]string, 2*peerTopics+1)...); n != -1 {
		t.Errorf("%d of a frame of too many", n)
	}
}

func TestDoorBoundsMessages(t *testing.T) {
	d := newDoor(func(peer.ID) bool { return true }, func(peer.ID, string) {})
	now := time.Unix(1e9, 0)
	admit := func(p peer.ID, n int, at time.Time) int {
		rpc := &pubsub.RPC{}
		rpc.Publish = make([]*pubsubpb.Message, n)
		if refused := d.admit(p, rpc, at); refused+len(rpc.Publish) != n {
			t.Errorf("%d of %d refused, %d left", refused, n, len(rpc.Publish))
		}
		return len(rpc.Publish)
	}
	if n := admit("a", 10*peerBurst, now); n != peerBurst {
		t.Errorf("%d at once", n)
	}
	if n := admit("b", 7, now); n != 7 {
		t.Errorf("another peer: %d of 7", n)
	}
	if n := admit("a", 10*peerBurst, now.Add(time.Second)); n != peerRate {
		t.Errorf("%d after a second", n)
	}
}

func TestDoorForgets(t *testing.T) {
	here := peer.ID("here")
	d := newDoor(func(p peer.ID) bool { return p == here }, func(peer.ID, string) {})
	d.visitor(here).notes(topicNo(1), true)
	for i := range 10000 {
		d.visitor(peer.ID(rune(i)))
		if len(d.peers) > sweepFloor {
			t.Fatalf("%d peers remembered", len(d.peers))
		}
	}
	if len(d.visitor(here).topics) != 1 {
		t.Error("a connected peer was forgotten")
	}
}

// A million losses are twenty lines.
func TestLoggable(t *testing.T) {
	var lines []uint64
	for n := uint64(0); n < 1<<20; n++ {
		if loggable(n, n+1) {
			lines = append(lines, n+1)
		}
	}
	if len(lines) != 21 || !slices.Equal(lines[:4], []uint64{1, 2, 4, 8}) {
		t.Errorf("logged at %v", lines)
	}
	if !loggable(3, 9) || loggable(9, 15) {
		t.Error("several at once are counted wrong")
	}
}
