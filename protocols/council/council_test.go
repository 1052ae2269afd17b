package council

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

const topic = "/shoal/ctl/1/0123456789abcdef0123456789abcdef"

// node is a Handler of one set, that says what it is told to.
type node struct {
	set     cid.Cid
	version uint64
	seats   []Seat
	err     error // instead of heads, and after the outcomes
	hang    bool  // after the outcomes, until the asker is gone
	tells   []Outcome
	frames  chan said
	gone    chan error // what ctx said when a proposal had been answered
}

type said struct {
	from peer.ID
	Frame
}

func newNode() *node {
	return &node{set: set("photos"), frames: make(chan said, 10000), gone: make(chan error, 100)}
}

func (n *node) Frame(from peer.ID, f Frame) { n.frames <- said{from, f} }

func (n *node) Table(_ peer.ID, name string, since uint64) (uint64, []Seat, bool) {
	if name != topic {
		return 0, nil, false
	}
	return n.version, slices.DeleteFunc(slices.Clone(n.seats), func(s Seat) bool { return s.Version <= since }), true
}

func (n *node) Heads(_ peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error) {
	if n.err != nil {
		return nil, n.err
	}
	if !set.Equals(n.set) {
		return nil, ErrNotFound
	}
	var out [][]byte
	for _, id := range ids {
		out = append(out, []byte("head "+id.String()))
	}
	return out[:len(out)-1], nil // it lacks the last one
}

func (n *node) Propose(ctx context.Context, _ peer.ID, set cid.Cid, sealed []byte, tell func(Outcome) error) error {
	defer func() { n.gone <- ctx.Err() }()
	if !set.Equals(n.set) {
		return ErrNotFound
	}
	for _, o := range n.tells {
		if o.Code == Accepted {
			o.Head = sealed
		}
		if err := tell(o); err != nil {
			return err
		}
	}
	if n.hang {
		<-ctx.Done()
	}
	return n.err
}

// expect hears one frame.
func (n *node) expect(t *testing.T, from host.Host, payload string) {
	t.Helper()
	select {
	case f := <-n.frames:
		if f.from != from.ID() || !f.Set.Equals(n.set) || string(f.Instance) != string(instance) || string(f.Payload) != payload {
			t.Fatalf("heard %q of %v from %q instead of %q", f.Payload, f.Set, f.Instance, payload)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q is not heard", payload)
	}
}

func (n *node) frame(payload string) Frame { return Frame{n.set, instance, []byte(payload)} }

// pair is two connected hosts on loopback over TCP; the second serves.
type pair struct {
	asker, server host.Host
	client        *Client
	node          *node
	stop          func() // the serving
}

func newPair(t testing.TB) *pair {
	t.Helper()
	var hosts []host.Host
	for range 2 {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableRelay())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		hosts = append(hosts, h)
	}
	p := &pair{asker: hosts[0], server: hosts[1], client: New(hosts[0], quiet), node: newNode()}
	t.Cleanup(p.client.Close)
	p.serve(t)
	p.connect(t)
	return p
}

func (p *pair) serve(t testing.TB) {
	p.stop = sync.OnceFunc(Register(p.server, p.node, quiet))
	t.Cleanup(p.stop)
}

