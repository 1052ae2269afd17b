package swarm

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

const (
	// accounted is the memory in bytes that all connections together may reserve. It is what they may
	// come to use, a quarter of a megabyte for every open stream however idle, and not what they do.
	accounted = 512 << 20
	// accountedPeer is the same for one peer: the windows of its streams at full size.
	accountedPeer = 128 << 20
	// fileStreams is the most streams of one of our protocols to one peer. A transfer uses four; the
	// rest is room for many sets fetched at once.
	fileStreams = 256
	// systemStreams is the most streams there are: 32 for each of 512 connections.
	systemStreams = 16 << 10
	// joinsPerSecond and joinsBurst bound new connections from one address: a lab of 256 nodes behind
	// it may restart at once, after which a flood gets 50 handshakes a second (some 2 % of a core).
	joinsPerSecond, joinsBurst = 50, 256
)

// newResourceManager gives fixed limits: the same on every machine, so that what works in a test works
// outside. maxConns is where the connection manager begins to close idle connections; twice that is
// refused. One address may hold all of them: a lab or an office behind one address is one address.
func newResourceManager(maxConns int, memory int64, files []protocol.ID, measured bool) (network.ResourceManager, error) {
	services := rcmgr.DefaultLimits // a copy; identify, ping and the like get libp2p's own limits
	libp2p.SetDefaultServiceLimits(&services)
	ours := limits(maxConns, files)
	if memory > 0 { // what is reserved is rarely in use
		ours.System.Memory = min(ours.System.Memory, rcmgr.LimitVal64(memory))
	}
	opts := []rcmgr.Option{
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 2 * maxConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 2 * maxConns}}),
		rcmgr.WithConnRateLimiters(newJoinLimiter()),
	}
	if !measured {
		opts = append(opts, rcmgr.WithMetricsDisabled())
	}
	r, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(ours.Build(services.Scale(accounted, 2*maxConns))), opts...)
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	return r, nil
}

func limits(maxConns int, files []protocol.ID) rcmgr.PartialLimitConfig {
	conns := rcmgr.LimitVal(2 * maxConns)
	l := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Streams: systemStreams, StreamsInbound: systemStreams, StreamsOutbound: systemStreams,
			Conns: conns, ConnsInbound: conns, ConnsOutbound: conns, FD: conns, Memory: accounted,
		},
		Transient: rcmgr.ResourceLimits{ // not yet authenticated, or no protocol yet
			Streams: 1024, StreamsInbound: 1024, StreamsOutbound: 1024,
			Conns: joinsBurst, ConnsInbound: joinsBurst, ConnsOutbound: joinsBurst, FD: joinsBurst,
			Memory: accountedPeer,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Streams: 1024, StreamsInbound: 512, StreamsOutbound: 1024,
			// Both ends may dial at once over both transports; crashed ones linger.
			Conns: 16, ConnsInbound: 16, ConnsOutbound: 16, FD: 16, Memory: accountedPeer,
		},
		// Of each of our services: what its protocol may, so that a peer may fetch many sets at once.
		ServiceDefault: rcmgr.ResourceLimits{
			Streams: systemStreams, StreamsInbound: systemStreams, StreamsOutbound: systemStreams, Memory: accounted,
		},
		ServicePeerDefault: rcmgr.ResourceLimits{
			Streams: 2 * fileStreams, StreamsInbound: fileStreams, StreamsOutbound: fileStreams, Memory: accountedPeer,
		},
		Protocol:     make(map[protocol.ID]rcmgr.ResourceLimits, len(files)),
		ProtocolPeer: make(map[protocol.ID]rcmgr.ResourceLimits, len(files)),
	}
	for _, id := range files {
		l.Protocol[id] = rcmgr.ResourceLimits{
			Streams: systemStreams, StreamsInbound: systemStreams, StreamsOutbound: systemStreams, Memory: accounted,
		}
		l.ProtocolPeer[id] = rcmgr.ResourceLimits{
			Streams: 2 * fileStreams, StreamsInbound: fileStreams, StreamsOutbound: fileStreams, Memory: accountedPeer,
		}
	}
	return l
}

// newJoinLimiter bounds how fast one address, or one IPv6 site, opens connections; loopback is exempt.
func newJoinLimiter() *rate.Limiter {
	joins := rate.Limit{RPS: joinsPerSecond, Burst: joinsBurst}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{ // the zero limit is none
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: joins}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: joins}},
			GracePeriod:      time.Minute, // how long an address that is quiet is remembered
		},
	}
}
