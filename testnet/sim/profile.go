package sim

import (
	"math/rand/v2"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// Length of a seed, and of its end without faults. The longest recovery is an abandonment: an election, four
// TFail of waiting, and a round of consent, about 30 intervals in all.
const (
	length     = 120 * time.Second
	calm       = 30 * time.Second
	calmAtSlow = 50 * time.Second // intervals above slowInterval
	// quiet is how long before the end the last proposal is made, in intervals.
	quietIntervals = 12
	slowInterval   = 500 * time.Millisecond
)

// profile is what a seed has drawn: each seed has some kinds of faults only, so that rare mixtures come up.
type profile struct {
	mode      election.Mode
	voters    int
	spares    int // nodes that the owner may make voters later
	intervals []time.Duration
	drift     []int64 // parts per million of each node's clock

	publish time.Duration // mean between proposals
	gap     time.Duration // mean between faults
	faults  []fault
	torn    float64         // a step is cut off by a crash
	fsync   float64         // a write of the state fails
	slow    []time.Duration // mean of what each node's fetches take longer
	links
}

// links is how messages fare.
type links struct {
	loss   float64 // of a message
	dup    float64
	delay  time.Duration   // mean
	lag    []time.Duration // mean of what a directed link adds, from*n+to; nil = nothing
	relay  bool            // pubsub reaches nodes over others
	late   float64         // a beacon's state comes later than the beacon
	push   int             // how many beacons carry a row that has changed; always = all
	hangup float64         // a crash is noticed by the peers at once
}

// always: every beacon carries all that its node has to say.
const always = -1

// fault is a kind of fault that strikes at a moment.
type fault uint8

const (
	crash fault = iota
	wipe
	pause
	jump
	isolate // one node
	halve   // two groups
	oneWay  // one direction between two nodes, or all to one node
	bridge  // two groups joined by one node
	reset   // a connection breaks and comes back
	mute    // some hear the beacons of some others rarely, and reach them all the same
	clog    // a link holds everything back
	reconfigure
	revoke  // a writer
	spoil   // the newest state is lost
	putBack // a copy of the home
	handover
	promote
	forge // a voter signs a second head with the number of its last
	allFaults
)

var faultNames = [allFaults]string{
	"crash", "wipe", "pause", "jump", "isolate", "halve", "one-way", "bridge", "reset", "mute", "clog", "config", "revoke", "spoil", "put back", "handover", "promote", "forge",
}

func (f fault) String() string { return faultNames[f] }

// draw makes the profile of a seed.
func draw(r *rand.Rand, o Options) profile {
	p := profile{mode: election.Mode(r.IntN(2)), voters: 3}
	if r.IntN(2) == 0 {
		p.voters = 3 + r.IntN(5)
	}
	if p.mode == election.AP && r.IntN(4) == 0 {
		p.voters = 2
	}
	if p.voters < 7 {
		p.spares = r.IntN(2)
	}
	p.intervals = drawIntervals(r, o, p.voters+p.spares)
	p.drift = make([]int64, p.voters+p.spares)
	if r.IntN(2) == 0 {
		for i := range p.drift {
			p.drift[i] = r.Int64N(100_001) - 50_000 // up to 5 %
		}
	}
	p.links = drawLinks(r, p.voters+p.spares)
	p.publish = 100 * time.Millisecond << r.IntN(6) // to 3.2 s
	p.gap = time.Duration(1000+r.IntN(9000)) * time.Millisecond
	for f := range allFaults {
		if f == forge && r.IntN(4) > 0 { // most promises are off with a liar among the voters
			continue
		}
		if r.IntN(2) == 0 {
			p.faults = append(p.faults, f)
		}
	}
	p.slow = make([]time.Duration, p.voters+p.spares)
	if r.IntN(2) == 0 {
		for i := range p.slow {
			p.slow[i] = time.Duration(r.IntN(2)*r.IntN(2000)) * time.Millisecond
		}
	}
	if r.IntN(2) == 0 {
		p.torn = 0.02 * r.Float64()
	}
	if r.IntN(3) == 0 {
		p.fsync = 0.01 * r.Float64()
	}
	return p
}

func drawLinks(r *rand.Rand, n int) links {
	l := links{relay: r.IntN(3) > 0}
	if r.IntN(2) == 0 {
		l.loss = r.Float64() * 0.3
	}
	if r.IntN(2) == 0 {
		l.dup = r.Float64() * 0.5
	}
	l.delay = time.Duration(r.IntN(4)) * time.Duration(r.IntN(33)+1) * time.Millisecond
	if r.IntN(3) == 0 {
		l.lag = make([]time.Duration, n*n)
		for i := range l.lag {
			if r.IntN(4) == 0 {
				l.lag[i] = time.Duration(r.IntN(1500)) * time.Millisecond
			}
		}
	}
	l.push = r.IntN(8) - 4
	if l.push < 0 {
		l.push = always
	}
	if l.push == always && r.IntN(2) == 0 {
		l.late = r.Float64() * 0.5
	}
	l.hangup = float64(r.IntN(3)) / 2
	return l
}

// drawIntervals: mostly one for all, sometimes each node its own.
func drawIntervals(r *rand.Rand, o Options, n int) []time.Duration {
	all := []time.Duration{time.Second, time.Second, 250 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond}
	pick, mixed := all[r.IntN(len(all))], r.IntN(8) == 0
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = pick
		if mixed {
			out[i] = all[r.IntN(len(all))]
		}
		if o.Interval > 0 {
			out[i] = o.Interval
		}
	}
	return out
}

// slowest is the longest interval of the seed.
func (p profile) slowest() time.Duration {
	var d time.Duration
	for _, i := range p.intervals {
		d = max(d, i)
	}
	return d
}

func (p profile) calmAt() time.Duration {
	if p.slowest() > slowInterval {
		return length - calmAtSlow
	}
	return length - calm
}
