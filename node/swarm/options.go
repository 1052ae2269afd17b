package swarm

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

const (
	// maxMessage is the most bytes of one yamux frame: an average block, so that it is one write, one
	// wake-up and one system call rather than four.
	maxMessage = 256 << 10
	// maxWindow is the most bytes a yamux stream holds for a reader that is late. Four streams to a
	// peer then hold at most 16 MiB, and one stream still moves 80 MB/s over 50 ms.
	maxWindow = 4 << 20
	// grace is how long a new connection is safe from the connection manager.
	grace = 20 * time.Second
	// dialTimeout bounds a dial to one address.
	dialTimeout = 10 * time.Second
)

// options lists everything the host consists of.
func (s *Swarm) options(cfg Config, announce []multiaddr.Multiaddr) ([]libp2p.Option, error) {
	limits, err := newResourceManager(cfg.MaxConnections, cfg.MaxMemory, cfg.Protocols, cfg.Metrics != nil)
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(cfg.MaxConnections*3/4, cfg.MaxConnections, connmgr.WithGracePeriod(grace))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	mux := *yamux.DefaultTransport.Config()
	mux.MaxMessageSize, mux.MaxStreamWindowSize = maxMessage, maxWindow
	opts := []libp2p.Option{
		libp2p.Identity(cfg.Key),
		libp2p.UserAgent(cfg.UserAgent),
		libp2p.NoListenAddrs, // New listens itself: only so a taken port is noticed
		// Without port sharing: with it a second node would bind the same port and take turns.
		libp2p.NoTransports,
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Security(libp2ptls.ID, newCorkedTLS), // first: preferred
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, (*yamux.Transport)(&mux)),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
		libp2p.WithDialTimeout(dialTimeout),
		// No guessing that UDP or IPv6 is dead after 100 failed dials: ours are to the same few peers, of
		// which some are away for days, and the guess would keep us from the others too.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(s.gate),
		libp2p.AddrsFactory(func(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
			return slices.Concat(dialable(addrs, cfg.AnnounceLoopback), announce)
		}),
		libp2p.Ping(true),
		libp2p.DisableRelay(),
		libp2p.ForceReachabilityPublic(), // nobody is asked to dial us back
		libp2p.DisableIdentifyAddressDiscovery(),
	}
	if cfg.Metrics != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(cfg.Metrics))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	if cfg.Bandwidth != nil {
		opts = append(opts, libp2p.BandwidthReporter(cfg.Bandwidth))
	}
	if cfg.Routing != nil {
		opts = append(opts, libp2p.Routing(cfg.Routing))
	}
	return append(opts, cfg.Options...), nil
}
