package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/event"
	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"

	"github.com/shoal-p2p/shoal/discovery"
	"github.com/shoal-p2p/shoal/discovery/mdns"
	"github.com/shoal-p2p/shoal/discovery/peerbook"
	"github.com/shoal-p2p/shoal/node/swarm"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// banFor is how long a peer that sent wrong bytes is refused: until its operator may have noticed.
	banFor = time.Hour
	// bootstrapPeers of the remembered ones are offered to the hash table: a few of them will be up.
	bootstrapPeers = 16
	// localPeers bounds the peers of the local network that are asked for every set.
	localPeers = 32
)

// network joins a host to what the registry asks of it: it reaches peers, opens streams, and names the
// peers of the local network.
type network struct {
	host    *swarm.Swarm
	bytes   *wireCounter
	finder  discovery.Finder
	table   table
	log     *slog.Logger
	council *wirecouncil.Client
	redials sync.WaitGroup

	mu      sync.Mutex // guards what follows
	book    *peerbook.Book
	nearby  map[peer.ID]peer.AddrInfo
	dialing map[peer.ID]bool // voters that are being dialled again
}

// Connect dials p unless it is connected.
func (w *network) Connect(ctx context.Context, p peer.AddrInfo) error {
	err := w.host.Connect(ctx, p)
	if err != nil && ctx.Err() == nil {
		w.host.ClearBackoff(p.ID) // a seeder that restarts is to be found at the next try
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.book.Update(time.Now(), peerbook.Event{ID: p.ID, Addrs: p.Addrs, OK: err == nil})
	return err
}

// Known is what the host knows of a peer's addresses. Just after a connection came in it knows none: the
// identify protocol is still asking for them.
func (w *network) Known(ctx context.Context, p peer.ID) peer.AddrInfo {
	if h, ok := w.host.Host.(interface{ IDService() identify.IDService }); ok {
		for _, c := range w.host.Network().ConnsToPeer(p) {
			select {
			case <-h.IDService().IdentifyWait(c):
			case <-ctx.Done():
			}
		}
	}
	return w.host.Peerstore().PeerInfo(p)
}

// Ban refuses a peer that lied.
func (w *network) Ban(p peer.ID, why string) {
	w.log.Warn("banned", "peer", p, "why", why, "for", banFor)
	if err := w.host.Ban(p, banFor); err != nil {
		w.log.Debug("ban", "peer", p, "err", err)
	}
}

// Watch opens the list protocol's watch.
func (w *network) Watch(ctx context.Context, p peer.ID, set cid.Cid, capability []byte, known *record.Bundle, fn func(list.Update) error) error {
	return list.Watch(ctx, w.host, p, set, capability, known, fn)
}

// History asks for the heads before the newest.
func (w *network) History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error) {
	return list.History(ctx, w.host, p, set, capability)
}

// Delta opens a session of the delta protocol.
func (w *network) Delta(ctx context.Context, p peer.ID, q delta.Request) (*delta.Session, error) {
	return delta.Open(ctx, w.host, p, q)
}

// Chunks opens a session of the chunks protocol.
func (w *network) Chunks(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (*chunks.Session, error) {
	return chunks.Open(ctx, w.host, p, set, capability)
}

// Confirm tells a holder that this node has it all now.
func (w *network) Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, capability []byte) error {
	return list.Confirm(ctx, w.host, p, set, root, capability)
}

// Heads asks for heads by their ids.
func (w *network) Heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error) {
	return w.council.Heads(ctx, p, set, ids)
}

// Propose asks a voter to order a proposal.
func (w *network) Propose(ctx context.Context, p peer.ID, set cid.Cid, sealed []byte, tell func(wirecouncil.Outcome) error) error {
	return w.council.Propose(ctx, p, set, sealed, tell)
}

// redialTime bounds one attempt to reach a voter again: the next one follows after as long.
const redialTime = time.Second

// Redial closes what connections to p there are, which are silent or broken, and dials it.
func (w *network) Redial(p peer.ID) {
	w.mu.Lock()
	busy := w.dialing[p]
	if w.dialing == nil {
		w.dialing = map[peer.ID]bool{}
	}
	w.dialing[p] = true
	w.mu.Unlock()
	if busy {
		return
	}
	w.redials.Go(func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.dialing, p)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), redialTime)
		defer cancel()
		for _, c := range w.host.Network().ConnsToPeer(p) {
			if time.Since(c.Stat().Opened) < redialTime {
				continue // it was just made
			}
			if err := c.Close(); err != nil {
				w.log.Debug("close silent connection", "peer", p, "err", err)
			}
		}
		w.host.ClearBackoff(p)
		if err := w.host.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
			w.log.Debug("redial voter", "peer", p, "err", err)
		}
	})
}

// wire is the bytes on the streams of all our protocols so far.
func (w *network) wire() (in, out int64) { return w.bytes.ours() }

// good lists remembered peers worth dialling.
func (w *network) good(now time.Time) []peer.AddrInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.book.Best(now, bootstrapPeers)
}

// Providers names the peers of the local network: they are few, and each may hold any set.
func (w *network) Providers(ctx context.Context, _ cid.Cid) <-chan peer.AddrInfo {
	ch := make(chan peer.AddrInfo)
	go func() {
		defer close(ch)
		poll := time.NewTicker(time.Second)
		defer poll.Stop()
		for {
			for _, p := range w.neighbours() {
				select {
				case ch <- p:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

func (w *network) neighbours() []peer.AddrInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []peer.AddrInfo
	for _, p := range w.nearby {
		all = append(all, p)
	}
	return all
}

// local runs mDNS and connects to whom it finds, so that the hash table learns of them.
func (w *network) local(ctx context.Context) error {
	err := mdns.Run(ctx, w.host, func(p peer.AddrInfo) {
		dial, cancel := context.WithTimeout(ctx, 5*time.Second) // the local network answers in milliseconds
		defer cancel()
		if err := w.Connect(dial, p); err != nil {
			w.log.Debug("local peer", "peer", p.ID, "err", err)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.nearby == nil {
			w.nearby = map[peer.ID]peer.AddrInfo{}
		}
		if len(w.nearby) < localPeers {
			w.nearby[p.ID] = p
		}
	})
	if ctx.Err() == nil && err != nil {
		w.log.Info("no discovery on the local network", "err", err)
		return nil // the node works without
	}
	return ctx.Err()
}

// observe remembers the peers that were identified.
func (w *network) observe(ctx context.Context) error {
	sub, err := w.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(64), eventbus.Name("shoal-peers"))
	if err != nil {
		return fmt.Errorf("observe peers: %w", err)
	}
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-sub.Out():
			if !ok {
				return errors.New("observe peers: event bus closed")
			}
			ev := e.(event.EvtPeerIdentificationCompleted)
			w.mu.Lock()
			w.book.Update(time.Now(), peerbook.Event{ID: ev.Peer, Addrs: ev.ListenAddrs, OK: true})
			w.mu.Unlock()
			w.log.Debug("peer", "peer", ev.Peer, "agent", ev.AgentVersion)
		}
	}
}

// transport names how a connection travels.
func transport(c libnet.Conn) string { return c.ConnState().Transport }
