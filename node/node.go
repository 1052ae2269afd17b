// Package node is the composition root: it makes a working node of the parts, in plain calls, and offers
// what it can do as the Service of package api. It decides nothing itself.
//
// A Node is inert when made, Run joins the swarm and blocks until its context ends.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/discovery"
	"github.com/shoal-p2p/shoal/discovery/dht"
	"github.com/shoal-p2p/shoal/discovery/peerbook"
	"github.com/shoal-p2p/shoal/discovery/static"
	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/meter"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/node/swarm"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// Node is one node. Create it with New; its methods are safe for concurrent use.
type Node struct {
	cfg    Config
	home   home
	key    crypto.PrivKey
	self   peer.ID
	store  *badgerstore.Store
	sets   *replica.Registry
	jobs   *jobs
	events hub
	now    func() time.Time
	life   *life
	limits *limits
	// downloads are counted per file
	downloads downloads
	ready     chan struct{}

	mu      sync.Mutex // guards what follows
	owner   crypto.PrivKey
	net     *network         // nil until Run listens, and when offline
	council *council.Council // nil while this node takes part in no election
}

// New opens the home: keys, store and records. Nothing runs yet; Close if Run is never called.
// Errors are *api.Error.
func New(cfg Config) (*Node, error) {
	n, err := open(cfg)
	if err != nil {
		return nil, explain(err)
	}
	return n, nil
}

func open(cfg Config) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h, err := openHome(cfg.Home)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, home: h, now: time.Now, life: newLife(time.Now()), ready: make(chan struct{})}
	n.life.meter = meter.New(n, cfg.Version)
	if n.key, err = h.key("identity.key"); err != nil {
		return nil, err
	}
	if n.self, err = peer.IDFromPrivateKey(n.key); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if n.store, err = badgerstore.Open(h.store(), badgerstore.Options{Reserve: cfg.Reserve, Log: cfg.Log, FreeSpace: cfg.Bed.storeSpace(cfg.Reserve)}); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(h.dir, "owner.key")); err == nil {
		if _, err := n.ownerKey(); err != nil {
			return nil, errors.Join(err, n.store.Close())
		}
	}
	if n.jobs, err = loadJobs(h.jobs()); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	if n.limits, err = openLimits(h.limits(), cfg.Transfer); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.sets, err = replica.Open(replica.Config{Store: n.store, Home: h.dir, HomeMarks: homeMarks(), Dir: h.records(), Segments: h.segments(), Keep: replica.KeepPolicy{Revisions: cfg.Store.Keep, Bytes: cfg.Store.KeepBytes}, Key: n.key, OwnerKey: n.ownerKey,
		Changed: func(rep *replica.Replica) {
			n.reconfigured(rep.Set())
			n.watched(rep)
		},
		Settles: n.settles, Harmed: n.harmed, Moved: n.life.moved, FreeSpace: n.folderSpace(), Now: n.now, Log: cfg.Log})
	if err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

// ownerKey is the key that owns the sets made here; it is made with the first one.
func (n *Node) ownerKey() (crypto.PrivKey, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owner == nil {
		k, err := n.home.key("owner.key")
		if err != nil {
			return nil, err
		}
		n.owner = k
	}
	return n.owner, nil
}

// Close releases the home of a node that was not run.
func (n *Node) Close() error { return n.store.Close() }

