package beacon

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
)

var quiet = slog.New(slog.DiscardHandler)

// inWorld runs test in virtual time with n hosts on links of 20 ms. They are not connected. The bubble fails
// if anything is left running when test has returned, its context has ended and the hosts are closed.
func inWorld(t *testing.T, n int, test func(t *testing.T, ctx context.Context, hosts []host.Host)) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}, Uplink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps},
		}
		nw, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{{LinkSettings: link, Count: n}},
			simnet.StaticLatency(10*time.Millisecond), simlibp2p.NetworkSettings{})
		if err != nil {
			t.Fatal(err)
		}
		nw.Start()
		defer nw.Close()
		for _, h := range meta.Nodes {
			defer h.Close()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		test(t, ctx, meta.Nodes)
	})
}

func connect(t *testing.T, ctx context.Context, a, b host.Host) {
	t.Helper()
	if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

func connectAll(t *testing.T, ctx context.Context, hosts []host.Host) {
	t.Helper()
	for i, a := range hosts {
		for _, b := range hosts[:i] {
			connect(t, ctx, a, b)
		}
	}
}

// node is a bus that has joined one topic and what it heard.
type node struct {
	*Bus
	topic string
	leave func()

	mu     sync.Mutex
	heard  []Heard
	joined map[peer.ID]int // how often
	greet  func()          // also done when a peer joined
}

func start(t *testing.T, ctx context.Context, h host.Host, topic string) *node {
	t.Helper()
	n := &node{topic: topic, greet: func() {}, joined: map[peer.ID]int{}}
	var err error
	if n.Bus, err = New(ctx, h, quiet); err != nil {
		t.Fatal(err)
	}
	n.join(t)
	return n
}

func (n *node) join(t *testing.T) {
	t.Helper()
	var err error
	n.leave, err = n.Join(n.topic, func(h Heard) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.heard = append(n.heard, h)
	}, func(p peer.ID) {
		n.mu.Lock()
		n.joined[p]++
		greet := n.greet
		n.mu.Unlock()
		greet()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) say(t *testing.T, ctx context.Context, m Message) {
	t.Helper()
	if err := n.Publish(ctx, n.topic, m); err != nil {
		t.Fatal(err)
	}
}

func (n *node) greets(greet func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.greet = greet
}

// took gives what was heard since it was called last.
func (n *node) took() []Heard {
	n.mu.Lock()
	defer n.mu.Unlock()
	heard := n.heard
	n.heard = nil
	return heard
}

func (n *node) expect(t *testing.T, from *node, want ...Message) {
	t.Helper()
	var all []Heard
	for _, m := range want {
		all = append(all, Heard{From: from.host.ID(), Topic: n.topic, Message: m})
	}
	if got := n.took(); !reflect.DeepEqual(got, all) {
		t.Errorf("heard %+v instead of %+v", got, all)
	}
}

// expectSome is for what is said to those who join: they may be told more than once.
func (n *node) expectSome(t *testing.T, from *node, want Message) {
	t.Helper()
	got := n.took()
	for _, h := range got {
		if h.From != from.host.ID() || !reflect.DeepEqual(h.Message, want) {
			t.Errorf("heard %+v", h)
		}
	}
	if len(got) == 0 || len(got) > 2 {
		t.Errorf("heard it %d times", len(got))
	}
}

func testTopic(t testing.TB) string { return Topic([]crypto.PubKey{ownerKey(t, 1)}) }

var hello = Message{Boot: 3, No: 4, Heads: []Head{{set("a"), []byte("head of a")}, {set("b"), []byte("head of b")}}}

func TestEveryoneHears(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		var nodes []*node
		for _, h := range hosts {
			nodes = append(nodes, start(t, ctx, h, testTopic(t)))
		}
		time.Sleep(200 * time.Millisecond) // less than a router's heartbeat: there is no mesh yet
		for i, speaker := range nodes {
			m := hello
			m.No = uint64(i)
			speaker.say(t, ctx, m)
			time.Sleep(100 * time.Millisecond)
			for _, n := range nodes {
				if n == speaker {
					n.expect(t, speaker) // nothing
				} else {
					n.expect(t, speaker, m)
				}
			}
		}
		for _, n := range nodes {
			if len(n.joined) != len(nodes)-1 {
				t.Errorf("%d peers joined", len(n.joined))
			}
		}
	})
}

// Nodes that are not connected hear each other through those between them.
func TestPassedOn(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		var nodes []*node
		for i, h := range hosts {
			if i > 0 {
				connect(t, ctx, hosts[i-1], h)
			}
			nodes = append(nodes, start(t, ctx, h, testTopic(t)))
		}
		time.Sleep(2 * time.Second)
		nodes[0].say(t, ctx, hello)
		time.Sleep(time.Second)
		for _, n := range nodes[1:] {
			n.expect(t, nodes[0], hello)
		}
	})
}

// What was said before anyone listened reaches those who join later because the speaker is told of them, also
// if they joined before the speaker itself did.
func TestLateJoiner(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		early := start(t, ctx, hosts[0], testTopic(t))
		time.Sleep(time.Minute)
		speaker := start(t, ctx, hosts[1], testTopic(t))
		speaker.greets(func() { speaker.say(t, ctx, hello) })
		time.Sleep(time.Second)
		early.expectSome(t, speaker, hello)
		if len(early.joined) != 1 || early.joined[speaker.host.ID()] == 0 {
			t.Errorf("joined: %v", early.joined)
		}
		time.Sleep(time.Minute)
		late := start(t, ctx, hosts[2], testTopic(t))
		time.Sleep(time.Second)
		late.expectSome(t, speaker, hello)
	})
}

