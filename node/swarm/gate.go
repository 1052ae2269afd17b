package swarm

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// maxBans peers are refused at a time. New identities cost an attacker nothing, so the list is bounded;
// what it is for is a peer of ours that went bad.
const maxBans = 4096

// gate refuses banned peers: before dialling and as soon as an inbound connection is authenticated.
type gate struct {
	now func() time.Time

	mu    sync.Mutex            // guards until
	until map[peer.ID]time.Time // end of each ban
}

func newGate(now func() time.Time) *gate {
	return &gate{now: now, until: make(map[peer.ID]time.Time)}
}

// ban refuses p until d from now, or until an earlier, longer ban ends.
func (g *gate) ban(p peer.ID, d time.Duration) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if end := now.Add(d); end.After(g.until[p]) {
		if _, old := g.until[p]; !old {
			g.makeRoom(now)
		}
		g.until[p] = end
	}
}

// makeRoom drops bans that ended and, if there are still too many, the one that ends first.
func (g *gate) makeRoom(now time.Time) {
	if len(g.until) < maxBans {
		return
	}
	var first peer.ID
	var at time.Time
	for p, end := range g.until {
		if !end.After(now) {
			delete(g.until, p)
		} else if at.IsZero() || end.Before(at) {
			first, at = p, end
		}
	}
	if len(g.until) >= maxBans {
		delete(g.until, first)
	}
}

func (g *gate) banned(p peer.ID) bool {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	end, ok := g.until[p]
	return ok && end.After(now)
}

func (g *gate) InterceptPeerDial(p peer.ID) bool { return !g.banned(p) }

func (g *gate) InterceptAddrDial(p peer.ID, _ multiaddr.Multiaddr) bool { return !g.banned(p) }

func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (g *gate) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return !g.banned(p)
}

// InterceptUpgraded looks again: the ban may have come during the handshake.
func (g *gate) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return !g.banned(c.RemotePeer()), 0
}
