package council

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms   = time.Millisecond
	hop  = ms // one way
	beat = election.DefaultInterval
)

// world is some nodes, the links between them and the heads they make.
type world struct {
	t      testing.TB
	mu     sync.Mutex // guards what follows
	nodes  []*node
	cut    map[[2]int]bool // directions
	relay  bool
	rtt    time.Duration
	twin   *node // a copy of one of the nodes: hears and says what that one does
	silent bool  // seats keep no views
}

// node is a machine: disks survive its council.
type node struct {
	w      *world
	i      int
	id     peer.ID
	dir    string
	boot   uint64
	store  int // how many stores it has had
	up     bool
	co     *Council
	stop   func()
	rooms  map[string]*room
	seats  map[cid.Cid]*seat
	redial []redialled
	lost   bool // pulls fail
	opener func(dir string, set cid.Cid) (*store, []byte, error)
}

type redialled struct {
	at time.Time
	p  peer.ID
}

type room struct {
	mu     sync.Mutex // one callback at a time
	heard  func(beacon.Heard)
	joined func(peer.ID)
	gone   bool
	sent   int // messages
	bytes  int
}

func nodeID(i int) peer.ID { return peer.ID([]byte{0, 2, byte('A' + i), byte(i)}) }

func setID(n int) cid.Cid { return blockstore.Sum(cid.Raw, fmt.Append(nil, "set", n)) }

func instance(i, store int) []byte { return []byte{byte(i + 1), byte(store + 1), 0, 0, 0, 0, 0, 7} }

const topic = "/shoal/ctl/1/00112233445566778899aabbccddeeff"

func newWorld(t testing.TB, nodes int) *world {
	w := &world{t: t, cut: map[[2]int]bool{}, relay: true}
	for i := range nodes {
		w.nodes = append(w.nodes, &node{w: w, i: i, id: nodeID(i), dir: t.TempDir(), seats: map[cid.Cid]*seat{}})
	}
	return w
}

func (w *world) config(version uint64, mode election.Mode, voters ...int) election.Config {
	c := election.Config{Version: version, Hash: fmt.Sprint("hash", version), Mode: mode}
	for _, i := range voters {
		v := election.Voter{ID: nodeID(i)}
		if mode == election.Strict {
			v.Instance = record.InstanceKey(instance(i, w.nodes[i].store))
		}
		c.Voters = append(c.Voters, v)
	}
	return c
}

// start boots nodes with set number 0 under a config.
func (w *world) start(c election.Config, nodes ...int) {
	for _, i := range nodes {
		w.nodes[i].start()
		w.nodes[i].sit(setID(0), c)
	}
}

func upTo(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// begin is a world of n voters that run.
func begin(t testing.TB, n int, mode election.Mode) *world {
	w := newWorld(t, n)
	w.start(w.config(1, mode, upTo(n)...), upTo(n)...)
	return w
}

func (w *world) open(from, to int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.cut[[2]int{from, to}] && w.nodes[from].up && w.nodes[to].up
}

func (w *world) both(a, b int) bool { return w.open(a, b) && w.open(b, a) }

// reaches tells whether beacons get from one to another, perhaps by way of a third.
func (w *world) reaches(from, to int) (hops int) {
	if w.open(from, to) {
		return 1
	}
	for k := range w.nodes {
		if w.relay && w.open(from, k) && w.open(k, to) {
			return 2
		}
	}
	return 0
}

func (w *world) at(id peer.ID) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// split cuts between two groups, in both directions or from a to b only.
func (w *world) split(a, b []int, oneWay bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range a {
		for _, j := range b {
			w.cut[[2]int{i, j}] = true
			if !oneWay {
				w.cut[[2]int{j, i}] = true
			}
		}
	}
}

func (w *world) heal() {
	w.mu.Lock()
	clear(w.cut)
	w.mu.Unlock()
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && a.up && b.up {
				a.meet(b)
			}
		}
	}
}

// meet tells a that b joined.
func (a *node) meet(b *node) {
	for _, r := range a.everyRoom() {
		time.AfterFunc(hop, func() { r.call(func() { r.joined(b.id) }) })
	}
}

func (n *node) everyRoom() (out []*room) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	for _, r := range n.rooms {
		out = append(out, r)
	}
	return out
}

func (r *room) call(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		f()
	}
}

func (n *node) start() {
	n.boot++
	level := slog.LevelError + 1
	if os.Getenv("COUNCIL_LOG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", string('A'+rune(n.i)))
	n.w.mu.Lock()
	n.rooms = map[string]*room{}
	n.co = New(Config{Self: n.id, Dir: n.dir, Boot: n.boot, Bus: n, Wire: n, Swarm: n, Log: log})
	n.up = true
	n.w.mu.Unlock()
	if n.opener != nil {
		n.co.openStore = n.opener
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.co.Run(ctx)
	}()
	n.stop = func() { cancel(); <-done }
}

