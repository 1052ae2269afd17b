package sim

import (
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// kind is what happens at a moment of the simulated world.
type kind uint8

const (
	evStep   kind = iota // a node's core gets an event
	evTick               // a node's timer
	evBytes              // a fetch ends
	evBuilt              // a head is built
	evBoot               // a crashed node starts again
	evWake               // a paused node goes on
	evClient             // somebody publishes
	evFault              // the next fault is due
	evHeal               // a cut ends
	evSpeak              // a muting ends
	evCalm               // faults end
	evOwner              // the owner changes the config
	evLook               // the world is looked at
	evCure               // somebody minds an alarm
	evHeard              // a beacon arrives that may lack its row
	evPull               // a node asks for a row
	evPulled             // the row arrives
)

// happening is one entry of the queue.
type happening struct {
	at   time.Duration
	no   uint64 // breaks ties, in order of insertion
	kind kind
	node int
	life int // of the node; what was meant for an earlier one is dropped
	ev   election.Event
	plan *election.Plan
	want *election.Head
	from []int
	cut  cut
	row  uint64 // version
	peer int
}

// queue is a binary heap by (at, no). It moves small keys only.
type queue struct {
	keys []key
	pool []happening
	free []int32
	no   uint64
}

type key struct {
	at time.Duration
	no uint64
	i  int32
}

func (k key) before(o key) bool { return k.at < o.at || k.at == o.at && k.no < o.no }

func (q *queue) push(h happening) {
	q.no++
	h.no = q.no
	var i int32
	if n := len(q.free); n > 0 {
		i = q.free[n-1]
		q.free = q.free[:n-1]
		q.pool[i] = h
	} else {
		i = int32(len(q.pool))
		q.pool = append(q.pool, h)
	}
	q.keys = append(q.keys, key{h.at, h.no, i})
	for at := len(q.keys) - 1; at > 0; {
		up := (at - 1) / 2
		if !q.keys[at].before(q.keys[up]) {
			break
		}
		q.keys[at], q.keys[up] = q.keys[up], q.keys[at]
		at = up
	}
}

func (q *queue) pop() (happening, bool) {
	if len(q.keys) == 0 {
		return happening{}, false
	}
	top := q.keys[0]
	last := len(q.keys) - 1
	q.keys[0] = q.keys[last]
	q.keys = q.keys[:last]
	for at := 0; ; {
		least := at
		for c := 2*at + 1; c <= 2*at+2 && c < last; c++ {
			if q.keys[c].before(q.keys[least]) {
				least = c
			}
		}
		if least == at {
			break
		}
		q.keys[at], q.keys[least] = q.keys[least], q.keys[at]
		at = least
	}
	h := q.pool[top.i]
	q.pool[top.i] = happening{}
	q.free = append(q.free, top.i)
	return h, true
}
