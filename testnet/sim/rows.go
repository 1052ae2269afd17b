package sim

import (
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// A node's beacon covers all its sets and carries the rows of those that changed a short while ago; of the others
// only the version of its table is known. Who has missed a row pulls it, and hears beacons without a state till then.

// row is a version of what a node says of the set.
type row struct {
	version uint64
	stamp   election.Stamp // of the beacon it was first said with
	state   *election.State
	repeat  int // in so many beacons more
}

// heard is what a node knows of another's table.
type heard struct {
	instance string
	last     election.Stamp // of the last beacon
	row      row
}

// say is a beacon as it leaves: with the row while it is new. Where it is always pushed there are no versions.
func (w *world) say(n *node, b *election.Beacon) (*election.Beacon, uint64) {
	if w.prof.push == always {
		return b, 0
	}
	r := &n.row
	if r.state != b.State {
		*r = row{version: r.version, stamp: b.Stamp, state: b.State, repeat: w.prof.push}
		if !w.opt.Plant.SameRow || r.version == 0 {
			r.version++
		}
	}
	if r.repeat > 0 {
		r.repeat--
		return b, r.version
	}
	bare := *b
	bare.State = nil
	return &bare, r.version
}

// hear takes in a beacon of another node, whose table has a version.
func (w *world) hear(p *node, r election.Received, version uint64) {
	from := w.index[r.From]
	b := r.Message.(*election.Beacon)
	t := &p.table[from]
	if t.instance != r.Instance || b.Stamp.Boot > t.last.Boot {
		*t = heard{instance: r.Instance}
	}
	if b.Stamp.After(t.last) {
		t.last = b.Stamp
	}
	switch {
	case b.State != nil && b.Stamp.Boot == t.last.Boot && version > t.row.version:
		t.row = row{version: version, state: b.State}
	case b.State != nil:
	case version == t.row.version && b.Stamp.Boot == t.last.Boot:
		full := *b
		full.State = t.row.state
		r.Message = &full
	default:
		w.cov[LateStates]++
		w.q.push(happening{at: w.now + w.delay(), kind: evPull, node: from, life: w.nodes[from].life, peer: p.i})
	}
	w.step(p, r)
}

// pull answers a node that lacks this one's row, over a stream.
func (w *world) pull(n *node, peer int) {
	p := w.nodes[peer]
	if !p.up || !w.net.both(n.i, peer) || n.row.version == 0 {
		return
	}
	answer := election.Beacon{Stamp: n.row.stamp, State: n.row.state}
	r := election.Received{From: n.id, Instance: record.InstanceKey(n.disk.Instance), Message: &answer}
	w.q.push(happening{at: w.now + w.delay(), kind: evPulled, node: peer, life: p.life, ev: r, row: n.row.version})
}

// pulled takes the answer in, as the state of the last beacon heard: unless that was another start's.
func (w *world) pulled(p *node, r election.Received, version uint64) {
	t := &p.table[w.index[r.From]]
	b := *r.Message.(*election.Beacon)
	if t.instance != r.Instance || b.Stamp.Boot != t.last.Boot || version <= t.row.version {
		return
	}
	t.row = row{version: version, state: b.State}
	w.cov[Pulled]++
	b.Stamp, b.Interval = t.last, w.prof.intervals[w.index[r.From]]
	r.Message = &b
	w.step(p, r)
}