func (p *pair) connect(t testing.TB) {
	t.Helper()
	if err := p.asker.Connect(t.Context(), peer.AddrInfo{ID: p.server.ID(), Addrs: p.server.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// streams counts the asker's open streams of the protocol.
func (p *pair) streams() (n int) {
	for _, c := range p.asker.Network().ConnsToPeer(p.server.ID()) {
		for _, s := range c.GetStreams() {
			if s.Protocol() == ID {
				n++
			}
		}
	}
	return n
}

func TestFrames(t *testing.T) {
	p := newPair(t)
	back := New(p.server, quiet)
	other := newNode()
	stop := Register(p.asker, other, quiet)
	defer stop()
	for i := range 1000 {
		p.client.Send(p.server.ID(), p.node.frame(fmt.Sprint("vote ", i)))
		back.Send(p.asker.ID(), other.frame(fmt.Sprint("ack ", i)))
	}
	for i := range 1000 {
		p.node.expect(t, p.asker, fmt.Sprint("vote ", i))
		other.expect(t, p.server, fmt.Sprint("ack ", i))
	}
	if n := p.streams(); n != 2 {
		t.Errorf("%d streams, want one in each direction", n)
	}
	p.client.Send(p.server.ID(), Frame{p.node.set, nil, nil}) // is not sent
	p.client.Send(p.server.ID(), p.node.frame(""))
	p.node.expect(t, p.asker, "")
	back.Close()
}

// What was sent before Close still arrives: a node's last word gives its role away.
func TestCloseSendsWhatWaits(t *testing.T) {
	p := newPair(t)
	for range 100 {
		p.client.Send(p.server.ID(), p.node.frame("handover"))
	}
	p.client.Close()
	for range 100 {
		p.node.expect(t, p.asker, "handover")
	}
	p.client.Send(p.server.ID(), p.node.frame("too late"))
	p.client.Close()
	if n := len(p.client.lines); n > 1 {
		t.Errorf("%d lines", n)
	}
}

// Frames go out on a connection that there is, and never make one.
func TestFramesDoNotDial(t *testing.T) {
	p := newPair(t)
	if err := p.asker.Network().ClosePeer(p.server.ID()); err != nil {
		t.Fatal(err)
	}
	p.client.Send(p.server.ID(), p.node.frame("lost"))
	p.client.Send(somebody(1), p.node.frame("lost"))
	p.client.Send(p.asker.ID(), p.node.frame("lost"))
	p.client.Close() // they have been tried
	if n := len(p.asker.Network().Peers()); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// A line whose stream has ended finds another one, without a word to its user.
func TestLineIsReopened(t *testing.T) {
	p := newPair(t)
	say := func(word string) {
		t.Helper()
		p.client.Send(p.server.ID(), p.node.frame(word))
		p.node.expect(t, p.asker, word)
	}
	say("first")
	p.stop()
	// The end of the stream has come to the asker when this answer, which is behind it, has.
	if _, err := p.client.Heads(t.Context(), p.server.ID(), p.node.set, []cid.Cid{set("a")}); err == nil {
		t.Fatal("the server goes on")
	}
	p.serve(t)
	say("after the server started again")
	gone := make(chan struct{}, 10)
	p.asker.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { gone <- struct{}{} }})
	if err := p.server.Network().ClosePeer(p.asker.ID()); err != nil {
		t.Fatal(err)
	}
	<-gone
	p.connect(t)
	say("over another connection")
}

func TestTable(t *testing.T) {
	p := newPair(t)
	for i := range 1000 {
		p.node.seats = append(p.node.seats, Seat{set(fmt.Sprint(i)), uint64(i + 1), make([]byte, 300)})
	}
	p.node.version = 1007
	version, seats, err := p.client.Table(t.Context(), p.server.ID(), topic, 0)
	if err != nil || version != 1007 || !reflect.DeepEqual(seats, p.node.seats) {
		t.Errorf("%d seats of version %d, %v", len(seats), version, err)
	}
	version, seats, err = p.client.Table(t.Context(), p.server.ID(), topic, 990)
	if err != nil || version != 1007 || !reflect.DeepEqual(seats, p.node.seats[990:]) {
		t.Errorf("%d seats of version %d, %v", len(seats), version, err)
	}
	if version, seats, err = p.client.Table(t.Context(), p.server.ID(), topic, 5000); err != nil || version != 1007 || len(seats) != 0 {
		t.Errorf("%d seats of version %d, %v", len(seats), version, err)
	}
	if _, _, err := p.client.Table(t.Context(), p.server.ID(), "/another", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("another topic: %v", err)
	}
	p.node.version = 5 // below its seats
	if _, _, err := p.client.Table(t.Context(), p.server.ID(), topic, 0); !errors.Is(err, ErrRemote) {
		t.Errorf("a table that cannot be: %v", err)
	}
}

func TestHeads(t *testing.T) {
	p := newPair(t)
	ids := []cid.Cid{set("a"), set("b"), set("c")}
	heads, err := p.client.Heads(t.Context(), p.server.ID(), p.node.set, ids)
	if err != nil || len(heads) != 2 || string(heads[1]) != "head "+ids[1].String() {
		t.Errorf("%q, %v", heads, err)
	}
	if _, err := p.client.Heads(t.Context(), p.server.ID(), set("another"), ids); !errors.Is(err, ErrNotFound) {
		t.Errorf("another set: %v", err)
	}
	p.node.err = errors.New("disk on fire")
	if _, err := p.client.Heads(t.Context(), p.server.ID(), p.node.set, ids); !errors.Is(err, ErrRemote) {
		t.Errorf("failing node: %v", err)
	}
	if _, err := p.client.Heads(t.Context(), p.server.ID(), p.node.set, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no ids: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.client.Heads(ctx, p.server.ID(), p.node.set, ids); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPropose(t *testing.T) {
	p := newPair(t)
	propose := func(set cid.Cid) (got []Outcome, err error) {
		err = p.client.Propose(t.Context(), p.server.ID(), set, []byte("proposal"), func(o Outcome) error {
			got = append(got, o)
			return nil
		})
		<-p.node.gone
		return got, err
	}
	p.node.tells = []Outcome{{Code: Accepted, Holders: 1}, {Code: Durable, Holders: 2, On: []peer.ID{p.server.ID(), somebody(3)}}}
	want := slices.Clone(p.node.tells)
	want[0].Head = []byte("proposal")
	if got, err := propose(p.node.set); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	p.node.tells = []Outcome{{Code: Refused, Primary: somebody(7), Text: "not me"}}
	if got, err := propose(p.node.set); err != nil || !reflect.DeepEqual(got, p.node.tells) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := propose(set("another")); !errors.Is(err, ErrNotFound) || got != nil {
		t.Errorf("another set: %+v, %v", got, err)
	}
	p.node.err = errors.New("disk on fire")
	if got, err := propose(p.node.set); !errors.Is(err, ErrRemote) || len(got) != 1 {
		t.Errorf("failing node: %+v, %v", got, err)
	}
	p.node.tells, p.node.err = nil, nil
	if got, err := propose(p.node.set); err == nil {
		t.Errorf("no outcome: %+v", got)
	}
	p.node.tells = slices.Repeat([]Outcome{{Code: Accepted}}, MaxOutcomes+1)
	if got, err := propose(p.node.set); !errors.Is(err, ErrRemote) || len(got) != MaxOutcomes {
		t.Errorf("endless outcomes: %d, %v", len(got), err)
	}
}

// An asker that has enough, or is gone, ends the proposal at the other side. A lost connection is never taken for the end
// of the outcomes.
func TestProposeEnds(t *testing.T) {
	fed := errors.New("fed up")
	for name, test := range map[string]struct {
		act  func(p *pair, cancel func()) error
		want error
	}{
		"callback":       {func(*pair, func()) error { return fed }, fed},
		"asker is lost":  {func(p *pair, _ func()) error { return p.asker.Network().ClosePeer(p.server.ID()) }, nil},
		"server is lost": {func(p *pair, _ func()) error { return p.server.Network().ClosePeer(p.asker.ID()) }, nil},
		"context":        {func(_ *pair, cancel func()) error { cancel(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.node.tells, p.node.hang = []Outcome{{Code: Accepted, Holders: 1}}, true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := p.client.Propose(ctx, p.server.ID(), p.node.set, []byte("proposal"), func(Outcome) error { return test.act(p, cancel) })
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			select {
			case err := <-p.node.gone:
				if err == nil {
					t.Error("the node's context goes on")
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the node goes on")
			}
		})
	}
}

// Taking the protocol down ends what hangs, and waits for it.
func TestStopEndsEverything(t *testing.T) {
	p := newPair(t)
	p.node.tells, p.node.hang = []Outcome{{Code: Accepted}}, true
	p.client.Send(p.server.ID(), p.node.frame("hello"))
	p.node.expect(t, p.asker, "hello")
	err := p.client.Propose(t.Context(), p.server.ID(), p.node.set, []byte("proposal"), func(Outcome) error {
		go p.stop()
		return nil
	})
	if err == nil || t.Context().Err() != nil {
		t.Errorf("%v", err)
	}
	p.stop()
	if err := <-p.node.gone; err == nil {
		t.Error("the node's context goes on")
	}
}
