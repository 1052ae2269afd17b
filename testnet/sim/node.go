package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// node is one simulated machine: a disk, a clock, and a shell around the core.
type node struct {
	id     peer.ID
	name   string // id, for people
	i      int
	core   Core
	up     bool
	paused bool
	life   int // grows with every start
	store
	past  past
	inbox []happening // while paused
	tick  time.Duration
	clock clock
	row   row     // what it says
	table []heard // what it knows of the others' rows
	pen   pen
}

// past is what was on the node's disk before.
type past struct {
	stores int    // how many stores it has had, each with a name of its own
	disks  int    // how many of them were lost
	copy   *store // of the home
	back   bool   // the home was put back from a copy, and is not a new store yet
}

func instance(node, store int) []byte {
	b := make([]byte, record.InstanceSize)
	binary.BigEndian.PutUint32(b, uint32(node+1))
	binary.BigEndian.PutUint32(b[4:], uint32(store+1))
	return b
}

// boot starts the node from its disk.
func (w *world) boot(n *node) {
	n.life++
	n.up, n.paused, n.inbox = true, false, nil
	if n.bytes == nil {
		n.bytes = map[cid.Cid]bool{}
	}
	n.clock.set(w.now, time.Duration(w.rng.Int64N(int64(time.Hour))))
	if n.cfg.Version == 0 {
		n.cfg = w.owner.configs[0]
	}
	n.row, n.table = row{}, make([]heard, w.net.n)
	n.disk.Known, n.disk.Have = n.cfg.Spare(n.disk.Known, n.disk.Have, n.held)
	opt := election.Options{Interval: w.prof.intervals[n.i], Seed: w.rng.Uint64()}
	m := election.New(n.clock.local(w.now), n.id, n.cfg, n.disk, opt)
	n.core = m
	if w.opt.Wrap != nil {
		n.core = w.opt.Wrap(m, rand.New(rand.NewPCG(opt.Seed, 1)))
	}
	w.trace("%s boots, boot %d", n.name, n.disk.Boot+1)
	w.check.booted(w, n)
	n.tick = forever
	w.step(n, election.Tick{})
	for _, p := range w.nodes {
		if p != n && p.up && w.net.both(n.i, p.i) {
			w.later(p, w.delay(), election.Joined{Peer: n.id})
		}
	}
}

// crash stops the node; what was not synced is gone. It starts again after a while.
func (w *world) crash(n *node, down time.Duration) {
	if !n.up {
		return
	}
	w.cov[Crashes]++
	if w.opt.Script != nil && n.core.Role() == election.Primary {
		w.check.killed = w.now
	}
	w.trace("%s crashes for %v", n.name, down)
	n.up, n.paused, n.inbox = false, false, nil
	n.core = nil
	for _, p := range w.nodes {
		if p != n && p.up && w.net.both(n.i, p.i) && w.rng.Float64() < w.prof.hangup {
			w.later(p, time.Millisecond+w.delay(), election.Disconnected{Peer: n.id})
		}
	}
	w.q.push(happening{at: w.now + down, kind: evBoot, node: n.i, life: n.life})
}

// wipe takes the disk of a node that is down.
func (w *world) wipe(n *node) {
	w.cov[Wipes]++
	w.trace("%s is wiped", n.name)
	number := n.past.stores
	n.past.stores++
	if w.opt.Plant.Reuse {
		number = 0
	}
	w.check.wiped(n)
	n.past.back = false
	n.store = store{disk: election.Persistent{Instance: instance(n.i, number), Fresh: true}}
	n.past.disks++
}

// later gives a node an event after d.
func (w *world) later(n *node, d time.Duration, ev election.Event) {
	w.q.push(happening{at: w.now + d, kind: evStep, node: n.i, life: n.life, ev: ev})
}

// step gives the core an event and carries out what it says, in order.
func (w *world) step(n *node, ev election.Event) {
	w.played.steps++
	if w.opt.Trace != nil {
		w.traceEvent(n, ev)
	}
	if c, ok := ev.(election.ConfigChanged); ok && c.Config.Compare(n.cfg) > 0 {
		n.cfg = c.Config // on disk before the core hears of it
		ev = w.spared(n, c)
	}
	acts := n.core.Step(n.clock.local(w.now), ev)
	if w.check.stepped(w, n, acts); w.check.broken != nil {
		return
	}
	if !w.perform(n, acts) || !n.up {
		return
	}
	if due := w.wakeAt(n); due < n.tick {
		n.tick = due
		w.q.push(happening{at: due, kind: evTick, node: n.i, life: n.life})
	}
}

