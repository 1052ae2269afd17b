package sim

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// network says which directions are cut, and which are clogged until when.
type network struct {
	n       int
	cuts    []int // how many cuts hold the direction from*n+to closed
	muted   []int // how many mutings hold it: beacons mostly fail, streams work
	clogged []time.Duration
}

// cut is a set of closed directions.
type cut []int

func newNetwork(n int) network {
	return network{n: n, cuts: make([]int, n*n), muted: make([]int, n*n), clogged: make([]time.Duration, n*n)}
}

func (k *network) open(from, to int) bool { return k.cuts[from*k.n+to] == 0 }

func (k *network) both(a, b int) bool { return k.open(a, b) && k.open(b, a) }

func (k *network) close(c cut) {
	for _, d := range c {
		k.cuts[d]++
	}
}

func (k *network) heal(c cut) {
	for _, d := range c {
		k.cuts[d] = max(0, k.cuts[d]-1)
	}
}

// mute changes how many mutings hold each of c.
func (k *network) mute(c cut, by int) {
	for _, d := range c {
		k.muted[d] = max(0, k.muted[d]+by)
	}
}

func (k *network) healAll() {
	clear(k.cuts)
	clear(k.muted)
	clear(k.clogged)
}

// delay is one way over one link.
func (w *world) delay() time.Duration {
	d := 200*time.Microsecond + time.Duration(w.rng.Int64N(int64(2*time.Millisecond)))
	if m := int64(w.prof.delay); m > 0 && w.faulty() {
		d += time.Duration(float64(m) * w.rng.ExpFloat64())
	}
	return d
}

// mutedLoss makes a muted voter silent for four beacons in a row about half of the time.
const mutedLoss = 0.85

// broadcast sends a message to everybody, over others where there is no direct way.
func (w *world) broadcast(n *node, msg election.Message) {
	var version uint64
	if b, ok := msg.(*election.Beacon); ok {
		msg, version = w.say(n, b)
	}
	for _, p := range w.nodes {
		if p == n || !p.up {
			continue
		}
		if w.net.muted[n.i*w.net.n+p.i] > 0 && w.rng.Float64() < mutedLoss {
			continue
		}
		if w.net.open(n.i, p.i) {
			w.carry(n, p, 0, msg, version)
		} else if w.prof.relay && w.relayed(n.i, p.i) {
			w.cov[Relayed]++
			w.carry(n, p, w.delay(), msg, version)
		}
	}
}

// relayed tells whether one node between the two can pass messages on.
func (w *world) relayed(from, to int) bool {
	for _, k := range w.nodes {
		if k.up && !k.paused && k.i != from && k.i != to && w.net.open(from, k.i) && w.net.open(k.i, to) {
			return true
		}
	}
	return false
}

// send is a message on a stream: it needs both directions.
func (w *world) send(n *node, to peer.ID, msg election.Message) {
	i, ok := w.index[to]
	if !ok || !w.nodes[i].up || !w.net.both(n.i, i) {
		return
	}
	w.carry(n, w.nodes[i], 0, msg, 0)
}

// carry loses, delays and doubles a message. A beacon with a version may lack its row.
func (w *world) carry(n, p *node, extra time.Duration, msg election.Message, version uint64) {
	copies := 1
	if w.faulty() {
		if w.prof.loss > 0 && w.rng.Float64() < w.prof.loss {
			return
		}
		if w.prof.dup > 0 && w.rng.Float64() < w.prof.dup {
			copies = 2
		}
	}
	for c := range copies {
		d := extra + w.delay()
		if w.prof.lag != nil && w.faulty() {
			d += time.Duration(float64(w.prof.lag[n.i*w.net.n+p.i]) * w.rng.ExpFloat64())
		}
		if c > 0 { // a repetition comes much later
			d += time.Duration(w.rng.Int64N(int64(5 * time.Second)))
		}
		at := max(w.now+d, w.net.clogged[n.i*w.net.n+p.i])
		w.deliver(n, p, at, msg, version)
	}
}

// deliver puts the message into the queue; a beacon's state sometimes later than the beacon.
func (w *world) deliver(n, p *node, at time.Duration, msg election.Message, version uint64) {
	r := election.Received{From: n.id, Instance: record.InstanceKey(n.disk.Instance), Message: msg}
	h := happening{at: at, kind: evStep, node: p.i, life: p.life, ev: r, row: version}
	if version > 0 {
		h.kind = evHeard
	} else if b, ok := msg.(*election.Beacon); ok && w.prof.late > 0 && w.faulty() && w.rng.Float64() < w.prof.late {
		w.cov[LateStates]++
		alive := *b
		alive.State = nil
		r.Message = &alive
		first := h
		first.ev = r
		w.q.push(first)
		h.at += time.Duration(w.rng.Int64N(int64(500 * time.Millisecond)))
	}
	w.q.push(h)
}
