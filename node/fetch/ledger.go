package fetch

import "time"

// request is one leaf asked of one peer.
type request struct {
	peer       *peer
	leaf       uint32
	at         time.Duration
	came       int64 // bytes, of a leaf that is not whole yet
	prev, next int32 // in the peer's queue
}

// ledger is every request in flight. Slot 0 is never used, so that 0 means none.
type ledger struct {
	slab     []request
	unused   []int32
	inflight int64
}

// add appends a request to the peer's queue.
func (l *ledger) add(p *peer, leaf uint32, size int64, t time.Duration) int32 {
	var id int32
	if n := len(l.unused); n > 0 {
		id, l.unused = l.unused[n-1], l.unused[:n-1]
	} else {
		if len(l.slab) == 0 {
			l.slab = append(l.slab, request{})
		}
		id = int32(len(l.slab))
		l.slab = append(l.slab, request{})
	}
	l.slab[id] = request{peer: p, leaf: leaf, at: t, prev: p.tail}
	if p.tail != 0 {
		l.slab[p.tail].next = id
	} else {
		p.head = id
	}
	p.tail = id
	p.inflight += size
	l.inflight += size
	return id
}

// remove takes a request out of its peer's queue.
func (l *ledger) remove(id int32, size int64) {
	r := l.slab[id]
	if r.prev != 0 {
		l.slab[r.prev].next = r.next
	} else {
		r.peer.head = r.next
	}
	if r.next != 0 {
		l.slab[r.next].prev = r.prev
	} else {
		r.peer.tail = r.prev
	}
	r.peer.inflight -= size
	r.peer.came -= r.came
	l.inflight -= size
	l.slab[id] = request{}
	l.unused = append(l.unused, id)
}
