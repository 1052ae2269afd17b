package council

import (
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const never = time.Duration(math.MaxInt64)

// redialPause is the time before the n-th attempt to reach a voter that is away, the last one from then on.
func redialPause(n int) time.Duration {
	pauses := [...]time.Duration{200 * time.Millisecond, 300 * time.Millisecond, time.Second}
	return pauses[min(n, len(pauses)-1)]
}

// redials says when to dial voters that are away: 0.2 and 0.5 s after a connection broke, and then every second; one
// that is connected and silent first at once. Time is an argument; it is not safe for concurrent use.
type redials struct {
	grace  time.Duration // in which a voter that is connected must speak
	voters map[peer.ID]*absence
}

// absence is how long a voter has been away. It is not while next is never.
type absence struct {
	wanted int // by so many seats
	broken bool
	tries  int
	next   time.Duration
}

// want says that a seat needs p; one that was not heard yet is away after a while. unwant takes it back.
func (r *redials) want(p peer.ID, now time.Duration) {
	a := r.voters[p]
	if a == nil {
		if r.voters == nil {
			r.voters = map[peer.ID]*absence{}
		}
		a = &absence{next: now + r.grace}
		r.voters[p] = a
	}
	a.wanted++
}

func (r *redials) unwant(p peer.ID) {
	if a := r.voters[p]; a != nil {
		if a.wanted--; a.wanted == 0 {
			delete(r.voters, p)
		}
	}
}

// heard: p spoke, but perhaps by way of others.
func (r *redials) heard(p peer.ID) {
	if a := r.voters[p]; a != nil && !a.broken {
		a.next = never
	}
}

// joined: there is a connection to p, over which it must now speak.
func (r *redials) joined(p peer.ID, now time.Duration) {
	if a := r.voters[p]; a != nil {
		a.broken, a.tries, a.next = false, 0, now+r.grace
	}
}

// broke: the last connection to p is gone.
func (r *redials) broke(p peer.ID, now time.Duration) {
	if a := r.voters[p]; a != nil && !a.broken {
		a.broken, a.tries, a.next = true, 0, now+redialPause(0)
	}
}

// silent: p has not been heard for long.
func (r *redials) silent(p peer.ID, now time.Duration) {
	if a := r.voters[p]; a != nil && a.next == never {
		a.tries, a.next = 0, now
	}
}

// due are the voters to be dialled now, and when to ask again.
func (r *redials) due(now time.Duration) (dial []peer.ID, next time.Duration) {
	next = never
	for p, a := range r.voters {
		if a.next <= now {
			dial = append(dial, p)
			n := a.tries
			if a.broken {
				n++ // the first pause was before this attempt
			}
			a.next = now + redialPause(n)
			a.tries++
		}
		next = min(next, a.next)
	}
	return dial, next
}
