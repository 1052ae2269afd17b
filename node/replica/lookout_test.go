package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	proposals "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// crowd is a network of which one peer is alive. Nobody answers before the finder has named everybody.
type crowd struct {
	named   []peer.AddrInfo
	alive   peer.ID
	all     chan struct{} // closed when everybody is named
	reached chan struct{} // closed when the living one is
}

func (c *crowd) Providers(ctx context.Context, _ cid.Cid) <-chan peer.AddrInfo {
	ch := make(chan peer.AddrInfo)
	go func() {
		defer close(ch)
		defer close(c.all)
		for _, p := range c.named {
			select {
			case ch <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

func (c *crowd) Connect(ctx context.Context, p peer.AddrInfo) error {
	select {
	case <-c.all:
	case <-ctx.Done():
	}
	if p.ID != c.alive {
		return errors.New("away")
	}
	close(c.reached)
	return nil
}

func (*crowd) Heads(context.Context, peer.ID, cid.Cid, []cid.Cid) ([][]byte, error) {
	return nil, errors.ErrUnsupported
}

func (*crowd) Propose(context.Context, peer.ID, cid.Cid, []byte, func(proposals.Outcome) error) error {
	return errors.ErrUnsupported
}

func (c *crowd) Watch(ctx context.Context, _ peer.ID, _ cid.Cid, _ []byte, _ *record.Bundle, _ func(list.Update) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *crowd) Chunks(context.Context, peer.ID, cid.Cid, []byte) (*chunks.Session, error) {
	return nil, errors.New("no chunks here")
}
func (c *crowd) Delta(context.Context, peer.ID, delta.Request) (*delta.Session, error) {
	return nil, errors.New("no deltas here")
}
func (c *crowd) History(context.Context, peer.ID, cid.Cid, []byte) ([][]byte, error) { return nil, nil }
func (c *crowd) Confirm(context.Context, peer.ID, cid.Cid, cid.Cid, []byte) error    { return nil }
func (c *crowd) Known(context.Context, peer.ID) (p peer.AddrInfo)                    { return p }
func (c *crowd) Ban(peer.ID, string)                                                 {}

// nothing is known of the set.
func nothing() *record.Bundle { return nil }

// Records of holders that are away must not keep a get from the one that is there, however many they are and
// although all of them were named before it.
func TestLookoutGoesThroughTheDead(t *testing.T) {
	t.Parallel()
	c := &crowd{all: make(chan struct{}), reached: make(chan struct{})}
	addrs := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}
	for range 3 * maxHolders {
		c.alive = idOf(newKey(t))
		c.named = append(c.named, peer.AddrInfo{ID: c.alive, Addrs: addrs})
	}
	ctx, cancel := context.WithCancel(within(t))
	net := &Network{Self: func() (p peer.AddrInfo) { return p }, Swarm: c, Streams: c, Finder: c}
	l := look(ctx, net, record.Ticket{Set: blockstore.Sum(cid.Raw, nil)}, nothing, slog.New(slog.DiscardHandler))
	wait(t, c.reached, "the living one is reached")
	cancel()
	l.wg.Wait()
}

// The first answer is not the last word while others are being asked.
func TestChooseWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	m := newMember(t, role{})
	ctx := within(t)
	ticket := record.Ticket{Set: blockstore.Sum(cid.Raw, nil)}
	l := look(ctx, m.net, ticket, nothing, m.cfg.Log)
	l.mu.Lock()
	l.known["stale"], l.known["fresh"] = true, true
	l.mu.Unlock()
	g := &get{r: m.Registry, net: m.net, id: ticket.Set, o: into("/nowhere"), look: l,
		holders: map[peer.ID]*holding{}, failed: map[peer.ID]error{}, ever: map[peer.ID]bool{}}
	at := func(p peer.ID, revision uint64) sighting {
		return sighting{peer: p, verified: &record.Verified{
			Heads:    []record.Head{{Revision: revision, Vector: record.Vector{"0011223344556677": revision}}},
			HeadCids: []cid.Cid{blockstore.Sum(cid.Raw, []byte{byte(revision)})}}}
	}
	done := make(chan error, 1)
	go func() { done <- g.choose(ctx, ticket) }()
	l.report(ctx, at("stale", 1))
	l.signal <- struct{}{} // accepted once the first one was taken
	l.report(ctx, at("fresh", 2))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := head(g.v).Revision; r != 2 {
		t.Errorf("chose revision %d, want 2", r)
	}
	l.wg.Wait() // its finder knows nobody
	// A second choice, after what was chosen turned out to be gone, needs no news from holders that are known.
	started := time.Now()
	if err := g.choose(ctx, ticket); err != nil || time.Since(started) > limit/2 {
		t.Errorf("the second time: %v after %v", err, time.Since(started))
	}
}

// Whoever watches is told of the others, so that getters find each other through a seeder.
func TestWatchersHearOfEachOther(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	id := a.share(newTree(t, 31)).Replica.Set()
	ctx, cancel := context.WithCancel(within(t))
	var watchers sync.WaitGroup
	watch := func(m, other *member) <-chan struct{} {
		if err := m.Connect(ctx, a.host.AddrInfo()); err != nil {
			t.Fatal(err)
		}
		found, once := make(chan struct{}), sync.Once{}
		watchers.Go(func() {
			err := m.Watch(ctx, a.host.ID(), id, nil, nil, func(u list.Update) error {
				for _, p := range u.Peers {
					if p.ID == m.host.ID() {
						t.Error("told of itself")
					}
					if p.ID == other.host.ID() && multiaddr.Contains(p.Addrs, other.host.Addrs()[0]) {
						once.Do(func() { close(found) })
					}
				}
				return nil
			})
			if ctx.Err() == nil {
				t.Errorf("watch ended: %v", err)
			}
		})
		return found
	}
	b, c := newMember(t, role{}, a), newMember(t, role{}, a)
	first, second := watch(b, c), watch(c, b)
	wait(t, first, "the first hears of the second")
	wait(t, second, "the second hears of the first")
	cancel()
	watchers.Wait()
}
