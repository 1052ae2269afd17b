package link

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// connectTimeout bounds a dial that gets no answer, as libp2p's own TCP does.
	connectTimeout = 5 * time.Second
	// keepAlive is the period of TCP's own questions whether the other end is there, as in libp2p's own TCP.
	keepAlive = 30 * time.Second
	// socketBuffer bounds what the kernel holds of a connection, at each end: a slow link would else have megabytes
	// in front of it, of which nobody here knows.
	socketBuffer = 128 << 10
)

// tcp is a libp2p transport: TCP whose connections travel by the plan of a bed.
type tcp struct {
	bed      *Bed
	upgrader transport.Upgrader
	limits   network.ResourceManager
}

func (b *Bed) newTransport(u transport.Upgrader, limits network.ResourceManager) (*tcp, error) {
	if limits == nil {
		limits = &network.NullResourceManager{}
	}
	return &tcp{bed: b, upgrader: u, limits: limits}, nil
}

// multiConn is a conn that knows its multiaddresses.
type multiConn struct {
	*conn
	local, remote multiaddr.Multiaddr
}

func (c *multiConn) LocalMultiaddr() multiaddr.Multiaddr  { return c.local }
func (c *multiConn) RemoteMultiaddr() multiaddr.Multiaddr { return c.remote }

func (t *tcp) wrap(raw manet.Conn, addr string) *multiConn {
	tune(raw)
	return &multiConn{t.bed.wrap(raw, addr), raw.LocalMultiaddr(), raw.RemoteMultiaddr()}
}

// tune sets what libp2p's own TCP sets, and the buffers. What a system refuses it goes without.
func tune(raw net.Conn) {
	c, ok := raw.(interface {
		SetLinger(sec int) error
		SetKeepAlive(bool) error
		SetKeepAlivePeriod(time.Duration) error
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	})
	if !ok {
		return
	}
	_ = c.SetLinger(0)
	_ = c.SetKeepAlive(true)
	_ = c.SetKeepAlivePeriod(keepAlive)
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
}

// Dial connects to a peer; behind a cut it waits for healing, ctx or connectTimeout.
func (t *tcp) Dial(ctx context.Context, addr multiaddr.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	scope, err := t.limits.OpenConnection(network.DirOutbound, true, addr)
	if err != nil {
		return nil, err
	}
	c, err := t.dial(ctx, addr, p, scope)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return c, nil
}

func (t *tcp) dial(ctx context.Context, addr multiaddr.Multiaddr, p peer.ID, scope network.ConnManagementScope) (transport.CapableConn, error) {
	if err := scope.SetPeer(p); err != nil {
		return nil, err
	}
	family, where, err := manet.DialArgs(addr)
	if err != nil {
		return nil, err
	}
	raw, err := t.connect(ctx, family, where)
	if err != nil {
		return nil, err
	}
	return t.upgrader.Upgrade(ctx, t, t.wrap(raw, where), network.DirOutbound, p, scope)
}

// connect opens the raw connection, which takes a round trip.
func (t *tcp) connect(ctx context.Context, family, where string) (manet.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := t.bed.handshake(ctx, where); err != nil {
		return nil, fmt.Errorf("dial %s: %w", where, err)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, family, where)
	if err != nil {
		return nil, err
	}
	return manet.WrapNetConn(c)
}

// handshake takes as long as a packet there and one back, with a lane for each.
func (b *Bed) handshake(ctx context.Context, addr string) error {
	random := b.random()
	for {
		out, in := b.lane(addr, outward), b.lane(addr, inward)
		var clock <-chan time.Time
		if !out.cut() && !in.cut() {
			d := out.delay(random, 1) + in.delay(random, 1)
			if d == 0 {
				return nil
			}
			timer := time.NewTimer(d)
			defer timer.Stop()
			clock = timer.C
		}
		select {
		case <-clock:
			return nil
		case <-out.gone: // the lanes of one address change together
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CanDial tells whether addr is one of TCP and nothing above it.
func (t *tcp) CanDial(addr multiaddr.Multiaddr) bool {
	if len(addr) != 2 || addr[1].Code() != multiaddr.P_TCP {
		return false
	}
	return addr[0].Code() == multiaddr.P_IP4 || addr[0].Code() == multiaddr.P_IP6
}

// Listen listens; what it accepts travels by the plan.
func (t *tcp) Listen(addr multiaddr.Multiaddr) (transport.Listener, error) {
	l, err := manet.Listen(addr)
	if err != nil {
		return nil, err
	}
	return t.upgrader.UpgradeGatedMaListener(t, t.upgrader.GateMaListener(&listener{l, t})), nil
}

// listener wraps what it accepts.
type listener struct {
	manet.Listener
	tcp *tcp
}

// Accept waits for a connection.
func (l *listener) Accept() (manet.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.tcp.wrap(raw, ""), nil
}

// Protocols is what the transport can dial.
func (t *tcp) Protocols() []int { return []int{multiaddr.P_TCP} }

// Proxy is false: it reaches peers itself.
func (t *tcp) Proxy() bool { return false }

func (t *tcp) String() string { return "shaped TCP" }
