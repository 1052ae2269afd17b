package link

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
)

// Bed is what a node in testnet mode is put on.
type Bed struct {
	home      string
	log       *slog.Logger
	conns     atomic.Uint64 // made so far: each has randomness of its own
	listening chan struct{}

	state  atomic.Pointer[state]
	change sync.Mutex // held while the state is replaced
}

// direction is seen from this node.
type direction int

const (
	outward direction = iota
	inward
)

// state is a plan in force. It never changes.
type state struct {
	plan    Plan
	lanes   map[string][2]*lane // by address
	other   [2]*lane            // of everybody else
	buckets map[way]*bucket     // taken over by the state that follows, where the rate stays
}

// way is a direction to or from a peer; the total for the name "".
type way struct {
	name string
	to   direction
}

// Open reads the plan of the home. Errors: ErrBadPlan.
func Open(home string, log *slog.Logger) (*Bed, error) {
	b := &Bed{home: home, log: log, listening: make(chan struct{})}
	if err := b.reload(); err != nil {
		return nil, fmt.Errorf("open testnet mode: %w", err)
	}
	return b, nil
}

// reload puts the plan in force that lies in the home.
func (b *Bed) reload() error {
	p, err := read(b.home)
	if err != nil {
		return err
	}
	b.apply(p)
	return nil
}

// apply puts a plan in force.
func (b *Bed) apply(p Plan) {
	b.change.Lock()
	defer b.change.Unlock()
	old := b.state.Load()
	now := newState(p, old)
	b.state.Store(now)
	if old != nil {
		old.end()
	}
}

// newState keeps the buckets of old, so that nobody gets bandwidth from a change that does not concern him.
func newState(p Plan, old *state) *state {
	s := &state{plan: p, lanes: map[string][2]*lane{}, buckets: map[way]*bucket{}}
	pace := func(name string, to direction, rate int64) *bucket {
		w := way{name, to}
		if s.buckets[w] == nil && rate > 0 {
			s.buckets[w] = &bucket{rate: rate}
			if old != nil && old.buckets[w] != nil && old.buckets[w].rate == rate {
				s.buckets[w] = old.buckets[w]
			}
		}
		return s.buckets[w]
	}
	up, down := pace("", outward, p.Up), pace("", inward, p.Down)
	s.other = [2]*lane{{total: up, gone: make(chan struct{})}, {total: down, gone: make(chan struct{})}}
	for addr, name := range p.Peers {
		out, in := p.Out[name], p.In[name]
		trip := out.Latency + in.Latency
		s.lanes[addr] = [2]*lane{
			{Rule: out, trip: trip, link: pace(name, outward, out.Rate), total: up, gone: make(chan struct{})},
			{Rule: in, trip: trip, link: pace(name, inward, in.Rate), total: down, gone: make(chan struct{})},
		}
	}
	return s
}

// end wakes who waits by this state: another one has taken its place.
func (s *state) end() {
	for _, pair := range s.lanes {
		close(pair[outward].gone)
		close(pair[inward].gone)
	}
	close(s.other[outward].gone)
	close(s.other[inward].gone)
}

// lane is how bytes travel now to or from who listens at addr; "" is somebody who dialled.
func (b *Bed) lane(addr string, to direction) *lane {
	s := b.state.Load()
	if pair, ok := s.lanes[addr]; ok {
		return pair[to]
	}
	return s.other[to]
}

// wrap makes a connection travel by the plan. addr is what was dialled; "" = it was accepted.
func (b *Bed) wrap(raw net.Conn, addr string) *conn {
	c := &conn{Conn: raw, bed: b, addr: addr, closed: make(chan struct{})}
	c.in.init(b.random())
	c.out.init(b.random())
	return c
}

// random follows from the seed and how many were asked for before.
func (b *Bed) random() *rand.Rand {
	return rand.New(rand.NewPCG(b.state.Load().plan.Seed, b.conns.Add(1)))
}

// Options make a libp2p host use the shaped TCP and no other transport.
func (b *Bed) Options() []libp2p.Option {
	return []libp2p.Option{libp2p.NoTransports, libp2p.Transport(b.newTransport)}
}

// Lies tells whether this node is to serve wrong bytes now.
func (b *Bed) Lies() bool { return b.state.Load().plan.Lies }

// Network tells which node this is, and the folder of the network that it is one of; "" of both = of none.
func (b *Bed) Network() (name, dir string) {
	p := b.state.Load().plan
	return p.Name, p.Net
}

// Full tells whether the disk of this node is to be full now.
func (b *Bed) Full() bool { return b.state.Load().plan.Full }