func (n *node) sit(set cid.Cid, c election.Config) *seat {
	s := n.seats[set]
	if s == nil {
		s = &seat{n: n, set: set, fresh: n.i > 0, cfg: c, heads: map[cid.Cid][]byte{}}
		n.seats[set] = s
	}
	if err := n.co.Sit(s); err != nil {
		n.w.t.Fatalf("node %d: %v", n.i, err)
	}
	return s
}

// kill ends a node; the others are told if they can notice.
func (n *node) kill(noticed bool) {
	n.w.mu.Lock()
	n.up = false
	n.w.mu.Unlock()
	n.stop()
	for _, o := range n.w.nodes {
		if noticed && o != n && o.up {
			time.AfterFunc(hop, func() { o.co.Disconnected(n.id) })
		}
	}
}

// restart starts a killed node with what its disk holds.
func (n *node) restart() {
	n.start()
	for set, s := range n.seats {
		n.sit(set, s.cfg)
	}
	for _, o := range n.w.nodes {
		if o != n && o.up {
			o.meet(n)
			n.meet(o)
		}
	}
}

// wipe takes the disk of a node that is down.
func (n *node) wipe() {
	n.store++
	n.boot = 0
	n.dir = n.w.t.(*testing.T).TempDir()
	for set, s := range n.seats {
		n.seats[set] = &seat{n: n, set: set, fresh: true, cfg: s.cfg, heads: map[cid.Cid][]byte{}}
	}
}

func (w *world) end() {
	for _, n := range w.nodes {
		if n.up {
			n.kill(false)
		}
	}
}

// What tests do.

func (n *node) view() View {
	v, ok := n.co.View(setID(0))
	if !ok {
		n.w.t.Fatalf("node %d has no view", n.i)
	}
	return v
}

func (n *node) seat0() *seat { return n.seats[setID(0)] }

// primaries are the nodes that are primary.
func (w *world) primaries() (out []int) {
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		if v, ok := n.co.View(setID(0)); ok && v.Role == election.Primary {
			out = append(out, n.i)
		}
	}
	return out
}

// until advances time until ok, at most d, and gives how long that took.
func (w *world) until(d time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > d {
			w.dump()
			w.t.Fatalf("%s: not after %v", what, d)
		}
		time.Sleep(5 * ms)
	}
	return time.Since(begun)
}

func (w *world) dump() {
	for _, n := range w.nodes {
		if !n.up {
			w.t.Logf("node %d is down", n.i)
			continue
		}
		v, _ := n.co.View(setID(0))
		w.t.Logf("node %d: %v epoch %d.%d primary %q backup %q known %d have %d durable %d stale %v alarms %v", n.i, v.Role,
			v.Epoch.ConfigVersion, v.Epoch.N, v.Primary, v.Backup, len(v.Known), len(v.Have), len(v.Durable), v.Stale, v.Alarms)
	}
}

// agreed: all that run have one primary, and one head.
func (w *world) agreed() bool {
	var first *View
	for _, n := range w.nodes {
		if !n.up || n.seats[setID(0)] == nil {
			continue
		}
		v, ok := n.co.View(setID(0))
		if !ok || v.Primary == "" || len(v.Known) > 1 || len(v.Have) != len(v.Known) {
			return false
		}
		if first == nil {
			first = &v
		}
		if v.Primary != first.Primary || v.Best != first.Best || v.Epoch.Compare(first.Epoch) != 0 {
			return false
		}
	}
	return len(w.primaries()) == 1
}

// settle waits for agreement, and gives the primary and its backup.
func (w *world) settle() (primary, backup *node) {
	w.t.Helper()
	var ps []int
	w.until(10*time.Second, "agreement", func() bool {
		ps = w.primaries()
		return w.agreed() && len(ps) == 1
	})
	p := w.nodes[ps[0]]
	if len(p.seat0().Config().Voters) > 1 {
		w.until(5*time.Second, "backup", func() bool { return p.view().Backup != "" })
		backup = w.at(p.view().Backup)
	}
	return p, backup
}

// publish proposes to n until it is accepted.
func (n *node) publish(id uint64) time.Duration {
	n.w.t.Helper()
	n.co.Tell(setID(0), election.Proposed{ID: id})
	return n.w.until(5*time.Second, "publish", func() bool { return n.seat0().noted(fmt.Sprintf("accepted %d", id)) })
}