// Ready is closed when the node listens, or at once when it is offline.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Run joins the swarm and serves until ctx ends, then drains and closes the home. It is called once.
func (n *Node) Run(ctx context.Context) error {
	var err error
	if n.cfg.Offline {
		close(n.ready)
		<-ctx.Done()
	} else {
		// What is asked of the node while it hands its roles over it still answers.
		serving, end := context.WithCancel(context.WithoutCancel(ctx))
		stop := context.AfterFunc(ctx, func() {
			n.resign()
			end()
		})
		err = n.serve(serving)
		stop()
		end()
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	n.sets.Wait()
	return explain(errors.Join(err, n.store.Close()))
}

// serve runs everything that has a network.
func (n *Node) serve(ctx context.Context) error {
	bootstrap, err := n.addresses()
	if err != nil {
		return err
	}
	bytes := &wireCounter{}
	host, err := swarm.New(ctx, swarm.Config{Key: n.key, Listen: n.cfg.Listen, MaxConnections: n.cfg.Net.MaxConnections, MaxMemory: n.cfg.Net.MaxMemory, Bandwidth: bytes, Metrics: n.libraryMetrics(), UserAgent: "shoal/" + n.cfg.Version,
		Protocols: []protocol.ID{list.ID, chunks.ID, delta.ID, beacon.ID, wirecouncil.ID}, Log: n.cfg.Log, Options: n.cfg.Bed.network()})
	if err != nil {
		return portTaken(err)
	}
	defer host.Close()
	w := &network{host: host, bytes: bytes, log: n.cfg.Log, book: n.remembered(), council: wirecouncil.New(host, n.cfg.Log)}
	defer w.council.Close()
	defer w.redials.Wait()
	var announce *discovery.Announcements
	table, err := n.openTable(ctx, w, bootstrap, func() { announce.Nudge() })
	if err != nil {
		return err
	}
	defer table.Close()
	w.table = table
	announce = discovery.NewAnnouncements(table, rand.Float64, n.cfg.Log)
	w.finder = discovery.Merge(table, static.Peers(bootstrap), w)

	defer list.Register(host, countedCatalog{n.sets.Catalog(), n.life}, n.cfg.Log)()
	defer chunks.Register(host, talliedChunks{countedChunks{n.cfg.Bed.blocks(n.sets.Source()), n.life}, n}, chunks.ServerOptions{Limit: n.limits.sending, Log: n.cfg.Log})()
	defer delta.Register(host, countedDeltas{n.cfg.Bed.deltas(n.sets.Deltas()), n.life}, delta.ServerOptions{Limit: n.limits.items, Log: n.cfg.Log})()
	defer wirecouncil.Register(host, door{n.sets.Proposals(), n}, n.cfg.Log)()
	n.attach(w, announce)
	err = n.work(ctx, w, table, announce, bootstrap)
	n.remember(w)
	return err
}

// addresses checks the addresses to listen on, and reads those to join through.
func (n *Node) addresses() (static.Peers, error) {
	bootstrap, err := static.Parse(n.cfg.Bootstrap...)
	if err != nil {
		return nil, usage("bad_bootstrap", "an address looks like /ip4/192.0.2.1/tcp/4581/p2p/12D3...", "%v", err)
	}
	for _, a := range n.cfg.Listen {
		if err := CheckListen(a); err != nil {
			return nil, usage("bad_listen", "an address looks like /ip4/0.0.0.0/tcp/4581", "listen on %q: %v", a, err)
		}
	}
	if len(n.cfg.Listen) == 0 {
		n.cfg.Listen = nil // the default; an empty list would mean nowhere
	}
	return bootstrap, nil
}

// openTable takes part in the hash table, as far as the node is to.
func (n *Node) openTable(ctx context.Context, w *network, bootstrap static.Peers, joined func()) (table, error) {
	open := func() (table, error) {
		return dht.New(ctx, w.host, dht.Options{
			Bootstrap: func() []peer.AddrInfo { return append(w.good(n.now()), bootstrap...) },
			Server:    n.cfg.Net.DHT != "client" && !n.cfg.Brief, Joined: joined, ClearBackoff: w.host.ClearBackoff,
			Shuffle: rand.Shuffle, Looked: n.life.meter.Lookup, Log: n.cfg.Log})
	}
	switch {
	case n.cfg.Net.DHT == "off":
		return noTable{}, nil
	case n.cfg.Brief:
		return newLateTable(open, n.cfg.Log), nil
	}
	return open()
}

// work runs what a node does by itself, until ctx ends or something fails.
func (n *Node) work(ctx context.Context, w *network, table table, announce *discovery.Announcements, bootstrap static.Peers) error {
	redial := discovery.NewRedial(w.host, w.host, rand.Float64, n.cfg.Log)
	for _, p := range bootstrap {
		redial.Keep(p)
	}
	group, ctx := errgroup.WithContext(ctx)
	if !n.cfg.Brief {
		bus, err := beacon.New(ctx, w.host, n.cfg.Log)
		if err != nil {
			return err
		}
		rooms := newTopics(bus)
		group.Go(func() error { return newHerald(rooms, n.sets, n.wished, n.life.start, n.cfg.Log).run(ctx, &n.events) })
		group.Go(func() error { return n.elect(ctx, w, rooms) })
		group.Go(func() error { return n.sets.Attend(ctx) })
	}
	group.Go(func() error { return table.Run(ctx) })
	group.Go(func() error {
		if n.cfg.Brief {
			select {
			case <-time.After(briefDelay):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return announce.Run(ctx)
	})
	group.Go(func() error { return redial.Run(ctx) })
	group.Go(func() error { return w.observe(ctx) })
	group.Go(func() error { return n.tidy(ctx) })
	if n.cfg.Net.MDNS {
		group.Go(func() error { return w.local(ctx) })
	}
	n.jobs.open(ctx)
	defer n.jobs.close()
	if n.cfg.Resume {
		n.resume()
	}
	n.cfg.Log.Debug("listening", "version", n.cfg.Version, "peer", n.self, "listen", w.host.Addrs())
	close(n.ready)
	return group.Wait()
}

// briefDelay is how long a node that only fetches something keeps to itself what it has: most are done by then, and
// nobody would find them.
const briefDelay = 5 * time.Second

const (
	// tidyEvery is how often memory that is not in use is looked for.
	tidyEvery = time.Minute
	// collectEvery is how often a node that runs gives back the disk space of what no set needs any more: revisions
	// come at most some hundred times a day, each with some nodes.
	collectEvery = 24 * time.Hour
)

// tidy keeps a node that runs for long as small as one that has just started.
func (n *Node) tidy(ctx context.Context) error {
	clock := time.NewTicker(tidyEvery)
	defer clock.Stop()
	collected := n.now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-clock.C:
		}
		n.sets.Tidy()
		if n.now().Sub(collected) < collectEvery {
			continue
		}
		got, err := n.GC(ctx)
		if err != nil {
			n.cfg.Log.Debug("collect garbage", "err", err) // busy: again in a minute
			continue
		}
		collected = n.now()
		n.cfg.Log.Info("collected garbage", "blocks", got.Blocks, "bytes", got.Bytes)
	}
}

// attach makes the network visible to the registry and to Status.
func (n *Node) attach(w *network, announce *discovery.Announcements) {
	n.mu.Lock()
	n.net = w
	n.mu.Unlock()
	n.sets.Attach(&replica.Network{Self: w.host.AddrInfo, Swarm: w, Streams: w, Finder: w.finder, Announce: announce,
		Peers: func() int { return len(w.host.Network().Peers()) }, Wire: w.wire,
		Down: func(p peer.ID, set cid.Cid) chunks.Limiter { return n.limits.receiving(w, p, set) }})
}

func (n *Node) network() *network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.net
}

// remembered reads the peers that were good before; a damaged file is only a slower start.
func (n *Node) remembered() *peerbook.Book {
	book := &peerbook.Book{}
	b, err := os.ReadFile(n.home.peers())
	if err == nil {
		err = json.Unmarshal(b, book)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.cfg.Log.Warn("remembered peers", "err", err)
	}
	return book
}

func (n *Node) remember(w *network) {
	w.mu.Lock()
	b, err := json.Marshal(w.book)
	w.mu.Unlock()
	if err == nil {
		err = replaceHint(n.home.peers(), b)
	}
	if err != nil {
		n.cfg.Log.Warn("remember peers", "err", err)
	}
}

// replaceHint replaces a file that is of use and not needed: it is not waited for that it is on stable storage.
func replaceHint(path string, b []byte) error {
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
