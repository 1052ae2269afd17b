// Package swarm builds the libp2p host of a node: TCP with TLS for bulk and QUIC for reach, limits that
// let a lab behind one address work and a flood not, a list of banned peers, and nothing that talks
// to the outside by itself (no relay, no address probing).
//
// TCP is dialled first: moving bulk over TCP with TLS costs a third of the processor time of QUIC. A
// connection that is there already is kept, whatever it is.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	netswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultPort is the port for TCP and UDP.
const DefaultPort = 4581

// DefaultMaxConnections is where idle connections begin to be closed: a swarm of 256 peers is a mesh.
const DefaultMaxConnections = 256

// Config says what New builds. Only Key is needed.
type Config struct {
	Key crypto.PrivKey // the node's identity; Ed25519

	// Listen holds multiaddresses; nil is DefaultListen(DefaultPort), empty but not nil is none.
	Listen []string
	// AnyPort: where a port of Listen is taken, any free one is used; always so when Listen is nil.
	AnyPort bool
	// Announce holds further addresses to tell others, such as the outer side of a port forwarding.
	Announce []string
	// AnnounceLoopback tells loopback addresses to others even if there are better ones.
	AnnounceLoopback bool

	MaxConnections int                   // 0 is DefaultMaxConnections; twice as many are refused
	MaxMemory      int64                 // bytes that all connections together may reserve; 0 is 512 MiB, which is the most
	Bandwidth      metrics.Reporter      // counts bytes by protocol and peer; nil is none
	Metrics        prometheus.Registerer // takes the library's own metrics; nil is none
	UserAgent      string                // what identify tells others, such as "shoal/0.1.0"
	Protocols      []protocol.ID         // those that move files: their limits are raised

	// Routing, if not nil, finds addresses of peers that have none; it is called with the new host.
	Routing func(host.Host) (routing.PeerRouting, error)
	// Options come last; with them tests replace the network.
	Options []libp2p.Option
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger     // nil is none
}

func (c Config) withDefaults() Config {
	if c.Listen == nil {
		c.Listen, c.AnyPort = DefaultListen(DefaultPort), true
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Swarm is a listening host.
type Swarm struct {
	host.Host
	gate  *gate
	moved []Moved
}

// New builds a host and listens; Close ends it. It takes milliseconds and waits for nobody, so ctx is only
// looked at before it begins. Errors: an address that is malformed, or cannot be listened on.
func New(ctx context.Context, cfg Config) (*Swarm, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("new swarm: %w", err)
	}
	if cfg.Key == nil {
		return nil, errors.New("new swarm: no key")
	}
	cfg = cfg.withDefaults()
	listen, err := parse(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("new swarm: listen: %w", err)
	}
	announce, err := parse(cfg.Announce)
	if err != nil {
		return nil, fmt.Errorf("new swarm: announce: %w", err)
	}
	s := &Swarm{gate: newGate(cfg.Now)}
	opts, err := s.options(cfg, announce)
	if err != nil {
		return nil, fmt.Errorf("new swarm: %w", err)
	}
	if s.Host, err = libp2p.New(opts...); err != nil {
		return nil, fmt.Errorf("new swarm: %w", err)
	}
	if s.moved, err = listenAll(s.Network(), listen, cfg.AnyPort); err != nil {
		return nil, errors.Join(fmt.Errorf("new swarm: %w", err), s.Host.Close())
	}
	for _, m := range s.moved {
		cfg.Log.Info("port taken, listening on another", "wanted", m.Wanted, "got", m.Got)
	}
	return s, nil
}

// Moved lists the addresses whose port was taken, with the one used instead.
func (s *Swarm) Moved() []Moved { return s.moved }

// AddrInfo is where others can dial this host.
func (s *Swarm) AddrInfo() peer.AddrInfo { return peer.AddrInfo{ID: s.ID(), Addrs: s.Addrs()} }

// P2pAddrs is AddrInfo as multiaddresses that end in the peer id, as they are typed and printed.
func (s *Swarm) P2pAddrs() []multiaddr.Multiaddr {
	info := s.AddrInfo()
	addrs, err := peer.AddrInfoToP2pAddrs(&info)
	if err != nil {
		return nil // cannot be: our own id is a valid one
	}
	return addrs
}

// Ban closes all connections to p and refuses new ones, in both directions, until d has passed. It is
// forgotten when the host ends.
func (s *Swarm) Ban(p peer.ID, d time.Duration) error {
	s.gate.ban(p, d)
	if err := s.Network().ClosePeer(p); err != nil {
		return fmt.Errorf("ban %s: %w", p, err)
	}
	return nil
}

// Banned tells whether p is refused right now.
func (s *Swarm) Banned(p peer.ID) bool { return s.gate.banned(p) }

// ClearBackoff lets the next dial to p really happen, however often it failed before.
func (s *Swarm) ClearBackoff(p peer.ID) {
	if n, ok := s.Network().(interface{ Backoff() *netswarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
}

func parse(texts []string) ([]multiaddr.Multiaddr, error) {
	addrs := make([]multiaddr.Multiaddr, len(texts))
	for i, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", t, err)
		}
		addrs[i] = a
	}
	return addrs, nil
}
