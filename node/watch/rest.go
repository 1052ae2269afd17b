package watch

import "time"

const (
	// blindRescan is how often a folder is looked through that cannot be watched.
	blindRescan = 30 * time.Second
	// retry is when a call that failed is made again, if nothing changes before; after that twice as long each
	// time, up to Rescan.
	retry = 30 * time.Second
	// maxRetries is how often the time doubles: to eight hours, above any sensible Rescan.
	maxRetries = 10
)

// event is what rest is told.
type event uint8

const (
	started    event = iota // the folder is watched for the first time
	changes                 // something in it changed
	overflowed              // changes were lost
	gone                    // the folder is not there
	back                    // it is again
	ticked                  // the time that was asked for has come
	succeeded               // the call has returned
	failed                  // with an error
)

// action is what rest wants: a call with a reason, or to be told ticked at a time, or nothing.
type action struct {
	call string
	wake time.Time
}

// rest decides when to call. It is called with events in the order of their times, and makes one call at a
// time: between an action with a call and the event succeeded or failed it wants nothing.
type rest struct {
	debounce, maxDelay, rescan, poll time.Duration
	blind                            bool // changes are not seen

	first, last  time.Time // changes since the last call began; zero: none
	start        bool      // the first call is due
	lost         time.Time // when changes were lost since the last call began; zero: none
	running      bool
	absent       bool
	began, ended time.Time // the last call
	failures     int       // calls in a row
	wake         time.Time // what was asked for; zero: nothing
}

// step takes one event in and tells what to do now.
func (r *rest) step(now time.Time, e event) action {
	switch e {
	case started:
		r.start, r.ended = true, now
	case changes:
		r.change(now)
	case overflowed:
		if r.lost.IsZero() {
			r.lost = now
		}
	case gone:
		r.absent = true
	case back:
		r.absent, r.failures = false, 0
		r.change(now)
	case ticked:
		r.wake = time.Time{}
	case succeeded:
		r.running, r.ended, r.failures = false, now, 0
	case failed:
		r.running, r.ended, r.failures = false, now, min(r.failures+1, maxRetries)
	}
	return r.next(now)
}

func (r *rest) change(now time.Time) {
	if r.first.IsZero() {
		r.first = now
	}
	r.last = now
}

func (r *rest) next(now time.Time) action {
	if r.absent {
		return r.ask(now.Add(r.poll))
	}
	if r.running {
		return action{}
	}
	at, why := r.due()
	if at.After(now) {
		return r.ask(at)
	}
	r.first, r.last, r.lost, r.start = time.Time{}, time.Time{}, time.Time{}, false
	r.running, r.began = true, now
	return action{call: why}
}

// ask wants a tick at a time, if not one that comes earlier is wanted already: under a stream of changes, each
// of which puts the call off, the clock is set once and the time looked at again when it rings.
func (r *rest) ask(at time.Time) action {
	if !r.wake.IsZero() && !at.Before(r.wake) {
		return action{}
	}
	r.wake = at
	return action{wake: at}
}

// due is when the next call is to be made, and why.
func (r *rest) due() (at time.Time, why string) {
	if r.start {
		return time.Time{}, Start
	}
	at, why = r.ended.Add(r.pause()), Rescan
	// What cannot wait for rest waits at least as long as the last call took: a folder that is never at rest
	// takes half of the time at most.
	took := r.ended.Sub(r.began)
	if !r.last.IsZero() {
		t := earlier(r.last.Add(r.debounce), later(r.first.Add(r.maxDelay), r.ended.Add(took)))
		if t.Before(at) {
			at, why = t, Changed
		}
	}
	if !r.lost.IsZero() {
		if t := later(r.lost, r.ended.Add(max(r.debounce, took))); t.Before(at) {
			at, why = t, Overflow
		}
	}
	return at, why
}

// pause is the longest time between two calls.
func (r *rest) pause() time.Duration {
	d := r.rescan
	if r.blind {
		d = min(d, blindRescan)
	}
	if r.failures > 0 {
		d = min(d, retry<<(r.failures-1))
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