// A topic of another owner is another room, and one may be in several.
func TestTopicsApart(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		other := Topic([]crypto.PubKey{ownerKey(t, 2)})
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		leave, err := a.Join(other, func(Heard) { t.Error("heard something in the other room") }, func(peer.ID) {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := a.Publish(ctx, other, hello); err != nil {
			t.Error(err)
		}
		b.say(t, ctx, hello)
		time.Sleep(time.Second)
		a.expect(t, b, hello)
		b.expect(t, a)
		leave()
	})
}

func TestJoinRefused(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		n := start(t, ctx, hosts[0], testTopic(t))
		join := func(topic string) error {
			_, err := n.Join(topic, func(Heard) {}, func(peer.ID) {})
			return err
		}
		if err := join(n.topic); !errors.Is(err, ErrJoined) {
			t.Errorf("joined twice: %v", err)
		}
		if err := join("lobby"); !errors.Is(err, ErrTopic) {
			t.Errorf("a foreign name: %v", err)
		}
		if err := n.Publish(ctx, topicNo(1), hello); !errors.Is(err, ErrNotJoined) {
			t.Errorf("published elsewhere: %v", err)
		}
		if err := n.Publish(ctx, n.topic, Message{Heads: make([]Head, MaxHeads+1)}); !errors.Is(err, ErrMalformed) {
			t.Errorf("published too much: %v", err)
		}
		for i := range MaxTopics - 1 {
			if err := join(topicNo(i)); err != nil {
				t.Fatalf("topic %d: %v", i, err)
			}
		}
		if err := join(topicNo(MaxTopics)); !errors.Is(err, ErrTooMany) {
			t.Errorf("topic %d: %v", MaxTopics, err)
		}
	})
}

// All topics a node may have get through to a peer that comes later: they are one frame.
func TestFullHello(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		full := start(t, ctx, hosts[0], topicNo(0))
		for i := 1; i < MaxTopics; i++ {
			if _, err := full.Join(topicNo(i), func(Heard) {}, func(peer.ID) {}); err != nil {
				t.Fatal(err)
			}
		}
		other := start(t, ctx, hosts[1], topicNo(0))
		connectAll(t, ctx, hosts)
		time.Sleep(time.Second)
		other.say(t, ctx, hello)
		full.say(t, ctx, hello)
		time.Sleep(time.Second)
		full.expect(t, other, hello)
		other.expect(t, full, hello)
	})
}

func TestLeave(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		time.Sleep(time.Second)
		b.leave()
		b.leave()
		a.say(t, ctx, hello)
		time.Sleep(time.Second)
		b.expect(t, a) // nothing
		if err := b.Publish(ctx, b.topic, hello); !errors.Is(err, ErrNotJoined) {
			t.Errorf("published after leaving: %v", err)
		}
		b.join(t)
		time.Sleep(50 * time.Millisecond)
		a.say(t, ctx, hello)
		b.say(t, ctx, hello)
		time.Sleep(50 * time.Millisecond)
		a.expect(t, b, hello)
		b.expect(t, a, hello)
	})
}

// A connection that is lost and made again is no reason to be deaf.
func TestReconnected(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		time.Sleep(time.Second)
		if err := hosts[0].Network().ClosePeer(hosts[1].ID()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.say(t, ctx, hello)
		b.greets(func() { b.say(t, ctx, hello) })
		connectAll(t, ctx, hosts)
		time.Sleep(time.Second)
		a.expectSome(t, b, hello)
		b.expect(t, a)
		if a.joined[b.host.ID()] < 2 {
			t.Errorf("joined %v", a.joined)
		}
	})
}

// When one node's stream to another ends while they stay connected, which happens when one of two connections is
// closed, both go on hearing each other, even if the other has nothing to say.
func TestStreamLost(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		time.Sleep(time.Second)
		for _, broken := range [][]host.Host{hosts[:1], hosts[1:], hosts} {
			for _, h := range broken {
				if n := resetStreams(h); n != 1 {
					t.Errorf("%d streams of the router", n)
				}
			}
			time.Sleep(5 * time.Second)
			a.say(t, ctx, hello)
			b.say(t, ctx, hello)
			time.Sleep(time.Second)
			a.expect(t, b, hello)
			b.expect(t, a, hello)
		}
		if a.joined[b.host.ID()] < 4 || b.joined[a.host.ID()] < 4 {
			t.Errorf("joined %v and %v", a.joined, b.joined)
		}
	})
}

// resetStreams ends the router's streams that h has opened.
func resetStreams(h host.Host) (n int) {
	for _, c := range h.Network().Conns() {
		for _, s := range c.GetStreams() {
			if s.Protocol() == ID && s.Stat().Direction == network.DirOutbound {
				s.Reset()
				n++
			}
		}
	}
	return n
}

// After the end of the bus its methods fail, and do not hang.
func TestEnded(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		ctx, cancel := context.WithCancel(ctx)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, t.Context(), hosts[1], testTopic(t))
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		if err := a.Publish(t.Context(), a.topic, hello); err == nil {
			t.Error("published")
		}
		if _, err := a.Join(topicNo(1), func(Heard) {}, func(peer.ID) {}); err == nil {
			t.Error("joined")
		}
		b.say(t, t.Context(), hello)
		time.Sleep(time.Second)
		a.leave()
		a.expect(t, b)
		b.leave()
	})
}
