package sim

import (
	"time"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// hurry is how many more configs a rash owner makes at once.
const hurry = 3

// strike lets one fault happen and sets the time of the next.
func (w *world) strike() {
	if !w.faulty() {
		return
	}
	if w.now < w.peace {
		w.q.push(happening{at: w.peace, kind: evFault})
		return
	}
	gap := w.prof.gap
	if w.opt.Script == nil {
		gap = time.Duration(w.rng.Int64N(int64(2*gap)) + 1)
	}
	w.q.push(happening{at: w.now + gap, kind: evFault})
	f := w.prof.faults[w.rng.IntN(len(w.prof.faults))]
	n := w.victim()
	w.trace("fault: %v of %s", f, n.name)
	switch f {
	case crash:
		w.crash(n, w.downtime())
	case wipe:
		if w.check.maywipe(w, n) {
			w.crash(n, w.downtime())
			w.wipe(n)
		}
	case spoil:
		if w.prof.mode == election.AP || w.check.maywipe(w, n) {
			w.crash(n, w.downtime())
			w.spoil(n)
		}
	case putBack:
		if n.past.copy == nil {
			w.keepCopy(n)
		} else if n.up && !n.paused && w.check.maywipe(w, n) && w.known(n) {
			w.putBack(n)
		}
	case revoke:
		w.owner.revoke(w)
	case pause:
		w.pause(n)
	case jump:
		if n.up {
			n.clock.set(w.now, n.clock.local(w.now)+time.Duration(w.rng.Int64N(int64(time.Hour))))
			w.later(n, 0, election.Tick{})
		}
	case isolate, halve, oneWay, bridge:
		w.partition(f, n)
	case reset:
		w.reset(n)
	case mute:
		w.mute()
	case clog:
		for to := range w.nodes {
			if to != n.i && w.rng.IntN(2) == 0 {
				w.net.clogged[n.i*w.net.n+to] = w.now + time.Duration(w.rng.Int64N(int64(5*time.Second)))
			}
		}
	case reconfigure:
		w.owner.act(w)
		for range hurry {
			if w.opt.Plant.Rash && w.check.broken == nil {
				w.owner.act(w)
			}
		}
	case handover:
		if n.up && !n.paused {
			w.step(n, election.HandoverRequested{})
		}
	case forge:
		w.forge(n)
	case promote:
		if n.up && !n.paused {
			w.step(n, election.PromoteRequested{})
		}
	}
}

// victim is a node, half of the time a primary: that is where it hurts.
func (w *world) victim() *node {
	at := w.rng.IntN(len(w.nodes))
	if w.opt.Script != nil || w.rng.IntN(2) == 0 {
		for k := range w.nodes {
			n := w.nodes[(at+k)%len(w.nodes)]
			if n.up && n.core.Role() == election.Primary {
				return n
			}
		}
	}
	return w.nodes[at]
}

func (w *world) pause(n *node) {
	if !n.up || n.paused {
		return
	}
	w.cov[Pauses]++
	d := 100 * time.Millisecond << w.rng.IntN(10) // 0.1 to 51 s
	if left := w.calmAt() - w.now; d > left {
		d = left
	}
	n.paused = true
	n.clock.freeze(w.now, w.rng.IntN(2) == 0)
	w.q.push(happening{at: w.now + d, kind: evWake, node: n.i, life: n.life})
}

// wake goes on with a paused node: everything sent to it meanwhile comes at once.
func (w *world) wake(n *node, life int) {
	if !n.up || !n.paused || n.life != life {
		return
	}
	w.trace("%s wakes", n.name)
	n.paused = false
	n.clock.thaw(w.now)
	box := n.inbox
	n.inbox = nil
	n.tick = forever
	w.step(n, election.Tick{})
	for _, h := range box {
		if n.up && !n.paused && w.check.broken == nil && h.kind != evTick && (h.life == 0 || h.life == n.life) {
			w.toNode(n, h)
		}
	}
}

// partition cuts directions for a while.
func (w *world) partition(f fault, n *node) {
	var c cut
	all := w.net.n
	closeBoth := func(a, b int) { c = append(c, a*all+b, b*all+a) }
	switch f {
	case isolate:
		for i := range all {
			if i != n.i {
				closeBoth(i, n.i)
			}
		}
		w.cov[Partitions]++
	case halve, bridge:
		side := w.rng.Uint64()
		for a := range all {
			for b := range a {
				joined := f == bridge && (a == n.i || b == n.i)
				if side>>a&1 != side>>b&1 && !joined {
					closeBoth(a, b)
				}
			}
		}
		w.cov[Partitions]++
	case oneWay:
		toAll, in := w.rng.IntN(2) == 0, w.rng.IntN(2) == 0
		for i := range all {
			switch {
			case i == n.i || !toAll && w.rng.IntN(2) == 0:
			case in:
				c = append(c, i*all+n.i)
			default:
				c = append(c, n.i*all+i)
			}
		}
		w.cov[OneWay]++
	}
	w.net.close(c)
	d := time.Duration(500+w.rng.Int64N(25_000)) * time.Millisecond
	w.q.push(happening{at: w.now + d, kind: evHeal, cut: c})
}

// mute lets half of the directions carry few beacons for a while.
func (w *world) mute() {
	w.cov[Mutes]++
	var c cut
	for d := range w.net.muted {
		if w.rng.IntN(2) == 0 {
			c = append(c, d)
		}
	}
	w.net.mute(c, 1)
	w.q.push(happening{at: w.now + time.Duration(1+w.rng.Int64N(20))*time.Second, kind: evSpeak, cut: c})
}

// reset breaks the connection between a node and its backup, or another one, for a moment.
func (w *world) reset(n *node) {
	w.cov[Resets]++
	other := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.up && w.opt.Script != nil {
		for _, p := range w.nodes {
			if p.id == n.core.Backup() {
				other = p
			}
		}
	}
	if other == n {
		return
	}
	c := cut{n.i*w.net.n + other.i, other.i*w.net.n + n.i}
	w.net.close(c)
	w.q.push(happening{at: w.now + time.Duration(1+w.rng.Int64N(3000))*time.Millisecond, kind: evHeal, cut: c})
	if n.up {
		w.later(n, time.Millisecond, election.Disconnected{Peer: other.id})
	}
	if other.up {
		w.later(other, time.Millisecond, election.Disconnected{Peer: n.id})
	}
}

// forge lets a voter lie, once: it shows some of the others another head with the number of its last one.
func (w *world) forge(n *node) {
	last := w.check.nodes[n.i].last
	if !n.up || n.paused || last == nil || w.check.forged != nil {
		return
	}
	var mine *election.Head
	for _, h := range last.State.Have {
		if h.Instance() == record.InstanceKey(n.disk.Instance) {
			mine = h
		}
	}
	if mine == nil {
		return
	}
	w.heads.count++
	twin := election.NewHead(fakeCid(w.heads.count), mine.Epoch, mine.Vector, nil)
	w.heads.byID[twin.ID] = &made{head: twin, content: w.heads.byID[mine.ID].content}
	w.check.forged = twin
	n.bytes[twin.ID] = true
	lie, state := *last, *last.State
	state.Known, state.Have = election.Frontier{twin}, election.Frontier{twin}
	lie.Stamp.No, lie.State = lie.Stamp.No+1, &state
	w.trace("%s forges %s", n.name, showHead(twin))
	for _, p := range w.nodes {
		if p != n && p.up && w.rng.IntN(2) == 0 {
			w.deliver(n, p, w.now+w.delay(), &lie, 0)
		}
	}
}

// calm ends all faults: links are whole, nodes run.
func (w *world) calm() {
	w.trace("calm")
	w.net.healAll()
	for _, n := range w.nodes {
		switch {
		case !n.up:
			w.boot(n)
		case n.paused:
			w.wake(n, n.life)
		case n.core != nil && w.check.nodes[n.i].failed:
			w.crash(n, time.Second)
		}
	}
	w.owner.settle(w)
}
