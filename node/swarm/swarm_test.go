package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newSwarm builds a swarm that the test closes; with a fresh key, and on loopback unless cfg says more.
func newSwarm(t testing.TB, cfg Config) *Swarm {
	t.Helper()
	if cfg.Key == nil {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key = key
	}
	if cfg.Listen == nil {
		cfg.Listen = loopback()
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func loopback() []string { return []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} }

func connect(t testing.TB, from, to *Swarm) network.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := from.Connect(ctx, to.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	return from.Network().ConnsToPeer(to.ID())[0]
}

func has(a multiaddr.Multiaddr, code int) bool {
	_, err := a.ValueForProtocol(code)
	return err == nil
}

func TestTCPWithTLSIsPreferred(t *testing.T) {
	c := connect(t, newSwarm(t, Config{}), newSwarm(t, Config{}))
	state := c.ConnState()
	if !has(c.RemoteMultiaddr(), multiaddr.P_TCP) || state.Security != "/tls/1.0.0" ||
		state.StreamMultiplexer != "/yamux/1.0.0" || !state.UsedEarlyMuxerNegotiation {
		t.Errorf("connected over %s, %+v", c.RemoteMultiaddr(), state)
	}
}

func TestBothTransportsCarryBytes(t *testing.T) {
	const id = protocol.ID("/echo/1")
	for _, listen := range loopback() {
		a, b := newSwarm(t, Config{}), newSwarm(t, Config{Listen: []string{listen}})
		b.SetStreamHandler(id, func(s network.Stream) {
			io.Copy(s, s)
			s.Close()
		})
		connect(t, a, b)
		s, err := a.NewStream(t.Context(), b.ID(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 3<<20+7)
		rand.Read(want)
		go func() {
			s.Write(want)
			s.CloseWrite()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: echoed %d of %d bytes: %v", listen, len(got), len(want), err)
		}
		if r := <-ping.Ping(t.Context(), a, b.ID()); r.Error != nil {
			t.Errorf("%s: ping: %v", listen, r.Error)
		}
	}
}

func TestManyConnectionsFromOneAddress(t *testing.T) {
	hub := newSwarm(t, Config{})
	for range 64 {
		connect(t, newSwarm(t, Config{Listen: []string{}}), hub)
	}
	if n := len(hub.Network().Peers()); n != 64 {
		t.Errorf("%d peers are connected, want 64", n)
	}
}

func TestBanClosesAndRefuses(t *testing.T) {
	var ahead atomic.Int64 // of the clock of a
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	a, b := newSwarm(t, Config{Now: clock}), newSwarm(t, Config{})
	connect(t, a, b)
	gone, err := b.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if err := a.Ban(b.ID(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := a.Network().Connectedness(b.ID()); n == network.Connected || !a.Banned(b.ID()) {
		t.Errorf("after the ban: %s", n)
	}
	for e := range gone.Out() { // the other side sees it too
		if e.(event.EvtPeerConnectednessChanged).Connectedness == network.NotConnected {
			break
		}
	}
	if err := a.Connect(t.Context(), b.AddrInfo()); err == nil {
		t.Error("the banning host could dial")
	}
	// The banned one may see the connection for a moment: the dialler's handshake ends first.
	if err := b.Connect(t.Context(), a.AddrInfo()); err == nil {
		for e := range gone.Out() {
			if e.(event.EvtPeerConnectednessChanged).Connectedness == network.NotConnected {
				break
			}
		}
	}
	if len(a.Network().ConnsToPeer(b.ID())) != 0 {
		t.Error("the banned host could dial")
	}
	ahead.Store(int64(time.Minute))
	a.ClearBackoff(b.ID())
	connect(t, a, b)
}

func TestGateIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	g := newGate(func() time.Time { return now })
	id := func(i int) peer.ID { return peer.ID(fmt.Sprint("peer ", i)) }
	for i := range maxBans + 1 {
		g.ban(id(i), time.Hour+time.Duration(i))
	}
	if len(g.until) != maxBans || g.banned(id(0)) || !g.banned(id(maxBans)) {
		t.Errorf("%d bans, the shortest kept: %v", len(g.until), g.banned(id(0)))
	}
	g.ban(id(1), time.Second) // never shortens
	if now = now.Add(time.Minute); !g.banned(id(1)) {
		t.Error("a second ban shortened the first")
	}
	if now = now.Add(time.Hour); g.banned(id(maxBans)) {
		t.Error("a ban does not end")
	}
	if g.ban(id(0), time.Hour); len(g.until) != 1 {
		t.Errorf("%d bans are kept after they ended", len(g.until)-1)
	}
}

func TestTakenPortMoves(t *testing.T) {
	first := newSwarm(t, Config{})
	taken := make([]string, 0, 2)
	for _, a := range first.Network().ListenAddresses() {
		taken = append(taken, a.String())
	}
	second := newSwarm(t, Config{Listen: taken, AnyPort: true})
	if n := len(second.Moved()); n != 2 {
		t.Fatalf("%d addresses moved, want 2: %v", n, second.Network().ListenAddresses())
	}
	for _, m := range second.Moved() {
		if m.Wanted.Equal(m.Got) || !slices.ContainsFunc(second.Addrs(), m.Got.Equal) {
			t.Errorf("%s moved to %s, which is not among %s", m.Wanted, m.Got, second.Addrs())
		}
	}
	connect(t, first, second)

	key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
	if _, err := New(t.Context(), Config{Key: key, Listen: taken}); err == nil || !strings.Contains(err.Error(), taken[0]) {
		t.Errorf("a taken port without AnyPort: %v", err)
	}
	if _, err := New(t.Context(), Config{Key: key, Listen: []string{"nonsense"}}); err == nil {
		t.Error("a malformed address was accepted")
	}
}

// Options replace the network: the same host runs on a simulated one, in virtual time.
func TestSimulatedNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(10 * time.Millisecond)}
		sim.Start()
		defer sim.Close()
		link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
		var hosts [2]*Swarm
		for i := range hosts {
			key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
			s, err := New(t.Context(), Config{
				Key: key, Listen: []string{fmt.Sprintf("/ip4/1.0.0.%d/udp/8000/quic-v1", i+1)},
				Options: []libp2p.Option{simlibp2p.QUICSimnet(sim, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hosts[i] = s
		}
		start := time.Now()
		connect(t, hosts[0], hosts[1])
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("connected after %v of virtual time", took)
		}
	})
}

func TestStartIsFast(t *testing.T) {
	best := time.Hour
	for range 5 { // the best of five: the machine is shared
		start := time.Now()
		newSwarm(t, Config{})
		best = min(best, time.Since(start))
	}
	if t.Logf("a host starts in %v", best); best > 50*time.Millisecond {
		t.Errorf("a host starts in %v, want under 50ms", best)
	}
}

func TestLimitsOfOneAddress(t *testing.T) {
	const max = 20 // connections: 40 are the limit
	for name, addr := range map[string]string{"4": "/ip4/10.1.2.3/tcp/99", "6": "/ip6/fd00::1/tcp/99"} {
		r, err := newResourceManager(max, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		opened := 0
		for range 3 * max {
			if _, err := r.OpenConnection(network.DirInbound, true, multiaddr.StringCast(addr)); err == nil {
				opened++
			} else if !errors.Is(err, network.ErrResourceLimitExceeded) {
				t.Logf("refused by %v", err)
			}
		}
		if opened != 2*max {
			t.Errorf("IPv%s: one address opened %d connections, want %d", name, opened, 2*max)
		}
	}
}

func TestStreamLimitsOfOurProtocols(t *testing.T) {
	const ours, other = protocol.ID("/ours/1"), protocol.ID("/other/1")
	r, err := newResourceManager(DefaultMaxConnections, 0, []protocol.ID{ours}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// 64 grow a little with the accounted memory.
	for id, most := range map[protocol.ID]int{ours: fileStreams, other: 80} {
		opened := 0
		for range 2 * fileStreams {
			s, err := r.OpenStream("peer", network.DirInbound)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Done()
			if s.SetProtocol(id) == nil {
				opened++
			} else {
				s.Done()
			}
		}
		if opened > most || opened < most/2 || id == ours && opened != most {
			t.Errorf("%s: a peer opened %d streams, want %d", id, opened, most)
		}
	}
}

func TestRankDials(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		addr  string
		delay time.Duration
	}{
		{"/ip6/fd00::1/tcp/1", 0}, {"/ip4/10.0.0.1/tcp/1", 100 * ms}, {"/ip4/10.0.0.2/tcp/1", 100 * ms},
		{"/ip6/fd00::1/udp/1/quic-v1", 300 * ms}, {"/ip4/10.0.0.1/udp/1/quic-v1", 400 * ms},
		{"/ip4/8.8.8.8/tcp/1", 0}, {"/ip4/8.8.8.8/udp/1/quic-v1", 500 * ms},
	} {
		addrs := []multiaddr.Multiaddr{}
		for _, a := range []string{
			"/ip4/8.8.8.8/udp/1/quic-v1", "/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/10.0.0.1/tcp/1", "/ip6/fd00::1/udp/1/quic-v1",
			"/ip4/8.8.8.8/tcp/1", "/ip6/fd00::1/tcp/1", "/ip4/10.0.0.2/tcp/1",
		} {
			addrs = append(addrs, multiaddr.StringCast(a))
		}
		ranked := rankDials(addrs)
		if len(ranked) != len(addrs) {
			t.Fatalf("%d of %d addresses ranked", len(ranked), len(addrs))
		}
		if !slices.IsSortedFunc(ranked, func(x, y network.AddrDelay) int { return int(x.Delay - y.Delay) }) {
			t.Error("not in order of delay")
		}
		for _, r := range ranked {
			if r.Addr.String() == c.addr && r.Delay != c.delay {
				t.Errorf("%s is dialled after %v, want %v", c.addr, r.Delay, c.delay)
			}
		}
	}
}

func TestDialable(t *testing.T) {
	loop, lan := multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"), multiaddr.StringCast("/ip4/10.0.0.1/tcp/1")
	for _, c := range []struct {
		in       []multiaddr.Multiaddr
		loopback bool
		want     int
	}{
		{[]multiaddr.Multiaddr{loop, lan}, false, 1}, {[]multiaddr.Multiaddr{loop, lan}, true, 2},
		{[]multiaddr.Multiaddr{loop}, false, 1}, {nil, false, 0},
	} {
		if got := dialable(c.in, c.loopback); len(got) != c.want {
			t.Errorf("dialable(%s, %v) = %s", c.in, c.loopback, got)
		}
	}
	s := newSwarm(t, Config{Announce: []string{"/ip4/8.8.8.8/tcp/4581"}})
	if n := len(s.P2pAddrs()); n != 3 || !strings.HasSuffix(s.P2pAddrs()[0].String(), s.ID().String()) {
		t.Errorf("addresses: %s", s.P2pAddrs())
	}
}

// A bound of memory refuses what would reserve more.
func TestMaxMemory(t *testing.T) {
	r, err := newResourceManager(DefaultMaxConnections, 1<<20, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.ViewSystem(func(s network.ResourceScope) error {
		if err := s.ReserveMemory(1<<20-1, network.ReservationPriorityAlways); err != nil {
			t.Errorf("within the bound: %v", err)
		}
		return s.ReserveMemory(1<<20, network.ReservationPriorityAlways)
	})
	if !errors.Is(err, network.ErrResourceLimitExceeded) {
		t.Errorf("beyond the bound: %v", err)
	}
}
