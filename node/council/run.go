package council

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Errors of seating. They are returned wrapped; test with errors.Is. Sit also returns slots.ErrLost: the store has
// forgotten what it promised, and must become another one, with a new instance, after Forget.
var (
	ErrSeated     = errors.New("set is seated already")
	ErrOtherStore = errors.New("state is of another store")
	ErrClosed     = errors.New("council is closed")
)

// measureEvery is how often round trips are looked at: they change with the network that a machine is in.
const measureEvery = 10 * time.Second

// Council is the seats of a node. Its methods may be called from any goroutine.
type Council struct {
	cfg       Config
	start     time.Time
	life      context.Context // of what waits for the network
	end       context.CancelFunc
	group     sync.WaitGroup // every goroutine
	running   atomic.Bool
	dialer    *dialer
	openStore func(dir string, set cid.Cid) (*store, []byte, error)

	doors sync.Mutex // held while a topic is joined or left; taken before mu

	mu      sync.Mutex          // guards what follows
	seats   map[cid.Cid]*member // nil: about to be seated
	cohorts map[string]*cohort
	spoken  map[string]spoken // in topics that were left: who takes part again goes on from there, others remember it
	closed  bool
}

// New makes a council without seats. It does nothing before Run, but keeps what it is told.
func New(cfg Config) *Council {
	c := &Council{cfg: cfg, start: time.Now(), openStore: openStore, seats: map[cid.Cid]*member{}, cohorts: map[string]*cohort{}}
	c.life, c.end = context.WithCancel(context.Background())
	c.dialer = newDialer(cfg.Swarm, c.now, silentFails*c.interval())
	return c
}

// Run runs the seats until ctx ends; then it leaves all topics, and returns ctx's error when everything it started
// has ended. It is called once.
func (c *Council) Run(ctx context.Context) error {
	defer c.close()
	c.group.Go(func() { c.dialer.run(c.life) })
	c.running.Store(true)
	for _, k := range c.everyCohort() {
		k.mu.Lock()
		k.start()
		k.mu.Unlock()
	}
	measure := time.NewTicker(measureEvery)
	defer measure.Stop()
	for {
		select {
		case <-measure.C:
			c.measure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Council) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	for _, m := range c.everySeat() {
		c.rise(m)
	}
	c.group.Wait()
}

func (c *Council) isRunning() bool { return c.running.Load() }

func (c *Council) everySeat() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(c.seats)), func(m *member) bool { return m == nil })
}

func (c *Council) everyCohort() []*cohort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.cohorts))
}

func (c *Council) member(set cid.Cid) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seats[set]
}

func (c *Council) now() time.Duration { return time.Since(c.start) }

// interval is that of beacons before round trips are known.
func (c *Council) interval() time.Duration {
	if c.cfg.Interval > 0 {
		return c.cfg.Interval
	}
	return election.DefaultInterval
}

// seed is for jitter, which must differ from node to node.
func (c *Council) seed(what string) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, c.cfg.Self, c.cfg.Boot, what)
	return h.Sum64()
}

// Sit seats a set. Errors: ErrSeated, ErrOtherStore, ErrClosed, slots.ErrLost, those of the bus, of the disk, and
// of heads in the state that the seat does not know.
func (c *Council) Sit(s Seat) error {
	m := &member{
		seat: s, set: s.Set(), key: record.InstanceKey(s.Instance()), log: c.cfg.Log.With("set", s.Set()),
		own: owned{open: map[uint64]bool{}, acked: map[peer.ID]election.Ack{}},
		box: box{place: -1, rest: make(chan struct{})},
	}
	if err := c.seat(m); err != nil {
		return fmt.Errorf("seat %s: %w", m.set, err)
	}
	return nil
}

func (c *Council) seat(m *member) error {
	c.mu.Lock()
	if _, taken := c.seats[m.set]; taken {
		c.mu.Unlock()
		return ErrSeated
	}
	c.seats[m.set] = nil // reserved
	c.mu.Unlock()
	err := m.open(c)
	if err == nil {
		if err = c.admit(m); err != nil {
			m.own.disk.close()
		}
	}
	if err != nil {
		c.mu.Lock()
		delete(c.seats, m.set)
		c.mu.Unlock()
	}
	return err
}

// admit puts an open member into its cohort.
func (c *Council) admit(m *member) error {
	c.doors.Lock()
	defer c.doors.Unlock()
	k, err := c.enter(m.seat.Topic())
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.abandon(k)
		return ErrClosed
	}
	m.cohort = k
	c.seats[m.set] = m
	k.add(m)
	c.mu.Unlock()
	m.seated()
	return nil
}

// enter gives the cohort of a topic, which is joined if there is none. doors is held.
func (c *Council) enter(topic string) (*cohort, error) {
	c.mu.Lock()
	k := c.cohorts[topic]
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	k = newCohort(c, topic)
	leave, err := c.cfg.Bus.Join(topic, k.heard, k.joined)
	if err != nil {
		return nil, err
	}
	k.leave = leave
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cohorts[topic] = k
	return k, nil
}

// abandon leaves the topic of a cohort that has no seats. doors is held.
func (c *Council) abandon(k *cohort) {
	k.mu.Lock()
	empty := len(k.members) == 0
	k.mu.Unlock()
	c.mu.Lock()
	empty = empty && c.cohorts[k.topic] == k
	if empty {
		delete(c.cohorts, k.topic)
	}
	c.mu.Unlock()
	if !empty {
		return
	}
	k.end()
	k.leave()
	k.mu.Lock()
	last := spoken{k.table.version, k.speech.no}
	k.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spoken == nil {
		c.spoken = map[string]spoken{}
	}
	c.spoken[k.topic] = last
}

