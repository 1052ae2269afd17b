package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
)

// Core is what the simulator runs: *election.Member, or one with a bug planted around it.
type Core interface {
	Step(now time.Duration, ev election.Event) []election.Action
	Next() time.Duration
	Role() election.Role
	Persistent() election.Persistent
	Absorbed() bool
	Backup() peer.ID
	Config() election.Config
}

// Options are of one seed. Only Seed is needed.
type Options struct {
	Seed     uint64
	Interval time.Duration // of all nodes, instead of what the seed draws
	Trace    io.Writer     // gets everything that happens
	// Wrap puts something around a node's core, each time the node starts; nil is the production core.
	Wrap  func(m *election.Member, r *rand.Rand) Core
	Plant Plant
	// Script replaces the faults and nodes that the seed draws.
	Script *Script
}

// Plant is what can be wrong around the core: bugs planted in the shell or the owner's tool.
type Plant struct {
	Reuse    bool // a wiped store gets the identity of the one before
	AnyStore bool // a strict config lists nodes, not stores: a wiped voter goes on voting
	Rash     bool // a strict config follows another before anything is durable under it

	Credulous bool // a store that has lost its newest state goes on with the one before
	SameRow   bool // a row that changes keeps its version
	Hasty     bool // a primary answers reads without waiting for a head of its reign to become durable
}

// Script is a scenario: faults of a kind chosen by hand.
type Script struct {
	Mode   election.Mode
	Voters int
	// Reset, if set, breaks the connection between primary and backup that often, and nothing else.
	Reset time.Duration
	// Kill, if set, crashes the primary that often; it comes back after half of the time.
	Kill time.Duration
	// Silent makes killed nodes fall silent: nobody is told that a connection broke.
	Silent bool
	// Repeat is how many of the messages come again, up to 5 s later.
	Repeat float64
	Length time.Duration
}

// Result is what came of a seed.
type Result struct {
	Seed      uint64
	Violation *Violation
	Coverage  Coverage
	Steps     int
	Digest    uint64 // of everything that happened, in order
	Simulated time.Duration
	// Settled is how long after the end of the faults one primary and one epoch were there to stay; negative
	// if they were not.
	Settled time.Duration
	// Gaps are, for a script that kills, the times from a kill to the next revision.
	Gaps []time.Duration
	// History is what clients saw, in strict. It is to be linearizable.
	History []Op
}

// Violation is a broken invariant.
type Violation struct {
	Invariant string
	At        time.Duration
	Detail    string
}

func (v *Violation) Error() string { return fmt.Sprintf("%s at %v: %s", v.Invariant, v.At, v.Detail) }

type world struct {
	opt    Options
	rng    *rand.Rand
	now    time.Duration
	end    time.Duration
	q      queue
	nodes  []*node
	index  map[peer.ID]int
	net    network
	prof   profile
	heads  registry
	owner  owner
	peace  time.Duration // no faults strike before
	check  checker
	cov    Coverage
	played played
}

// played is how much happened, and what.
type played struct {
	steps  int
	digest uint64
}

// Run plays one seed. Equal options give equal results.
func Run(o Options) Result {
	w := newWorld(o)
	for w.check.broken == nil {
		h, ok := w.q.pop()
		if !ok || h.at > w.end {
			break
		}
		w.now = h.at
		w.happen(h)
	}
	if w.check.broken == nil {
		w.now = w.end
		w.atEnd()
		w.inTime()
	}
	return Result{
		Seed: o.Seed, Violation: w.check.broken, Coverage: w.cov, Steps: w.played.steps, Digest: w.played.digest, Simulated: w.now,
		Settled: w.check.stable - w.calmAt(), Gaps: w.check.gaps, History: w.history(),
	}
}

func newWorld(o Options) *world {
	w := &world{
		opt: o, rng: rand.New(rand.NewPCG(o.Seed, 0x5eed)), end: length,
		index: map[peer.ID]int{},
		heads: registry{byID: map[cid.Cid]*made{}, byDot: map[dot]cid.Cid{}, asked: make([]proposal, 1)},
	}
	w.prof = draw(w.rng, o)
	if o.Script != nil {
		w.follow(*o.Script)
	}
	n := w.prof.voters + w.prof.spares
	w.net = newNetwork(n)
	w.check.init(n)
	for i := range n {
		id := peer.ID(string(rune('A' + i)))
		w.index[id] = i
		w.nodes = append(w.nodes, &node{id: id, name: string(id), i: i, clock: clock{rate: 1_000_000 + w.prof.drift[i]}, past: past{stores: 1}})
	}
	w.owner.begin(w)
	for _, n := range w.nodes {
		n.disk = election.Persistent{Instance: instance(n.i, 0), Fresh: n.i > 0}
		w.boot(n)
	}
	w.q.push(happening{at: w.prof.publish, kind: evClient})
	if len(w.prof.faults) > 0 {
		w.q.push(happening{at: w.prof.gap, kind: evFault})
	}
	w.q.push(happening{at: w.calmAt(), kind: evCalm})
	w.q.push(happening{at: time.Second, kind: evLook})
	return w
}

