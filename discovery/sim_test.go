package discovery_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	netswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/shoal-p2p/shoal/discovery"
	"github.com/shoal-p2p/shoal/discovery/dht"
)

// latency is one way.
const latency = 10 * time.Millisecond

// world is a simulated network in virtual time, with a switch on every cable.
type world struct {
	t   *testing.T
	net *simnet.Simnet

	mu  sync.Mutex          // guards cut
	cut map[string]struct{} // addresses whose cable is unplugged
}

// simulate runs a test in a bubble of virtual time. The bubble ends when every goroutine in it has, so
// whatever the test leaves running fails it.
func simulate(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, net: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(latency), Logger: slog.New(slog.DiscardHandler)},
			cut: make(map[string]struct{}),
		}
		w.net.Start()
		defer w.net.Close()
		test(w)
	})
}

// unplug cuts the cable of a host in both directions, silently; plug repairs it.
func (w *world) unplug(n *node) { w.set(n, true) }
func (w *world) plug(n *node)   { w.set(n, false) }

func (w *world) set(n *node, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.cut, n.addr.String()); cut {
		w.cut[n.addr.String()] = struct{}{}
	}
}

func (w *world) lost(a, b net.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, x := w.cut[a.String()]
	_, y := w.cut[b.String()]
	return x || y
}

// cable drops what is sent while either end is unplugged.
type cable struct {
	net.PacketConn
	w *world
}

func (c cable) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.w.lost(c.LocalAddr(), to) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, to)
}

// node is a host with everything of discovery running on it.
type node struct {
	host.Host
	addr   *net.UDPAddr
	dht    *dht.DHT
	ann    *discovery.Announcements
	redial *discovery.Redial
	stop   func()
}

type clearer struct{ h host.Host }

func (c clearer) ClearBackoff(p peer.ID) { c.h.Network().(*netswarm.Swarm).Backoff().Clear(p) }

// start boots node number i, the same identity and address each time, knowing only bootstrap.
func (w *world) start(i int, bootstrap ...peer.AddrInfo) *node {
	w.t.Helper()
	n := &node{addr: &net.UDPAddr{IP: simnet.IntToPublicIPv4(i), Port: 8000}}
	n.Host = w.host(i, n.addr)
	random := rand.New(rand.NewPCG(1, uint64(i)))
	d, err := dht.New(w.t.Context(), n.Host, dht.Options{
		Bootstrap: func() []peer.AddrInfo { return bootstrap }, Server: true,
		Joined:       func() { n.ann.Nudge() },
		ClearBackoff: clearer{n.Host}.ClearBackoff,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.dht = d
	n.ann = discovery.NewAnnouncements(d, random.Float64, slog.New(slog.DiscardHandler))
	n.redial = discovery.NewRedial(n.Host, clearer{n.Host}, rand.Float64, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{d.Run, n.ann.Run, n.redial.Run} {
		running.Go(func() { run(ctx) })
	}
	n.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		d.Close()
		n.Host.Close()
	})
	return n
}

func (w *world) host(i int, addr *net.UDPAddr) host.Host {
	w.t.Helper()
	seed := [32]byte{byte(i)}
	key, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	quicOptions := []quicreuse.Option{
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP{addr.IP}, nil }),
		quicreuse.OverrideListenUDP(func(string, *net.UDPAddr) (net.PacketConn, error) {
			return cable{w.net.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}), w}, nil
		}),
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.ListenAddrStrings("/ip4/"+addr.IP.String()+"/udp/8000/quic-v1"),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.QUICReuse(newConnManager, quicOptions...),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.UDPBlackHoleSuccessCounter(nil), // as the real node has it; else UDP is given up after 100 failures
		libp2p.DisableIdentifyAddressDiscovery(), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func newConnManager(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, o ...quicreuse.Option) (*quicreuse.ConnManager, error) {
	m, err := quicreuse.NewConnManager(reset, token, o...)
	if err == nil {
		l.Append(fx.StopHook(m.Close))
	}
	return m, err
}

type sourceIP struct{ ip net.IP }

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return s.ip, nil }

// info is what others are told to reach a node.
func (n *node) info() peer.AddrInfo {
	return peer.AddrInfo{ID: n.ID(), Addrs: []multiaddr.Multiaddr{
		multiaddr.StringCast("/ip4/" + n.addr.IP.String() + "/udp/8000/quic-v1"),
	}}
}

func key(text string) cid.Cid {
	h, _ := mh.Sum([]byte(text), mh.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, h)
}

// find returns how long n takes to hear that want holds k with an address, or fails after limit.
func (w *world) find(n *node, k cid.Cid, want *node, limit time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	found := discovery.Merge(n.dht).Providers(ctx, k)
	defer func() {
		cancel()
		for range found {
		}
	}()
	for info := range found {
		if info.ID == n.ID() {
			w.t.Error("a node found itself")
		}
		if info.ID == want.ID() && len(info.Addrs) > 0 {
			return time.Since(start)
		}
	}
	w.t.Fatalf("not found within %v", limit)
	return 0
}