// spoken is how far a cohort came: the version of its table, and the number of its last beacon.
type spoken struct{ version, no uint64 }

func (c *Council) lastSpoken(topic string) (spoken, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.spoken[topic]
	return s, ok
}

// Rise gives a seat up and waits until nothing of the seat is called any more. With wipe its state is
// removed, so that the store is a new one the next time: it must then have a new instance.
func (c *Council) Rise(set cid.Cid, wipe bool) error {
	if m := c.member(set); m != nil {
		c.rise(m)
	}
	if !wipe {
		return nil
	}
	return removeState(c.cfg.Dir, set)
}

func (c *Council) rise(m *member) {
	c.mu.Lock()
	if c.seats[m.set] != m {
		c.mu.Unlock()
		return
	}
	c.seats[m.set] = nil // until the file is closed
	c.mu.Unlock()
	<-m.cohort.remove(m)
	if m.own.disk != nil {
		if err := m.own.disk.close(); err != nil {
			m.log.Warn("state not closed", "err", err)
		}
	}
	m.ended()
	c.mu.Lock()
	delete(c.seats, m.set)
	c.mu.Unlock()
	c.doors.Lock()
	defer c.doors.Unlock()
	c.abandon(m.cohort)
}

// Tell gives a seat an event: Fetched, Proposed, HandoverRequested or PromoteRequested. It tells whether the set is
// seated; if it is, a proposal and a request for handover are answered, unless the seat is given up.
func (c *Council) Tell(set cid.Cid, ev election.Event) bool {
	m := c.member(set)
	return m != nil && m.post(func() {
		if f, ok := ev.(election.Fetched); ok {
			m.fetched(f)
			return
		}
		m.step(ev)
	})
}

// Lost tells a seat that blocks of a head are not on disk any more; held are sealed heads below it whose blocks are.
func (c *Council) Lost(set, id cid.Cid, held [][]byte) {
	m := c.member(set)
	if m == nil {
		return
	}
	m.post(func() {
		if m.own.core == nil {
			return
		}
		for _, h := range m.own.core.Persistent().Have {
			if h.ID == id {
				m.step(election.Lost{Head: h, Held: m.verified(held)})
				return
			}
		}
	})
}

// MadeHead answers Seat.Make with the sealed head, or with why there is none.
func (c *Council) MadeHead(set cid.Cid, p *election.Plan, sealed []byte, err error) {
	if m := c.member(set); m != nil {
		m.post(func() { m.madeHead(p, sealed, err) })
	}
}

// Reconfigured says that Seat.Config has changed.
func (c *Council) Reconfigured(set cid.Cid) {
	if m := c.member(set); m != nil {
		m.post(m.reconfigured)
	}
}

// View is how things stand with a set. false: it is not seated, or has not begun.
func (c *Council) View(set cid.Cid) (View, bool) {
	m := c.member(set)
	if m == nil {
		return View{}, false
	}
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	if m.box.view == nil {
		return View{}, false
	}
	return *m.box.view, true
}

// Sealed gives a head of a set by its id, nil if the council does not know it.
func (c *Council) Sealed(set, id cid.Cid) []byte {
	m := c.member(set)
	if m == nil {
		return nil
	}
	return m.heads.sealed(id)
}

// Disconnected says that the last connection to p broke.
func (c *Council) Disconnected(p peer.ID) {
	c.dialer.broke(p)
	for _, m := range c.everySeat() {
		m.cohort.mu.Lock()
		if v := m.box.view; v != nil && v.Epoch.Owner == p { // nobody else's absence is a reason to ask
			m.leaveLetter(func() { m.step(election.Disconnected{Peer: p}) })
		}
		m.cohort.mu.Unlock()
	}
}

// Frame takes a message of a peer in. It does not block.
func (c *Council) Frame(from peer.ID, f wirecouncil.Frame) {
	m := c.member(f.Set)
	if m == nil || len(f.Instance) != record.InstanceSize {
		return
	}
	p, err := decodeMessage(f.Payload)
	if err != nil {
		m.log.Debug("message of a peer", "peer", from, "err", err)
		return
	}
	instance := record.InstanceKey(f.Instance)
	m.postFrame(from, func() { m.receive(from, instance, p) })
}

// Table answers who pulls rows. false: no such topic here. The rows are what beacons tell everybody in the topic.
func (c *Council) Table(_ peer.ID, topic string, since uint64) (version uint64, seats []wirecouncil.Seat, ok bool) {
	c.mu.Lock()
	k := c.cohorts[topic]
	c.mu.Unlock()
	if k == nil {
		return 0, nil, false
	}
	version, seats = k.page(since)
	return version, seats, true
}

// Leave hands over what this node is primary of and returns when the successors are heard, or ctx ends. The node
// should go soon after: it does not refuse to become primary again.
func (c *Council) Leave(ctx context.Context) {
	var waits []chan struct{}
	for _, m := range c.everySeat() {
		done := make(chan struct{})
		if m.post(func() { m.handOver(done) }) {
			waits = append(waits, done)
		}
	}
	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return
		case <-c.life.Done():
			return
		}
	}
}

// measure fits the interval to the round trips.
func (c *Council) measure() {
	trips, ok := c.cfg.Swarm.(RoundTrips)
	if !ok || c.cfg.Interval > 0 {
		return
	}
	for _, k := range c.everyCohort() {
		k.mu.Lock()
		var slowest time.Duration
		for p := range k.talkers {
			slowest = max(slowest, trips.RoundTrip(p))
		}
		if d := election.IntervalFor(slowest); d != k.interval {
			k.interval = d
			for _, m := range k.members {
				m.leaveLetter(func() { m.step(election.IntervalChanged{Interval: d}) })
			}
		}
		k.mu.Unlock()
	}
}