func (w *world) calmAt() time.Duration {
	if w.opt.Script != nil {
		return w.end - calm
	}
	return w.prof.calmAt()
}

// follow sets the world up for a scenario: no faults but the script's.
func (w *world) follow(s Script) {
	n := s.Voters
	w.end = s.Length
	w.prof = profile{
		mode: s.Mode, voters: n, intervals: drawIntervals(w.rng, w.opt, n), drift: make([]int64, n),
		publish: 100 * time.Millisecond, links: links{delay: time.Millisecond, relay: true, hangup: 1, dup: s.Repeat, push: always},
	}
	if s.Silent {
		w.prof.hangup = 0
	}
	if s.Reset > 0 {
		w.prof.gap, w.prof.faults = s.Reset, []fault{reset}
	}
	if s.Kill > 0 {
		w.prof.gap, w.prof.faults = s.Kill, []fault{crash}
	}
}

func (w *world) happen(h happening) {
	w.played.digest = (w.played.digest ^ uint64(h.at) ^ uint64(h.kind)<<56 ^ uint64(h.node)<<48) * 0x100000001b3
	switch h.kind {
	case evClient:
		w.publish()
		return
	case evFault:
		w.strike()
		return
	case evHeal:
		w.net.heal(h.cut)
		return
	case evSpeak:
		w.net.mute(h.cut, -1)
		return
	case evCalm:
		w.calm()
		return
	case evOwner:
		w.owner.act(w)
		return
	case evLook:
		w.look()
		w.q.push(happening{at: w.now + time.Second, kind: evLook})
		return
	}
	n := w.nodes[h.node]
	switch {
	case h.kind == evBoot:
		if !n.up && h.life == n.life {
			w.boot(n)
		}
		return
	case h.kind == evCure:
		w.cure(n)
		return
	case h.kind == evWake:
		w.wake(n, h.life)
		return
	case h.life != 0 && h.life != n.life, !n.up:
		return
	case n.paused:
		n.inbox = append(n.inbox, h)
		return
	}
	w.toNode(n, h)
}

// toNode is what happens at a node that runs.
func (w *world) toNode(n *node, h happening) {
	switch h.kind {
	case evStep:
		w.step(n, h.ev)
	case evTick:
		if h.at >= n.tick {
			n.tick = forever
			w.step(n, election.Tick{})
		}
	case evBytes:
		w.arrived(n, h)
	case evHeard:
		w.hear(n, h.ev.(election.Received), h.row)
	case evPull:
		w.pull(n, h.peer)
	case evPulled:
		w.pulled(n, h.ev.(election.Received), h.row)
	case evBuilt:
		r := w.build(h.plan)
		n.bytes[r.head.ID] = true
		w.check.built(w, h.plan, r)
		if w.check.broken == nil {
			w.step(n, election.Made{Plan: h.plan, Head: r.head})
		}
	}
}

// publish proposes something: to a primary if there is one, sometimes to anybody.
func (w *world) publish() {
	if w.now > w.end-quietIntervals*w.prof.slowest() {
		return
	}
	mean := int64(w.prof.publish)
	if w.opt.Script != nil {
		w.q.push(happening{at: w.now + w.prof.publish, kind: evClient})
	} else {
		w.q.push(happening{at: w.now + time.Duration(w.rng.Int64N(2*mean)+1), kind: evClient})
	}
	at := w.rng.IntN(len(w.nodes))
	if w.rng.IntN(10) > 0 {
		for k := range w.nodes {
			if i := (at + k) % len(w.nodes); w.nodes[i].up && w.nodes[i].core.Role() == election.Primary {
				at = i
				break
			}
		}
	}
	n := w.nodes[at]
	if !n.up || n.paused {
		return
	}
	w.heads.asked = append(w.heads.asked, proposal{at: w.now, write: n.pen.write(n)})
	w.check.read(w, n)
	w.step(n, election.Proposed{ID: uint64(len(w.heads.asked) - 1)})
}

// trace writes one line.
func (w *world) trace(format string, a ...any) {
	if w.opt.Trace != nil {
		fmt.Fprintf(w.opt.Trace, "%12.6f "+format+"\n", append([]any{w.now.Seconds()}, a...)...)
	}
}