func (w *world) wakeAt(n *node) time.Duration {
	next := n.core.Next()
	if next == forever {
		return forever
	}
	return max(n.clock.world(next), w.now+1)
}

// perform carries actions out. It tells whether all were.
func (w *world) perform(n *node, acts []election.Action) bool {
	cutAt := -1
	if len(acts) > 0 && w.prof.torn > 0 && w.accidents() && w.rng.Float64() < w.prof.torn {
		cutAt = w.rng.IntN(len(acts) + 1)
	}
	for i, a := range acts {
		if i == cutAt {
			w.cov[TornSteps]++
			w.crash(n, w.downtime())
			return false
		}
		if w.opt.Trace != nil {
			w.traceAction(n, a)
		}
		if _, ok := a.(election.Persist); ok && w.prof.fsync > 0 && w.accidents() && w.rng.Float64() < w.prof.fsync {
			w.cov[FsyncErrors]++
			w.step(n, election.PersistFailed{})
			w.crash(n, w.downtime())
			return false
		}
		w.do(n, a)
		if w.check.broken != nil || !n.up {
			return false
		}
	}
	return true
}

func (w *world) do(n *node, a election.Action) {
	switch a := a.(type) {
	case election.Persist:
		n.save(a.State)
	case election.Broadcast:
		w.check.sent(n, a.Message)
		w.broadcast(n, a.Message)
	case election.Send:
		w.check.sent(n, a.Message)
		if _, ok := a.Message.(election.Handover); ok {
			w.check.handing(w, n, a.To)
		}
		w.send(n, a.To, a.Message)
	case election.Fetch:
		w.fetch(n, a)
	case election.Make:
		d := time.Millisecond + time.Duration(w.rng.Int64N(int64(20*time.Millisecond)))
		w.q.push(happening{at: w.now + d, kind: evBuilt, node: n.i, life: n.life, plan: a.Plan})
	case election.FetchConfig:
		w.fetchConfig(n, a.From)
	case election.Accepted:
		w.check.accepted(w, n, a)
	case election.Durable:
		w.check.becameDurable(w, n, a.Head)
	case election.Became:
		w.check.became(w, n, a)
	case election.Refused:
		w.cov[Refused]++
	case election.HandedOver:
		if a.OK {
			w.cov[Handovers]++
		}
	case election.Alarm:
		w.check.alarm(w, n, a)
	}
}

// fetch begins to get a head's bytes from one of those that have them.
func (w *world) fetch(n *node, f election.Fetch) {
	from := make([]int, 0, len(w.nodes))
	for _, id := range f.From {
		from = append(from, w.index[id])
	}
	for i := range w.nodes {
		if len(f.From) == 0 && i != n.i { // whoever can be found
			from = append(from, i)
		}
	}
	d := w.delay() + time.Duration(w.rng.Int64N(int64(50*time.Millisecond)))
	if w.faulty() && w.rng.IntN(20) == 0 {
		d += time.Duration(w.rng.Int64N(int64(3 * time.Second)))
	}
	if slow := w.prof.slow; slow != nil && w.faulty() {
		d += time.Duration(float64(slow[n.i]) * w.rng.ExpFloat64())
	}
	w.q.push(happening{at: w.now + d, kind: evBytes, node: n.i, life: n.life, want: f.Head, from: from})
}

// arrived ends a fetch: well if one of the sources can still be reached and has the bytes.
func (w *world) arrived(n *node, h happening) {
	for _, i := range h.from {
		src := w.nodes[i]
		if src.up && !src.paused && w.net.both(n.i, i) && src.bytes[h.want.ID] {
			n.bytes[h.want.ID] = true
			w.step(n, election.Fetched{Head: h.want})
			return
		}
	}
	w.cov[FetchesFailed]++
}

// accidents tells whether writes and steps fail.
func (w *world) accidents() bool { return w.faulty() && w.now >= w.peace }

// faulty tells whether faults happen still.
func (w *world) faulty() bool { return w.now < w.calmAt() }

func (w *world) downtime() time.Duration {
	if w.opt.Script != nil {
		return w.opt.Script.Kill / 2
	}
	if !w.faulty() {
		return time.Second
	}
	return time.Duration(50+w.rng.Int64N(15_000)) * time.Millisecond
}
