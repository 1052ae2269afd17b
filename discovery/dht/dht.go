// Package dht finds holders of sets through a Kademlia table that the peers of the swarm keep together,
// and announces this node in it. It is the sole importer of kad-dht.
//
// Only set ids are announced, and a record means "ask me". The table is a hint and never an authority:
// anybody may answer, lookups can be denied by whoever places nodes near a key, and records outlive
// their nodes by hours. So readers take few answers, in random order, and ask again and again.
package dht

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"golang.org/x/sync/errgroup"
)

const (
	prefix = protocol.ID("/shoal")
	kad    = prefix + "/kad/1.0.0" // what kad-dht makes of prefix

	// validity of a record: the longest pause between announcements is three hours, so one may fail.
	validity = 7 * time.Hour
	// cleanup is how often expired records are deleted.
	cleanup = 30 * time.Minute
	// refresh of the routing table: a small swarm changes as a whole; it costs a lookup a minute.
	refresh = time.Minute
	// maxPerLookup peers are taken of each lookup, at random: all of a small swarm, and a flood of
	// made-up holders costs few dials.
	maxPerLookup = 16
	// maxHeard peers of one lookup are listened to, then it ends.
	maxHeard = 512
	// settle is how long answers are gathered, after the first, to choose among.
	settle = 100 * time.Millisecond
	// lookupTimeout ends a lookup that waits for dead peers; the living have answered long before.
	lookupTimeout = 5 * time.Second
	// tableTick is how often an empty routing table is looked at by who waits for its first peer; the
	// library has no event for it.
	tableTick = 50 * time.Millisecond
	// bootstrapTimeout bounds dialling bootstrap peers, and maxBootstrap are dialled at once: two would
	// do, the others are for those that are away.
	bootstrapTimeout, maxBootstrap = 5 * time.Second, 8
)

// Options of New; the zero value is a client that knows nobody.
type Options struct {
	// Bootstrap returns peers to begin with whenever the routing table is empty. It must not block.
	Bootstrap func() []peer.AddrInfo
	// Server: this node answers others. Only a node that nobody can dial should not.
	Server bool
	// Joined, if not nil, is called by Run when a peer that serves the table has connected (again): it
	// may lack the records that this node announced. It must not block.
	Joined func()
	// Looked, if not nil, is told of a look-up when it hears of the first holder but this node, or when it has ended
	// without one; not when it was ended. It must not block.
	Looked func(took time.Duration, found bool)
	// ClearBackoff, if not nil, lets the next dial to a peer really happen.
	ClearBackoff func(peer.ID)
	// Shuffle orders n answers at random by swapping them, from many goroutines at once; nil is
	// rand.Shuffle.
	Shuffle func(n int, swap func(i, j int))
	Log     *slog.Logger // nil is none
}

// DHT is a finder, an announcer and, by FindPeer, a source of addresses.
type DHT struct {
	kad  *kaddht.IpfsDHT
	host host.Host
	o    Options
}

// New joins h to the table; it begins to work when h is connected to a peer, which Run takes care of.
// Close ends it. New waits for nobody, so ctx is only looked at before it begins.
func New(ctx context.Context, h host.Host, o Options) (*DHT, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("new dht: %w", err)
	}
	if o.Bootstrap == nil {
		o.Bootstrap = func() []peer.AddrInfo { return nil }
	}
	if o.Looked == nil {
		o.Looked = func(time.Duration, bool) {}
	}
	if o.Shuffle == nil {
		o.Shuffle = rand.Shuffle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	mode := kaddht.ModeClient
	if o.Server {
		mode = kaddht.ModeServer
	}
	self := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(h.ID()))
	d, err := kaddht.New(h,
		kaddht.Mode(mode),
		kaddht.ProtocolPrefix(prefix),
		kaddht.DisableValues(), // heads travel by other ways, and a value store takes anybody's
		kaddht.ProviderDatastore(newProviderStore(self)),
		kaddht.ProviderManagerOpts(
			records.ProvideValidity(validity), records.ProviderAddrTTL(validity),
			records.CleanupInterval(cleanup), records.Cache(noCache{})),
		kaddht.BootstrapPeersFunc(o.Bootstrap),
		kaddht.RoutingTableRefreshPeriod(refresh),
	)
	if err != nil {
		return nil, fmt.Errorf("new dht: %w", err)
	}
	return &DHT{kad: d, host: h, o: o}, nil
}

// Close leaves the table. It must come before the host's Close.
func (d *DHT) Close() error { return d.kad.Close() }

// Size is the number of peers in the routing table.
func (d *DHT) Size() int { return d.kad.RoutingTable().Size() }

// FindPeer looks up the addresses of a peer; it makes DHT a routing.PeerRouting.
func (d *DHT) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	return d.kad.FindPeer(ctx, id)
}

// Run connects to bootstrap peers while there is nobody to ask and reports peers that join, until ctx
// ends, and returns its error.
func (d *DHT) Run(ctx context.Context) error {
	// A burst of 256 peers does not make the bus wait for watch, which does no I/O.
	sub, err := d.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(256), eventbus.Name("shoal-table"))
	if err != nil {
		return fmt.Errorf("dht: subscribe: %w", err)
	}
	defer sub.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.watch(ctx, sub) })
	group.Go(func() error { return d.keepTable(ctx) })
	return group.Wait()
}

func (d *DHT) watch(ctx context.Context, sub event.Subscription) error {
	for {
		select {
		case e, ok := <-sub.Out():
			if !ok {
				return errors.New("dht: host is closed")
			}
			done := e.(event.EvtPeerIdentificationCompleted)
			if d.o.Joined != nil && slices.Contains(done.Protocols, kad) {
				d.o.Joined()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepTable dials bootstrap peers again and again while nobody is known or nobody is connected; the
// second is what a cut network looks like, and the library would notice its end after minutes.
func (d *DHT) keepTable(ctx context.Context) error {
	for try := 0; ; try++ {
		pause := 2 * time.Second // as long as all is well: reading two counters
		if d.Size() == 0 || len(d.host.Network().Peers()) == 0 {
			d.bootstrap(ctx)
			pause = min(200*time.Millisecond<<min(try, 6), 10*time.Second)
		} else {
			try = 0
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// bootstrap dials some bootstrap peers at once, in random order so that the first of a list is not
// everybody's.
func (d *DHT) bootstrap(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapTimeout)
	defer cancel()
	peers := slices.Clone(d.o.Bootstrap())
	d.o.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	var dials sync.WaitGroup
	for _, info := range peers[:min(len(peers), maxBootstrap)] {
		if info.ID == d.host.ID() {
			continue
		}
		if d.o.ClearBackoff != nil {
			d.o.ClearBackoff(info.ID)
		}
		dials.Go(func() {
			if err := d.host.Connect(ctx, info); err != nil {
				d.o.Log.Debug("bootstrap peer not reached", "peer", info.ID, "err", err)
			}
		})
	}
	dials.Wait()
}

// sleep waits and tells whether ctx is still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
