package link

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/shoal-p2p/shoal/node/swarm"
)

const sink = protocol.ID("/test/sink")

// newHost is the host of a node on a bed: it echoes four bytes, and swallows what follows.
func newHost(t testing.TB, b *Bed) host.Host {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	cfg := swarm.Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Protocols: []protocol.ID{sink}}
	if b != nil {
		cfg.Options = b.Options()
	}
	h, err := swarm.New(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	h.SetStreamHandler(sink, func(s network.Stream) {
		defer s.Close()
		if _, err := io.CopyN(s, s, 4); err == nil {
			io.Copy(io.Discard, s)
		}
	})
	return h
}

// address is where h listens, as a plan names it.
func address(t testing.TB, h host.Host) string {
	t.Helper()
	a, err := manet.ToNetAddr(h.Addrs()[0])
	must(t, err)
	return a.String()
}

func newBed(p Plan) *Bed {
	b := &Bed{log: quiet}
	b.apply(p)
	return b
}

// echo opens a stream from one to the other.
func echo(t testing.TB, from, to host.Host) network.Stream {
	t.Helper()
	s, err := from.NewStream(t.Context(), to.ID(), sink)
	must(t, err)
	must(t, errors.Join(second(s.Write([]byte("ping"))), second(io.ReadFull(s, make([]byte, 4)))))
	return s
}

// roundTrip is how long four bytes need there and back on a new stream; the best of some, for the machine may be busy.
func roundTrip(t testing.TB, from, to host.Host) time.Duration {
	t.Helper()
	best := time.Hour
	for range 6 { // the first has to agree on the protocol
		start := time.Now()
		s := echo(t, from, to)
		best = min(best, time.Since(start))
		must(t, s.Close())
	}
	return best
}

func second(_ int, err error) error { return err }

// TestHosts: two hosts of nodes over real TCP and TLS see the latency that their plan says, also when it changes, and
// when it does not concern the other way.
func TestHosts(t *testing.T) {
	server := newHost(t, newBed(Plan{}))
	peers := map[string]string{address(t, server): "server"}
	late := map[string]Rule{"server": {Latency: 20 * time.Millisecond}}
	b := newBed(Plan{Peers: peers, Out: late, In: late})
	client := newHost(t, b)
	must(t, client.Connect(t.Context(), *host.InfoFromHost(server)))
	for _, c := range client.Network().Conns() {
		if c.ConnState().Transport != "tcp" || c.ConnState().Security != "/tls/1.0.0" {
			t.Errorf("connected over %+v", c.ConnState())
		}
	}
	if took := roundTrip(t, client, server); took < 40*time.Millisecond || took > 60*time.Millisecond {
		t.Errorf("a round trip of 40 ms took %v", took)
	}
	b.apply(Plan{Peers: peers, Out: late})
	if took := roundTrip(t, client, server); took < 20*time.Millisecond || took > 40*time.Millisecond {
		t.Errorf("a round trip of 20 ms took %v", took)
	}
	b.apply(Plan{Peers: peers})
	if took := roundTrip(t, server, client); took > 20*time.Millisecond {
		t.Errorf("a round trip without delay took %v", took)
	}
}

// TestDialThroughCut: a dial through a cut, in whichever direction, waits: for its context, or for healing.
func TestDialThroughCut(t *testing.T) {
	server := newHost(t, newBed(Plan{}))
	peers := map[string]string{address(t, server): "server"}
	cut := map[string]Rule{"server": {Cut: true}}
	for name, p := range map[string]Plan{"there": {Peers: peers, Out: cut}, "back": {Peers: peers, In: cut}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(p)
			client := newHost(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := client.Connect(ctx, *host.InfoFromHost(server)); err == nil {
				t.Fatal("connected through a cut")
			}
			if ctx.Err() == nil {
				t.Error("the dial failed before its context ended")
			}
			healed := time.AfterFunc(100*time.Millisecond, func() { b.apply(Plan{}) })
			defer healed.Stop()
			must(t, client.Connect(network.WithForceDirectDial(t.Context(), "the last failed"), *host.InfoFromHost(server)))
		})
	}
}

func TestCanDial(t *testing.T) {
	for addr, want := range map[string]bool{"/ip4/127.0.0.1/tcp/1": true, "/ip6/::1/tcp/1": true, "/ip4/127.0.0.1/udp/1/quic-v1": false,
		"/ip4/127.0.0.1/tcp/1/ws": false, "/dns4/example.org/tcp/1": false, "/ip4/127.0.0.1/udp/1": false, "/ip4/127.0.0.1": false} {
		if got := (&tcp{}).CanDial(multiaddr.StringCast(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// BenchmarkHosts moves bytes between two hosts over loopback. Plain against libp2p shows what the bed costs; a rate is to be
// kept within 5 %.
func BenchmarkHosts(b *testing.B) {
	const mbit = 1_000_000 / 8
	for _, tt := range []struct {
		name string
		plan *Plan
		rate int64
	}{
		{name: "libp2p"}, {name: "plain", plan: &Plan{}},
		{name: "late", plan: &Plan{Out: map[string]Rule{"server": {Latency: time.Millisecond}}}},
		{name: "link 100Mbit", plan: &Plan{Out: map[string]Rule{"server": {Rate: 100 * mbit}}}, rate: 100 * mbit},
		{name: "link 1Gbit", plan: &Plan{Out: map[string]Rule{"server": {Rate: 1000 * mbit}}}, rate: 1000 * mbit},
		{name: "up 1Gbit", plan: &Plan{Up: 1000 * mbit}, rate: 1000 * mbit},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var near, far *Bed
			if tt.plan != nil {
				far, near = newBed(Plan{}), newBed(*tt.plan)
			}
			server := newHost(b, far)
			if near != nil {
				tt.plan.Peers = map[string]string{address(b, server): "server"}
				near.apply(*tt.plan)
			}
			client := newHost(b, near)
			must(b, client.Connect(b.Context(), *host.InfoFromHost(server)))
			s := echo(b, client, server)
			buf := make([]byte, 1<<20)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				must(b, second(s.Write(buf)))
			}
			if tt.rate > 0 {
				b.ReportMetric(100*float64(b.N*len(buf))/b.Elapsed().Seconds()/float64(tt.rate), "%ofrate")
			}
			s.Reset()
		})
	}
}
